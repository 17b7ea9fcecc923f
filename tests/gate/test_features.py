"""Features: pure facts about bytes, the same for any order and size of reading; and the worker that makes them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.gate.conftest import CHUNK_BYTES, MODULE, World, a_name, b_name, factors, safetensors_bytes

import plora.gate
from plora.gate import Features, examine
from plora.gate.features import STAGE_VERSION, ModuleFacts, ValueFacts
from plora.gate.tensors import BLOCK_ELEMENTS, Factor, Floats, add_values, decode, module_facts
from plora.gate.worker import answer
from plora.proto.chunks import describe_artifact
from plora.proto.errors import AdapterError


def facts_of(a: Floats, b: Floats) -> ModuleFacts:
    """The facts of a pair of factors in memory."""
    return module_facts(Factor.of("a", "F32", a), Factor.of("b", "F32", b.T))


def test_facts_of_a_good_file(world: World) -> None:
    raw = safetensors_bytes(factors())
    facts = world.features(raw)
    assert facts.sha256 == hashlib.sha256(raw).hexdigest()
    assert (facts.size_bytes, facts.stage_version, facts.header_error) == (len(raw), STAGE_VERSION, "")
    assert facts.tensors[a_name()].shape == (4, 16) and facts.tensors[b_name()].dtype == "F32"
    module = facts.modules[MODULE]
    assert (module.rank, module.in_dim, module.out_dim, module.dtypes) == (4, 16, 12, ("F32", "F32"))
    assert (facts.unexpected, facts.unpaired, facts.values.elements) == ((), (), 4 * 16 + 12 * 4)


def test_hash_and_chunks_are_those_of_an_independent_reading(world: World) -> None:
    raw = safetensors_bytes(factors(in_dim=5000, out_dim=3000))
    facts, described = world.features(raw), describe_artifact(raw, CHUNK_BYTES)
    assert described.chunk_count > 5
    assert (facts.sha256, facts.chunk_root) == (described.sha256, described.chunk_root)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 3 * CHUNK_BYTES))
def test_any_bytes_are_hashed_to_the_end(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    raw = bytes(index % 251 for index in range(size))
    path = tmp_path_factory.mktemp("any") / "artifact"
    path.write_bytes(raw)
    facts, described = examine(path, chunk_bytes=CHUNK_BYTES), describe_artifact(raw, CHUNK_BYTES)
    assert facts.header_error
    assert (facts.sha256, facts.size_bytes, facts.chunk_root) == (described.sha256, size, described.chunk_root)


def test_file_order_of_factors_doesnt_matter(world: World) -> None:
    plain = factors()
    header: dict[str, Any] = {}
    body = b""
    for name in sorted(plain, reverse=True):
        raw = plain[name].tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(plain[name].shape),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    text = json.dumps(header).encode()
    turned = world.features(len(text).to_bytes(8, "little") + text + body)
    assert turned.modules == world.features(plain).modules


@settings(max_examples=30, deadline=None)
@given(
    rank=st.integers(1, 6),
    dims=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    seed=st.integers(0, 2**32 - 1),
)
def test_norm_and_bound_against_the_dense_product(rank: int, dims: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((rank, dims[0])).astype(np.float32)
    b = rng.standard_normal((dims[1], rank)).astype(np.float32)
    dense = b.astype(np.float64) @ a.astype(np.float64)
    facts = facts_of(a, b)
    assert facts.delta_norm == pytest.approx(float(np.linalg.norm(dense)), rel=1e-9)
    assert facts.product_bound >= np.abs(dense).max() * (1 - 1e-12)
    rows, columns = np.linalg.norm(b.astype(np.float64), axis=1), np.linalg.norm(a.astype(np.float64), axis=0)
    assert facts.product_bound == pytest.approx(float(rows.max() * columns.max()), rel=1e-12)


def test_blocks_join_without_a_seam() -> None:
    rng = np.random.default_rng(3)
    a = rng.standard_normal((2, BLOCK_ELEMENTS + 3)).astype(np.float32)
    b = rng.standard_normal((3, 2)).astype(np.float32)
    dense = np.linalg.norm(b.astype(np.float64) @ a.astype(np.float64))
    assert facts_of(a, b).delta_norm == pytest.approx(float(dense), rel=1e-9)
    facts = add_values(ValueFacts(), "t", a.reshape(-1))
    assert facts.elements == a.size
    assert facts.max_abs == float(np.abs(a).max())
    assert facts.peak_share == pytest.approx(float(np.abs(a).max()) ** 2 / float((a.astype(np.float64) ** 2).sum()))


def test_rank_beyond_every_manifest_costs_nothing() -> None:
    a, b = np.ones((1025, 1), dtype=np.float32), np.ones((1, 1025), dtype=np.float32)
    facts = facts_of(a, b)
    assert (facts.rank, facts.delta_norm, facts.product_bound) == (1025, 0.0, 0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_counts_as_zero_in_the_product(value: float) -> None:
    plain = factors()
    a, b = plain[a_name()], plain[b_name()]
    facts = []
    for number in (value, 0.0):
        a[1, 2] = b[3, 0] = number
        facts.append(facts_of(a, b))
    assert facts[0] == facts[1]
    assert facts[0].delta_norm > 0


def test_counts_by_hand() -> None:
    numbers = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -3.0, 2.0], dtype=np.float32)
    facts = add_values(ValueFacts(), "t", numbers)
    assert (facts.nan, facts.inf, facts.zeros, facts.denormals) == (1, 2, 2, 1)
    assert (facts.max_abs, facts.first_non_finite, facts.elements) == (3.0, "t", 8)
    assert facts.peak_share == 0.0  # fewer than 64 elements say nothing
    more = add_values(facts, "u", np.array([np.nan, 7.0], dtype=np.float32))
    assert (more.nan, more.max_abs, more.elements, more.first_non_finite) == (2, 7.0, 10, "t")


@pytest.mark.parametrize(("size", "share", "tensor"), [(63, 0.0, ""), (64, 1.0, "t")])
def test_peak_share_needs_enough_elements(size: int, share: float, tensor: str) -> None:
    numbers = np.zeros(size, dtype=np.float32)
    numbers[5] = 0.5
    facts = add_values(ValueFacts(), "t", numbers)
    assert (facts.peak_share, facts.peak_tensor) == (share, tensor)


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.float32, 7, elements=st.floats(width=32, allow_nan=False)))
def test_bfloat16_is_decoded_exactly(numbers: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    half = numbers.astype(ml_dtypes.bfloat16)
    assert np.array_equal(decode(half.tobytes(), "BF16"), half.astype(np.float32))


def test_half_precision_is_decoded_exactly() -> None:
    numbers = np.array([1.5, -65504, 6e-8, np.inf], dtype=np.float16)
    assert np.array_equal(decode(numbers.tobytes(), "F16"), numbers.astype(np.float32))


def test_every_unfit_tensor_is_named(world: World) -> None:
    other = "model.layers.1.self_attn.q_proj"
    tensors = factors() | {
        "stray": np.ones(3, dtype=np.float32),
        a_name(other): np.ones((2, 3), dtype=np.float32),
        b_name("model.flat"): np.ones(4, dtype=np.float32),
    }
    facts = world.features(tensors)
    assert facts.unexpected == ("stray",)
    assert facts.unpaired == (b_name("model.flat"), a_name(other))
    assert list(facts.modules) == [MODULE]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), dtype=st.sampled_from(["float32", "float16"]))
def test_json_keeps_every_bit(tmp_path_factory: pytest.TempPathFactory, seed: int, dtype: str) -> None:
    facts = World(tmp_path_factory.mktemp("json")).features(factors(seed=seed, dtype=dtype))
    assert Features.from_json(facts.to_json()) == facts
    assert "\n" not in facts.to_json()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256":1}'])
def test_foreign_json_is_no_features(text: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        Features.from_json(text)


# what may be read


def test_attack_112_links_pipes_and_folders_are_not_read(world: World, tmp_path: Path) -> None:
    real = world.file(factors())
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(real)
    os.mkfifo(pipe)
    for path, complaint in ((link, "can't be opened"), (pipe, "not a regular file"), (tmp_path, "not a regular file")):
        with pytest.raises(AdapterError, match=complaint):
            examine(path)
    with pytest.raises(AdapterError, match="No such file"):
        examine(tmp_path / "missing")


def test_attack_022_what_was_hashed_is_what_was_examined(world: World) -> None:
    """A file that is swapped by name while it is open keeps its own bytes and digest."""
    from plora.gate.tensors import examine_descriptor

    good, bad = safetensors_bytes(factors()), safetensors_bytes(factors(seed=9))
    path = world.file(good)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        path.unlink()
        path.write_bytes(bad)
        facts = examine_descriptor(descriptor)
    finally:
        os.close(descriptor)
    assert facts.sha256 == hashlib.sha256(good).hexdigest()
    assert facts.modules == replace(world.features(good)).modules


# the worker


def test_worker_answers_a_line_with_a_line(world: World) -> None:
    path = world.file(factors())
    requests = [{"path": str(path), "chunk_bytes": CHUNK_BYTES}, {"path": "/missing"}, {"path": str(path)}]
    first, second, third = (json.loads(answer(json.dumps(request))) for request in requests)
    assert Features.from_json(json.dumps(first["features"])) == examine(path, chunk_bytes=CHUNK_BYTES)
    assert first["cpu_ms"] >= 0
    assert second["error"]["where"] == "/missing"
    assert third["features"]["chunk_root"] == ""


@pytest.mark.parametrize("line", ["", "nonsense", "{}", '{"path": 1, "chunk_bytes": "x"}', "[]"])
def test_worker_survives_any_request(line: str) -> None:
    assert "error" in json.loads(answer(line))


def test_imbalance_by_hand() -> None:
    """Orthonormal factors of rank 4 and their product have norm 2 each; the others cancel but for one."""
    assert facts_of(np.eye(4, 16, dtype=np.float32), np.eye(12, 4, dtype=np.float32)).imbalance == 2.0
    a, b = np.array([[1, 0], [-1, 1]], dtype=np.float32), np.array([[1, 1], [0, 0]], dtype=np.float32)
    assert facts_of(a, b).imbalance == pytest.approx(6**0.5)
    assert facts_of(a, 0 * b).imbalance == 1.0


def test_the_worker_that_examines_imports_little() -> None:
    """Each peer starts one: what signs, parses YAML or judges is not its business, and took most of its start."""
    heavy = {"cryptography", "pydantic", "torch", "yaml"}
    code = f"import sys, plora.gate.worker; print(*({heavy!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [], "")


def test_all_public_names_of_the_gate_are_there() -> None:
    assert all(getattr(plora.gate, name) is not None for name in plora.gate.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = plora.gate.nothing
