"""Damaged copies of adapters, for demonstrations and tests of the gate.

Rules:

- `tamper` changes tensor bytes only: length, header and every other file stay as they were, so that nothing but the
  hash gives it away.

Not handled here: trojans, which are well made and signed.
"""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

from plora.proto.errors import AdapterError

ARTIFACT = "adapter_model.safetensors"


def tamper(adapter_dir: Path, out_dir: Path, flips: int = 8) -> Path:
    """Copy an adapter folder to `out_dir` and flip one bit in each of `flips` bytes spread over its tensors.

    Args:
        adapter_dir: a folder with `adapter_model.safetensors`.
        out_dir: must not exist yet.
        flips: how many bytes change, at least 1.

    Returns:
        `out_dir`.

    Raises:
        AdapterError: no artifact, or one without tensor data.
    """
    source = adapter_dir / ARTIFACT
    if not source.is_file():
        raise AdapterError(f"no {ARTIFACT} here", where=str(adapter_dir))
    if out_dir.exists():
        raise AdapterError("is there already", where=str(out_dir), mend="give a new folder")
    raw = bytearray(source.read_bytes())
    start = 8 + struct.unpack("<Q", raw[:8])[0]
    room = len(raw) - start
    if room < flips or flips < 1:
        raise AdapterError(f"can't flip {flips} bytes in {max(room, 0)} bytes of tensors", where=str(source))
    for i in range(flips):
        raw[start + i * room // flips] ^= 1
    shutil.copytree(adapter_dir, out_dir)
    (out_dir / ARTIFACT).write_bytes(raw)
    return out_dir
