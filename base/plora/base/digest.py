"""What a base model *is*: a digest over weights, tokenizer and chat template, whatever the folder is called.

Rules:

- The digest is SHA-256 over one line per part, `ROLE NAME SIZE SHA256`, in this order: the `*.safetensors` files by
  name, the tokenizer's files in the order of `TOKENIZER_FILES`, the chat template.
- `tokenizer.json` says all; where it exists the other tokenizer files don't count.
- The chat template is the text of `chat_template.jinja`, or of the field in `tokenizer_config.json`: both spellings of
  one template give one digest. A base without a template has none of that line.
- `config.json` doesn't count: writers stamp their version into it, and the same weights would differ between hosts.
- Hashes of large files are remembered under the cache folder by (path, size, mtime); a spoilt cache is made anew.

Not handled here: GGUF files (`plora.base.smollm2` makes a folder of them), fetching.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plora.proto.errors import BaseModelError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "vocab.txt")
_HEADER_BYTES_MAX = 64 << 20
_REMEMBER_FROM_BYTES = 16 << 20


def base_digest(folder: Path, cache: Path | None = None) -> str:
    """`sha256:<hex>` of the base in `folder`.

    Args:
        folder: a folder with `*.safetensors` and tokenizer files.
        cache: where hashes of large files are remembered; None remembers nothing.

    Raises:
        BaseModelError: a weight or tokenizer file is missing.
    """
    total = hashlib.sha256()
    for role, name, size, digest in _parts(folder, cache):
        total.update(f"{role} {name} {size} {digest}\n".encode())
    return f"sha256:{total.hexdigest()}"


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of `folder`, by name; raises BaseModelError when there is none."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise BaseModelError("no *.safetensors in this folder", where=str(folder), mend="bases are safetensors only")
    return files


def module_shapes(folder: Path) -> dict[str, tuple[int, int]]:
    """Module name to (out features, in features) of every linear weight, read from the safetensors headers alone.

    Embeddings are left out; names are the model's own (`model.layers.0.self_attn.q_proj`).
    """
    shapes = {}
    for path in weight_files(folder):
        for name, entry in _header(path).items():
            module, _, leaf = name.rpartition(".")
            if leaf == "weight" and len(entry["shape"]) == 2 and "embed" not in module:
                shapes[module] = (int(entry["shape"][0]), int(entry["shape"][1]))
    return dict(sorted(shapes.items()))


def _parts(folder: Path, cache: Path | None) -> Iterator[tuple[str, str, int, str]]:
    for path in weight_files(folder):
        yield "weights", path.name, path.stat().st_size, _file_sha256(path, cache)
    tokenizer = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
    if not tokenizer:
        raise BaseModelError("no tokenizer in this folder", where=str(folder), mend=f"expected {TOKENIZER_FILES[0]}")
    whole = tokenizer[0].name == TOKENIZER_FILES[0]
    for path in tokenizer[:1] if whole else tokenizer:
        yield "tokenizer", path.name, path.stat().st_size, _file_sha256(path, cache)
    template = _chat_template(folder)
    if template is not None:
        raw = template.encode()
        yield "template", "chat", len(raw), hashlib.sha256(raw).hexdigest()


def _chat_template(folder: Path) -> str | None:
    jinja = folder / "chat_template.jinja"
    if jinja.is_file():
        return jinja.read_bytes().decode()
    config = folder / "tokenizer_config.json"
    found = _json(config).get("chat_template") if config.is_file() else None
    return found if found is None or isinstance(found, str) else json.dumps(found, sort_keys=True)


def _json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_bytes())
    except ValueError as error:
        raise BaseModelError(f"not JSON ({error})", where=str(path), mend="fetch the base again") from error
    return read if isinstance(read, dict) else {}


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        raw = file.read(8)
        size = struct.unpack("<Q", raw)[0] if len(raw) == 8 else 0
        if not 2 <= size <= _HEADER_BYTES_MAX:
            raise BaseModelError("not a safetensors file", where=str(path), mend="fetch the base again")
        try:
            header: dict[str, Any] = json.loads(file.read(size))
        except ValueError as error:
            raise BaseModelError("broken safetensors header", where=str(path), mend="fetch the base again") from error
    header.pop("__metadata__", None)
    return header


def _file_sha256(path: Path, cache: Path | None) -> str:
    status = path.stat()
    if cache is None or status.st_size < _REMEMBER_FROM_BYTES:
        return _hash(path)
    key, stamp = str(path.resolve()), [status.st_size, status.st_mtime_ns]
    book = cache / "file-hashes.json"
    known = _remembered(book)
    entry = known.get(key)
    if isinstance(entry, list) and entry[:2] == stamp and len(entry) == 3:
        return str(entry[2])
    digest = _hash(path)
    _remember(book, known | {key: [*stamp, digest]})
    return digest


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remembered(book: Path) -> dict[str, Any]:
    try:
        read = json.loads(book.read_bytes())
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _remember(book: Path, known: dict[str, Any]) -> None:
    # A cache that can't be written (read-only home, full disk) costs the next hash, nothing else.
    with contextlib.suppress(OSError):
        book.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=book.parent, prefix=book.name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(known, file, sort_keys=True, indent=0)
        Path(name).replace(book)
