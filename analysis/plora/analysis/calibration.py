"""The constant C of t ≈ C ln(n) / λ₂, calibrated from runs, and held against runs that it hasn't seen.

Rules:

- λ₂ is the normalised Laplacian's, n the number of peers that can be reached, t rounds until all of them have it.
- A run is one graph; intervals are percentiles of a bootstrap over graphs, those of each size among themselves. One
  graph of a size has nothing to be drawn from, so it decides nothing.
- C is the mean of t λ₂ / ln(n) over runs; it drifts with n where the shape doesn't suit (`by_n`). The shape is that of
  an upper bound (`plora.analysis.spectra.predicted_rounds_spectral`), so the largest C of any run is given beside it.
- The null model knows no graph: t = a + b ln(n) by least squares. Where it predicts held-out runs better, λ₂ has told
  nothing.

Not handled here: making runs (`plora.lab.calibrate_c`).

>>> seen = [Run(n, 1, 0.5, 3 + log(n)) for n in (50, 100, 200)]
>>> found = calibrated(seen, [Run(400, seed, 0.5, 3 + log(400)) for seed in (1, 2)])
>>> round(found["null"]["a"]["value"], 6), round(found["null"]["b"]["value"], 6), found["held_out"]["better"]
(3.0, 1.0, 'null')
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Run:
    """One graph: `n` peers of its largest component, λ₂ of the normalised Laplacian, mean rounds until all have it."""

    n: int
    seed: int
    lambda2: float
    rounds: float

    @property
    def constant(self) -> float:
        """t λ₂ / ln n."""
        return self.rounds * self.lambda2 / log(self.n)


def calibrated(seen: Sequence[Run], held_out: Sequence[Run], seed: int = 0) -> dict[str, Any]:
    """C and the null model with intervals, from runs that were seen, and how both do on runs that weren't.

    Sizes are told apart by the order of magnitude that was asked for: runs whose n differ by less than a third.
    Raises ValueError without two sizes to be seen, or with nothing held out.
    """
    if len(_sizes(seen)) < 2 or not held_out:
        raise ValueError("a calibration has two sizes that are seen, and some that are held out")
    draws = np.random.default_rng(seed)
    constants = np.array([run.constant for run in seen])
    picks = [_resampled(_sizes(seen), draws) for _ in range(RESAMPLES)]
    models = np.array([_null_model([seen[i] for i in pick]) for pick in picks])
    a, b = _null_model(seen)
    return {
        "C": _interval(float(constants.mean()), [float(constants[pick].mean()) for pick in picks]),
        "C_bound": float(constants.max()),
        "by_n": [_of_size(size, seen, draws) for size in _sizes(seen)],
        "drift": _drift(seen),
        "null": {"a": _interval(a, models[:, 0]), "b": _interval(b, models[:, 1])},
        "held_out": _compared(seen, held_out, draws),
        "runs": [asdict(run) for run in seen],
        "runs_held_out": [asdict(run) for run in held_out],
    }


def _sizes(runs: Sequence[Run]) -> list[list[int]]:
    """The runs' numbers by size, the smallest first."""
    order = sorted(range(len(runs)), key=lambda number: runs[number].n)
    found: list[list[int]] = []
    for number in order:
        if found and runs[number].n < runs[found[-1][0]].n * 4 / 3:
            found[-1].append(number)
        else:
            found.append([number])
    return found


def _resampled(sizes: Sequence[Sequence[int]], draws: np.random.Generator) -> NDArray[np.int64]:
    return np.concatenate([draws.choice(size, len(size)) for size in sizes])


def _null_model(runs: Sequence[Run]) -> tuple[float, float]:
    """a and b of t = a + b ln n."""
    b, a = np.polyfit([log(run.n) for run in runs], [run.rounds for run in runs], 1)
    return float(a), float(b)


def _of_size(size: Sequence[int], runs: Sequence[Run], draws: np.random.Generator) -> dict[str, Any]:
    constants = np.array([runs[number].constant for number in size])
    means = constants[draws.integers(0, len(size), (RESAMPLES, len(size)))].mean(axis=1)
    rounds, n = ([getattr(runs[number], name) for number in size] for name in ("rounds", "n"))
    return {
        "n": float(np.mean(n)),
        "graphs": len(size),
        "rounds": float(np.mean(rounds)),
        "C": _interval(float(constants.mean()), means),
    }


def _drift(runs: Sequence[Run]) -> float:
    """How far the largest mean C of a size is above the smallest, as a share of that."""
    means = [float(np.mean([runs[number].constant for number in size])) for size in _sizes(runs)]
    return max(means) / min(means) - 1


def _compared(seen: Sequence[Run], held_out: Sequence[Run], draws: np.random.Generator) -> dict[str, Any]:
    """Root mean squares of what either prediction is off, in rounds."""
    constant, bound = float(np.mean([run.constant for run in seen])), max(run.constant for run in seen)
    a, b = _null_model(seen)
    spectral = _off(held_out, lambda run: constant * log(run.n) / run.lambda2)
    null = _off(held_out, lambda run: a + b * log(run.n))
    picks = [_resampled(_sizes(held_out), draws) for _ in range(RESAMPLES)]
    difference = _interval(_rms(spectral) - _rms(null), [_rms(spectral[pick]) - _rms(null[pick]) for pick in picks])
    return {
        "graphs": len(held_out),
        "rms_spectral_rounds": _rms(spectral),
        "rms_null_rounds": _rms(null),
        "spectral_minus_null_rounds": difference,
        "better": _better(difference, alone=any(len(size) < 2 for size in _sizes(held_out))),
        "above_bound": sum(run.constant > bound for run in held_out),
    }


def _better(difference: Mapping[str, float], *, alone: bool) -> str:
    if alone or difference["low"] <= 0 <= difference["high"]:
        return "undecided"
    return "null" if difference["value"] > 0 else "spectral"


def _off(runs: Sequence[Run], predicted: Callable[[Run], float]) -> Array:
    return np.array([predicted(run) - run.rounds for run in runs])


def _rms(values: Array) -> float:
    return float(np.sqrt((values**2).mean()))


def _interval(value: float, resampled: Sequence[float] | Array) -> dict[str, float]:
    low, high = np.quantile(np.asarray(resampled), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"value": value, "low": float(low), "high": float(high)}
