"""What this peer knows of the conduct of others: one reputation for each peer and each owner, kept on disk. Pure.

- Evidence is first-hand. Good: bytes of a peer that proved right, and the first acceptance of a content, for its owner
  and for the peer that brought its manifest. Faults: a peer's penalties on its own link; an owner's content whose bytes
  or manifest break the rules by themselves, two contents signed as one version, an adapter for which a merge was rolled
  back. Nothing that anybody says of others is evidence, nor what a publisher says of their own adapter.
- `DELIBERATE_FAULTS` are those that no defect explains; the others are slips. What a peer is late with counts for
  nothing while this peer's own loop is late (`LATE_FAULTS`).
- A change is written in the transaction of what caused it (`take`), or in the next one where it could not be written.
- At most `limit` are kept, and trusted owners beside them. Who gives way is who weighs least; a fault weighs more than
  credit, so that nobody is washed clean by a crowd of newcomers.
- `draw` is how reputation decides between peers: each with influence has a lot of their own, all newcomers together
  have one, and offenders are drawn when nobody else is left.
- Not handled here: what a low score leads to for owners (the gate's stage), when a link is cut (`patience`), whether an
  address leads to somebody (`acquaintances`).

| table | key | value |
|---|---|---|
| `reputations` | id of a peer or an owner | kind, weights, their time, the newest fault, as JSON |

>>> book = Reputations((), limit=10)
>>> book.fault(PEER, "ab" * 32, "bad_signature", now_ms=0)
>>> round(book.of("ab" * 32, now_ms=0).score, 3), len(book.take())
(0.167, 2)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from plora.gate import Verdict
from plora.gate.reputation import DELIBERATE, NEWCOMER, SLIP, Reputation
from plora.node.core.config import CoreConfig
from plora.node.core.effects import Emit
from plora.node.core.now import Now
from plora.node.core.patience import AT_ONCE
from plora.node.core.plasmid import Plasmid
from plora.node.store.disk import Delete, Put, RowOp
from plora.node.store.snapshot import Snapshot
from plora.proto.errors import StoreError
from plora.proto.records import Body, BoundHit, EvidenceFound, FetchDone, MergeProbed, Penalty
from plora.proto.records import Reputation as ReputationRecord

REPUTATIONS = "reputations"
PEER, OWNER = "peer", "owner"
HALF_LIFE_MS = 7 * 86_400_000
DELIBERATE_FAULTS = frozenset({*AT_ONCE, "bad_signature", "two_contents", "rolled_back"})
LATE_FAULTS = frozenset({"stalled"})
LAG_MS_MAX = 250
SHUN_DOUBLINGS = 7
TELLING = (Penalty, FetchDone, EvidenceFound, MergeProbed)
"""The records that may say something of somebody's conduct: see `witness`."""
GIVES_WAY = 8
"""A full book lets go of one in so many at once."""

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Known:
    """One entry: whose, of which kind, and what is known."""

    subject: str
    kind: str
    reputation: Reputation


class Reputations:
    """The book. `half_life_ms` may be changed at any time; what was earned is looked at anew."""

    def __init__(self, rows: Iterable[tuple[bytes, bytes]], limit: int, half_life_ms: int = HALF_LIFE_MS) -> None:
        self.half_life_ms = half_life_ms
        self._limit = limit
        self._known = {key.hex(): read_reputation(key, value) for key, value in rows}
        self._trusted: frozenset[str] = frozenset()
        self._unsettled: dict[str, None] = {}
        self._changed: dict[str, None] = {}
        self._told: list[Emit] = []

    def __len__(self) -> int:
        return len(self._known)

    def of(self, subject: str, now_ms: int) -> Reputation:
        """What is left now of what is known of a peer or an owner."""
        known = self._known.get(subject)
        return known.reputation.at(now_ms, half_life_ms=self.half_life_ms) if known else NEWCOMER

    def kind(self, subject: str) -> str:
        """Whether it is a peer or an owner; empty where nothing is known."""
        known = self._known.get(subject)
        return known.kind if known else ""

    def known(self, now_ms: int) -> list[Known]:
        """Everybody of whom something is known, the worst first."""
        found = (Known(name, one.kind, self.of(name, now_ms)) for name, one in self._known.items())
        return sorted(
            (one for one in found if not one.reputation.blank), key=lambda one: (one.reputation.score, one.subject)
        )

    def trust(self, owners: Iterable[str]) -> None:
        """Take over whom this peer trusts: they are never let go of."""
        self._trusted = frozenset(owners)

    def credit(self, kind: str, subject: str, reason: str, now_ms: int) -> None:
        """Something good was seen of somebody."""
        self._put(kind, subject, self._of(subject).earned(1.0, now_ms, half_life_ms=self.half_life_ms), reason)

    def fault(
        self, kind: str, subject: str, reason: str, now_ms: int, *, weight: float = SLIP, lag_ms: int = 0
    ) -> None:
        """A fault of somebody was seen, while this peer's own loop was late by `lag_ms`. `weight`: that of a slip."""
        if reason in LATE_FAULTS and lag_ms > LAG_MS_MAX:
            return
        weight = DELIBERATE if reason in DELIBERATE_FAULTS else weight
        faulted = self._of(subject).faulted(weight, reason, now_ms, half_life_ms=self.half_life_ms)
        self._put(kind, subject, faulted, reason)

    def shun_ms(self, peer: str, shun_ms: int, now_ms: int) -> int:
        """For how long to keep an offender out: `shun_ms`, doubled with each fault that is held against it by now."""
        return shun_ms << min(int(self.of(peer, now_ms).bad), SHUN_DOUBLINGS)

    def forgive(self, subject: str) -> None:
        """A person lets somebody begin again: they are a newcomer."""
        known = self._known.get(subject)
        if known is not None:
            self._put(known.kind, subject, NEWCOMER, "forgiven")
            del self._known[subject]

    def again(self, subjects: Iterable[str]) -> None:
        """What was to be written of these could not be: it goes into the next transaction."""
        self._changed.update(dict.fromkeys(subjects))

    def unsettled(self) -> list[str]:
        """The owners whose score changed since the last call: what they signed is to be judged again."""
        if not self._unsettled:
            return []
        unsettled, self._unsettled = list(self._unsettled), {}
        return unsettled

    def take(self) -> tuple[list[RowOp], list[Emit]]:
        """The rows to write of what changed since the last call, and the records that tell of it."""
        if not (self._changed or self._told):
            return [], []
        rows = [self._row(subject) for subject in self._changed]
        told, self._told, self._changed = self._told, [], {}
        return rows, told

    def draw(self, draws: Random, items: Sequence[_Item], name: Callable[[_Item], str], now_ms: int) -> _Item:
        """One of at least one item, by the reputations of the peers that `name` says they stand for."""
        scored = [(item, self.of(name(item), now_ms)) for item in items]
        lots = [[item] for item, one in scored if one.influence]
        newcomers = [item for item, one in scored if one.blank]
        lots += [newcomers] if newcomers else []
        return draws.choice(draws.choice(lots)) if lots else draws.choice(items)

    def pick(
        self, draws: Random, items: Sequence[_Item], name: Callable[[_Item], str], now_ms: int, count: int
    ) -> list[_Item]:
        """So many of them, each once, drawn one after the other."""
        left = list(items)
        picked: list[_Item] = []
        while left and len(picked) < count:
            picked.append(self.draw(draws, left, name, now_ms))
            left.remove(picked[-1])
        return picked

    def _of(self, subject: str) -> Reputation:
        known = self._known.get(subject)
        return known.reputation if known else NEWCOMER

    def _put(self, kind: str, subject: str, reputation: Reputation, reason: str) -> None:
        self._known[subject] = Known(subject, kind, reputation)
        self._changed[subject] = None
        if kind == OWNER:
            self._unsettled[subject] = None
        alpha, beta = round(1 + reputation.good, 4), round(1 + reputation.bad, 4)
        self._told.append(Emit(ReputationRecord(subject, alpha, beta, kind, reason)))
        if len(self._known) > self._limit + len(self._trusted):
            self._give_way(subject)

    def _give_way(self, newest: str) -> None:
        now_ms = self._known[newest].reputation.at_ms
        kept = self._trusted | {newest}
        others = [name for name in self._known if name not in kept]
        others.sort(key=lambda name: _worth(self.of(name, now_ms)))
        for name in others[: 1 + len(others) // GIVES_WAY]:
            del self._known[name]
            self._changed[name] = None
        self._told.append(Emit(BoundHit("reputations", self._limit, self._limit + 1)))

    def _row(self, subject: str) -> RowOp:
        known = self._known.get(subject)
        return reputation_row(known) if known else Delete(REPUTATIONS, bytes.fromhex(subject))


def witness(book: Reputations, body: Body, owner_of: Callable[[str], str], now: Now, lag_ms: int) -> bool:
    """Take down what a record says of somebody's conduct; whether it says anything.

    `owner_of` gives the owner of a content, both as hex; empty where it isn't known. `lag_ms`: how late this peer is.
    """
    match body:
        case Penalty(subject=peer, reason=reason, weight=weight):
            book.fault(PEER, _peer_of(peer), reason, now.wall_ms, weight=weight, lag_ms=lag_ms)
        case FetchDone(sources=sources) if sources:
            for peer in sources:
                book.credit(PEER, peer, "gave_bytes", now.wall_ms)
        case EvidenceFound(offence="two_contents", accused=owner) if owner:
            book.fault(OWNER, owner, "two_contents", now.wall_ms)
        case MergeProbed(culprits=culprits) if owner := _only({owner_of(one) for one in culprits}):
            book.fault(OWNER, owner, "rolled_back", now.wall_ms)
        case _:
            return False
    return True


def _only(owners: set[str]) -> str:
    """The owner of all culprits; empty where they are of several: what two do together proves neither's intention."""
    return owners.pop() if len(owners) == 1 else ""


def witness_verdict(book: Reputations, plasmid: Plasmid, verdict: Verdict, now: Now) -> None:
    """Take down what a verdict says of the owner and of who brought the manifest: each content counts once."""
    if verdict.accepted and plasmid.accepted_ms is None:
        if not plasmid.own:
            book.credit(OWNER, plasmid.manifest.owner, "accepted", now.wall_ms)
        if plasmid.via:
            book.credit(PEER, plasmid.via, "accepted", now.wall_ms)
    if verdict.bytes_only and not (plasmid.blamed or plasmid.own):
        plasmid.blamed = True
        book.fault(OWNER, plasmid.manifest.owner, verdict.reason, now.wall_ms)


def reputations_of(config: CoreConfig, snapshot: Snapshot, shared: Reputations | None = None) -> Reputations:
    """The book that the parts of a peer share, else one that a part keeps alone."""
    return Reputations(snapshot.rows(REPUTATIONS), config.bounds.reputations) if shared is None else shared


def _peer_of(subject: str) -> str:
    """The peer behind a one-way call, which is named `fetch:PEER:NUMBER`; else the subject itself."""
    return subject.split(":")[1] if ":" in subject else subject


def _worth(reputation: Reputation) -> tuple[float, float]:
    return (reputation.bad + reputation.good, reputation.bad)


def reputation_row(known: Known) -> Put:
    """The row of a reputation."""
    one = known.reputation
    fields = {"good": one.good, "bad": one.bad, "at_ms": one.at_ms, "fault": one.fault, "fault_ms": one.fault_ms}
    value = json.dumps({"kind": known.kind, **fields}, sort_keys=True, separators=(",", ":"))
    return Put(REPUTATIONS, bytes.fromhex(known.subject), value.encode())


def read_reputation(key: bytes, value: bytes) -> Known:
    """Read a row of `reputations`; `StoreError` when it is not what `reputation_row` writes."""
    try:
        fields: dict[str, Any] = json.loads(value)
        return Known(key.hex(), str(fields.pop("kind")), Reputation(**fields))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError("a reputation can't be read", where=f"state.db: {REPUTATIONS}") from error
