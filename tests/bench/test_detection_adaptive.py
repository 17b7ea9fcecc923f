"""Rows of the adaptive attacker from tries with known ends, and lines that come back as they were."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from bench.detection_adaptive import adaptive_rows, from_lines, to_lines

from plora.lab.adaptive import Try, propose

KNOBS = propose([], 1, np.random.default_rng(0))[0]


def test_rows_say_what_is_served_after_so_many_tries_and_what_each_gate_lets_through() -> None:
    fails = Try(KNOBS, success=0.2, margin=1.0, submitted=False, seen=False)
    caught_at_home = Try(KNOBS, success=0.9, margin=-1.0, submitted=False, seen=False)
    caught_there = Try(KNOBS, success=1.0, margin=1.0, submitted=True, seen=True)
    through = Try(KNOBS, success=0.9, margin=1.0, submitted=True, seen=False)
    history = [fails] * 10 + [caught_at_home, caught_there, through]
    rows = {row.metric.partition(": ")[2]: row for row in adaptive_rows("mini", history)}
    assert rows["best attack success served after 10 tries"].value == 0.0
    assert rows["best attack success served after 13 tries"].value == 0.9
    assert rows["tries that work and pass the attacker's own gate"].peer.startswith("2 of 3")
    assert rows["of these, seen by the peer's gate"].peer.startswith("1 of 2")
    assert from_lines(to_lines(history)) == history


def test_nothing_tried_is_nothing_served() -> None:
    assert [row.peer for row in adaptive_rows("mini", [])] == ["none tried", "none tried"]
