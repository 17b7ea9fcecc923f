"""The core of one peer: gossip, transfer, desk and council composed into one pure state machine.

- `handle` takes one event and the time, and returns effects in the order in which they are to be carried out. It reads
  no clock, draws no global randomness, touches no file: equal inputs, equal outputs, on every machine.
- Notices go from part to part at once and in order; only effects leave.
- Every record of the log is an `Emit` of the core, also what the driver notes; statements that leave name theirs.
- Each part numbers its own transactions; `PeerCore` renumbers them, so that an answer finds the part that asked, and
  gives each its facts for the audit, so that no part can change what matters without an entry.
- A bound that is reached is remembered by its setting (`bounds`): people see it whatever became of the log.
- What the records say of the conduct of others is taken down (`reputations`), once for all parts.
- Timers find their part by the first word of their name: "desk:", "transfer:", "auditor:", anything else is gossip's.

Not handled here: carrying effects out (`plora.node.driver`, `plora.sim.swarm`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import get_args

from plora.gate import BaseFacts, Policy, Trust, decide
from plora.node.core.auditor import Auditor
from plora.node.core.bookkeeping import Tell, verdict_records
from plora.node.core.causes import Causes
from plora.node.core.config import CoreConfig
from plora.node.core.council import Council
from plora.node.core.desk import Desk
from plora.node.core.effects import Effect, Emit, Persist
from plora.node.core.events import (
    BlobFailed,
    BlobFinished,
    CallClosed,
    CallOpened,
    ChunkRefused,
    ChunkServed,
    ChunkStored,
    DetectorsChanged,
    DiskSpace,
    Event,
    Examined,
    FetchAsked,
    ForgiveAsked,
    Inspected,
    LinkClosed,
    LinkOpened,
    Merged,
    NeighboursChanged,
    Noted,
    Persisted,
    PersistFailed,
    PinAsked,
    PolicyChanged,
    Publish,
    Received,
    ReleaseAsked,
    RemoveAsked,
    RollbackAsked,
    RoomNeeded,
    SettingsChanged,
    Start,
    Stop,
    TimerDue,
    Tried,
)
from plora.node.core.judging import Judge
from plora.node.core.messages import BulkMessage
from plora.node.core.notices import (
    BytesFailed,
    BytesHeld,
    BytesOffered,
    BytesServable,
    BytesUnwanted,
    BytesWanted,
    BytesWithheld,
    ConductSeen,
    Judged,
    LinkLost,
    LinkReady,
    Notice,
    Outputs,
    PeerRead,
    SlotMoved,
    SourceFound,
    StatementAdded,
    StatementDropped,
)
from plora.node.core.now import Now
from plora.node.core.patience import Patience
from plora.node.core.reputations import TELLING, reputations_of, witness
from plora.node.core.streams import Streams
from plora.node.core.throttle import PER_SPAN, Throttle
from plora.node.gossip.core import Gossip
from plora.node.gossip.rows import RowOf, statement_row
from plora.node.gossip.seen import Verify
from plora.node.store.snapshot import Snapshot
from plora.node.transfer.core import Transfer
from plora.proto.records import BoundHit, Penalty
from plora.proto.statement import verify_statement

GOSSIP, TRANSFER, DESK, COUNCIL, AUDITOR = "gossip", "transfer", "desk", "council", "auditor"

_BULK = frozenset(get_args(BulkMessage))
_NOTICES = frozenset(get_args(Notice))
_ORDERS = frozenset((BytesWanted, BytesUnwanted, BytesOffered, BytesServable, BytesWithheld))
_WATCHED = frozenset((LinkClosed, TimerDue, Penalty, *TELLING, *PER_SPAN))
"""The events and records upon which something is counted or taken down; most events have none of them."""

_LISTENERS: Mapping[type, tuple[str, ...]] = {
    Start: (GOSSIP, TRANSFER, COUNCIL, DESK, AUDITOR),
    Stop: (DESK, TRANSFER, GOSSIP),
    ChunkStored: (TRANSFER,),
    ChunkRefused: (TRANSFER,),
    ChunkServed: (TRANSFER,),
    BlobFinished: (TRANSFER,),
    BlobFailed: (TRANSFER,),
    Examined: (DESK,),
    Inspected: (DESK,),
    DetectorsChanged: (DESK,),
    Merged: (DESK,),
    Tried: (DESK,),
    FetchAsked: (DESK,),
    RollbackAsked: (DESK,),
    PinAsked: (DESK,),
    RemoveAsked: (DESK,),
    ReleaseAsked: (DESK,),
    ForgiveAsked: (GOSSIP, DESK),
    RoomNeeded: (DESK,),
    DiskSpace: (TRANSFER, DESK),
    LinkOpened: (TRANSFER, GOSSIP),
    LinkClosed: (GOSSIP, TRANSFER),
    CallOpened: (TRANSFER,),
    CallClosed: (TRANSFER,),
    NeighboursChanged: (TRANSFER, GOSSIP),
    PolicyChanged: (GOSSIP, DESK, AUDITOR),
    SettingsChanged: (TRANSFER, GOSSIP, DESK),
    Publish: (TRANSFER, DESK, GOSSIP),
    StatementAdded: (COUNCIL, DESK),
    StatementDropped: (COUNCIL, DESK),
    Judged: (COUNCIL,),
    PeerRead: (COUNCIL,),
    SlotMoved: (DESK,),
    SourceFound: (DESK,),
    ConductSeen: (DESK,),
    BytesHeld: (DESK,),
    BytesFailed: (DESK,),
    LinkReady: (TRANSFER, DESK),
    LinkLost: (TRANSFER, DESK),
}
"""Who hears what. Events that are not here are gossip's."""


@dataclass(frozen=True, slots=True)
class BoundReached:
    """A bound that was reached since the start: its setting, the newest record's numbers, when, and how often."""

    setting: str
    limit: int
    value: int
    wall_ms: int
    count: int


class PeerCore:
    """One peer. `bases` are the base models at hand, by name; without them the gate checks less of the base.

    `verify` checks the signatures of what gossip takes in, `judge` is the gate, `row` makes the row of a statement,
    `tell` the records of a verdict: a simulator gives all peers one memo of each.
    """

    def __init__(
        self,
        config: CoreConfig,
        policy: Policy,
        trust: Trust,
        snapshot: Snapshot,
        bases: Mapping[str, BaseFacts] | None = None,
        verify: Verify = verify_statement,
        judge: Judge = decide,
        row: RowOf = statement_row,
        tell: Tell = verdict_records,
    ) -> None:
        self.config = config
        streams = Streams(config.seed, config.peer)
        self.reputations = reputations_of(config, snapshot)
        self.gossip = Gossip(config, snapshot, streams, trust.heard, verify, self.reputations, row)
        self.transfer = Transfer(config, snapshot, self.reputations)
        self.council = Council(config, snapshot, self.gossip.live)
        self.desk = Desk(
            config, policy, trust, snapshot, self.gossip.live, bases, self.council.case, self.reputations, judge, tell
        )
        self.auditor = Auditor(snapshot, self.desk.rules)
        self._handlers: Mapping[str, Callable[[Event | Notice, Now], Outputs]] = {
            GOSSIP: self.gossip.handle,
            TRANSFER: self.transfer.handle,
            DESK: self.desk.handle,
            COUNCIL: self.council.handle,
            AUDITOR: self.auditor.handle,
        }
        self._token = 0
        self._asked: dict[int, tuple[str, int]] = {}
        self._causes = Causes(config.peer, config.boot)
        self._patience = Patience(self._shun_ms)
        self._throttle = Throttle()
        self.bounds: dict[str, BoundReached] = {}
        self._dropped: list[bytes] = []

    @property
    def live_count(self) -> int:
        """How many statements are live today."""
        return len(self.gossip.seen.view(self.gossip.seen.day))

    @property
    def live_root(self) -> bytes:
        """The fingerprint of today's live set: equal roots, equal sets."""
        return self.gossip.seen.view(self.gossip.seen.day).root()

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """The effects of one event. What raises an exception has emitted nothing."""
        effects = self._effects(event, now)
        kinds = {type(effect.body) for effect in effects if isinstance(effect, Emit)}
        if type(event) in _WATCHED or not _WATCHED.isdisjoint(kinds):
            effects = self._watched(event, effects, now)
        numbered = self._causes.number(effects)
        if self._dropped:
            self._causes.forget(self._dropped)
            self._dropped.clear()
        return numbered

    def _watched(self, event: Event, effects: list[Effect], now: Now) -> list[Effect]:
        """The effects, after those who count and take down have seen them."""
        patient = self._patience.watch(event, effects, now)
        bounded = self._throttle.watch(event, [*patient, *self._take_down(patient, now)], now)
        self._note_bounds(bounded, now)
        return bounded

    def _shun_ms(self, peer: str, now: Now) -> int:
        return self.reputations.shun_ms(peer, self.config.redial_ms_max, now.wall_ms)

    def _take_down(self, effects: list[Effect], now: Now) -> list[Effect]:
        """What the records of this event say of others: it is judged and written at once."""
        out: list[Effect] = []
        lag_ms = self.gossip.links.lag_ms
        seen = [
            witness(self.reputations, effect.body, self.desk.book.owner_of, now, lag_ms)
            for effect in effects
            if isinstance(effect, Emit)
        ]
        if any(seen):
            self._tell(DESK, ConductSeen(), now, out)
        return out

    def _note_bounds(self, effects: list[Effect], now: Now) -> None:
        for effect in effects:
            if isinstance(effect, Emit) and isinstance(effect.body, BoundHit):
                hit = effect.body
                before = self.bounds.get(hit.setting)
                count = before.count + 1 if before else 1
                self.bounds[hit.setting] = BoundReached(hit.setting, hit.limit, hit.value, now.wall_ms, count)

    def _effects(self, event: Event, now: Now) -> list[Effect]:
        if isinstance(event, Noted):
            return [Emit(event.body)]
        effects: list[Effect] = []
        if isinstance(event, (Persisted, PersistFailed)):
            effects += self.auditor.moved(event)
            asked = self._asked.pop(event.token, None)
            if asked is not None:
                part, token = asked
                self._tell(part, _renumbered(event, token), now, effects)
            return effects
        for part in self._listeners(event):
            self._tell(part, event, now, effects)
        return effects

    def _listeners(self, event: Event | Notice) -> tuple[str, ...]:
        if isinstance(event, TimerDue):
            part = event.timer.partition(":")[0]
            return (part if part in (DESK, TRANSFER, AUDITOR) else GOSSIP,)
        if isinstance(event, Received):
            return (TRANSFER,) if type(event.message) in _BULK else (GOSSIP,)
        return _LISTENERS.get(type(event), (GOSSIP,))

    def _tell(self, part: str, event: Event | Notice, now: Now, effects: list[Effect]) -> None:
        self._take(part, self._handlers[part](event, now), now, effects)

    def _take(self, part: str, outputs: Outputs, now: Now, effects: list[Effect]) -> None:
        for output in outputs:
            kind = type(output)
            if kind in _ORDERS:
                self._take(TRANSFER, self._order(output, now), now, effects)
            elif kind in _NOTICES:
                self._notify(output, now, effects)  # type: ignore[arg-type]
            elif isinstance(output, Persist):
                effects.append(self._audited(part, output, now))
            else:
                effects.append(output)  # type: ignore[arg-type]

    def _notify(self, notice: Notice, now: Now, effects: list[Effect]) -> None:
        if isinstance(notice, StatementDropped):
            self._dropped.append(notice.statement.id)
        for listener in self._listeners(notice):
            self._tell(listener, notice, now, effects)

    def _order(self, order: Effect | Notice, now: Now) -> Outputs:
        """Have transfer do what the desk decided."""
        match order:
            case BytesWanted(artifact):
                return self.transfer.want(artifact, now)
            case BytesUnwanted(digest):
                return self.transfer.unwant(digest, now)
            case BytesOffered(peer, digest):
                return self.transfer.add_source(peer, digest, now)
            case BytesServable(digest, size_bytes, chunk_bytes):
                self.transfer.serve(digest, size_bytes, chunk_bytes)
            case BytesWithheld(digest):
                return self.transfer.unserve(digest)
        return []

    def _audited(self, part: str, persist: Persist, now: Now) -> Persist:
        """A part's transaction with a number of this core's and its facts."""
        self._token += 1
        self._asked[self._token] = (part, persist.token)
        return Persist(self._token, persist.rows, self.auditor.facts(persist.rows, now))


def _renumbered(answer: Persisted | PersistFailed, token: int) -> Persisted | PersistFailed:
    """The answer to a transaction, with the number that the part knows it by."""
    if isinstance(answer, PersistFailed):
        return PersistFailed(token, answer.reason)
    return Persisted(token, answer.audit_seq, answer.audit_head)
