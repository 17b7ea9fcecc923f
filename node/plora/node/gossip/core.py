"""Gossip: push-pull anti-entropy between neighbours, a pure state machine.

Rules (PROTOCOL "What gossips"):

- Every `round_ms`, at a phase of its own, a peer draws `fanout` ready neighbours by what they earned here, uniformly
  while nobody has earned anything, and reconciles with each, both ways. Equal sets cost two tiny frames; the
  heartbeat's root is no reason to skip, for it may be a beat old.
- What a reconciliation finds missing is asked for by IWant and comes by Have. A statement is verified, persisted, and
  counts only when `Persisted` has come; then `StatementAdded` tells the other parts.
- With `eager_fanout` fresh statements are pushed to that many more neighbours at once. Freshness statements stand
  outside of the set and are pushed to everybody.
- An orphan's missing owner record (or target) is asked for once a round, with the orphan; else it waits for a later
  round. Freshness by a key that stands in no known record of its owner is asked for again when another record comes.
- A forged or malformed statement costs its *sender* the link: relayers verify.
- So does reconciling more than anybody needs: answering ranges takes time. What comes over `RANGES_ANSWERED_MAX` ahead
  of its time is left to a later round; `RANGES_OWED_MAX` is far more than the first meeting of two full peers brings.
- At `Start` nothing is announced: `live` gives what was taken up from the snapshot.

Not handled here: bytes (`plora.node.transfer`), verdicts (`plora.node.core.desk`), which announces what is servable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from plora.gate.consensus import FAULTS, OTHER_EPOCH
from plora.node.core.config import CoreConfig
from plora.node.core.effects import CancelTimer, Emit, Persist, Send, SetTimer
from plora.node.core.events import (
    DialBackAsked,
    DialFailed,
    Event,
    ForgiveAsked,
    LinkClosed,
    LinkOpened,
    LoopLag,
    Misbehaved,
    NeighboursChanged,
    Persisted,
    PersistFailed,
    PolicyChanged,
    Probed,
    Publish,
    Received,
    SettingsChanged,
    Start,
    Stop,
    TimerDue,
    WordSigned,
)
from plora.node.core.messages import (
    Carried,
    Cause,
    DialBack,
    DialedBack,
    DialTry,
    Goodbye,
    Have,
    Heartbeat,
    Hello,
    IHave,
    IWant,
    Peers,
    Push,
    Reconcile,
    Welcome,
)
from plora.node.core.notices import (
    LinkLost,
    LinkReady,
    Notice,
    Outputs,
    PeerRead,
    SourceFound,
    StatementAdded,
    StatementDropped,
)
from plora.node.core.now import Now
from plora.node.core.reputations import Reputations, reputations_of
from plora.node.core.streams import Streams
from plora.node.gossip import parcels
from plora.node.gossip.dial_backs import DialBacks
from plora.node.gossip.entries import Entry, entry_of
from plora.node.gossip.exchange import FEELER, Exchange
from plora.node.gossip.link import Link
from plora.node.gossip.links import BEAT_TIMER, DIAL_TIMER, Links
from plora.node.gossip.reconcile import BRANCH, open_ranges, respond
from plora.node.gossip.rows import HOPS_MAX, STATEMENTS, RowOf, decode_statement, forget_statement, statement_row
from plora.node.gossip.seen import Dropped, Entrance, SeenSet, Verify
from plora.node.gossip.sessions import Session, Sessions
from plora.node.gossip.strays import Strays
from plora.node.gossip.wants import Wants
from plora.node.store.disk import Delete, RowOp
from plora.node.store.snapshot import Snapshot
from plora.proto.errors import FormatError, ProtocolError, StoreError
from plora.proto.host_port import join
from plora.proto.manifest import Manifest
from plora.proto.records import (
    BoundHit,
    ConsensusAlarm,
    Duplicate,
    ErrorMet,
    EvidenceFound,
    Expired,
    Published,
    Repair,
    Round,
    StatementSeen,
    Superseded,
)
from plora.proto.records import Reconcile as Reconciled
from plora.proto.statement import Statement, verify_statement

ROUND_TIMER = "gossip:round"
EXCHANGE_TIMER = "gossip:exchange"
STAGED_MAX = 4096
READ_ITEMS_MAX = 128
"""Sets that differ by more may not have been compared whole in one reconciliation."""
RANGES_ANSWERED_MAX, RANGES_OWED_MAX = 8192, 32_768
PATIENCE_ROUNDS = 2

_BOUNDS = ("statements_per_owner", "untrusted_owners")


@dataclass(frozen=True, slots=True)
class _Arrival:
    """An admitted entry on its way to the disk: from whom (None: a person here) and how it came."""

    entry: Entry
    peer: str | None
    how: str
    cause: Cause | None = None


class Gossip:
    """The gossip of one peer. `trusted` are ids of trusted owners; `verify` and `row` may be memos that peers share."""

    def __init__(
        self,
        config: CoreConfig,
        snapshot: Snapshot,
        streams: Streams,
        trusted: Iterable[str] = (),
        verify: Verify = verify_statement,
        reputations: Reputations | None = None,
        row: RowOf = statement_row,
    ) -> None:
        self.round_number = 0
        self._row = row
        self._reputations = reputations_of(config, snapshot, reputations)
        self.seen = SeenSet(config.swarm, config.bounds, trusted, verify, config.members)
        self.exchange = Exchange(config, streams.stream("gossip:exchange"), snapshot)
        self.links = Links(config, streams.stream("gossip:links"), self._beat_of, self.exchange, self._reputations)
        self.dial_backs = DialBacks(streams.stream("gossip:dial-backs"))
        self.refusals: dict[bytes, str] = {}
        """Why statements of the newest `Publish` were refused, by id."""
        self.diverged: dict[str, None] = {}
        """Names of members who vote under another configuration."""
        self._config = config
        self._rng: Random = streams.stream("gossip:rounds")
        self._push_rng: Random = streams.stream("gossip:push")
        self._sessions = Sessions(config.peer, streams.stream("gossip:sessions"))
        self._wants = Wants(PATIENCE_ROUNDS * config.round_ms * 1_000_000, config.bounds.announced_per_link)
        self._arrivals: dict[int, list[_Arrival]] = {}
        self._token = 0
        self._round_due_ns = 0
        self._chased: dict[bytes, None] = {}
        self._strays = Strays()
        self._told: dict[str, None] = {}
        self._unreadable, self._foreign = self._load(snapshot)

    def live(self) -> tuple[Statement, ...]:
        """The statements kept now, owner records first."""
        return tuple(entry.statement for entry in self.seen.entries())

    def handle(self, event: Event | Notice, now: Now) -> Outputs:
        """What one event leads to."""
        out: Outputs = self._turn(now) if now.epoch_day != self.seen.day else []
        match event:
            case Start():
                out += self._start(now)
            case Stop():
                out += [CancelTimer(ROUND_TIMER), CancelTimer(EXCHANGE_TIMER), *self.links.stop(now)]
            case TimerDue(timer):
                out += self._timer(timer, now)
            case Received(peer, message):
                out += self._received(peer, message, now)
            case Persisted(token):
                out += self._persisted(self._arrivals.pop(token, []))
            case PersistFailed(token, reason):
                out += self._persist_failed(self._arrivals.pop(token, []), reason)
            case Publish() | WordSigned():
                out += self._said_here(event)
            case PolicyChanged(_, trust):
                self.seen.trust(trust.heard)
            case SettingsChanged(_, _, bounds):
                self.seen.limit(bounds)
            case _:
                out += self._link_event(event, now)
        self._forget_lost(out)
        return [*out, *self._persist(self.exchange.take_rows(), [])]

    def _forget_lost(self, outputs: Outputs) -> None:
        for output in outputs:
            if isinstance(output, LinkLost):
                self._sessions.lost(output.peer)
                self._wants.lost(output.peer)
                self._strays.lost(output.peer)
                self.dial_backs.lost(output.peer)

    # Time.

    def _start(self, now: Now) -> Outputs:
        drawn, told = self._rng.random(), self._config.phase
        phase = drawn if told is None else told
        self._round_due_ns = now.mono_ns + int(phase * self._config.round_ms * 1_000_000)
        repairs = [Emit(Repair("an unreadable statement was dropped", key.hex())) for key in self._unreadable]
        rows = [Delete(STATEMENTS, key) for key in (*self._unreadable, *self._foreign)]
        return [
            *repairs,
            *self._persist(rows, []),
            SetTimer(ROUND_TIMER, self._round_due_ns),
            *self.links.start(now),
            *self._next_exchange(now),
        ]

    def _timer(self, timer: str, now: Now) -> Outputs:
        if timer == ROUND_TIMER:
            return self._round(now)
        if timer == BEAT_TIMER:
            return self.links.beat(now)
        if timer == EXCHANGE_TIMER:
            return [*self.exchange.tick(self.links.ready()), *self._next_exchange(now)]
        return self.links.dial(now) if timer == DIAL_TIMER else []

    def _next_exchange(self, now: Now) -> Outputs:
        if not self.exchange.on:
            return []
        return [SetTimer(EXCHANGE_TIMER, now.after_ms(self._config.exchange_ms)), *self.links.dial(now)]

    def _turn(self, now: Now) -> Outputs:
        """Another epoch day: what expired leaves."""
        return self._farewell(self.seen.turn(now.epoch_day))

    def _round(self, now: Now) -> Outputs:
        self.round_number += 1
        self._chased.clear()
        self._told.clear()
        step_ns = self._config.round_ms * 1_000_000
        self._round_due_ns += step_ns * max(1, -(-(now.mono_ns - self._round_due_ns + 1) // step_ns))
        ready = self.links.ready()
        picked = self._reputations.pick(self._rng, ready, lambda link: link.peer, now.wall_ms, self._config.fanout)
        out: Outputs = [SetTimer(ROUND_TIMER, self._round_due_ns), *self._ask_others(now)]
        if picked:
            today = self.seen.view(now.epoch_day)
            out.append(Emit(Round(tuple(link.peer for link in picked), len(today), today.root().hex())))
        for link in picked:
            out += self._open(link, now)
        return out

    # Links.

    def _link_event(self, event: Event | Notice, now: Now) -> Outputs:
        match event:
            case LinkOpened(peer, dialed, host, port):
                return self.links.opened(peer, dialed, now, join(host, port) if host else "")
            case LinkClosed(peer, reason):
                return self.links.closed(peer, reason, now)
            case DialFailed(peer):
                return self.links.dial_failed(peer, now)
            case Probed(peer, tries, purpose):
                return self._probed(peer, tries, purpose, now)
            case DialBackAsked(peer) if self.links.get(peer) is not None:
                return self.dial_backs.ask(peer)
            case Misbehaved(peer, reason):
                return self.links.punish(peer, reason, now)
            case NeighboursChanged():
                return self.links.changed(event, now)
            case ForgiveAsked(peer):
                return self.links.pardon(peer, now)
            case LoopLag(lag_ms):
                self.links.late(lag_ms)
        return []

    def _probed(self, peer: str, tries: tuple[DialTry, ...], purpose: str, now: Now) -> Outputs:
        if purpose != FEELER:
            return self.dial_backs.probed(peer, tries)
        self.exchange.felt(peer, tries)
        return self.links.dial(now)

    def _beat_of(self, link: Link, now: Now) -> Heartbeat:
        keys = self.seen.view(self.links.day_with(link, now))
        return Heartbeat(len(keys), keys.root(), self.links.lag_ms, now.wall_ms)

    # Frames.

    def _received(self, peer: str, message: object, now: Now) -> Outputs:
        link = self.links.get(peer)
        if link is None:
            return []  # it was hung up; what was under way doesn't matter any more
        link.heard_ns = now.mono_ns
        match message:
            case Hello():
                return self._greeted(self.links.hello(link, message, now))
            case Welcome():
                return self._greeted(self.links.welcome(link, now))
            case Goodbye():
                return self.links.goodbye(link, message, now)
        return self._said(link, message, now) if link.ready else []  # what is kept for a link goes with `LinkLost`

    def _greeted(self, out: Outputs) -> Outputs:
        for ready in [output.peer for output in out if isinstance(output, LinkReady)]:
            out += [Send(ready, Push(items)) for items in parcels.frames(self.seen.freshness())]
            link = self.links.get(ready)
            out += self.exchange.ready(link, self.links.ready()) if link else []
        return out

    def _said(self, link: Link, message: object, now: Now) -> Outputs:
        match message:
            case Heartbeat():
                self.links.beaten(link, message, now)
            case Reconcile():
                return self._reconcile(link, message, now)
            case IWant(ids):
                found = [entry for entry in map(self.seen.get, dict.fromkeys(ids)) if entry is not None]
                return [Send(link.peer, Have(items)) for items in parcels.frames(found)]
            case Have(items):
                return self._take(link.peer, items, "reconcile", now)
            case Push(items):
                return self._take(link.peer, items, "push", now)
            case IHave(ids):
                return self._announced(link, ids)
            case Peers():
                return [*self.exchange.heard(link, message), *self.links.dial(now)]
            case DialBack(number):
                return self.dial_backs.asked(link, number, now)
            case DialedBack():
                self.dial_backs.answered(link.peer, message)
        return []

    def _announced(self, link: Link, ids: tuple[bytes, ...]) -> Outputs:
        out: Outputs = []
        limit = self._config.bounds.announced_per_link
        for content_id in dict.fromkeys(ids):
            if content_id not in link.announced and len(link.announced) >= limit:
                return [*out, *self._bound_hit("announced_per_link", limit, len(link.announced) + 1)]
            link.announced[content_id] = None
            out.append(SourceFound(link.peer, content_id))
        return out

    # Reconciliation.

    def _open(self, link: Link, now: Now) -> Outputs:
        session = self._sessions.begin(link.peer)
        ranges = open_ranges(self.seen.view(self.links.day_with(link, now)))
        session.leg(ranges)
        return [Send(link.peer, Reconcile(session.number, ranges))]

    def _reconcile(self, link: Link, message: Reconcile, now: Now) -> Outputs:
        owed = link.owes_ranges(len(message.ranges), now, self._config.round_ms)
        if owed > RANGES_OWED_MAX:
            return self.links.punish(link.peer, "reconciles too much", now)
        if owed > RANGES_ANSWERED_MAX:
            return []
        session = self._sessions.of_frame(link.peer, message.session)
        if session is None or len(message.ranges) > session.ranges_max:
            return []
        session.leg(message.ranges)
        limit = self._config.bounds.reconcile_legs
        if not message.ranges or session.legs >= limit:
            hit = self._bound_hit("reconcile_legs", limit, session.legs) if message.ranges else []
            session.unread = session.unread or bool(hit)
            return [*hit, *self._ended(link.peer, session)]
        try:
            answer = respond(self.seen.view(self.links.day_with(link, now)), message.ranges, session=message.session)
        except ProtocolError as error:
            return self.links.punish(link.peer, error.what, now)
        session.leg(answer.ranges)
        session.ranges_max = BRANCH * len(answer.ranges)
        session.items += len(answer.need) + len(answer.lacking)
        session.unread = session.unread or any(map(self.seen.lacks, answer.need))
        out: Outputs = [Send(link.peer, Reconcile(message.session, answer.ranges))]
        out += self._ended(link.peer, session) if not answer.ranges else []
        return [*out, *self._want(link.peer, answer.need, now)]

    def _ended(self, peer: str, session: Session) -> Outputs:
        self._sessions.end(peer, session)
        read: Outputs = [] if session.unread or session.items > READ_ITEMS_MAX else [PeerRead(peer)]
        if session.legs <= 2 and not session.items:
            return read  # equal sets: the usual case says nothing
        return [*read, Emit(Reconciled(peer, session.legs, session.wire_bytes, session.items))]

    def _want(self, peer: str, ids: Iterable[bytes], now: Now) -> Outputs:
        limit = self._config.bounds.announced_per_link
        waiting = self._wants.queue(peer, [identity for identity in ids if self.seen.wanted(identity)])
        hit = self._bound_hit("announced_per_link", limit, waiting) if waiting >= limit else []
        return [*hit, *self._ask(peer, now)]

    def _ask(self, peer: str, now: Now) -> Outputs:
        out: Outputs = self._ask_others(now)
        while self.links.get(peer) is not None and (ids := self._wants.ask(peer, now.mono_ns)):
            out.append(Send(peer, IWant(ids)))
        return out

    def _ask_others(self, now: Now) -> Outputs:
        """Ask others for what somebody offered and didn't send."""
        return [Send(peer, IWant(ids)) for peer, ids in self._wants.late(now.mono_ns)]

    # Statements in.

    def _take(self, peer: str, items: tuple[Carried, ...], how: str, now: Now) -> Outputs:
        out: Outputs = []
        arrivals: list[_Arrival] = []
        again: list[bytes] = []
        for item in sorted(items, key=parcels.arrival_order):
            cause = item.cause if item.cause is not None and item.cause.peer == peer else None
            self._wants.came(item.statement.id)
            if self.seen.staged >= STAGED_MAX:
                out += self._bound_hit("STAGED_MAX", STAGED_MAX, self.seen.staged + 1)
                break
            admission = self.seen.admit(item.statement, min(item.hops + 1, HOPS_MAX))
            if admission.entry is not None:
                arrivals.append(_Arrival(admission.entry, peer, how, cause))
                out += self._welcome(admission.entry, now)
            elif admission.entrance is Entrance.DUPLICATE:
                out.append(Emit(Duplicate(item.statement.id.hex(), peer, how), cause))
            elif admission.entrance is Entrance.FORGED:
                out += self.links.punish(peer, admission.reason, now)
                break
            elif admission.entrance is Entrance.ORPHAN:
                again += self._chase(item.statement.id, admission.missing)
                if admission.stray:
                    self._strays.keep(item.statement.id, owner=admission.stray, peer=peer)
            else:
                out += self._refusal(admission.reason, item.statement)
        out += self._persist([self._row(each.entry.statement, each.entry.hops) for each in arrivals], arrivals)
        return [*out, *self._want(peer, again, now)]

    def _chase(self, orphan: bytes, missing: bytes | None) -> list[bytes]:
        """What to ask for so that an orphan can enter after all; nothing the second time in a round."""
        if missing is None or orphan in self._chased or len(self._chased) >= STAGED_MAX:
            return []
        self._chased[orphan] = None
        return [missing, orphan]

    def _welcome(self, entry: Entry, now: Now) -> Outputs:
        """Ask again for what an owner's new record lets in."""
        asked = self._strays.welcome(entry.owner) if entry.keys and entry.owner is not None else {}
        return [effect for peer, ids in asked.items() for effect in self._want(peer, ids, now)]

    def _refusal(self, reason: str, statement: Statement) -> Outputs:
        if reason == OTHER_EPOCH:
            return self._divergence(statement)
        if reason not in _BOUNDS:
            return []
        limit = getattr(self.seen.bounds, reason)
        return self._bound_hit(f"limits.{reason}", limit, limit + 1)

    def _divergence(self, statement: Statement) -> Outputs:
        """A member votes under another configuration than this peer's: people must agree on one. Told once a round."""
        name = self._config.members.name(statement.key_id) if self._config.members else ""
        self.diverged[name] = None
        if (key := f"{OTHER_EPOCH} {name}") in self._told:
            return []
        self._told[key] = None
        return [Emit(ConsensusAlarm(OTHER_EPOCH, name, FAULTS[OTHER_EPOCH]))]

    def _said_here(self, event: Publish | WordSigned) -> Outputs:
        if isinstance(event, WordSigned):
            return self._publish((event.statement,))
        self.refusals = {}
        return self._publish(event.statements)

    def _publish(self, statements: tuple[Statement, ...]) -> Outputs:
        out: Outputs = []
        arrivals: list[_Arrival] = []
        for item in sorted(map(Carried, statements), key=parcels.arrival_order):
            admission = self.seen.admit(item.statement)
            if admission.entry is not None:
                arrivals.append(_Arrival(admission.entry, None, "publish"))
            elif admission.entrance is not Entrance.DUPLICATE:
                reason = admission.reason or admission.entrance.value
                self.refusals[item.statement.id] = reason
                out.append(Emit(ErrorMet(f"can't publish: {reason}", where=item.statement.id.hex())))
        return [*out, *self._persist([self._row(each.entry.statement, 0) for each in arrivals], arrivals)]

    def _persist(self, rows: Sequence[RowOp], arrivals: list[_Arrival]) -> Outputs:
        if not rows:
            return []
        self._token += 1
        self._arrivals[self._token] = arrivals
        return [Persist(self._token, tuple(rows))]

    def _persisted(self, arrivals: list[_Arrival]) -> Outputs:
        out: Outputs = []
        added: list[_Arrival] = []
        for arrival in arrivals:
            dropped = self.seen.commit(arrival.entry)
            if any(each.entry is arrival.entry for each in dropped):
                out += self._persist([forget_statement(arrival.entry.statement)], [])  # something newer was faster
            else:
                added.append(arrival)
                out += self._news(arrival)
            out += self._farewell([each for each in dropped if each.entry is not arrival.entry])
        return [*out, *self._spread(added)]

    def _persist_failed(self, arrivals: list[_Arrival], reason: str) -> Outputs:
        for arrival in arrivals:
            self.seen.abandon(arrival.entry)
        return [Emit(ErrorMet(f"statements can't be stored: {reason}", where="state.db"))] if arrivals else []

    def _news(self, arrival: _Arrival) -> Outputs:
        entry, payload = arrival.entry, arrival.entry.payload
        kind = entry.statement.kind
        name = kind.removeprefix("application/vnd.plora.").partition(".")[0]
        source = arrival.peer or self._config.peer
        out: Outputs = [Emit(StatementSeen(entry.id.hex(), name, source, arrival.how, entry.hops), arrival.cause)]
        if arrival.peer is None and isinstance(payload, Manifest):
            where = (payload.owner, payload.plasmid_id, payload.version, payload.domain, payload.artifacts.sha256)
            out.append(Emit(Published(entry.id.hex(), *where)))
        for twin in self.seen.twins(entry):
            first, second = sorted((entry.id.hex(), twin.id.hex()))
            out.append(Emit(EvidenceFound("two_contents", entry.owner or "", first, second)))
        return [*out, StatementAdded(entry.statement, arrival.peer, entry.hops, arrival.cause)]

    def _farewell(self, dropped: list[Dropped]) -> Outputs:
        out: Outputs = []
        for each in dropped:
            identity = each.entry.id.hex()
            if each.reason == "expired":
                out.append(Emit(Expired(identity)))
            elif each.reason == "superseded":
                out.append(Emit(Superseded(identity, each.by.hex())))
            out.append(StatementDropped(each.entry.statement, each.reason))
        return [*out, *self._persist([forget_statement(each.entry.statement) for each in dropped], [])]

    def _spread(self, added: list[_Arrival]) -> Outputs:
        """Push what is fresh: freshness statements to everybody, the others to `eager_fanout` neighbours."""
        out: Outputs = []
        ready = [link.peer for link in self.links.ready()]
        lucky = self._push_rng.sample(ready, min(self._config.eager_fanout, len(ready))) if added else []
        for peer in ready:
            chosen = [each.entry for each in added if each.peer != peer and (each.entry.fresh or peer in lucky)]
            out += [Send(peer, Push(items)) for items in parcels.frames(chosen)]
        return out

    def _bound_hit(self, setting: str, limit: int, value: int) -> Outputs:
        """A record of a bound, once a round."""
        if setting in self._told:
            return []
        self._told[setting] = None
        return [Emit(BoundHit(setting, limit, value))]

    def _load(self, snapshot: Snapshot) -> tuple[list[bytes], list[bytes]]:
        """Take up the rows; keys come back of those that can't be read, and of votes that no longer mean anything."""
        entries: list[Entry] = []
        unreadable: list[bytes] = []
        for key, value in snapshot.rows(STATEMENTS):
            try:
                entries.append(entry_of(*decode_statement(key, value)))
            except (StoreError, FormatError):
                unreadable.append(key)
        return unreadable, self.seen.load(entries)
