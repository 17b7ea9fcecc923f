"""`plora export` on a folder: what lies there afterwards, and what is refused in one line. With a peer: tests/swarm."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from tests.cli.conftest import Run

from plora.base.registry import MINI_FOLDER
from plora.merge import Adapter, FactorPair, LoraSpec, write_adapter


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    spec = LoraSpec(r=2, alpha=4, target_modules=("o_proj",), base_model_name="mini")
    pair = FactorPair(np.ones((2, 160), np.float32), np.ones((160, 2), np.float32), 2.0)
    write_adapter(tmp_path / "legal", Adapter.of({"model.layers.1.self_attn.o_proj": pair}, spec))
    return tmp_path / "legal"


def test_export_writes_a_gguf_file(plora: Run, adapter: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "legal.gguf"
    done = plora("export", adapter, "--gguf", file)
    assert (done.code, done.out) == (0, f"legal: wrote {file}\n")
    assert "llama-server" in done.err
    names = [tensor.name for tensor in gguf.GGUFReader(file).tensors]
    assert names == ["blk.1.attn_output.weight.lora_a", "blk.1.attn_output.weight.lora_b"]


def test_export_writes_what_ollama_create_takes(plora: Run, adapter: Path, tmp_path: Path) -> None:
    assert plora("export", adapter, "--ollama", tmp_path / "o").code == 0
    lines = (tmp_path / "o" / "Modelfile").read_text().splitlines()
    assert [line for line in lines if line[0] != "#"] == [f"FROM {MINI_FOLDER}", "ADAPTER ./adapter.gguf"]
    assert lines[0] == "# legal" and "before 0.34.1" in lines[1]
    assert gguf.GGUFReader(tmp_path / "o" / "adapter.gguf").fields["general.type"].contents() == "adapter"
    assert plora("export", adapter, "--ollama", tmp_path / "o", "--from", "smollm2:135m").code == 0
    assert "FROM smollm2:135m\n" in (tmp_path / "o" / "Modelfile").read_text()


def test_what_can_not_be_exported_is_said_in_one_line(plora: Run, adapter: Path, tmp_path: Path) -> None:
    cases = [
        ((adapter,), 2, "give one of --gguf FILE, --ollama DIR and --openssf FILE"),
        ((adapter, "--gguf", "a", "--ollama", "b"), 2, "give one of"),
        ((adapter, "--gguf", tmp_path / "a", "--base", "mimi"), 1, "did you mean 'mini'?"),
        (("ada/legal", "--gguf", tmp_path / "a", "--home", tmp_path), 4, "no peer's home is here"),
        ((tmp_path / "elsewhere", "--gguf", tmp_path / "a", "--home", tmp_path), 4, "no peer's home is here"),
    ]
    for arguments, code, said in cases:
        done = plora("export", *arguments)
        assert (done.code, done.out, done.err.count("\n")) == (code, "", 1) and said in done.err, done
