"""Giving memory back to the system: what a flood made the allocator take, it keeps in pieces otherwise.

`malloc_trim` of glibc; elsewhere nothing happens.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress


def give_back() -> None:
    """Return what is free to the system; takes some milliseconds for each 100 MB."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
