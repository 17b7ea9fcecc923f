"""One merge that was made and isn't served yet: it is probed, and if it fails, who is to blame is searched for. Pure.

- A merge of one adapter is probed, too: it may be truncated or clipped, and is another function then.
- A merge that can't be probed here (no calibration, no torch) is served unprobed, and says so.
- Each proof keeps the stamp (calibration, secret) of the probes that all its answers came from.
- Who takes part in a search is who has weight in the merge, each at that weight, and copies of who is to blame, at
  theirs; trials go one at a time.
- The words for people are made here (`probed_sentence`); what probes found in so many words isn't kept.

Not handled here: who is to blame (`plora.gate.blame`), when to merge and what to serve (`merges`).

>>> probed_sentence(Proof("unprobed", note="no calibration of mini is here").text())
'not probed: no calibration of mini is here'
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from plora.gate import sentence
from plora.gate.blame import Blame, Few, Member, next_trial
from plora.gate.findings import Figure, Findings
from plora.node.core.config import Recipe
from plora.node.core.effects import MergeInput, Try
from plora.node.core.merge_report import read_report

PASSED, FAILED, UNPROBED, EXCUSED = "passed", "failed", "unprobed", "excused"

Inputs = tuple[MergeInput, ...]
Made = tuple[str, int, Inputs, str, Recipe]
"""A merge as (base, generation, inputs, report, recipe)."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of probing a merge.

    `fault`: the reason for which it failed; `note`: why it wasn't probed; `figures`: of the whole merge, by name,
    (value, the threshold that counted, the calibration's own); `trials`: how many merges of fewer were probed; `stamp`:
    by what, "" where by nothing.
    """

    outcome: str
    fault: str = ""
    note: str = ""
    figures: Mapping[str, tuple[float, float | None, float | None]] = field(default_factory=dict)
    trials: int = 0
    stamp: str = ""

    def text(self) -> str:
        """As it is kept with the merge."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


@dataclass(slots=True)
class Proving:
    """A merge under test. `members` are its inputs that have weight, named by their digests, and `weights` theirs,
    a copy's being that of the one that counts. `waits`: what is asked once there is budget."""

    base: str
    generation: int
    inputs: Inputs
    report: str
    recipe: Recipe
    members: tuple[Member, ...]
    weights: Mapping[str, float]
    excused: Few
    stamp: str = ""
    number: int = 0
    fault: str = ""
    figures: tuple[Figure, ...] = ()
    findings: Findings = field(default_factory=lambda: Findings(""))
    waits: Try | None = None
    _answers: dict[Few, bool] = field(default_factory=dict)
    _asked: Few = frozenset()

    @classmethod
    def of(cls, made: Made, members: Sequence[Member], excused: Collection[str], stamp: str = "") -> Proving:
        """The test of what was `made`; `members` are one an input, `stamp` says by what it is probed."""
        digests, facts = [one.digest for one in made[2]], read_report(made[3]).inputs
        known = dict(zip(digests, facts, strict=False))
        weights = {each: known[each].weight if each in known else 1.0 / len(digests) for each in digests}
        counting = {each: digests[one.copy_of] for each, one in known.items() if one.copy_of is not None}
        weighed = tuple(
            replace(one, copies=tuple(each for each in counting if counting[each] == one.name))
            for one in members
            if weights[one.name]
        )
        weights |= {each: weights[counts] for each, counts in counting.items()}
        return cls(*made, weighed, weights, frozenset(excused), stamp)

    @property
    def made(self) -> Made:
        """What is under test."""
        return self.base, self.generation, self.inputs, self.report, self.recipe

    @property
    def trials(self) -> int:
        """How many merges of fewer were probed."""
        return len(self._answers)

    def whole(self) -> Try:
        """The first question: does the merge itself pass?"""
        return Try(self.base, self.generation, 0, (), (), self.recipe)

    def take(self, findings: Findings, fault: str, figures: tuple[Figure, ...]) -> Proof | Blame | Try:
        """The answer to the question before: what to ask next, that the merge passed, or who is to blame.

        `fault` and `figures` are what the policy says of the findings.
        """
        if self.number:
            self._answers[self._asked] = bool(fault)
        else:
            self.fault, self.figures, self.findings = fault, figures, findings
            if not fault:
                return self.proof(PASSED)
        step = next_trial(self.members, self._answers, excused=self.excused)
        return step if isinstance(step, Blame) else self._trial(step)

    def proof(self, outcome: str, note: str = "") -> Proof:
        """What is kept of it."""
        own = {one.name: one.threshold for one in self.findings.figures}
        shown = {one.name: (one.value, one.threshold, own.get(one.name)) for one in self.figures}
        return Proof(outcome, self.fault, note, shown, self.trials, self.stamp)

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
    figures = ", ".join(_figure(name, *limits) for name, limits in sorted(kept.get("figures", {}).items()))
    match kept.get("outcome"):
        case "passed":
            return f"probed: {figures}"
        case "excused":
            return f"failed its probes ({figures}); it is served, for a person released all who are to blame"
        case "unprobed":
            return f"not probed: {kept['note']}"
    return ""


def kept_stamp(text: str) -> str:
    """By what a kept proof came about; empty where nothing was probed."""
    return str(json.loads(text).get("stamp", "")) if text else ""


def kept_findings(text: str) -> Findings:
    """The figures of a kept proof, to be judged again; none where a person released who is to blame."""
    kept = json.loads(text) if text else {}
    shown = {} if kept.get("outcome") == EXCUSED else kept.get("figures", {})
    return Findings("", tuple(Figure(name, value, own) for name, (value, *_, own) in sorted(shown.items())))


def _figure(name: str, value: float, threshold: float | None, own: float | None = None) -> str:
    return f"{name} {value:.2f}" + ("" if threshold is None else f" (limit {threshold:.2f})")
