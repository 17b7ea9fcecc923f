"""A plasmid as one peer knows it: the signed manifest, what was decided about it, and what became of it here.

`verdict` is the newest decision, `noted` its form in the newest row that was written or is being written: a decision
that looks the same is not written twice, and one that could not be written is written again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from plora.gate import Outcome, Verdict
from plora.node.core.rows import VerdictRow
from plora.node.transfer.artifact import Artifact
from plora.proto.fields import parse_timestamp
from plora.proto.manifest import Manifest
from plora.proto.records import BoundHit
from plora.proto.statement import Statement

CLOCK_BEHIND = "clock_behind"
CLOCK_LOOK_MS = 10_000

Look = tuple[str, str, str, bool, bool]


def look_of(verdict: Verdict) -> Look:
    """What of a verdict is worth a row and a record when it changes; evidence alone is not."""
    return (verdict.outcome.value, verdict.stage, verdict.reason, verdict.servable, verdict.wants_bytes)


def subject_of(manifest: Manifest) -> str:
    """What a detector looks at, as 64 hex digits: equal for whoever signs the same bytes for the same use."""
    lora = manifest.lora.model_dump(mode="json")
    seen = (manifest.artifacts.sha256, manifest.base_digest, manifest.domain, lora)
    return hashlib.sha256(json.dumps(seen, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _artifact_of(manifest: Manifest) -> Artifact:
    block = manifest.artifacts
    root = bytes.fromhex(block.chunk_root)
    return Artifact(block.sha256, block.size_bytes, block.chunk_bytes, block.chunk_count, root)


class Called(NamedTuple):
    """What a name may mean: content id and artifact digest in hex, the owner's id, the own name, the version."""

    content_id: str
    digest: str
    owner: str
    plasmid_id: str
    version: int


@dataclass(slots=True)
class Plasmid:
    """One live manifest. Times are milliseconds since 1970 by the local clock.

    `usable`: accepted durably, and the bytes are held. `name`: the folder under adapters/ while it is exposed.
    `trouble`: why the bytes are not here although they are wanted; `bound`: the limit that leaves them no room.
    `gone`: why it left the live set. `blamed`: it counts against its owner's reputation, once and for all. `subject`:
    what detectors look at, and `artifact`, what it takes to fetch the bytes, are held because each verdict asks for
    them.
    """

    statement: Statement
    manifest: Manifest
    via: str | None
    hops: int
    seen_ms: int
    verdict: Verdict | None = None
    noted: Look | None = None
    accepted_ms: int | None = None
    asked: bool = False
    usable: bool = False
    name: str = ""
    trouble: str = ""
    bound: BoundHit | None = None
    gone: str = ""
    blamed: bool = False
    alarm_ms: int = 0
    subject: str = field(init=False)
    artifact: Artifact = field(init=False)

    def __post_init__(self) -> None:
        self.subject = subject_of(self.manifest)
        self.artifact = _artifact_of(self.manifest)

    @property
    def content_id(self) -> bytes:
        """The manifest's statement id."""
        return self.statement.id

    @property
    def called(self) -> Called:
        """What names may lead to it."""
        manifest = self.manifest
        return Called(self.content_id.hex(), self.digest, manifest.owner, manifest.plasmid_id, manifest.version)

    @property
    def digest(self) -> str:
        """SHA-256 of the artifact, in hex."""
        return self.manifest.artifacts.sha256

    @property
    def arrival(self) -> tuple[int, bytes]:
        """By what the first accepted of several is told."""
        return self.accepted_ms or 0, self.content_id

    @property
    def own(self) -> bool:
        """Whether it was published here."""
        return self.via is None

    @property
    def accepted(self) -> bool:
        """Whether the newest verdict is ACCEPT."""
        return self.verdict is not None and self.verdict.accepted

    @property
    def servable(self) -> bool:
        """Whether its bytes, once held, may be given to others."""
        return self.verdict is not None and (self.verdict.accepted or self.verdict.servable)

    @property
    def row(self) -> VerdictRow:
        """What is kept of it; only a plasmid with a verdict has a row."""
        if self.verdict is None:
            raise ValueError("no verdict yet")
        return VerdictRow(
            verdict=self.verdict,
            seen_ms=self.seen_ms,
            accepted_ms=self.accepted_ms,
            asked=self.asked,
            usable=self.usable,
            via=self.via,
            hops=self.hops,
            name=self.name,
            blamed=self.blamed,
        )

    def recall(self, row: VerdictRow, *, recorded: bool) -> None:
        """Take up what was kept before a restart. A verdict that wasn't `recorded` is to be granted anew."""
        self.verdict = row.verdict
        self.seen_ms, self.accepted_ms = row.seen_ms, row.accepted_ms
        self.via, self.hops, self.asked, self.blamed = row.via, row.hops, row.asked, row.blamed
        if recorded:
            self.noted, self.usable, self.name = look_of(row.verdict), row.usable, row.name

    def next_alarm_ms(self, now_ms: int, certificate_wait_ms: int) -> int:
        """When time alone may change the verdict; 0 for never.

        At its issue, when a certificate that it awaits is overdue, and at its expiry. Where the local clock is known
        to be wrong, soon: somebody may set it.
        """
        if self.verdict is not None and self.verdict.reason == CLOCK_BEHIND:
            return now_ms + CLOCK_LOOK_MS
        waits = self.verdict is not None and self.verdict.reason == "awaiting_certificate"
        overdue_ms = self.seen_ms + certificate_wait_ms if waits else 0
        moments = (
            parse_timestamp(self.manifest.issued) * 1000,
            overdue_ms,
            parse_timestamp(self.manifest.expires) * 1000,
        )
        return min((at_ms for at_ms in moments if at_ms > now_ms), default=0)


@dataclass(frozen=True, slots=True)
class Departed:
    """What is kept of a plasmid that left: a tenth of it, without verdict and opened manifest."""

    called: Called
    statement: Statement
    via: str | None
    hops: int
    seen_ms: int
    accepted_ms: int | None
    gone: str

    @classmethod
    def of(cls, plasmid: Plasmid) -> Departed:
        """Of one that is about to leave."""
        bare = replace(plasmid.statement)  # what was opened of it goes with the other
        kept = (plasmid.via, plasmid.hops, plasmid.seen_ms, plasmid.accepted_ms, plasmid.gone)
        return cls(plasmid.called, bare, *kept)

    @property
    def plasmid(self) -> Plasmid:
        """As far as it is still known."""
        manifest = Manifest.from_bytes(self.statement.payload)
        made = Plasmid(self.statement, manifest, self.via, self.hops, self.seen_ms)
        made.accepted_ms, made.gone = self.accepted_ms, self.gone
        return made


class Book:
    """The live plasmids, by content id and by artifact, and the newest `gone_max` of those that left."""

    def __init__(self, gone_max: int = 1024) -> None:
        self.live: dict[bytes, Plasmid] = {}
        self.gone: dict[bytes, Departed] = {}
        self._by_digest: dict[str, dict[bytes, Plasmid]] = {}
        self._gone_max = gone_max

    def add(self, plasmid: Plasmid) -> None:
        """A manifest became live."""
        self.gone.pop(plasmid.content_id, None)
        self.live[plasmid.content_id] = plasmid
        self._by_digest.setdefault(plasmid.digest, {})[plasmid.content_id] = plasmid

    def drop(self, content_id: bytes, reason: str) -> Plasmid | None:
        """A manifest left the live set; it stays known for a while, so that `why` can say what became of it."""
        plasmid = self.live.pop(content_id, None)
        if plasmid is None:
            return None
        plasmid.gone = reason
        twins = self._by_digest[plasmid.digest]
        del twins[content_id]
        if not twins:
            del self._by_digest[plasmid.digest]
        self.gone[content_id] = Departed.of(plasmid)
        while len(self.gone) > self._gone_max:
            del self.gone[next(iter(self.gone))]
        return plasmid

    def deferred(self, *, everything: bool) -> list[bytes]:
        """Content ids of what waits for its time; with `everything`, of all that waits."""
        waiting = (Outcome.PENDING, Outcome.DEFER) if everything else (Outcome.DEFER,)
        return [key for key, one in self.live.items() if one.verdict and one.verdict.outcome in waiting]

    def bases(self) -> list[str]:
        """The base models of what is in use."""
        return [plasmid.manifest.base_model for plasmid in self.live.values() if plasmid.usable]

    def owner_of(self, content_id: str) -> str:
        """Id of the owner of a live content in hex; empty where it isn't live."""
        plasmid = self.live.get(bytes.fromhex(content_id))
        return plasmid.manifest.owner if plasmid else ""

    def of_digest(self, digest: str) -> list[Plasmid]:
        """The live plasmids that name an artifact."""
        return list(self._by_digest.get(digest, {}).values())

    def first_of_bytes(self, plasmid: Plasmid) -> Plasmid:
        """The plasmid that counts in a merge for these bytes: of those in use for one base the first accepted."""
        base = plasmid.manifest.base_model
        twins = [one for one in self.of_digest(plasmid.digest) if one.usable and one.manifest.base_model == base]
        return min(twins, key=lambda one: one.arrival, default=plasmid)
