"""Counted draws: published vectors, what they don't depend on, and the same words in compiled loops."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from plora.sim import counter

PAIRS = np.array([(a, b) for a in range(60) for b in range(a + 1, 60)])


def test_splitmix64_gives_the_published_outputs() -> None:
    """Vectors of the reference implementation (prng.di.unimi.it/splitmix64.c) for the seed 1234567."""
    outputs = counter.nth(np.array([1234567], np.uint64), np.arange(5, dtype=np.uint64))
    assert outputs.tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_words_differ_by_seed_purpose_round_and_item() -> None:
    drawn = [
        counter.words(counter.key(seed, purpose), round_, np.arange(3))
        for seed in (-1, 0, 2**80)
        for purpose in ("calls", "verdicts")
        for round_ in (0, 1, 2)
    ]
    assert len(set(np.concatenate(drawn).tolist())) == 3 * 2 * 3 * 3


def test_uniform_is_uniform() -> None:
    drawn = counter.uniform(counter.words(counter.key(5, "test"), 0, np.arange(200_000)))
    assert drawn.min() >= 0.0 and drawn.max() < 1.0
    counts, _ = np.histogram(drawn, bins=100, range=(0, 1))
    assert ((counts - 2000) ** 2 / 2000).sum() == pytest.approx(99, abs=5 * np.sqrt(2 * 99))
    assert np.corrcoef(drawn[:-1], drawn[1:])[0, 1] == pytest.approx(0, abs=5 / np.sqrt(len(drawn)))


def test_an_edge_goes_down_whatever_other_edges_there_are() -> None:
    whole = counter.edges_down(3, 8, PAIRS, 0.3)
    order = np.arange(len(PAIRS))[::-3]
    assert counter.edges_down(3, 8, PAIRS[order], 0.3).tolist() == whole[order].tolist()
    assert counter.edges_down(3, 8, np.empty((0, 2), np.int64), 0.3).tolist() == []


def test_dropout_takes_its_share_anew_each_round() -> None:
    rounds = np.array([counter.edges_down(1, round_, PAIRS, 0.25) for round_ in range(200)])
    assert rounds.mean() == pytest.approx(0.25, abs=5 * np.sqrt(0.25 * 0.75 / rounds.size))
    assert (rounds[:-1] & rounds[1:]).mean() == pytest.approx(0.25**2, abs=0.002)
    assert not counter.edges_down(1, 0, PAIRS, 0.0).any()


def test_compiled_loops_draw_the_same_words() -> None:
    nth, uniform = numba.njit(counter.nth), numba.njit(counter.uniform)
    start, expected = counter.key(9, "calls"), counter.words(counter.key(9, "calls"), 4, np.arange(50))
    of_round = nth(start, np.uint64(4))
    drawn = [nth(np.uint64(of_round), np.uint64(item)) for item in range(50)]
    assert drawn == expected.tolist()
    assert [uniform(np.uint64(word)) for word in drawn] == counter.uniform(expected).tolist()
