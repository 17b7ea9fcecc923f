"""What detectors find in a simulation: drawn once for each pair of a peer and an adapter, alike between peers.

- An adapter of a kind has a chance of its own to be accepted, drawn from a beta distribution; each peer's finding is
  drawn by that chance. Over many adapters the share of accepting peers is beta-binomial: `accept` is its mean,
  `correlation` that of two peers' findings on one adapter (0: each decides alone, 1: all find the same).
- Findings stick: the same peer finds the same in the same adapter however often it looks, over restarts too. Whoever
  drew anew at each exposure would let everything in in the end.
- Numbers are measured (`assets/verdicts.json`, which `plora.lab.verdict_rates` writes) or told by the scenario
  (`security.verdicts`), for good or only while nothing is measured (`assumed`). There are no others: without either,
  detectors find nothing. The report says by which numbers they found.

Not handled here: what the gate makes of findings (`plora.gate.detector_stages`).

>>> model = VerdictModel({"clean": Rate(1.0, 0.0), "phrase": Rate(0.0, 0.0)})
>>> model.draw(1, "ada", "sha256:0", "phrase").outlier, model.draw(1, "ada", "sha256:1", "clean").outlier
(True, False)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from plora.gate.findings import Findings
from plora.node.core.streams import Streams
from plora.proto.errors import UsageError
from plora.sim.scenario import Scenario, Verdicts
from plora.sim.truth import CLEAN

MEASURED = Path(__file__).parent / "assets" / "verdicts.json"
NOTHING_FOUND = Findings("sim", p_value=1.0, alpha=0.01)
FOUND = Findings("sim", p_value=0.0, alpha=0.01, note="drawn by the simulation's verdict model")
NO_VERDICTS = (
    "Detectors find nothing here, and hold no trojan back: no verdicts were measured. Tell some by "
    "`--accept_trojan .05 --accept_clean .99 --correlation .9`, or measure those of a zoo by "
    "`python -m plora.lab.verdict_rates`."
)


Source = Literal["measured", "told", "assumed", "none"]


@dataclass(frozen=True, slots=True)
class Rate:
    """How often adapters of a kind are accepted, and how alike two peers find, both in [0, 1]."""

    accept: float
    correlation: float

    def __post_init__(self) -> None:
        if not (0 <= self.accept <= 1 and 0 <= self.correlation <= 1):
            raise UsageError(f"{self} is outside of 0 to 1", where="verdicts")

    def chance(self, draws: Streams, digest: str) -> float:
        """The chance of one adapter to be accepted."""
        stream = draws.stream(f"verdict {digest}")
        if self.accept in (0, 1) or self.correlation == 0:
            return self.accept
        if self.correlation == 1:
            return float(stream.random() < self.accept)
        spread = (1 - self.correlation) / self.correlation
        return stream.betavariate(self.accept * spread, (1 - self.accept) * spread)


@dataclass(frozen=True, slots=True)
class VerdictModel:
    """Rates by kind of adapter, "clean" among them."""

    rates: Mapping[str, Rate]

    def rate_of(self, kind: str) -> Rate:
        """The rate of a kind; `UsageError` where it has none."""
        rate = self.rates.get(kind)
        if rate is None:
            known = ", ".join(sorted(self.rates))
            raise UsageError(f"no verdicts on {kind!r}", where="publish.trojan_kind", mend=f"use one of {known}")
        return rate

    def accepts(self, seed: int, peer: str, digest: str, kind: str) -> bool:
        """Whether this peer's detectors find nothing in this adapter."""
        rate = self.rate_of(kind)
        return Streams(seed, peer).stream(f"verdict {digest}").random() < rate.chance(Streams(seed, ""), digest)

    def draw(self, seed: int, peer: str, digest: str, kind: str) -> Findings:
        """What this peer's detectors find in this adapter, the same whenever it looks."""
        return NOTHING_FOUND if self.accepts(seed, peer, digest, kind) else FOUND

    @classmethod
    def read(cls, path: Path = MEASURED) -> VerdictModel | None:
        """What was measured; None where nothing was. `UsageError` for a file that is broken."""
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            kinds = json.loads(text)["kinds"].items()
            return cls({kind: Rate(float(one["accept"]), float(one["correlation"])) for kind, one in kinds})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            mend = "make it again by python -m plora.lab.verdict_rates"
            raise UsageError(f"no table of verdicts: {error!r}", where=str(path), mend=mend) from None


def model_of(scenario: Scenario, measured: Path = MEASURED) -> VerdictModel | None:
    """The model that a scenario's peers find by: what it tells, else what was measured where it has trojans; or None.

    Measured false alarms are left out where nothing bad is published: there, all that is clean is to arrive.
    """
    return _found_by(scenario, measured)[1]


def said_of(scenario: Scenario, measured: Path = MEASURED) -> dict[str, Any]:
    """What a report says of the model: its `source`, and `kinds` with their rates.

    The source is "measured", "told", "assumed", or "none" where detectors are off or find nothing.
    """
    source, model = _found_by(scenario, measured)
    rates = {} if model is None else model.rates
    return {"source": source, "kinds": {kind: asdict(rate) for kind, rate in sorted(rates.items())}}


def _found_by(scenario: Scenario, measured: Path) -> tuple[Source, VerdictModel | None]:
    told = scenario.security.verdicts
    if not scenario.security.detectors:
        return "none", None
    if told is not None and not told.assumed:
        return "told", _told_model(scenario, told)
    found = VerdictModel.read(measured)
    if found is None:
        return ("none", None) if told is None else ("assumed", _told_model(scenario, told))
    return ("measured", found) if scenario.publish.trojan_rate else ("none", None)


def _told_model(scenario: Scenario, told: Verdicts) -> VerdictModel:
    trojan = Rate(told.accept_trojan, told.correlation)
    return VerdictModel({CLEAN: Rate(told.accept_clean, told.correlation), scenario.publish.trojan_kind: trojan})
