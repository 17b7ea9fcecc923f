"""The specification's call, and what this build refuses."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from plora.merge import merge_folders, merge_plasmids, plan_of, read_adapter, write_adapter
from plora.merge.factors import FactorPair
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter
from plora.proto.errors import AdapterError, BaseModelError, UsageError

Make = Callable[..., Adapter]


def test_merge_folders_writes_what_it_reports(make_adapter: Make, tmp_path: Path, out: Path) -> None:
    for seed in range(2):
        write_adapter(tmp_path / str(seed), make_adapter(seed))
    document = merge_folders([tmp_path / "0", tmp_path / "1"], out, plan_of(weights=[0.6, 0.4], rank_max=5))
    merged = read_adapter(out)
    assert merged.spec.base_model_name == "mini" and merged.spec.r == document["rank"] == 5
    assert [row["module"] for row in document["modules"]] == list(merged.pairs)
    assert sorted(operand["weight"] for operand in document["operands"]) == [0.4, 0.6]


def test_equal_merges_are_equal_bytes(make_adapter: Make, tmp_path: Path) -> None:
    for seed in range(2):
        write_adapter(tmp_path / str(seed), make_adapter(seed))
    merge_folders([tmp_path / "0", tmp_path / "1"], tmp_path / "a")
    merge_folders([tmp_path / "1", tmp_path / "0"], tmp_path / "b")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_fisher_information_needs_pairs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fisher_weighted needs ls_dataset"):
        merge_plasmids("mini", [tmp_path], fisher_weighted=True)


def test_errors_of_paths_and_base(make_adapter: Make, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"adapter_config\.json"):
        merge_plasmids("mini", [tmp_path / "none"])
    write_adapter(tmp_path, make_adapter(1))
    with pytest.raises(BaseModelError):
        merge_plasmids(str(tmp_path / "no-such-base"), [tmp_path])


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_merge_plasmids_puts_the_weighted_sum_on_the_base(tmp_path: Path) -> None:
    """Reading ΔW off the returned model by its response to unit vectors, against the dense sum."""
    from plora.base.loading import load_base

    name = "model.layers.0.self_attn.q_proj"
    linear = load_base("mini").model.get_submodule(name)
    spec = LoraSpec(r=2, alpha=4, target_modules=(name,), base_model_name="elsewhere/mini")
    total = np.zeros((linear.out_features, linear.in_features))
    for seed, weight in enumerate((0.6, 0.4)):
        draw = np.random.default_rng(seed)
        a = draw.standard_normal((2, linear.in_features)).astype(np.float32)
        b = draw.standard_normal((linear.out_features, 2)).astype(np.float32)
        write_adapter(tmp_path / str(seed), Adapter.of({name: FactorPair(a, b, 2.0)}, spec))
        total += weight * 2.0 * (b.astype(np.float64) @ a)
    model = merge_plasmids("mini", [tmp_path / "0", tmp_path / "1"], weights=[0.6, 0.4], reproject_rank=4)
    assert not model.training and model.peft_config["default"].r == 4
    with torch.no_grad():
        basis = torch.eye(linear.in_features, dtype=linear.weight.dtype)
        moved = model.base_model.model.get_submodule(name)(basis) - linear(basis)
    np.testing.assert_allclose(moved.float().numpy().T, total, atol=1e-3 * np.abs(total).max())
