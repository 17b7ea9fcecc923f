"""What has to outlast a power cut.

A file's bytes are on the disk when the file was synced; its name is there when the folder that holds it was (fsync(2)).
"""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Return when a file's bytes, or a folder's names, are on the disk. OSError where nothing is at `path`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
