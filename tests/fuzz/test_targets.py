"""The kept inputs of every fuzz target, each within its bounds of time and memory; and a short run from them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from fuzz.run import MEMORY_MB, SECONDS_PER_INPUT, kept
from fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = {
    "frame": "Hello",
    "signed_statement": "application/vnd.plora.manifest.v1+json in pending awaiting_certificate pending bytes_missing",
    "statement": "application/vnd.plora.owner.v1+json",
}


@pytest.mark.parametrize("name", TARGETS)
def test_examples_are_in_order(name: str) -> None:
    """Otherwise mutations would begin at what is refused at once."""
    assert TARGETS[name].run(next(TARGETS[name].examples())) == EXAMPLE.get(name, "read")


@pytest.mark.parametrize("name", TARGETS)
def test_every_kept_input_comes_to_a_known_end(name: str) -> None:
    target, outcomes = TARGETS[name], set()
    for path in kept(name):
        began = time.process_time()
        outcomes.add(target.run(path.read_bytes()))
        assert time.process_time() - began < SECONDS_PER_INPUT, path.name
    assert len(outcomes) > 3


@pytest.mark.parametrize("name", TARGETS)
def test_no_kept_input_needs_much_memory(name: str) -> None:
    tracemalloc.start()
    try:
        for path in kept(name):
            TARGETS[name].run(path.read_bytes())
        assert tracemalloc.get_traced_memory()[1] < MEMORY_MB << 20
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this Python")
def test_a_short_run_of_each_finds_nothing(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "fuzz.run", *TARGETS, "--seconds", "1", "--finds", str(tmp_path)]
    # by a small process in between: a program counts the most memory of the process that started it as its own
    command = ["timeout", "110", *run]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count("stat::number_of_executed_units") == len(TARGETS)
    assert all(any((tmp_path / name).iterdir()) for name in TARGETS)
