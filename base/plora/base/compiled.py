"""Loops that numba compiles: once for a machine and a version of the code, and never into the package's folder.

- Compiled code is kept in `compiled-DIGEST` of Plora's cache folder, or of `NUMBA_CACHE_DIR`. DIGEST is that of all
  sources of a `Kept`, for numba itself looks only at the file in which a loop stands, not at those whose functions it
  calls.
- Where nothing can be written there, each process compiles anew.
- Compiled loops hold no lock of the interpreter, so that threads may run them side by side.

Needs numba, which the extras `lab` and `sim` bring.

>>> @Kept(()).compiled
... def total(values):
...     return values.sum()
>>> import numpy as np
>>> int(total(np.arange(4)))
6
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar, cast

import numba

from plora.base.cache import cache_folder

_Loop = TypeVar("_Loop", bound=Callable[..., Any])

_settings: Any = numba.config
_ROOT = Path(_settings.CACHE_DIR) if _settings.CACHE_DIR else cache_folder(os.environ)
_LOOPS: list[Any] = []


class Kept:
    """Loops that are compiled from the same sources, and kept together."""

    def __init__(self, sources: Sequence[Path]) -> None:
        self.sources = tuple(sources)
        self._folder = _folder_of(self.sources)

    def compiled(self, loop: _Loop) -> _Loop:
        """The loop, compiled at its first call for the types that it is called with."""
        before, _settings.CACHE_DIR = _settings.CACHE_DIR, str(self._folder or "")
        try:
            made = numba.njit(nogil=True, cache=self._folder is not None)(loop)
        except RuntimeError:  # numba's answer where the loop stands in no file
            made = numba.njit(nogil=True)(loop)
        finally:
            _settings.CACHE_DIR = before
        _LOOPS.append(made)
        return cast(_Loop, made)


def inlined(function: _Loop) -> _Loop:
    """A function of numbers, for use in compiled loops."""
    return cast(_Loop, numba.njit(function))


def compile_seconds() -> float:
    """How long numba has compiled in this process; what came out of the cache took nothing."""
    made = [loop.get_metadata(signature) for loop in _LOOPS for signature in loop.signatures]
    return float(sum(each["timers"]["compiler_lock"] for each in made if each))


def _folder_of(sources: Sequence[Path]) -> Path | None:
    """The folder of these sources, or nothing where it can't be written."""
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    folder = _ROOT / f"compiled-{digest[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None
