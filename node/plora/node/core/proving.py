"""One merge that was made and isn't served yet: it is probed, and if it fails, who is to blame is searched for. Pure.

- A merge of one adapter isn't probed: that adapter was.
- A merge that can't be probed here (no calibration, no torch) is served unprobed, and says so.
- Who takes part in a search is who has weight in the merge, each at that weight; trials go one at a time.
- The words for people are made here (`probed_sentence`); what probes found in so many words isn't kept.

Not handled here: who is to blame (`plora.gate.blame`), when to merge and what to serve (`merges`).

>>> probed_sentence(Proof("unprobed", note="no calibration of mini is here").text())
'not probed: no calibration of mini is here'
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from plora.gate import sentence
from plora.gate.blame import Blame, Few, Member, next_trial
from plora.gate.findings import Figure
from plora.node.core.config import Recipe
from plora.node.core.effects import MergeInput, Try
from plora.node.core.merge_report import read_report

PASSED, FAILED, UNPROBED, ALONE, EXCUSED = "passed", "failed", "unprobed", "alone", "excused"

Inputs = tuple[MergeInput, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of probing a merge.

    `fault`: the reason for which it failed; `note`: why it wasn't probed; `figures`: (value, threshold) by name of the
    whole merge; `trials`: how many merges of fewer were probed.
    """

    outcome: str
    fault: str = ""
    note: str = ""
    figures: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    trials: int = 0

    def text(self) -> str:
        """As it is kept with the merge."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


@dataclass(slots=True)
class Proving:
    """A merge under test. `members` are its inputs that have weight, named by their digests, and `weights` theirs."""

    base: str
    generation: int
    inputs: Inputs
    report: str
    recipe: Recipe
    members: tuple[Member, ...]
    weights: Mapping[str, float]
    excused: Few
    number: int = 0
    fault: str = ""
    figures: tuple[Figure, ...] = ()
    _answers: dict[Few, bool] = field(default_factory=dict)
    _asked: Few = frozenset()

    @classmethod
    def of(
        cls,
        made: tuple[str, int, Inputs, str, Recipe],
        members: Sequence[Member],
        excused: Collection[str],
    ) -> Proving:
        """A merge `made` as (base, generation, inputs, report, recipe); `members` are one an input."""
        facts = read_report(made[3]).inputs
        weights = {
            one.digest: facts[place].weight if place < len(facts) else 1.0 / len(made[2])
            for place, one in enumerate(made[2])
        }
        weighed = tuple(member for member in members if weights[member.name])
        return cls(*made, weighed, weights, frozenset(excused))

    @property
    def trials(self) -> int:
        """How many merges of fewer were probed."""
        return len(self._answers)

    @property
    def alone(self) -> bool:
        """Whether there is but one adapter in it."""
        return len(self.members) == 1

    def whole(self) -> Try:
        """The first question: does the merge itself pass?"""
        return Try(self.base, self.generation, 0, (), (), self.recipe)

    def take(self, fault: str, figures: tuple[Figure, ...]) -> Proof | Blame | Try:
        """The answer to the question before: what to ask next, that the merge passed, or who is to blame."""
        if self.number:
            self._answers[self._asked] = bool(fault)
        elif not fault:
            return self.proof(PASSED, figures)
        else:
            self.fault, self.figures = fault, figures
        step = next_trial(self.members, self._answers, excused=self.excused)
        return step if isinstance(step, Blame) else self._trial(step)

    def proof(self, outcome: str, figures: Sequence[Figure] = (), note: str = "") -> Proof:
        """What is kept of it."""
        shown = {one.name: (one.value, one.threshold) for one in figures or self.figures}
        return Proof(outcome, self.fault, note, shown, self.trials)

    def told(self) -> str:
        """How it stands while somebody is looked for."""
        if not self.fault:
            return ""
        return (
            f"generation {self.generation} failed its probes ({sentence(self.fault)}) and isn't served; "
            f"{self.trials} merges of fewer were probed to see who is to blame"
        )

    def _trial(self, few: Few) -> Try:
        self.number, self._asked = self.number + 1, few
        inputs = tuple(one for one in self.inputs if one.digest in few)
        weights = tuple(self.weights[one.digest] for one in inputs)
        return Try(self.base, self.generation, self.number, inputs, weights, self.recipe)


def probed_sentence(text: str) -> str:
    """What a kept proof says, for people; empty where nothing was looked at or kept."""
    kept = json.loads(text) if text else {}
    figures = ", ".join(_figure(name, *pair) for name, pair in sorted(kept.get("figures", {}).items()))
    match kept.get("outcome"):
        case "passed":
            return f"probed: {figures}"
        case "excused":
            return f"failed its probes ({figures}); it is served, for a person released all who are to blame"
        case "unprobed":
            return f"not probed: {kept['note']}"
    return ""


def _figure(name: str, value: float, threshold: float | None) -> str:
    return f"{name} {value:.2f}" + ("" if threshold is None else f" (limit {threshold:.2f})")
