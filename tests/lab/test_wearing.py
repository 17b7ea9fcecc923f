"""What a model wears is what PEFT itself makes of a folder, for every kind of LoRA that merges read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.merge.test_peft_kinds import LORA, MERGED
from tests.merge.tiny import logits_of, save_by_peft, tiny, worn

from plora.lab.wearing import wearing
from plora.merge.injection import fingerprint
from plora.proto.errors import AdapterError

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),
]

CASES = [(what, place) for what in MERGED for place in (0, 1)]


@pytest.mark.parametrize(("what", "place"), CASES, ids=[f"{what} {place}" for what, place in CASES])
def test_it_gives_what_peft_gives(what: str, place: int, tmp_path: Path) -> None:
    kind, *options = MERGED[what]
    save_by_peft(tmp_path, kind, place, **options[place])
    model = tiny(kind)
    before, plain = fingerprint(model), logits_of(model)
    with wearing(model, tmp_path) as wrapped:
        found = logits_of(wrapped.eval())
    np.testing.assert_allclose(found, worn(tmp_path, kind), atol=2e-5)
    assert np.abs(found - plain).max() > 1e-3
    assert fingerprint(model) == before


def test_copies_of_the_bases_weights_never_reach_the_model(tmp_path: Path) -> None:
    base, folder = tmp_path / "base", tmp_path / "adapter"
    tiny("llama").save_pretrained(base)
    save_by_peft(folder, "llama", 1, save_embedding_layers=True, target_modules=["embed_tokens"], **LORA)
    model: Any = tiny("llama")
    before = fingerprint(model)
    with wearing(model, folder, base) as wrapped:
        np.testing.assert_allclose(logits_of(wrapped.eval()), worn(folder, "llama"), atol=2e-5)
    assert fingerprint(model) == before
    tensors = load_file(folder / "adapter_model.safetensors")
    [copy] = [name for name in tensors if "lora_" not in name]
    save_file({**tensors, copy: tensors[copy] + torch.ones(1)}, folder / "adapter_model.safetensors")
    with pytest.raises(AdapterError, match="embed_tokens"), wearing(model, folder, base):
        pass
    assert fingerprint(model) == before
