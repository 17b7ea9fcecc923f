"""Loops that numba compiles: once for a machine and a version of the code, and never into the package's folder.

- Compiled code is kept in `fleet-DIGEST` of Plora's cache folder, DIGEST being that of the sources that are compiled,
  unless `NUMBA_CACHE_DIR` names another. Where nothing can be written there, each process compiles anew.
- Compiled loops hold no lock of the interpreter, so that threads may run them side by side.

>>> @compiled
... def total(values):
...     return values.sum()
>>> int(total(np.arange(4)))
6
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np

from plora.base.cache import cache_folder
from plora.sim import counter

_Loop = TypeVar("_Loop", bound=Callable[..., Any])

_LOOPS: list[Any] = []


def _sources_digest() -> str:
    sources = [*sorted(Path(__file__).parent.glob("*.py")), Path(counter.__file__)]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


_settings: Any = numba.config
if not _settings.CACHE_DIR:
    _settings.CACHE_DIR = str(cache_folder(os.environ) / f"fleet-{_sources_digest()[:16]}")


def compiled(loop: _Loop) -> _Loop:
    """The loop, compiled at its first call for the types that it is called with."""
    try:
        made = numba.njit(nogil=True, cache=True)(loop)
    except RuntimeError:  # numba's answer where no folder can be written
        made = numba.njit(nogil=True)(loop)
    _LOOPS.append(made)
    return cast(_Loop, _LOOPS[-1])


def inlined(function: _Loop) -> _Loop:
    """A function of numbers, for use in compiled loops."""
    return cast(_Loop, numba.njit(function))


def threads() -> int:
    """How many threads numba would use: `NUMBA_NUM_THREADS`, else as many as there are cores for this process."""
    return int(_settings.NUMBA_NUM_THREADS)


def compile_seconds() -> float:
    """How long numba has compiled in this process; what came out of the cache took nothing."""
    made = [loop.get_metadata(signature) for loop in _LOOPS for signature in loop.signatures]
    return float(np.sum([each["timers"]["compiler_lock"] for each in made if each]))
