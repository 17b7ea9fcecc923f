"""Loops that numba compiles: once for a machine and a version of the code, and never into the package's folder.

- Compiled code is kept in `compiled-DIGEST` of Plora's cache folder, or of `NUMBA_CACHE_DIR`. DIGEST is that of all
  `SOURCES`, for numba itself looks only at the file in which a loop stands, not at those whose functions it calls.
- Where nothing can be written there, each process compiles anew.
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
from tempfile import TemporaryFile
from typing import Any, TypeVar, cast

import numba
import numpy as np

from plora.base.cache import cache_folder
from plora.sim import counter

_Loop = TypeVar("_Loop", bound=Callable[..., Any])

_LOOPS: list[Any] = []

_HERE = Path(__file__).parent
SOURCES = (Path(counter.__file__), _HERE / "wiring.py", *sorted((_HERE / "fleet").glob("*.py")))
"""The files that loops are compiled from."""


def _folder_of(root: Path) -> Path | None:
    """The folder of these sources in a root, or nothing where it can't be written."""
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in SOURCES)).hexdigest()
    folder = root / f"compiled-{digest[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None


_settings: Any = numba.config
_FOLDER = _folder_of(Path(_settings.CACHE_DIR) if _settings.CACHE_DIR else cache_folder(os.environ))
if _FOLDER is not None:
    _settings.CACHE_DIR = str(_FOLDER)


def compiled(loop: _Loop) -> _Loop:
    """The loop, compiled at its first call for the types that it is called with."""
    try:
        made = numba.njit(nogil=True, cache=_FOLDER is not None)(loop)
    except RuntimeError:  # numba's answer where the loop stands in no file
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
