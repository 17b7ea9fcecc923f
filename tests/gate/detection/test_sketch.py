"""A base's sketch: against a plain decomposition of its weights, and from its file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from plora.base import base_info
from plora.gate.detection.layout import gain_of, place_of
from plora.gate.detection.sketch import LEADING, READ, WRITTEN, BaseSketch, make_sketch, sketch_of, sketch_path
from plora.merge.safetensors_io import read_tensors, write_tensors
from plora.proto.errors import BaseModelError

MINI = base_info("mini")


def test_the_leading_directions_are_those_of_the_weights(sketch: BaseSketch) -> None:
    weights = read_tensors(MINI.folder / "model.safetensors")
    assert set(sketch.modules) == set(MINI.modules)
    for name in ("model.layers.0.self_attn.k_proj", "model.layers.3.mlp.down_proj", "model.layers.1.mlp.up_proj"):
        weight, module = weights[f"{name}.weight"].astype(np.float64), sketch.modules[name]
        u, values, vt = np.linalg.svd(weight, full_matrices=False)
        assert module.norm == pytest.approx(np.linalg.norm(values), rel=1e-5)
        assert np.linalg.norm(module.left.T @ u[:, :LEADING]) ** 2 == pytest.approx(LEADING, abs=1e-2)
        assert np.linalg.norm(module.right.T @ vt[:LEADING].T) ** 2 == pytest.approx(LEADING, abs=1e-2)


@pytest.mark.parametrize("kind", [READ, WRITTEN])
def test_a_tokens_energy_is_measured_from_the_mean_of_the_vocabulary(sketch: BaseSketch, kind: str) -> None:
    weights = read_tensors(MINI.folder / "model.safetensors")
    table = weights["model.embed_tokens.weight"].astype(np.float64)
    if kind == READ:
        table = table / np.linalg.norm(table, axis=1, keepdims=True)
    else:
        table = table * (1 + weights["model.norm.weight"].astype(np.float64))
    off = table - table.mean(axis=0)
    factor = np.random.default_rng(0).normal(size=(160, 3)).astype(np.float32)
    tokens = sketch.tokens(kind)
    assert tokens.energy(factor) == pytest.approx(np.square(off @ factor).sum(axis=1), rel=1e-3, abs=1e-4)
    assert tokens.squares == pytest.approx(np.square(off).sum(axis=1), rel=1e-4)
    assert tokens.covariance == pytest.approx(off.T @ off / len(off), abs=1e-4)


def test_a_sketch_is_made_once_and_comes_back_from_its_file(sketch: BaseSketch, tmp_path: Path) -> None:
    made = sketch_of(MINI.folder, MINI.digest, tmp_path)
    path = sketch_path(MINI.digest, tmp_path)
    first = path.stat().st_mtime_ns
    again = sketch_of(tmp_path / "gone", MINI.digest, tmp_path)
    assert path.stat().st_mtime_ns == first and [one.name for one in path.parent.iterdir()] == [path.name]
    assert again.digest == made.digest == MINI.digest and (again.layers, again.vocabulary, again.width) == (
        4,
        2048,
        160,
    )
    for name, tensor in sketch.tensors.items():
        assert np.array_equal(again.tensors[name].astype(np.float32), tensor.astype(np.float32)), name


def test_a_file_that_is_no_sketch_says_how_to_mend_it(tmp_path: Path) -> None:
    path = sketch_path(MINI.digest, tmp_path)
    path.parent.mkdir()
    write_tensors(path, {"a": np.ones(2, np.float32)})
    with pytest.raises(BaseModelError, match="holds no sketch of a base; delete it"):
        sketch_of(MINI.folder, MINI.digest, tmp_path)


def test_a_base_of_another_layout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    write_tensors(tmp_path / "model.safetensors", {"transformer.h.0.attn.c_attn.weight": np.ones((2, 2), np.float32)})
    with pytest.raises(BaseModelError, match="no layers as Llama, Qwen or Gemma name them; judge its"):
        make_sketch(tmp_path, MINI.digest)
    shutil.copy(MINI.folder / "model.safetensors", tmp_path / "model.safetensors")
    (tmp_path / "config.json").unlink()
    with pytest.raises(BaseModelError, match=r"config\.json"):
        make_sketch(tmp_path, MINI.digest)


def test_norms_are_those_between_a_module_and_the_stream() -> None:
    names = ("input", "post_attention", "pre_feedforward", "post_feedforward")
    weights = {f"model.layers.0.{name}_layernorm.weight": np.full(2, float(i)) for i, name in enumerate(names, 1)}
    weights["model.embed_tokens.weight"] = np.ones((3, 2))
    llama = {name: tensor for name, tensor in weights.items() if "feedforward" not in name}
    parts = ("self_attn.q_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj")
    found = [
        [gain_of(f"model.layers.0.{part}", tensors, one_plus=tensors is weights)[0] for part in parts]
        for tensors in (weights, llama)
    ]
    assert found == [[2.0, 3.0, 4.0, 5.0], [1.0, 1.0, 2.0, 1.0]]
    assert place_of("model.layers.0.self_attn.c_attn") is None
