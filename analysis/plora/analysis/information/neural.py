"""Mutual information by a network that tells pairs from strangers. In nats; needs torch (extra `lab`).

A critic T(x, y) is trained on half of the samples and judged on the other half:

| method | value | is |
|---|---|---|
| `mine` | E[T] - ln E'[exp T] (Donsker and Varadhan; Belghazi et al., ICML 2018) | a lower bound in expectation |
| `infonce` | E[T - ln mean of exp T over a batch] (van den Oord et al. 2018) | a lower bound, at most ln batch |
| `smile` | as `mine`, with T clipped to ±τ in the second term (Song and Ermon, ICLR 2020) | no bound |

Rules:

- No lower bound that holds with high confidence exceeds ln n by more than a constant, whatever finds it (McAllester and
  Stratos, AISTATS 2020): `cap` is ln n of the samples that judged, or ln batch. A value within 1 nat of it is
  `saturated`: it says that there is at least so much.
- All pairs of a batch are strangers but those on its diagonal. Same seed, same value on one machine.
- Whether an estimator can be trusted, `self_consistency` asks of samples whose truth nobody knows: independent ones
  have 0, what is said twice adds nothing, and two independent pairs have twice as much (Song and Ermon 2020).

Not handled here: choosing the network; for few coordinates `mi_knn` is nearer and quicker.

>>> Estimate(0.5, cap=4.0, bound=True).saturated, Estimate(3.2, cap=4.0, bound=True).saturated
(False, True)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Method = Literal["mine", "infonce", "smile"]

BATCH_MIN = 8
JUDGES_MAX = 1024
SAMPLES_MIN = 64
CLIP = 5.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value in nats, the largest one that it could honestly be, and whether it is a lower bound (in expectation)."""

    value: float
    cap: float
    bound: bool

    @property
    def saturated(self) -> bool:
        """Whether the value is near its cap, so that it says nothing of how much more there is."""
        return self.value > self.cap - 1


@dataclass(frozen=True, slots=True)
class Consistency:
    """What should be 0 for independent samples; and 1 and 2, in parts of the estimate of all pairs."""

    independent: float
    processing: float
    additivity: float


def mine_estimate(
    x: ArrayLike,
    y: ArrayLike,
    *,
    method: Method = "mine",
    steps: int = 400,
    batch: int = 64,
    hidden: int = 64,
    rate: float = 2e-3,
    seed: int = 0,
) -> Estimate:
    """I(X; Y) of n samples (n, or n × d) by a critic of two hidden layers. Raises ValueError for too few samples."""
    import torch

    left, right = _standard(x), _standard(y)
    if len(left) != len(right) or len(left) < SAMPLES_MIN or not BATCH_MIN <= batch <= len(left) // 2:
        raise ValueError(
            f"{len(left)} and {len(right)} samples in batches of {batch}: pairs are at least {SAMPLES_MIN}, "
            f"a batch is from {BATCH_MIN} to half of them"
        )
    order = np.random.default_rng(seed).permutation(len(left))
    pairs = torch.tensor(np.hstack((left, right))[order], dtype=torch.float32)
    half, width = len(left) // 2, left.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        critic = _trained(pairs[:half], width, method, steps, batch, hidden, rate)
    judges: Any = pairs[half : half + max(JUDGES_MAX, batch)]
    size = batch if method == "infonce" else len(judges)
    with torch.no_grad():
        scores = [_value(_scores(critic, part, width), method) for part in judges.split(size) if len(part) == size]
    return Estimate(float(torch.stack(scores).mean()), log(size), method != "smile")


def self_consistency(
    estimate: Callable[[Floats, Floats], float], x: ArrayLike, y: ArrayLike, seed: int = 0
) -> Consistency:
    """The three tests of an estimator on these samples. Ratios are to its own value, so they need dependence.

    `processing` shows it every x twice, and beside y what follows from y. `additivity` puts the samples' halves side by
    side, which is two independent pairs.
    """
    left, right = _standard(x), _standard(y)
    half, value = len(left) // 2, estimate(left, right)
    if not value > 0:
        raise ValueError(f"an estimate of {value:.3g} nats has no ratios; take samples that depend on each other")
    independent = estimate(left, right[np.random.default_rng(seed).permutation(len(right))])
    doubled = estimate(np.hstack((left, left)), np.hstack((right, right / 2)))
    beside = [np.hstack((side[:half], side[half : 2 * half])) for side in (left, right)]
    return Consistency(independent, doubled / value, estimate(*beside) / value)


def _standard(values: ArrayLike) -> Floats:
    """n × d, each coordinate of mean 0 and spread 1."""
    found = np.asarray(values, np.float64)
    columns = found.reshape(len(found), -1)
    if not np.isfinite(columns).all():
        raise ValueError("samples are finite numbers; leave out pairs that lack one")
    return np.asarray((columns - columns.mean(axis=0)) / columns.std(axis=0).clip(1e-12))


def _trained(pairs: Any, width: int, method: Method, steps: int, batch: int, hidden: int, rate: float) -> Any:
    import torch
    from torch import nn

    layers = [nn.Linear(pairs.shape[1], hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)]
    critic = nn.Sequential(*layers)
    optimizer = torch.optim.Adam(critic.parameters(), lr=rate)
    for _ in range(steps):
        drawn = pairs[torch.randperm(len(pairs))[:batch]]
        optimizer.zero_grad()
        (-_value(_scores(critic, drawn, width), method)).backward()
        optimizer.step()
    return critic


def _scores(critic: Any, pairs: Any, width: int) -> Any:
    """T of every x (rows) with every y (columns)."""
    import torch

    n, (x, y) = len(pairs), (pairs[:, :width], pairs[:, width:])
    every = torch.cat((x.repeat_interleave(n, dim=0), y.repeat(n, 1)), dim=1)
    return critic(every).reshape(n, n)


def _value(scores: Any, method: Method) -> Any:
    """The method's value of a square of scores; true pairs are on its diagonal."""
    import torch

    n, pairs = len(scores), scores.diagonal()
    if method == "infonce":
        return (pairs - scores.logsumexp(dim=1)).mean() + log(n)
    if method == "smile":
        scores = scores.clamp(-CLIP, CLIP)
    strangers = scores[~torch.eye(n, dtype=torch.bool)]
    return pairs.mean() - strangers.logsumexp(dim=0) + log(n * (n - 1))
