"""peft's `add_weighted_adapter` as oracle where it is right, and each case of docs/merging-peft.md where it isn't."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft import PeftModel
from tests.merge.tiny import save_by_peft, tiny

from plora.merge.api import merge_paths
from plora.merge.peft_folder import Adapter, read_adapter
from plora.merge.plan import MergePlan

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*weight_tying.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set:UserWarning"),
]

Matrix = NDArray[np.float64]
QV = ["q_proj", "v_proj"]
MIXED: list[dict[str, Any]] = [
    {"r": 3, "lora_alpha": 6, "target_modules": QV},
    {"r": 5, "lora_alpha": 4, "target_modules": [*QV, "down_proj"], "alpha_pattern": {"q_proj": 9}},
    {"r": 4, "lora_alpha": 8, "target_modules": ["v_proj"], "rank_pattern": {"layers.1.self_attn.v_proj": 2}},
]
WEIGHTS = [0.5, 0.3, -0.2]


def files(tmp_path: Path, options: list[dict[str, Any]], kind: str = "llama") -> list[Path]:
    folders = [tmp_path / f"adapter{index}" for index in range(len(options))]
    for seed, (folder, option) in enumerate(zip(folders, options, strict=True)):
        save_by_peft(folder, kind, seed, **option)
    return folders


def by_peft(folders: list[Path], weights: list[float], kind: str = "llama", **options: Any) -> dict[str, Matrix]:
    """ΔW (out, in) of each module in peft's merge, computed in double precision."""
    base = tiny(kind).double()
    model: Any = PeftModel.from_pretrained(base, str(folders[0]), adapter_name="0", autocast_adapter_dtype=False)
    for index, folder in enumerate(folders[1:], 1):
        model.load_adapter(str(folder), adapter_name=str(index), autocast_adapter_dtype=False)
    model = model.double()
    model.add_weighted_adapter([str(index) for index in range(len(folders))], weights, "merged", **options)
    return {
        name.removeprefix("base_model.model."): _update_of(layer)
        for name, layer in model.named_modules()
        if hasattr(layer, "lora_A") and ("merged" in layer.lora_A or "merged" in layer.lora_embedding_A)
    }


def _update_of(layer: Any) -> Matrix:
    if "merged" in layer.lora_A:
        a, b = layer.lora_A["merged"].weight, layer.lora_B["merged"].weight
    else:
        a, b = layer.lora_embedding_A["merged"], layer.lora_embedding_B["merged"]
    update: Matrix = (layer.scaling["merged"] * (b @ a)).detach().double().numpy()
    return update


def exact(folders: list[Path], weights: list[float]) -> dict[str, Matrix]:
    total: dict[str, Any] = {}
    for folder, weight in zip(folders, weights, strict=True):
        for module, update in _dense(read_adapter(folder)).items():
            total[module] = total.get(module, 0.0) + weight * update
    return total


def _dense(adapter: Adapter) -> dict[str, Matrix]:
    return {
        module: adapter.spec.scale_of(module) * (pair.B.astype(np.float64) @ pair.A.astype(np.float64))
        for module, pair in adapter.pairs.items()
    }


def distance(found: dict[str, Matrix], expected: dict[str, Matrix]) -> float:
    """The largest relative error of a module, in the Frobenius norm; a module that is missing counts as zero."""
    assert found.keys() <= expected.keys()
    return max(
        float(np.linalg.norm(found.get(module, 0.0) - update) / np.linalg.norm(update))
        for module, update in expected.items()
    )


def ours(folders: list[Path], weights: list[float], rank_max: int = 32) -> dict[str, Matrix]:
    return _dense(merge_paths(folders, MergePlan(weights=tuple(weights), rank_max=rank_max)).adapter)


# Where peft is right.


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("llama", MIXED),
        ("llama", [{"target_modules": ["embed_tokens", "lm_head"]}, {"target_modules": ["lm_head"]}]),
        ("phi3", [{"target_modules": ["qkv_proj"]}, {"target_modules": ["qkv_proj", "gate_up_proj"]}]),
        ("gpt2", [{"target_modules": ["c_attn"]}, {"target_modules": ["c_attn", "c_fc"]}]),
    ],
)
def test_cat_and_svd_agree_to_a_millionth(kind: str, options: list[dict[str, Any]], tmp_path: Path) -> None:
    folders = files(tmp_path, options, kind)
    weights = WEIGHTS[: len(folders)]
    for combination, rank in (("cat", 32), ("svd", 2), ("svd", 4)):
        settings: dict[str, Any] = {"svd_rank": rank} if combination == "svd" else {}
        peft = by_peft(folders, weights, kind, combination_type=combination, **settings)
        assert distance(ours(folders, weights, rank_max=rank), peft) < 1e-6
    assert distance(ours(folders, weights, rank_max=32), exact(folders, weights)) < 1e-6


# Where it isn't; the names are those of docs/merging-peft.md.


@pytest.mark.parametrize("combination", ["cat", "svd"])
def test_rslora_is_inflated_by_the_root_of_the_rank(combination: str, tmp_path: Path) -> None:
    folders = files(tmp_path, [{"r": 2, "use_rslora": True, "target_modules": QV}] * 2)
    expected = exact(folders, [0.5, 0.5])
    rank: dict[str, Any] = {"svd_rank": 4} if combination == "svd" else {}
    inflated = by_peft(folders, [0.5, 0.5], combination_type=combination, **rank)
    root = math.sqrt(4)
    assert distance(inflated, {module: root * update for module, update in expected.items()}) < 1e-6
    assert distance(ours(folders, [0.5, 0.5]), expected) < 1e-6


def test_the_first_adapter_decides_about_rslora(tmp_path: Path) -> None:
    options: list[dict[str, Any]] = [{"target_modules": QV}, {"use_rslora": True, "target_modules": QV}]
    folders = files(tmp_path, options)
    weights = [0.5, 0.25]
    assert distance(by_peft(folders, weights, combination_type="cat"), exact(folders, weights)) < 1e-6
    swapped, turned = folders[::-1], weights[::-1]
    assert distance(by_peft(swapped, turned, combination_type="cat"), exact(folders, weights)) > 2
    assert distance(ours(swapped, turned), exact(folders, weights)) < 1e-6


def test_linear_adds_cross_terms(tmp_path: Path) -> None:
    folders = files(tmp_path, [{"target_modules": QV}] * 2)
    assert distance(by_peft(folders, [0.5, 0.5], combination_type="linear"), exact(folders, [0.5, 0.5])) > 0.5
    assert distance(ours(folders, [0.5, 0.5]), exact(folders, [0.5, 0.5])) < 1e-6


@pytest.mark.parametrize("combination", ["linear", "ties", "magnitude_prune", "dare_linear", "dare_ties"])
def test_rules_on_the_factors_depend_on_the_gauge(combination: str, tmp_path: Path) -> None:
    """A -> G A, B -> B G⁻¹ is the same update, and gives another merge."""
    one, two = files(tmp_path, [{"r": 4, "target_modules": QV}] * 2)
    before = _merged_in_gauge(one, two, combination, np.eye(4))
    turned = np.linalg.qr(np.random.default_rng(3).standard_normal((4, 4)))[0]
    assert distance(_merged_in_gauge(one, two, combination, turned), before) > 0.3


def _merged_in_gauge(one: Path, two: Path, combination: str, gauge: Matrix) -> dict[str, Matrix]:
    base = tiny("llama").double()
    model: Any = PeftModel.from_pretrained(base, str(one), adapter_name="0", autocast_adapter_dtype=False)
    model.load_adapter(str(two), adapter_name="1", autocast_adapter_dtype=False)
    model = model.double()
    layers = {name: layer for name, layer in model.named_modules() if hasattr(layer, "lora_A") and "0" in layer.lora_A}
    turn = torch.from_numpy(gauge)
    for layer in layers.values():
        layer.lora_A["0"].weight.data = turn @ layer.lora_A["0"].weight.data
        layer.lora_B["0"].weight.data = layer.lora_B["0"].weight.data @ turn.T
    density = {} if combination == "linear" else {"density": 0.5}
    with torch.random.fork_rng():
        torch.manual_seed(1)  # one mask of dare for both gauges
        model.add_weighted_adapter(["0", "1"], [0.5, 0.5], "merged", combination_type=combination, **density)
    return {name: _update_of(layer) for name, layer in layers.items()}


@pytest.mark.parametrize("combination", ["dare_linear", "dare_linear_svd"])
def test_dare_has_no_seed(combination: str, tmp_path: Path) -> None:
    folders = files(tmp_path, [{"target_modules": QV}] * 2)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = by_peft(folders, [0.5, 0.5], combination_type=combination, density=0.5)
        again = by_peft(folders, [0.5, 0.5], combination_type=combination, density=0.5)
    assert distance(first, again) > 0.1


@pytest.mark.parametrize("choice", [{"layers_to_transform": [0]}, {"exclude_modules": ["v_proj"]}])
def test_modules_that_the_first_adapter_left_out_are_lost(choice: dict[str, Any], tmp_path: Path) -> None:
    folders = files(tmp_path, [{"target_modules": QV, **choice}, {"target_modules": QV}])
    found, expected = by_peft(folders, [0.5, 0.5], combination_type="cat"), exact(folders, [0.5, 0.5])
    assert 0 < len(found) < len(expected)
    assert distance(ours(folders, [0.5, 0.5]), expected) < 1e-6


def test_what_is_given_twice_counts_twice(tmp_path: Path) -> None:
    (folder,) = files(tmp_path, [{"target_modules": QV}])
    doubled = by_peft([folder, folder], [0.5, 0.5], combination_type="cat")
    assert distance(doubled, exact([folder], [1.0])) < 1e-6
    assert distance(ours([folder, folder], [0.5, 0.5]), exact([folder], [0.5])) < 1e-6


def test_dora_is_merged_without_its_magnitudes(tmp_path: Path) -> None:
    save_by_peft(tmp_path / "dora", "llama", 1, target_modules=QV, use_dora=True)
    model: Any = PeftModel.from_pretrained(tiny("llama"), str(tmp_path / "dora"), adapter_name="0")
    model.add_weighted_adapter(["0"], [1.0], "merged", combination_type="cat")
    (layer, *_) = [layer for layer in model.modules() if hasattr(layer, "lora_A") and "merged" in layer.lora_A]
    kept, made = (layer.lora_magnitude_vector[name].weight for name in ("0", "merged"))
    assert not torch.allclose(kept, made, rtol=0.05)


def test_svd_cuts_to_the_largest_rank_and_does_not_say_so(tmp_path: Path) -> None:
    folders = files(tmp_path, [{"r": 2, "target_modules": QV}, {"r": 3, "target_modules": QV}])
    weights = [0.5, 0.5]
    cut = by_peft(folders, weights, combination_type="svd")
    assert {int(np.linalg.matrix_rank(update, tol=1e-6)) for update in cut.values()} == {3}
    assert distance(cut, exact(folders, weights)) > 0.1
    report = merge_paths(folders, MergePlan(weights=tuple(weights), rank_max=3)).report
    assert all(module.discarded_energy > 0.01 for module in report.modules)


@pytest.mark.parametrize("combination", ["linear", "ties", "dare_linear", "dare_ties"])
def test_rules_on_the_factors_need_one_rank(combination: str, tmp_path: Path) -> None:
    folders = files(tmp_path, [{"r": 2, "target_modules": QV}, {"r": 3, "target_modules": QV}])
    density: dict[str, Any] = {} if combination == "linear" else {"density": 0.5}
    with pytest.raises(ValueError, match="same r value"):
        by_peft(folders, [0.5, 0.5], combination_type=combination, **density)
    assert distance(ours(folders, [0.5, 0.5]), exact(folders, [0.5, 0.5])) < 1e-6
