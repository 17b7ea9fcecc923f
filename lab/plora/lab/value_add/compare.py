"""What a cell reaches, and how it differs from the base and from the domain's own adapter.

Rules:

- Arguments are one or several training seeds' scores of the same documents; intervals draw both, see
  `plora.lab.statistics`.
- Nats a token are of all documents together, as perplexity is: long answers weigh more. By document, they count alike.

Not handled here: tests, files.
"""

from __future__ import annotations

import numpy as np

from plora.base import Interval
from plora.lab.statistics import bootstrap, mean_interval
from plora.lab.value_add.scoring import Floats, Scores

BETTER = {"nll": -1, "question_information": 1}
"""The sign of a difference that is an improvement."""


def levels(scores: Scores) -> dict[str, float]:
    """What a cell reaches: nats a token, perplexity, share of exact answers, nats that a question tells."""
    nll = float(scores.nll.sum() / scores.tokens.sum())
    return {
        "nll": nll,
        "ppl": float(np.exp(nll)),
        "em": float(scores.exact.mean()),
        "em_strange": float(scores.strange.mean()),
        "question_information": float(scores.information.mean()),
    }


def differences(scores: list[Scores], baseline: list[Scores]) -> dict[str, Interval]:
    """Cell − baseline of one or several seeds: nats a token, nats that questions tell, share of exact answers."""
    nats, tokens = _gap(scores, baseline, "nll"), _stacked(scores, "tokens")
    return {
        "nll": bootstrap(np.stack([nats, tokens]), ratio),
        "question_information": mean_interval(_gap(scores, baseline, "information")),
        "em": mean_interval(_gap(scores, baseline, "exact")),
    }


def kept(scores: list[Scores], baseline: list[Scores], adapter: list[Scores]) -> Interval | None:
    """The share of the adapters' gain in nats that the cells have, of one or several seeds; None of no clear gain."""
    own = _gap(adapter, baseline, "nll")
    if bootstrap(np.stack([own, _stacked(adapter, "tokens")]), ratio).high >= 0:
        return None
    return bootstrap(gains(scores, baseline, adapter), ratio)


def gains(scores: list[Scores], baseline: list[Scores], adapter: list[Scores]) -> Floats:
    """Nats that the cells and the adapters differ from the base by, (2, seeds, documents)."""
    return np.stack([_gap(scores, baseline, "nll"), _gap(adapter, baseline, "nll")])


def by_document(scores: list[Scores], baseline: list[Scores]) -> dict[str, Floats]:
    """What tests are of, cell − baseline (seeds, documents): each document's own nats a token, nats its question tells.

    An improvement is below 0 in the former and above 0 in the latter; see `BETTER`.
    """
    return {
        "nll": _gap(scores, baseline, "nll") / _stacked(scores, "tokens"),
        "question_information": _gap(scores, baseline, "information"),
    }


def improves(measure: str, interval: Interval) -> bool:
    """Whether a difference's interval leaves no doubt that it is an improvement."""
    return interval.high < 0 if BETTER[measure] < 0 else interval.low > 0


def ratio(drawn: Floats) -> Floats:
    """The ratio of two figures' sums: (2, …, seeds, documents) to (…)."""
    above, below = drawn.sum(axis=(-2, -1))
    return np.asarray(above / below)


def _gap(scores: list[Scores], baseline: list[Scores], name: str) -> Floats:
    return _stacked(scores, name) - _stacked(baseline, name)


def _stacked(scores: list[Scores], name: str) -> Floats:
    return np.stack([getattr(one, name) for one in scores])
