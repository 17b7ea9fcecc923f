"""What bounds a worker's request. Apart from the cage, which a peer itself never loads.

>>> Limits(memory_bytes=1 << 30, cpu_s=2).file_bytes
0
"""

from __future__ import annotations

from dataclasses import dataclass

REPLY_BYTES_MAX = 64 << 20
PROBE_S_MAX = 600


@dataclass(frozen=True, slots=True)
class Limits:
    """Address space in bytes, CPU time in seconds, largest file that may be written in bytes (0: none)."""

    memory_bytes: int
    cpu_s: int
    file_bytes: int = 0
