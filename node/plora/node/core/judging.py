"""What the gate is asked of a plasmid, and what it answers: all that is known of it here, in one case. Pure.

- Nothing here changes anything: a case can be made, and judged by another trust, at any time.
- Bytes that are gone again count as bytes that were never here, but for a refusal; those over which a worker failed as
  bytes that nobody may use.

Not handled here: what follows from a verdict (`desk`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from plora.gate import Case, Features, Outcome, Policy, Trust, Verdict
from plora.node.core.blames import Blames
from plora.node.core.bookkeeping import stands_without_bytes, unexamined
from plora.node.core.detectors import Detectors
from plora.node.core.docket import Docket
from plora.node.core.larder import Larder
from plora.node.core.now import Now
from plora.node.core.plasmid import Plasmid
from plora.node.core.reputations import Reputations
from plora.node.core.rules import Rules
from plora.node.core.showing import Showing
from plora.node.core.wishes import Wishes

Judge = Callable[[Case, Policy, Trust], Verdict]
"""`decide`, or a memo of it that many peers share."""
Voted = Callable[[Case, int], Case]
"""A case with what the members of a consensus said of it, since it was seen at that time."""


class Judging:
    """Cases and verdicts of one peer."""

    def __init__(
        self,
        rules: Rules,
        judge: Judge,
        voted: Voted,
        *,
        docket: Docket,
        larder: Larder,
        detectors: Detectors,
        reputations: Reputations,
        wishes: Wishes,
        blames: Blames,
        showing: Showing,
    ) -> None:
        self._rules, self._judge, self._voted = rules, judge, voted
        self._docket, self._larder, self._detectors = docket, larder, detectors
        self._reputations, self._wishes, self._blames, self._showing = reputations, wishes, blames, showing

    def verdict_under(self, trust: Trust, plasmid: Plasmid, now: Now) -> Verdict:
        """What the gate says of a live plasmid under this peer's policy and some trust."""
        case = self.case_of(plasmid, self._larder.features(plasmid.artifact), now)
        verdict = self._judge(case, self._rules.policy, trust)
        gone = case.features is not None and not self._larder.has(plasmid)
        if gone and not stands_without_bytes(verdict, asked=plasmid.asked):
            return self._judge(replace(case, features=None), self._rules.policy, trust)
        if plasmid.digest in self._larder.unreadable and verdict.wants_bytes:
            outcome = Outcome.REJECT if plasmid.digest in self._larder.defects else Outcome.QUARANTINE
            return unexamined(verdict, outcome, self._larder.unreadable[plasmid.digest])
        return verdict

    def case_of(self, plasmid: Plasmid, features: Features | None, now: Now) -> Case:
        """All that the gate is told of a live plasmid whose bytes have these features."""
        earned = self._reputations.of(plasmid.manifest.owner, now.wall_ms)
        released = self._wishes.released(plasmid.content_id)
        beside = self._blames.named(plasmid.digest, self._showing.title_of_bytes)
        here = {"granted": plasmid.usable, "reputation": earned, "released": released, "blamed_beside": beside}
        known = self._docket.case(plasmid.content_id, now.wall_ms, features, **here)
        return self._detectors.case(self._voted(known, plasmid.seen_ms), plasmid.subject, self._rules.policy)
