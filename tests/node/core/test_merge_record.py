"""The record of a merge says what its worker reported, and the report here is a worker's."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plora.merge import LoraSpec, adapter_config_bytes
from plora.merge.peft_folder import TENSORS_NAME
from plora.merge.safetensors_io import tensors_to_bytes
from plora.merge.worker import carry_out, parse_request
from plora.node.core.bookkeeping import merge_body
from plora.node.core.merge_rows import MergeRow
from plora.node.driver.shelf import report_text

MODULE = "base_model.model.model.layers.0.self_attn.q_proj"
SPEC = LoraSpec(r=2, alpha=4, target_modules=("q_proj",), base_model_name="mini")


def written(folder: Path, seed: int, note: str = "") -> dict[str, Any]:
    """An adapter folder as the worker's input; a note in the header changes the file and none of its tensors."""
    draws = np.random.default_rng(seed)
    shapes = {"lora_A": (2, 8), "lora_B": (8, 2)}
    tensors = {f"{MODULE}.{name}.weight": draws.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    data = tensors_to_bytes(tensors, {"note": note} if note else None)
    folder.mkdir()
    (folder / TENSORS_NAME).write_bytes(data)
    (folder / "adapter_config.json").write_bytes(adapter_config_bytes(SPEC, "mini"))
    return {"folder": str(folder), "digest": hashlib.sha256(data).hexdigest()}


def recorded(tmp_path: Path, inputs: list[dict[str, Any]], **more: Any) -> Any:
    request = {"inputs": inputs, "out": str(tmp_path / "out"), "base_model_name": "mini", **more}
    report = carry_out(parse_request(json.dumps(request).encode()))
    contents = tuple(f"{place:064x}" for place in range(len(inputs)))
    return merge_body(MergeRow("mini", 3, contents, report_text(report)), 2)


def test_weights_and_loss_are_the_workers(tmp_path: Path) -> None:
    inputs = [written(tmp_path / str(seed), seed) | {"weight": weight} for seed, weight in ((0, 0.2), (1, 0.7), (2, 0))]
    body = recorded(tmp_path, inputs, rank_max=1)
    assert body.weights == (0.2, 0.7, 0.0)
    assert 0.1 < body.discarded_energy < 0.9
    assert (body.before, body.after) == (2, 3)


def test_of_equal_tensors_the_first_has_the_weight(tmp_path: Path) -> None:
    inputs = [written(tmp_path / "a", 0), written(tmp_path / "b", 1), written(tmp_path / "c", 0, "signed again")]
    assert len({one["digest"] for one in inputs}) == 3
    assert recorded(tmp_path, inputs).weights == pytest.approx((0.5, 0.5, 0.0))


def test_a_merge_without_figures_has_equal_shares() -> None:
    body = merge_body(MergeRow("mini", 1, ("aa", "bb"), "{}"), 0)
    assert (body.weights, body.discarded_energy) == ((0.5, 0.5), 0.0)
    assert merge_body(MergeRow("mini", 2, (), ""), 1).weights == ()
