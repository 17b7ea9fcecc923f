"""Giving memory back to the system: what a flood made the allocator take, it keeps in pieces otherwise.

`malloc_trim` of glibc; elsewhere nothing happens.
"""

from __future__ import annotations

from contextlib import suppress


def give_back() -> None:
    """Return what is free to the system; takes some milliseconds for each 100 MB."""
    import ctypes  # 0.4 MB that a peer at peace does without

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
