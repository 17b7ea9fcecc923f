"""What a swarm's peers say of each other: I(Agent; Domain) by round, and transfer entropy between neighbours.

Rules:

- The unit is a run. Intervals are over runs: Student's for means, the jackknife (one run left out at a time) for
  transfer entropy.
- Transfer entropy is of acquisitions, which happen once: T = I(i had it at t ; j got it at t + 1 | j lacked it, t), in
  bits for each step of a peer that lacks an adapter. It is counted over all pairs, adapters and runs together, for
  one pair in one run tells nothing; and by round, else the time that passes would pass for influence.
- Surrogates pair the targets of a run with the sources of another, at the same round: what still agrees is no
  influence. `strangers` are pairs without an edge, as many as there are edges: what they share is their run's pace.
- Too few runs, or too few steps for the cells, are refused, with the reason in the place of the figure.

Not handled here: runs themselves (`plora.lab.net_it`), acquisitions that are lost again.

>>> line = Run(np.array([[0], [1], [2]]), np.array([[0, 1], [1, 0], [1, 2], [2, 1]]))
>>> counted(line, line.edges, line)[0].tolist()  # 1 got it, of whose neighbours 0 had it; 2 did not
[[1, 1], [0, 1]]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plora.analysis.diffusion import deltas, mutual_information

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

RUNS_MIN = 8
STEPS_PER_CELL = 10
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Run:
    """`acquired`: agents × adapters, the round at whose end each was there, 0 where it was from the start, and beyond
    all rounds where it never was. `edges`: rows (source, target), both ways of each edge."""

    acquired: Ints
    edges: Ints

    def strangers(self, seed: int) -> Ints:
        """Pairs of different peers without an edge, drawn evenly, at most as many as there are edges."""
        apart = ~np.eye(len(self.acquired), dtype=bool)
        apart[self.edges[:, 0], self.edges[:, 1]] = False
        pairs = np.argwhere(apart)
        return np.random.default_rng(seed).permutation(pairs)[: len(self.edges)]


def network_information(runs: Sequence[Run], rounds: int, *, surrogates: int = 200, seed: int = 0) -> dict[str, Any]:
    """The document of runs of so many rounds; `seed` draws surrogates and strangers."""
    known = [[mutual_information(run.acquired <= number) for number in range(rounds + 1)] for run in runs]
    gained = [deltas(series)[1:] for series in known]
    strangers = [run.strangers(seed + number) for number, run in enumerate(runs)]
    return {
        "runs": len(runs),
        "rounds": rounds,
        "mutual_information": [{"round": number, **_mean(now)} for number, now in enumerate(zip(*known, strict=True))],
        "mutual_information_delta": [
            {"round": number, **_mean(now)} for number, now in enumerate(zip(*gained, strict=True), 1)
        ],
        "transfer_entropy": {
            "neighbours": transferred(runs, [run.edges for run in runs], rounds, surrogates, seed),
            "strangers": transferred(runs, strangers, rounds, surrogates, seed),
        },
    }


def counted(run: Run, pairs: Ints, sources: Run, rounds: int = 1) -> Ints:
    """(rounds, 2, 2): steps of targets that lack an adapter, by round, whether the source had it, whether they got it.

    Sources are those of another run for surrogates; where that has fewer peers or adapters, numbers begin again.
    """
    peers, adapters = sources.acquired.shape
    target = run.acquired[pairs[:, 1]]
    source = sources.acquired[pairs[:, 0] % peers][:, np.arange(target.shape[1]) % adapters]
    never = rounds + 1  # beyond it nothing is looked at
    times = np.minimum(source, never) * (never + 1) + np.minimum(target, never)
    had_by = np.bincount(times.ravel(), minlength=(never + 1) ** 2).reshape(never + 1, -1).cumsum(axis=0)
    lacking = had_by[:, ::-1].cumsum(axis=1)[:, ::-1]
    now, then = np.arange(rounds), np.arange(1, rounds + 1)
    steps = np.stack((lacking[never, then] - lacking[now, then], lacking[now, then]), axis=1)
    got = np.stack((had_by[never, then] - had_by[now, then], had_by[now, then]), axis=1)
    return np.stack((steps - got, got), axis=2)


def transfer_bits(counts: Ints) -> tuple[float, float]:
    """The transfer entropy of such counts, bits a step, and its share of what is uncertain: H(got it | round)."""
    steps = counts.sum()
    uncertain = sum(_entropy(one.sum(axis=0)) for one in counts)
    left = sum(_entropy(had) for one in counts for had in one)
    return float((uncertain - left) / steps), float((uncertain - left) / uncertain) if uncertain else 0.0


def _entropy(counts: Ints) -> float:
    """The entropy of counts in bits, times how many they are."""
    there = counts[counts > 0]
    return float(-(there * np.log2(there / counts.sum())).sum())


def transferred(
    runs: Sequence[Run], pairs: Sequence[Ints], rounds: int, surrogates: int, seed: int, unit: str = "runs"
) -> dict[str, Any]:
    """The transfer entropy of one kind of pairs, or why there is none; `unit` is what `runs` are, for people."""
    if len(runs) < RUNS_MIN:
        return {"refused": f"{len(runs)} {unit} can't be told from chance: it takes {RUNS_MIN}"}
    counts = np.array([counted(run, mine, run, rounds) for run, mine in zip(runs, pairs, strict=True)])
    if reason := _refusal(counts):
        return {"refused": reason}
    bits, share = transfer_bits(counts.sum(axis=0))
    drawn, others = np.random.default_rng(seed), []
    for _ in range(surrogates):
        apart = _derangement(len(runs), drawn)
        mixed = [counted(runs[run], pairs[run], runs[apart[run]], rounds) for run in range(len(runs))]
        others.append(transfer_bits(np.sum(mixed, axis=0))[0])
    return {
        "bits": bits,
        **_jackknife(counts, lambda some: transfer_bits(some)[0]),
        "share": share,
        "steps": int(counts.sum()),
        "surrogates": surrogates,
        "surrogate_mean": float(np.mean(others)),
        "surrogate_95": float(np.quantile(others, 0.95)),
        "p": (1 + int(np.sum(np.array(others) >= bits))) / (1 + surrogates),
    }


def _refusal(counts: Ints) -> str:
    """Why these counts can't carry the question, if they can't."""
    by_round = counts.sum(axis=0)
    open_rounds = int((by_round.sum(axis=1) > 0).all(axis=1).sum())  # in which both could happen
    needed = STEPS_PER_CELL * 2**3 * max(1, open_rounds)
    if by_round.sum() < needed or not open_rounds:
        return f"{by_round.sum()} steps in {open_rounds} rounds can't fill the cells: it takes {needed}"
    return ""


def _derangement(n: int, drawn: np.random.Generator) -> Ints:
    """An order in which nothing is in its own place."""
    while True:
        order = drawn.permutation(n)
        if (order != np.arange(n)).all():
            return order


def _mean(values: Sequence[float]) -> dict[str, float]:
    return _around(float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5, len(values))


def _jackknife(counts: Ints, figure: Callable[[Ints], float]) -> dict[str, float]:
    """The interval of a figure of summed counts. Efron and Stein, Ann. Statist. 9, 1981."""
    whole, n = counts.sum(axis=0), len(counts)
    without = np.array([figure(whole - one) for one in counts])
    found = _around(figure(whole), float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())), n)
    return {end: found[end] for end in ("low", "high")}


def _around(value: float, error: float, n: int) -> dict[str, float]:
    from scipy.stats import t  # type: ignore[import-untyped]

    margin = float(t.ppf(0.5 + LEVEL / 2, n - 1)) * error
    return {"mean": value, "low": value - margin, "high": value + margin}
