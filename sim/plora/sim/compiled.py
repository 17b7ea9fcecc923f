"""The simulator's compiled loops: the sources that they come from (see `plora.base.compiled`), and how many threads.

>>> total = compiled(lambda values: values.sum())
>>> import numpy as np
>>> int(total(np.arange(4)))
6
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numba

from plora.base.compiled import Kept, compile_seconds, inlined
from plora.sim import counter

__all__ = ["SOURCES", "compile_seconds", "compiled", "inlined", "threads"]

_HERE = Path(__file__).parent
SOURCES = (Path(counter.__file__), _HERE / "wiring.py", *sorted((_HERE / "fleet").glob("*.py")))
"""The files that loops are compiled from."""

compiled = Kept(SOURCES).compiled

_settings: Any = numba.config


def threads() -> int:
    """How many threads numba would use: `NUMBA_NUM_THREADS`, else as many as there are cores for this process."""
    return int(_settings.NUMBA_NUM_THREADS)
