"""The real clocks, read in one place."""

from __future__ import annotations

import time

from plora.node.core.now import Now


def read_clocks() -> Now:
    """Both clocks of this machine."""
    return Now(time.monotonic_ns(), time.time_ns() // 1_000_000)
