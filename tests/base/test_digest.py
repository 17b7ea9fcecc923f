"""The digest names weights, tokenizer and chat template, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path

import pytest

from plora.base import base_digest, module_shapes
from plora.base.cache import cache_folder
from plora.proto.errors import BaseModelError


def write_weights(path: Path, shapes: dict[str, list[int]], fill: int = 0) -> None:
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes([fill]) * offset)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    base = tmp_path / "base"
    base.mkdir()
    write_weights(base / "model.safetensors", {"model.layers.0.mlp.up_proj.weight": [3, 2], "model.norm.weight": [2]})
    (base / "tokenizer.json").write_text("{}")
    (base / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ x }}"}))
    (base / "config.json").write_text("{}")
    return base


def test_is_the_documented_sum(folder: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    lines = (
        f"weights model.safetensors {len(weights)} {hashlib.sha256(weights).hexdigest()}\n"
        f"tokenizer tokenizer.json 2 {hashlib.sha256(b'{}').hexdigest()}\n"
        f"template chat 7 {hashlib.sha256(b'{{ x }}').hexdigest()}\n"
    )
    assert base_digest(folder) == "sha256:" + hashlib.sha256(lines.encode()).hexdigest()


def test_both_spellings_of_a_template_are_one(folder: Path) -> None:
    before = base_digest(folder)
    (folder / "tokenizer_config.json").write_text("{}")
    assert base_digest(folder) != before
    (folder / "chat_template.jinja").write_text("{{ x }}")
    assert base_digest(folder) == before


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "README.md", "vocab.json"])
def test_other_files_do_not_count(folder: Path, name: str) -> None:
    before = base_digest(folder)
    (folder / name).write_text('{"transformers_version": "9"}')
    assert base_digest(folder) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("model.safetensors", "0"),
        ("model-2.safetensors", "0"),
        ("tokenizer.json", '{"a": 1}'),
        ("chat_template.jinja", "y"),
    ],
)
def test_each_part_counts(folder: Path, name: str, text: str) -> None:
    before = base_digest(folder)
    (folder / name).write_text(text)
    assert base_digest(folder) != before


def test_slow_tokenizer_files_all_count(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text("{}")
    (folder / "merges.txt").write_text("a b")
    before = base_digest(folder)
    (folder / "merges.txt").write_text("a c")
    assert base_digest(folder) != before


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json"])
def test_a_missing_part_is_refused(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(BaseModelError):
        base_digest(folder)


def test_a_broken_tokenizer_config_is_refused(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(BaseModelError, match="not JSON"):
        base_digest(folder)


def test_module_shapes_are_the_linear_weights(folder: Path) -> None:
    write_weights(folder / "model-2.safetensors", {"model.embed_tokens.weight": [9, 2], "lm_head.weight": [9, 2]})
    assert module_shapes(folder) == {"lm_head": (9, 2), "model.layers.0.mlp.up_proj": (3, 2)}


@pytest.mark.parametrize("raw", [b"", b"abc", struct.pack("<Q", 1 << 40), struct.pack("<Q", 4) + b"nope"])
def test_a_broken_weight_file_has_no_shapes(folder: Path, raw: bytes) -> None:
    (folder / "model.safetensors").write_bytes(raw)
    with pytest.raises(BaseModelError, match="safetensors"):
        module_shapes(folder)


class TestCache:
    """Hashes of large files are remembered by size and mtime, and only so."""

    @pytest.fixture
    def large(self, folder: Path) -> Path:
        with (folder / "model.safetensors").open("r+b") as file:
            file.truncate(16 << 20)
        return folder

    def test_a_known_file_is_not_read_again(self, large: Path, tmp_path: Path) -> None:
        cache = tmp_path / "cache"
        first = base_digest(large, cache)
        assert first == base_digest(large)
        status = (large / "model.safetensors").stat()
        with (large / "model.safetensors").open("r+b") as file:
            file.write(b"changed behind its back")
        os.utime(large / "model.safetensors", ns=(status.st_atime_ns, status.st_mtime_ns))
        assert base_digest(large, cache) == first
        os.utime(large / "model.safetensors", ns=(0, status.st_mtime_ns + 1))
        assert base_digest(large, cache) == base_digest(large) != first

    @pytest.mark.parametrize("spoilt", ["", "[]", "{", '{"/x": 3}'])
    def test_a_spoilt_book_is_made_anew(self, large: Path, tmp_path: Path, spoilt: str) -> None:
        (tmp_path / "file-hashes.json").write_text(spoilt)
        assert base_digest(large, tmp_path) == base_digest(large)
        assert str(large) in (tmp_path / "file-hashes.json").read_text()

    def test_a_cache_that_cannot_be_written_is_no_error(self, large: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        assert base_digest(large, tmp_path / "file" / "cache") == base_digest(large)

    def test_small_files_are_not_remembered(self, folder: Path, tmp_path: Path) -> None:
        base_digest(folder, tmp_path / "cache")
        assert not (tmp_path / "cache").exists()


def test_cache_folder_without_home() -> None:
    assert cache_folder({}) == Path.home() / ".cache" / "plora"
