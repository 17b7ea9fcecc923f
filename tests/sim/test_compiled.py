"""Where compiled loops are kept: under all of their sources, and nowhere where nothing can be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from plora.sim import compiled, wiring
from plora.sim.fleet import counts, gates, passes, regard


@pytest.mark.parametrize("module", [wiring, counts, gates, passes, regard])
def test_every_source_of_a_loop_is_in_the_digest(module: object) -> None:
    """Numba sees no change of a file whose function a loop only calls."""
    loops = [value.py_func for value in vars(module).values() if hasattr(value, "py_func")]
    assert loops and {Path(loop.__code__.co_filename) for loop in loops} <= set(compiled.SOURCES)


def cached_at(cache: str) -> str:
    """Where a new process that has this cache folder keeps a loop."""
    code = "from plora.sim.wiring import rewired; print(rewired.stats.cache_path)"
    environ = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**environ, "XDG_CACHE_HOME": cache})
    return done.stdout.strip()


def test_loops_are_kept_in_the_cache_folder_or_nowhere(tmp_path: Path) -> None:
    assert Path(cached_at(str(tmp_path))).is_relative_to(tmp_path / "plora")
    assert cached_at(os.devnull) == "None"
