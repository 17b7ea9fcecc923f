"""Transfer entropy of acquisitions: peers that follow, peers that share no more than a pace, and too few runs."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest

from plora.analysis.network_information import Run, network_information, transfer_bits

PAIR = np.array([[0, 1]])
ROUNDS = 6


def followed(runs: int, always: bool) -> list[Run]:
    """Source and target of 40 adapters: the target gets each a round after the source, or at a time of its own."""
    drawn = np.random.default_rng(1)
    made = []
    for _ in range(runs):
        source, other = drawn.integers(0, ROUNDS - 1, (2, 40))
        made.append(Run(np.stack((source, (source if always else other) + 1)), PAIR))
    return made


def transferred(runs: list[Run]) -> dict[str, float]:
    found = network_information(runs, ROUNDS, surrogates=99)["transfer_entropy"]["neighbours"]
    return dict(found)


def test_who_always_follows_is_foretold_wholly() -> None:
    found = transferred(followed(12, always=True))
    assert found["share"] == pytest.approx(1.0) and found["p"] == 0.01
    assert found["low"] < found["bits"] < found["high"] and found["surrogate_95"] < found["bits"] / 10


def test_who_goes_by_the_clock_alone_is_not_foretold_by_others() -> None:
    found = transferred(followed(12, always=False))
    assert found["share"] < 0.02 and found["p"] > 0.05


def test_bits_of_known_counts() -> None:
    """One round in which half had it: who had passes it on always, or one in four; the second round says nothing."""
    sure = np.array([[[50, 0], [0, 50]], [[0, 0], [7, 0]]])
    assert list(transfer_bits(sure)) == pytest.approx([100 / 107, 1.0])
    half = 0.125 * log2(0.25 / 0.125) + 0.375 * log2(0.75 / 0.875) + 0.5 * log2(1 / 0.875)
    assert transfer_bits(np.array([[[40, 0], [30, 10]]]))[0] == pytest.approx(half)


def test_information_of_agents_has_an_interval_over_runs() -> None:
    alike = [Run(np.array([[0, 9], [9, 0]]), PAIR)] * 8
    first = network_information(alike, 1, surrogates=1)["mutual_information"][0]
    assert first == {"round": 0, "mean": 1.0, "low": 1.0, "high": 1.0}


def test_what_runs_cannot_carry_is_refused_with_a_reason() -> None:
    few = network_information(followed(7, always=True), ROUNDS, surrogates=1)["transfer_entropy"]["neighbours"]
    assert few == {"refused": "7 runs can't be told from chance: it takes 8"}
    short = [Run(run.acquired[:, :1], PAIR) for run in followed(8, always=True)]
    scarce = network_information(short, ROUNDS, surrogates=1)["transfer_entropy"]["neighbours"]["refused"]
    assert "can't fill the cells" in scarce


def test_strangers_have_no_edge() -> None:
    ring = np.array([[i, (i + step) % 9] for i in range(9) for step in (1, -1)])
    pairs = Run(np.zeros((9, 1), np.int64), ring).strangers(seed=1)
    assert len(pairs) == 18 and not {tuple(pair) for pair in pairs} & {tuple(edge) for edge in ring}
    assert (pairs[:, 0] != pairs[:, 1]).all()
