"""The stages that look at bytes: each file falls at the stage and for the reason that it was made for."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gate.conftest import MODULE, Owner, World, a_name, b_name, factors, safetensors_bytes

from plora.gate import BaseFacts, Case, Outcome, Policy, Verdict, decide
from plora.gate.byte_stages import module_scale
from plora.proto.manifest import Lora


def judge(world: World, owner: Owner, tensors: Any, **changes: Any) -> Verdict:
    return decide(world.case(owner, tensors, **changes), Policy(), world.trust(owner))


def fell(verdict: Verdict) -> tuple[Outcome, str, str]:
    return verdict.outcome, verdict.stage, verdict.reason


# chunks and hash


def test_missing_bytes_are_wanted(world: World, ada: Owner) -> None:
    verdict = decide(replace(world.case(ada), features=None), Policy(), world.trust(ada))
    assert fell(verdict) == (Outcome.PENDING, "chunks and hash", "bytes_missing")
    assert verdict.wants_bytes and not verdict.servable


def test_attack_018_other_bytes_of_the_same_size(world: World, ada: Owner) -> None:
    case = replace(world.case(ada), features=world.features(factors(seed=1)))
    verdict = decide(case, Policy(), world.trust(ada))
    assert fell(verdict) == (Outcome.REJECT, "chunks and hash", "hash_mismatch")
    assert not verdict.bytes_only and not verdict.servable


@pytest.mark.parametrize("signed", ["00" * 32, "ff" * 32])
def test_a_digest_is_another_whichever_way_it_differs(world: World, ada: Owner, signed: str) -> None:
    for field, reason in (("sha256", "hash_mismatch"), ("chunk_root", "chunk_root_mismatch")):
        case = world.case(ada, artifacts={field: signed})
        assert decide(case, Policy(), world.trust(ada)).reason == reason


def test_attack_019_other_size(world: World, ada: Owner) -> None:
    case = replace(world.case(ada), features=world.features(factors(in_dim=17)))
    assert fell(decide(case, Policy(), world.trust(ada))) == (Outcome.REJECT, "chunks and hash", "size_mismatch")


def test_attack_091_tensors_of_another_version(world: World, ada: Owner) -> None:
    first, second = world.case(ada, factors(seed=1)), world.case(ada, factors(seed=2), version=2)
    mixed = replace(second, features=first.features)
    assert decide(mixed, Policy(), world.trust(ada)).reason == "hash_mismatch"


def test_signed_chunk_root_must_be_that_of_the_bytes(world: World, ada: Owner) -> None:
    case = world.case(ada, artifacts={"chunk_root": "00" * 32})
    verdict = decide(case, Policy(), world.trust(ada))
    assert fell(verdict) == (Outcome.REJECT, "chunks and hash", "chunk_root_mismatch")
    assert verdict.bytes_only
    assert case.features is not None
    unknown = replace(case, features=replace(case.features, chunk_bytes=0, chunk_root=""))
    assert decide(unknown, Policy(), world.trust(ada)).accepted


# header: what the parser refuses


def raw_file(header: str | bytes, body: bytes = b"", *, length: int | None = None) -> bytes:
    text = header.encode() if isinstance(header, str) else header
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


def entry(shape: list[Any], begin: Any, end: Any, dtype: str = "F32", **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]} | more


def one(**changes: Any) -> str:
    return json.dumps({a_name(): entry([1, 1], 0, 4) | changes}, separators=(",", ":"))


TWIN = '{"data_offsets":[0,4],"dtype":"F32","shape":[1,1]}'


def named(*names: str) -> bytes:
    """A file whose header holds these names, as they are spelled in JSON, for one tensor of four bytes."""
    return raw_file("{" + ",".join(f'"{name}":{TWIN}' for name in names) + "}", bytes(4))


BROKEN: Mapping[str, tuple[bytes, str]] = {
    "024 duplicate name": (named("x", "x"), "header_duplicate_name"),
    "024 duplicate name escaped": (named("a", "\\u0061"), "header_duplicate_name"),
    "025 duplicate metadata": (
        raw_file('{"__metadata__":{"a":"1","a":"2"},"x":' + TWIN + "}", bytes(4)),
        "header_duplicate_name",
    ),
    "026 unknown field": (raw_file(one(extra=1), bytes(4)), "header_fields"),
    "027 leading space": (raw_file(" " + one(), bytes(4)), "header_white_space"),
    "028 length zero": (raw_file("", length=0), "header_length"),
    "028 length huge": (raw_file(one(), bytes(4), length=2**63), "header_length"),
    "028 length past the end": (raw_file(one(), bytes(4), length=10_000), "header_length"),
    "029 hole": (
        raw_file(json.dumps({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}), bytes(12)),
        "header_hole",
    ),
    "029 overlap": (
        raw_file(json.dumps({"a": entry([1], 0, 4), "b": entry([1], 2, 6)}), bytes(6)),
        "header_overlap",
    ),
    "029 trailing": (raw_file(one(), bytes(5)), "header_trailing"),
    "029 truncated": (raw_file(one(), bytes(3)), "header_truncated"),
    "029 negative": (raw_file(one(data_offsets=[-4, 0]), bytes(4)), "header_offsets"),
    "029 reversed": (raw_file(one(data_offsets=[4, 0]), bytes(4)), "header_offsets"),
    "029 float": (raw_file(one(data_offsets=[0, 4.0]), bytes(4)), "header_number"),
    "030 many tensors": (
        raw_file(json.dumps({f"t{n}": entry([1], 4 * n, 4 * n + 4) for n in range(5000)}), bytes(20_000)),
        "header_count",
    ),
    "031 huge axis and zero": (raw_file(one(shape=[2**40, 0], data_offsets=[0, 0])), "header_shape"),
    "031 many axes": (raw_file(one(shape=[1] * 65), bytes(4)), "header_shape"),
    "032 empty name": (named(""), "header_name"),
    "032 path as name": (named("../../etc/passwd"), "header_name"),
    "032 nul in name": (named("a\\u0000"), "header_name"),
    "033 bytes type": (raw_file(one(dtype="U8", shape=[4]), b"PK\x03\x04"), "header_dtype"),
    "020 pickle": (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05torch.", "header_pickle"),
    "021 zip": (b"PK\x03\x04" + bytes(60), "header_zip"),
    "021 7z": (b"7z\xbc\xaf\x27\x1c" + bytes(60), "header_7z"),
    "021 gzip": (gzip.compress(bytes(100_000), mtime=0), "header_gzip"),
    "no json": (raw_file("{" + "[" * 3000 + "}"), "header_json"),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_attack_020_to_033_files_that_are_no_strict_safetensors(world: World, ada: Owner, name: str) -> None:
    raw, reason = BROKEN[name]
    verdict = judge(world, ada, raw)
    assert fell(verdict) == (Outcome.REJECT, "header", reason)
    assert verdict.bytes_only


@pytest.mark.parametrize("dtype", ["I32", "BOOL", "F64", "C64", "F8_E4M3", "F4"])
def test_attack_036_types_that_are_no_weights(world: World, ada: Owner, dtype: str) -> None:
    assert judge(world, ada, raw_file(one(dtype=dtype), bytes(4))).reason == "header_dtype"


# header: what the signed lora block refuses


def test_attack_037_a_without_b(world: World, ada: Owner) -> None:
    alone = {name: tensor for name, tensor in factors().items() if name == a_name()}
    verdict = judge(world, ada, alone)
    assert fell(verdict) == (Outcome.REJECT, "header", "unpaired_factor")
    assert verdict.evidence["tensors"] == [a_name()] and verdict.bytes_only


@pytest.mark.parametrize(("of_a", "of_b"), [(4, 5), (5, 4), (1, 4), (4, 1)])
def test_attack_037_factors_of_different_ranks(world: World, ada: Owner, of_a: int, of_b: int) -> None:
    mixed = {a_name(): factors(rank=of_a)[a_name()], b_name(): factors(rank=of_b)[b_name()]}
    verdict = judge(world, ada, mixed)
    assert fell(verdict) == (Outcome.REJECT, "header", "unpaired_factor")
    assert verdict.evidence["tensors"] == [a_name(), b_name()]


def test_attack_037_factors_that_are_no_matrices(world: World, ada: Owner) -> None:
    flat = {name: tensor.reshape(-1) for name, tensor in factors().items()}
    assert judge(world, ada, flat).reason == "unpaired_factor"


def test_attack_037_dimensions_of_another_base(world: World, ada: Owner) -> None:
    case = world.case(ada)
    right = BaseFacts("mini", "ba" * 32, dims={MODULE: (16, 12)})
    wrong = BaseFacts("mini", "ba" * 32, dims={MODULE: (12, 16)})
    other = BaseFacts("mini", "ba" * 32, dims={"model.layers.9.q_proj": (16, 12)})
    trust = world.trust(ada)
    assert decide(replace(case, base=right), Policy(), trust).accepted
    for base in (wrong, other):
        verdict = decide(replace(case, base=base), Policy(), trust)
        assert fell(verdict) == (Outcome.REJECT, "header", "dims_mismatch")
        assert not verdict.bytes_only


@pytest.mark.parametrize(
    "name",
    [
        "model.embed_tokens.weight",
        "base_model.model.x.lora_C.weight",
        "lora_A.weight",
        "base_model.model.model.embed_tokens.lora_embedding_A",
        "base_model.model.lm_head.base_layer.weight",
    ],
)
def test_tensors_that_are_no_factors(world: World, ada: Owner, name: str) -> None:
    verdict = judge(world, ada, factors() | {name: np.ones((2, 2), dtype=np.float32)})
    assert fell(verdict) == (Outcome.REJECT, "header", "unexpected_tensor")


@pytest.mark.parametrize("targets", [("v_proj",), ("q_proj", "v_proj"), ("proj",)])
def test_modules_are_the_signed_targets(world: World, ada: Owner, targets: tuple[str, ...]) -> None:
    verdict = judge(world, ada, factors(), lora={"target_modules": targets})
    assert fell(verdict) == (Outcome.REJECT, "header", "target_mismatch")


def test_attack_013_rank_is_not_the_tensors(world: World, ada: Owner) -> None:
    verdict = judge(world, ada, factors(rank=8))
    assert fell(verdict) == (Outcome.REJECT, "header", "rank_mismatch")
    assert (verdict.evidence["rank"], verdict.evidence["signed"]) == (8, 4)
    assert judge(world, ada, factors(rank=8), lora={"rank_pattern": {"q_proj": 8}}).accepted
    assert judge(world, ada, factors(rank=8), lora={"rank_pattern": {"self_attn.q_proj": 8}}).accepted
    assert judge(world, ada, factors(rank=8), lora={"rank_pattern": {"attn.q_proj": 8}}).reason == "rank_mismatch"


# tensor values


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_attack_034_not_finite(world: World, ada: Owner, value: float, dtype: str) -> None:
    tensors = factors(dtype=dtype)
    tensors[b_name()][3, 2] = value
    verdict = judge(world, ada, tensors)
    assert fell(verdict) == (Outcome.REJECT, "tensor values", "non_finite")
    assert verdict.evidence["tensor"] == b_name() and verdict.bytes_only


def test_attack_039_all_zero(world: World, ada: Owner) -> None:
    tensors = factors()
    tensors[b_name()][:] = 0
    verdict = judge(world, ada, tensors)
    assert fell(verdict) == (Outcome.QUARANTINE, "tensor values", "all_zero")
    assert not verdict.servable and not verdict.bytes_only


@pytest.mark.parametrize(("value", "accepted"), [(0.2, True), (5.0, False)])
def test_attack_039_one_element_outweighs_its_tensor(world: World, ada: Owner, value: float, accepted: bool) -> None:
    tensors = factors(in_dim=64)
    tensors[a_name()][0, 0] = value
    verdict = judge(world, ada, tensors)
    assert verdict.accepted is accepted
    assert accepted or fell(verdict) == (Outcome.QUARANTINE, "tensor values", "huge_element")


def test_attack_039_huge_numbers(world: World, ada: Owner) -> None:
    tensors = factors()
    tensors[a_name()] *= np.float32(1e5)
    tensors[b_name()] *= np.float32(1e-5)
    assert fell(judge(world, ada, tensors)) == (Outcome.QUARANTINE, "tensor values", "huge_element")


@pytest.mark.parametrize(("value", "accepted"), [(1000.0, True), (-1000.0, True), (1000.25, False), (-1000.25, False)])
def test_attack_039_the_largest_number_is_a_thousand(world: World, ada: Owner, value: float, accepted: bool) -> None:
    tensors = factors()  # B has fewer than 64 elements: no share of the tensor is judged
    tensors[b_name()][0, 0] = value
    verdict = decide(world.case(ada, tensors), Policy(delta_norm_max=1e9), world.trust(ada))
    assert verdict.accepted is accepted
    assert accepted or fell(verdict) == (Outcome.QUARANTINE, "tensor values", "huge_element")


@pytest.mark.parametrize(("equals", "accepted"), [(1, False), (2, True)])
def test_attack_039_half_of_a_tensor_may_be_one_element(world: World, ada: Owner, equals: int, accepted: bool) -> None:
    tensors = factors()
    tensors[a_name()][:] = 0
    tensors[a_name()][0, :equals] = 0.5
    verdict = judge(world, ada, tensors)
    assert verdict.accepted is accepted
    assert accepted or verdict.reason == "huge_element"


@pytest.mark.parametrize(("count", "accepted"), [(1, True), (2, False)])
def test_attack_039_flood_of_denormals(world: World, ada: Owner, count: int, accepted: bool) -> None:
    tensors = factors()
    tensors[a_name()][0, :count] = 1e-40
    verdict = judge(world, ada, tensors)
    assert verdict.accepted is accepted
    assert accepted or fell(verdict) == (Outcome.QUARANTINE, "tensor values", "denormals")


# weights


def dense_norm(tensors: dict[str, Any]) -> float:
    return float(np.linalg.norm(tensors[b_name()].astype(np.float64) @ tensors[a_name()].astype(np.float64)))


def test_norm_is_that_of_the_scaled_product(world: World, ada: Owner) -> None:
    tensors = factors()
    norm = 2.0 * dense_norm(tensors)
    case, trust = world.case(ada, tensors), world.trust(ada)
    assert decide(case, Policy(delta_norm_max=norm * (1 + 1e-9)), trust).accepted
    verdict = decide(case, Policy(delta_norm_max=norm * (1 - 1e-9)), trust)
    assert fell(verdict) == (Outcome.REJECT, "weights", "norm_too_large")
    assert verdict.evidence["delta_norm"] == pytest.approx(norm, rel=1e-12)
    assert not verdict.bytes_only


def test_norm_by_hand(world: World, ada: Owner) -> None:
    tensors = {
        a_name(): np.eye(4, 16, dtype=np.float32),
        b_name(): 3 * np.eye(12, 4, dtype=np.float32),
    }
    verdict = decide(world.case(ada, tensors), Policy(delta_norm_max=1), world.trust(ada))
    assert verdict.evidence["delta_norm"] == pytest.approx(2 * 3 * 2)  # scale 2, four entries of 3


def test_root_mean_square_is_bounded_where_the_policy_says_so(world: World, ada: Owner) -> None:
    tensors = factors()
    rms = 2.0 * dense_norm(tensors) / math.sqrt(16 * 12)
    case, trust = world.case(ada, tensors), world.trust(ada)
    assert decide(case, Policy(delta_rms_max=rms * (1 + 1e-9)), trust).accepted
    assert decide(case, Policy(delta_rms_max=rms * (1 - 1e-9)), trust).reason == "norm_too_large"


def test_a_norm_may_reach_its_bound(world: World, ada: Owner) -> None:
    """Scale 2, four entries of 3 in 16 x 16: the norm is 12 and the root mean square 0.75, both exactly."""
    tensors = {
        a_name(): np.eye(4, 16, dtype=np.float32),
        b_name(): 3 * np.eye(16, 4, dtype=np.float32),
    }
    case, trust = world.case(ada, tensors), world.trust(ada)
    assert decide(case, Policy(delta_norm_max=12.0, delta_rms_max=0.75), trust).accepted
    for narrow in (Policy(delta_norm_max=math.nextafter(12, 0)), Policy(delta_rms_max=math.nextafter(0.75, 0))):
        assert decide(case, narrow, trust).reason == "norm_too_large"


def test_attack_069_hundredfold_scale(world: World, ada: Owner) -> None:
    tensors = factors(rank=4, in_dim=64, out_dim=64)
    usual = judge(world, ada, tensors)
    assert usual.accepted
    loud = {name: tensor * np.float32(10) for name, tensor in tensors.items()}
    assert fell(judge(world, ada, loud)) == (Outcome.REJECT, "weights", "norm_too_large")
    assert judge(world, ada, tensors, lora={"alpha": 800.0}).reason == "scale_too_large"


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), condition=st.floats(1, 100))
def test_attack_073_rescaled_factors_have_the_same_norm(
    tmp_path_factory: pytest.TempPathFactory, seed: int, condition: float
) -> None:
    world = World(tmp_path_factory.mktemp("gauge"))
    rng = np.random.default_rng(seed)
    left, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    right, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    gauge = left @ np.diag(np.geomspace(1, condition, 4)) @ right
    plain = factors(seed=seed % 100)
    turned = {
        a_name(): (np.linalg.inv(gauge) @ plain[a_name()]).astype(np.float32),
        b_name(): (plain[b_name()] @ gauge).astype(np.float32),
    }
    norms = [world.features(tensors).modules[MODULE].delta_norm for tensors in (plain, turned)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-3)


def overflowing(dtype: str) -> dict[str, Any]:
    """Small norms nowhere: every element 200, so an element of 2 * B @ A is 2 * 4 * 40,000."""
    return {name: np.full_like(tensor, 200, dtype=dtype) for name, tensor in factors().items()}


def test_attack_035_product_overflows_half_precision(world: World, ada: Owner) -> None:
    loose, trust = Policy(delta_norm_max=1e9), world.trust(ada)
    stored = decide(world.case(ada, overflowing("float16")), loose, trust)
    assert fell(stored) == (Outcome.REJECT, "weights", "fp16_overflow")
    assert stored.bytes_only
    case = world.case(ada, overflowing("float32"))
    assert fell(decide(case, loose, trust)) == (Outcome.QUARANTINE, "weights", "fp16_overflow_possible")
    half = replace(case, base=BaseFacts("mini", "ba" * 32, dtype="F16"))
    assert fell(decide(half, loose, trust)) == (Outcome.REJECT, "weights", "fp16_overflow")


def test_attack_035_bound_counts_the_scale(world: World, ada: Owner) -> None:
    loose, trust = Policy(delta_norm_max=1e9), world.trust(ada)
    tensors = {name: np.full_like(tensor, 100) for name, tensor in factors().items()}
    bound = 100 * 100 * 4  # row norm 200 times column norm 200
    for alpha, accepted in ((4 * 65_504 / bound, True), (4 * 65_505 / bound, False)):
        assert decide(world.case(ada, tensors, lora={"alpha": alpha}), loose, trust).accepted is accepted


@pytest.mark.parametrize(
    ("lora", "scale"),
    [
        ({}, 2.0),
        ({"use_rslora": True}, 4.0),
        ({"rank_pattern": {"q_proj": 2}}, 4.0),
        ({"alpha_pattern": {"layers.0.self_attn.q_proj": 12.0}}, 3.0),
        ({"alpha_pattern": {"k_proj": 12.0}}, 2.0),
        ({"rank_pattern": {MODULE: 16}, "alpha_pattern": {"q_proj": 4.0}, "use_rslora": True}, 1.0),
    ],
)
def test_module_scale_by_hand(lora: dict[str, Any], scale: float) -> None:
    block = Lora.model_validate({"r": 4, "alpha": 8.0, "dropout": 0.0, "target_modules": ("q_proj",)} | lora)
    assert module_scale(block, MODULE) == scale


def test_worse_objection_wins_over_an_earlier_one(world: World, ada: Owner, bob: Owner) -> None:
    """Below quorum, quarantined by value, refused by norm: the refusal is the verdict."""
    tensors = factors()
    tensors[a_name()] *= np.float32(1e5)
    case: Case = world.case(ada, tensors)
    verdict = decide(case, Policy(quorum_required=2), world.trust(ada, bob))
    assert fell(verdict) == (Outcome.REJECT, "weights", "norm_too_large")
    assert [stage.reason for stage in verdict.stages if stage.reason] == [
        "below_quorum",
        "huge_element",
        "norm_too_large",
    ]


def test_quarantine_wins_over_below_quorum_and_is_not_served(world: World, ada: Owner, bob: Owner) -> None:
    tensors = factors()
    tensors[b_name()][:] = 0
    verdict = decide(world.case(ada, tensors), Policy(quorum_required=2), world.trust(ada, bob))
    assert verdict.outcome is Outcome.QUARANTINE and not verdict.servable and not verdict.wants_bytes


def test_file_of_the_reference_writer_passes(world: World, ada: Owner) -> None:
    text = safetensors_bytes(factors())
    assert judge(world, ada, text).accepted
