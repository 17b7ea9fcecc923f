"""Who is measured and probed, and what came of it: the desk's part that talks to detectors. Pure.

- The gate asks for findings by leaving a plasmid PENDING (`not_measured`, `not_probed`). Only one to which nothing else
  is objected, apart from missing signatures, is looked into: junk falls to cheaper stages first.
- Findings are remembered by subject: what was looked at (bytes, base, the signed `lora` block, the domain), not who
  signed it or under what name. Looking again costs nothing, over restarts too.
- Weights are measured at once, for that is cheap; probes wait for their turn and for budget (`probe_queue`). `waiting`
  says for what.
- A detector that can't look (no calibration, no torch) answers at once with findings that say so.
- Findings of another calibration, or probes with a secret that was rotated since, hold until they are made again, a few
  an hour: neither judges everything again at once. What probes found once is not tried again with another secret, until
  that lets it go.
- What probes passed is held only when a second draw objects, too: else chance alone would hold everybody in the end.
- A trigger found in bytes holds whatever the same owner signs of them for another use, as long as that calibration
  does. It holds nobody else's: a use at which honest bytes look guilty can be made up.
- What a worker was killed over, or a probe not done with, is tried `TRIES` times; then its findings are that failure,
  until a restart or until detectors are made ready again: no such finding is written down.

Not handled here: what findings mean (`plora.gate.detector_stages`), and how they come about (the driver).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace

from plora.gate import Case, Outcome, Policy, Verdict
from plora.gate.detector_stages import probes_ruling
from plora.gate.findings import Findings, poisoning_score
from plora.gate.reasons import LOOKED_INTO, WAITS_ON
from plora.node.core.config import ProbeBudget
from plora.node.core.effects import Emit, Inspect, SetTimer
from plora.node.core.events import DetectorsChanged, Inspected
from plora.node.core.notices import Outputs
from plora.node.core.now import Now
from plora.node.core.plasmid import Plasmid
from plora.node.core.probe_queue import PER_HOUR, PER_OWNER, ProbeQueue
from plora.node.store.disk import Delete, Put, RowOp
from plora.proto.errors import StoreError
from plora.proto.manifest import Manifest
from plora.proto.records import BoundHit
from plora.proto.records import Inspected as InspectedRecord

FINDINGS = "findings"
PROBES_TIMER = "desk:probes"
WEIGHTS, PROBES = "weights", "probes"
AWAITS: Mapping[str, str] = {"not_measured": WEIGHTS, "not_probed": PROBES}
TRIES = 2
FOUND, FAILED = "trigger_found", "examination_failed"
MINUTE_NS = 60_000_000_000

Key = tuple[str, str]
"""(detector, subject)."""


def awaited(verdict: Verdict) -> str:
    """The detector for which a plasmid waits, where nothing but signatures is missing besides; "" for none."""
    objections = [one.reason for one in verdict.stages if one.outcome is not Outcome.PASS]
    others = [reason for reason in objections if reason not in AWAITS and reason not in WAITS_ON]
    return "" if others else next((AWAITS[reason] for reason in objections if reason in AWAITS), "")


def held_by_detectors(verdict: Verdict) -> bool:
    """Whether detectors alone hold it, apart from missing signatures: another calibration may see it otherwise."""
    objections = [one.reason for one in verdict.stages if one.outcome is not Outcome.PASS]
    known = all(reason in LOOKED_INTO or reason in AWAITS or reason in WAITS_ON for reason in objections)
    return verdict.outcome is Outcome.QUARANTINE and known


@dataclass(frozen=True, slots=True)
class Seen:
    """Findings, the stamp (calibration and secret) that they were made under, of what digest, and who had signed it."""

    findings: Findings
    stamp: str
    digest: str
    owner: str = ""


@dataclass(frozen=True, slots=True)
class _Failed:
    findings: Findings
    digest: str
    tries: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    subject: str
    plasmid: Plasmid


class Detectors:
    """What detectors found, and who waits for them."""

    def __init__(self, budget: ProbeBudget, rows: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.queue: ProbeQueue[_Waiting] = ProbeQueue(budget)
        self._seen: dict[Key, Seen] = {}
        self._of: dict[str, dict[Key, None]] = {}  # what was seen, by digest
        for key, value in rows:
            self._keep(_key(key), _decoded(value))
        self._stamps: dict[Key, str] = {}  # of what this peer can measure, by detector and base digest
        self._troubles: dict[Key, str] = {}
        self._ready: frozenset[str] = frozenset()
        self._running: dict[Key, Plasmid | None] = {}  # None: nothing names these bytes any more
        self._failed: dict[Key, _Failed] = {}
        self._doubts: dict[Key, str] = {}  # digests of what was passed, and then objected to once
        self._told: dict[str, None] = {}

    def case(self, case: Case, subject: str, policy: Policy) -> Case:
        """A case with what is known to the detectors that the policy wants."""
        if not (policy.tensor_outliers or policy.probes):
            return case
        weights = self.findings(WEIGHTS, subject, case.manifest) if policy.tensor_outliers else None
        probes = self._probed(subject, case.manifest, policy) if policy.probes else None
        return replace(case, weight_findings=weights, probe_findings=probes)

    def findings(self, detector: str, subject: str, manifest: Manifest) -> Findings | None:
        """What a detector knows of a manifest's adapter; None while it hasn't looked."""
        key, place = (detector, subject), (detector, manifest.base_digest)
        if key in self._seen:
            return self._seen[key].findings
        failed = self._failed.get(key)
        if failed is not None and failed.tries >= TRIES:
            return failed.findings
        if detector not in self._ready or place in self._stamps:
            return None
        return Findings("", note=self._troubles.get(place) or _uncalibrated(manifest))

    def details(self, plasmid: Plasmid) -> dict[str, dict[str, str]]:
        """What was found in so many words, by detector: for the person at this peer, and nobody else."""
        seen = {name: self.findings(name, plasmid.subject, plasmid.manifest) for name in (WEIGHTS, PROBES)}
        return {name: dict(found.details) for name, found in seen.items() if found is not None and found.details}

    def score(self, plasmid: Plasmid) -> float | None:
        """This peer's own poisoning score of an adapter; None where no detector has looked."""
        seen = (self._seen.get((name, plasmid.subject)) for name in (WEIGHTS, PROBES))
        return poisoning_score(one.findings for one in seen if one is not None)

    def changed(self, event: DetectorsChanged) -> None:
        """What detectors can look at from now on; whoever calls judges again."""
        self._ready = frozenset(event.looked_for)
        places = {(one.detector, one.base_digest): one for one in event.detectors}
        self._stamps = {place: one.stamp for place, one in places.items() if not one.trouble}
        self._troubles = {place: one.trouble for place, one in places.items() if one.trouble}
        self._failed.clear()
        self.queue.drop(lambda _, one: (PROBES, one.plasmid.manifest.base_digest) not in self._stamps)

    def probing(self, base_digest: str) -> str | None:
        """The stamp under which adapters of a base are probed; "" where they can't be, None where that isn't known."""
        return self._stamps.get((PROBES, base_digest), "") if PROBES in self._ready else None

    def attend(self, plasmid: Plasmid, now: Now) -> Outputs:
        """Have a plasmid looked into if its newest verdict waits for that, or if what is known of it is old."""
        verdict = plasmid.verdict
        if verdict is None:
            return []
        detector, subject = awaited(verdict), plasmid.subject
        if detector and detector not in self._ready:
            return []
        if detector == WEIGHTS:
            return self._inspect(WEIGHTS, subject, plasmid)
        if detector == PROBES:
            return self._wait(subject, plasmid, now, again=False)
        if verdict.accepted or held_by_detectors(verdict):
            return self._renew(subject, plasmid, now)
        self.leave(plasmid)
        return []

    def done(self, event: Inspected, now: Now, policy: Policy) -> tuple[list[RowOp], Outputs]:
        """A worker has answered: the rows to write, and records. Whoever calls judges again, and has the next begin."""
        plasmid = self._running.pop((event.detector, event.subject), None)
        rows = [] if plasmid is None else self._learn(event, plasmid.manifest.owner, now, policy)
        if event.detector == PROBES:  # whoever else waits for the same is judged again, and asks again if need be
            self.queue.drop(lambda _, one: one.subject == event.subject)
        return rows, [Emit(InspectedRecord(event.digest, event.detector, event.cpu_ms, event.reason))]

    def forget(self, gone: Callable[[str], bool]) -> list[RowOp]:
        """Nothing names these bytes any more. What a worker is at with them, it ends."""
        self._running = {key: None if one and gone(one.digest) else one for key, one in self._running.items()}
        self._failed = {key: one for key, one in self._failed.items() if not gone(one.digest)}
        self._doubts = {key: digest for key, digest in self._doubts.items() if not gone(digest)}
        lost = [key for digest, keys in self._of.items() if gone(digest) for key in keys]
        for key in lost:
            self._of.pop(self._seen.pop(key).digest, None)
        return [Delete(FINDINGS, _packed(key)) for key in lost]

    def leave(self, plasmid: Plasmid) -> None:
        """A plasmid is live no more."""
        content = plasmid.content_id.hex()
        if content in self.queue:
            self.queue.drop(lambda name, _: name == content)

    def due(self, now: Now) -> Outputs:
        """Start the next probe, if none is under way, somebody waits, and there is budget for them."""
        if not len(self.queue) or any(detector == PROBES for detector, _ in self._running):
            return []
        found = self.queue.pull(now.mono_ns)
        if found is not None:
            return self._inspect(PROBES, found.subject, found.plasmid)
        return [*self._over_budget(), SetTimer(PROBES_TIMER, max(self.queue.free_ns(), now.mono_ns) + 1)]

    def waiting(self, plasmid: Plasmid, now: Now) -> str:
        """What a plasmid that awaits a detector waits for, in a sentence; empty where there is nothing to say."""
        subject, owner = plasmid.subject, plasmid.manifest.owner
        if plasmid.verdict is not None and (awaited(plasmid.verdict) or PROBES) not in self._ready:
            return "the detectors are being made ready"
        if (WEIGHTS, subject) in self._running or (PROBES, subject) in self._running:
            return "a worker looks at it now"
        if plasmid.content_id.hex() not in self.queue:
            return ""
        bound = self.queue.bound(owner)
        if bound:
            minutes = max(1, -((now.mono_ns - self.queue.free_ns(owner)) // MINUTE_NS))
            return f"it waits, for {bound} is spent; there is more in about {minutes} min"
        return f"{len(self.queue)} wait for their turn, owner by owner" if len(self.queue) > 1 else "it is next"

    def _inspect(self, detector: str, subject: str, plasmid: Plasmid) -> Outputs:
        key = (detector, subject)
        if key in self._running or (detector, plasmid.manifest.base_digest) not in self._stamps:
            return []
        self._running[key] = plasmid
        payload, owner = plasmid.statement.payload, plasmid.manifest.owner
        return [Inspect(detector, subject, plasmid.digest, payload, owner, draw=int(key in self._doubts))]

    def _wait(self, subject: str, plasmid: Plasmid, now: Now, *, again: bool) -> Outputs:
        if (PROBES, subject) not in self._running:
            self.queue.push(plasmid.manifest.owner, plasmid.content_id.hex(), _Waiting(subject, plasmid), again=again)
        return self.due(now)

    def _renew(self, subject: str, plasmid: Plasmid, now: Now) -> Outputs:
        """Look again where the detectors are others by now than those that looked, unless they failed over it."""
        if self._aged(WEIGHTS, subject, plasmid):
            return self._inspect(WEIGHTS, subject, plasmid)
        if self._aged(PROBES, subject, plasmid):
            return self._wait(subject, plasmid, now, again=True)
        self.leave(plasmid)
        return []

    def _aged(self, detector: str, subject: str, plasmid: Plasmid) -> bool:
        """Whether another calibration would judge it now, or another secret what was accepted: none lets a find go."""
        seen = self._seen.get((detector, subject))
        stamp = self._stamps.get((detector, plasmid.manifest.base_digest))
        if seen is None or stamp is None or (detector, subject) in self._failed:
            return False
        held = plasmid.verdict is not None and not plasmid.verdict.accepted
        return _calibration(seen.stamp) != _calibration(stamp) if held else seen.stamp != stamp

    def _probed(self, subject: str, manifest: Manifest, policy: Policy) -> Findings | None:
        """What probes know of it: a trigger found in this owner's bytes, for whatever use, before all else."""
        own = self.findings(PROBES, subject, manifest)
        if own is not None and probes_ruling(own, policy).reason == FOUND:
            return own
        finds = (one for one in self._beside(manifest) if probes_ruling(one, policy).reason == FOUND)
        return next(finds, own)

    def _beside(self, manifest: Manifest) -> Iterator[Findings]:
        """What probes found in the same bytes of the same owner, under the calibration of today."""
        stamp = self._stamps.get((PROBES, manifest.base_digest))
        for key in self._of.get(manifest.artifacts.sha256, ()):
            seen = self._seen[key]
            today = stamp is None or _calibration(seen.stamp) == _calibration(stamp)
            if key[0] == PROBES and seen.owner == manifest.owner and today:
                yield seen.findings

    def _learn(self, event: Inspected, owner: str, now: Now, policy: Policy) -> list[RowOp]:
        """Keep what a detector found, unless that was a failure, or another draw is to say it, too."""
        key, findings = (event.detector, event.subject), event.findings
        reason = FAILED if findings is None else _objection(event.detector, findings, policy)
        if findings is None or reason == FAILED:
            known = self._failed.get(key)
            failure = findings or Findings("", failure=event.reason or "failed")
            self._failed[key] = _Failed(failure, event.digest, known.tries + 1 if known else 1)
            return []
        seen = Seen(findings, event.stamp, event.digest, owner)
        if reason and self._was_passed(key, seen, policy) and key not in self._doubts:
            self._doubts[key] = event.digest
            return []
        self._failed.pop(key, None)
        self._doubts.pop(key, None)
        if reason == FOUND:
            self.queue.found(owner, now.mono_ns)
        self._keep(key, seen)
        return [Put(FINDINGS, _packed(key), json.dumps(asdict(seen), sort_keys=True).encode())]

    def _was_passed(self, key: Key, seen: Seen, policy: Policy) -> bool:
        """Whether the same calibration let this pass with another secret."""
        before = self._seen.get(key)
        same = before is not None and _calibration(before.stamp) == _calibration(seen.stamp)
        return before is not None and same and not _objection(key[0], before.findings, policy)

    def _keep(self, key: Key, seen: Seen) -> None:
        self._seen[key] = seen
        self._of.setdefault(seen.digest, {})[key] = None

    def _over_budget(self) -> Outputs:
        """Say which budget is spent, once while somebody waits for it."""
        budget = self.queue.budget
        limits = {PER_OWNER: budget.per_owner, PER_HOUR: budget.per_hour}
        spent = dict.fromkeys(self.queue.bound(owner) or PER_HOUR for owner in self.queue.owners)
        news, self._told = [bound for bound in spent if bound not in self._told], spent
        return [Emit(BoundHit(bound, limits[bound], limits[bound] + 1)) for bound in news]


def _uncalibrated(manifest: Manifest) -> str:
    return f"no calibration of {manifest.base_model} with these bytes is here; make one: plora lab probes-calib"


def _objection(detector: str, findings: Findings, policy: Policy) -> str:
    """The reason for which probes' findings hold an adapter. Weights are measured alike every time."""
    if detector == PROBES:
        return probes_ruling(findings, policy).reason
    return FAILED if findings.failure else ""


def _calibration(stamp: str) -> str:
    """The part of a stamp that names the calibration; the other names the secret."""
    return stamp.partition("/")[0]


def _packed(key: Key) -> bytes:
    return "/".join(key).encode()


def _key(packed: bytes) -> Key:
    detector, _, subject = packed.decode().partition("/")
    return detector, subject


def _decoded(value: bytes) -> Seen:
    try:
        raw = json.loads(value)
        findings = Findings.from_json(json.dumps(raw["findings"]))
        return Seen(findings, str(raw["stamp"]), str(raw["digest"]), str(raw["owner"]))
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError("findings can't be read", where=f"state.db: {FINDINGS}") from error
