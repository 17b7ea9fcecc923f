"""PEFT saves the base's weights beside those of embeddings and heads: copies are left away, anything else refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.merge.tiny import logits_of, save_by_peft, tiny, worn

from plora.merge.api import merge_folders
from plora.merge.peft_folder import read_adapter
from plora.merge.plan import MergePlan
from plora.proto.errors import AdapterError

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
COPY = "base_model.model.model.embed_tokens.base_layer.weight"


def saved(tmp_path: Path, kind: str, target: str, dtype: torch.dtype | None = None) -> tuple[Path, Path]:
    folder, base = tmp_path / "adapter", tmp_path / "base"
    model = tiny(kind)
    model.to(dtype or torch.float32).save_pretrained(str(base))
    save_by_peft(folder, kind, 1, target_modules=[target], save_embedding_layers="auto")
    assert any("base_layer" in name for name in load_file(folder / "adapter_model.safetensors"))
    return folder, base


@pytest.mark.parametrize(("kind", "target"), [("llama", "embed_tokens"), ("llama", "lm_head"), ("tied", "lm_head")])
def test_copies_are_left_away(kind: str, target: str, tmp_path: Path) -> None:
    folder, base = saved(tmp_path, kind, target)
    with pytest.raises(AdapterError, match="save_embedding_layers=False"):
        read_adapter(folder)
    copied = read_adapter(folder, base=base)
    save_by_peft(tmp_path / "bare", kind, 1, target_modules=[target])
    assert copied.digest == read_adapter(tmp_path / "bare").digest


def test_a_weight_that_is_no_copy_is_refused(tmp_path: Path) -> None:
    folder, base = saved(tmp_path, "llama", "embed_tokens")
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors[COPY][3, 5] += 1e-3
    save_file(tensors, file)
    with pytest.raises(AdapterError, match=r"other weights of model\.embed_tokens than the base"):
        read_adapter(folder, base=base)
    tensors[COPY] = torch.zeros(40, 16)
    save_file(tensors, file)
    with pytest.raises(AdapterError, match="trained or resized"):
        read_adapter(folder, base=base)


def test_copies_are_compared_by_number_not_by_precision(tmp_path: Path) -> None:
    folder, base = saved(tmp_path, "llama", "embed_tokens", torch.bfloat16)
    with pytest.raises(AdapterError, match="other weights"):
        read_adapter(folder, base=base)
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors[COPY] = tensors[COPY].to(torch.bfloat16).float()
    save_file(tensors, file)
    assert np.isfinite(read_adapter(folder, base=base).pairs["model.embed_tokens"].A).all()


def test_a_merge_of_such_files_holds_the_factors_alone(tmp_path: Path) -> None:
    folder, base = saved(tmp_path, "llama", "embed_tokens")
    save_by_peft(tmp_path / "two", "llama", 2, target_modules=["lm_head"], save_embedding_layers="auto")
    merge_folders([folder, tmp_path / "two"], tmp_path / "out", MergePlan(weights=(1.0, 2.0)), base=base)
    names = load_file(tmp_path / "out" / "adapter_model.safetensors").keys()
    assert {name.rpartition("lora_")[2] for name in names} == {"embedding_A", "embedding_B", "A.weight", "B.weight"}
    both = logits_of(tiny("llama"))
    assert np.abs(worn(tmp_path / "out", "llama") - both).max() > 1e-2
