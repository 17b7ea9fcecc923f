"""Rows of the adaptive attacker from tries with known ends, and lines that come back as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from bench.detection_adaptive import Gate, adaptive_rows, from_lines, to_lines
from tests.bench.test_detection import fit
from tests.lab.made_readings import zoo

from plora.gate.probing import load_probed
from plora.lab.adaptive import Try, propose
from plora.merge.factors import FactorPair
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter, write_adapter

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


def test_a_probe_that_is_not_done_in_time_counts_as_failed(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 160), (160, 2)))
    pairs = {"model.layers.1.self_attn.q_proj": FactorPair(a, b, 0.001)}
    write_adapter(tmp_path, Adapter.of(pairs, LoraSpec(r=2, alpha=0.002, target_modules=("q_proj",))))
    gate = Gate.of(load_probed("mini"), fit(zoo()), b"secret")
    late = replace(gate, budget_s=0)
    assert late.fails(tmp_path) and not gate.fails(tmp_path)
    assert late.look(tmp_path, "legal")[0]
