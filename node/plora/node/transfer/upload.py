"""The serving half of transfer: who asked for what, and whose turn it is. Pure.

Rules:

- Only served artifacts are given; a request for another is refused ("not_here").
- A peer's requests wait in its own queue, at most `outstanding_bytes_per_peer`; what exceeds that is refused ("busy").
  Asking twice for what is waiting counts once.
- Peers take turns, one chunk each. At most `AHEAD_BYTES` (or one chunk) of a peer are with the driver at a time, so a
  slow reader holds back itself alone.
- `limits.upload_rate` bytes a second over all peers that are not exempt (see `rate`). Timer "transfer:upload".
- A one-way Fetch is a caller with a queue like a peer's: one call a peer at a time, at most `callers` in all, ended
  when its peer is denied. Where all are taken, the one that was given least for its time makes room for another, once
  it had `CALL_MS`: whoever goes on reading fast keeps its place, and who was sent away may go on from its last chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from plora.node.core.config import CoreConfig, Limits
from plora.node.core.effects import LIST_INDEX, Emit, Send, ServeChunk, ServeList, SetTimer
from plora.node.core.events import CallOpened, ChunkServed
from plora.node.core.messages import CHUNK_LIST_MAX, Cancel, Refuse, Want
from plora.node.core.notices import Outputs
from plora.node.core.now import Now
from plora.node.store.rows import chunk_span
from plora.node.transfer.rate import Line, Neighbourhood
from plora.proto.records import BoundHit, Penalty

AHEAD_BYTES = 4 << 20
BUSY_RETRY_MS = 1000
CALL_MS = 10_000
UNREADABLE_RETRY_MS = 10_000
UPLOAD_TIMER = "transfer:upload"

_HASH_BYTES = 32
_Job = tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Served:
    size_bytes: int
    chunk_bytes: int

    @property
    def chunk_count(self) -> int:
        return -(-self.size_bytes // self.chunk_bytes)

    def cost(self, index: int) -> int:
        """Bytes of a chunk or of the list; 0 or less if there is no such chunk."""
        if index == LIST_INDEX:
            return self.chunk_count * _HASH_BYTES
        return chunk_span(self.size_bytes, self.chunk_bytes, index)[1]


@dataclass(slots=True)
class _Queue:
    """One peer's requests: waiting, and ahead (with the driver)."""

    waiting: dict[_Job, int] = field(default_factory=dict)
    ahead: dict[_Job, int] = field(default_factory=dict)
    waiting_bytes: int = 0

    def take(self) -> tuple[_Job, int]:
        job = next(iter(self.waiting))
        cost = self.waiting.pop(job)
        self.waiting_bytes -= cost
        self.ahead[job] = cost
        return job, cost

    def forget(self, digest: str) -> bool:
        """Take a digest's requests out; whether there were any."""
        jobs = [job for job in self.waiting if job[0] == digest]
        for job in jobs:
            self.waiting_bytes -= self.waiting.pop(job)
        return bool(jobs)

    @property
    def may_go(self) -> bool:
        return bool(self.waiting) and (not self.ahead or sum(self.ahead.values()) < AHEAD_BYTES)


@dataclass(slots=True)
class _Call:
    """A one-way Fetch, and how much it was given."""

    opened_ns: int
    given_bytes: int = 0

    def pace(self, now: Now) -> float:
        """Bytes a nanosecond."""
        return self.given_bytes / (now.mono_ns - self.opened_ns)


def caller_of(peer: str, number: int) -> str:
    """What stands for a peer's one-way call."""
    return f"fetch:{peer}:{number}"


def _sent_away(caller: str) -> Send:
    return Send(caller, Refuse("", "busy", BUSY_RETRY_MS))


def _who_calls(caller: str) -> str:
    return caller.split(":")[1]


class Uploads:
    """What this peer gives to others."""

    def __init__(self, config: CoreConfig, neighbourhood: Neighbourhood) -> None:
        self._bounds = config.bounds
        self._near = neighbourhood
        self._line = Line("limits.upload_rate", config.limits.upload_rate)
        self._served: dict[str, _Served] = {}
        self._queues: dict[str, _Queue] = {}
        self._calls: dict[str, _Call] = {}
        self._timer_ns = 0
        self.sent_bytes = 0

    def serve(self, digest: str, size_bytes: int, chunk_bytes: int) -> None:
        """Give this artifact to whoever asks."""
        self._served[digest] = _Served(size_bytes, chunk_bytes)

    def unserve(self, digest: str) -> Outputs:
        """Give it no more; who waits for it is told."""
        self._served.pop(digest, None)
        waiting = [peer for peer, queue in self._queues.items() if queue.forget(digest)]
        return [Send(peer, Refuse(digest, "not_here")) for peer in waiting]

    def link_ready(self, peer: str) -> None:
        """A peer may ask from now on."""
        self._queues[peer] = _Queue()

    def link_lost(self, peer: str) -> None:
        """Forget what a peer asked for."""
        self._queues.pop(peer, None)

    def call_opened(self, call: CallOpened, now: Now) -> Outputs:
        """Somebody began a one-way Fetch: give it a queue, or send it away."""
        if any(_who_calls(call.caller) == _who_calls(other) for other in self._calls):
            return [_sent_away(call.caller)]
        out: Outputs = []
        limit = self._bounds.callers
        if len(self._calls) >= limit:
            slowest = self._slowest(now)
            out = [Emit(BoundHit("callers", limit, limit + 1)), _sent_away(slowest or call.caller)]
            if slowest is None:
                return out
            self.call_closed(slowest)
        self._calls[call.caller] = _Call(now.mono_ns)
        self.link_ready(call.caller)
        return out

    def _slowest(self, now: Now) -> str | None:
        """The call that makes room for another, if one had its time."""
        had_theirs = [one for one, call in self._calls.items() if call.opened_ns <= now.after_ms(-CALL_MS)]
        return min(had_theirs, key=lambda one: self._calls[one].pace(now), default=None)

    def call_closed(self, caller: str) -> None:
        """It is over."""
        self._calls.pop(caller, None)
        self.link_lost(caller)

    def denied(self, peers: Sequence[str]) -> Outputs:
        """These are cut off: their calls end."""
        ended = [caller for caller in self._calls if _who_calls(caller) in peers]
        for caller in ended:
            self.call_closed(caller)
        return [Send(caller, Refuse("", "denied")) for caller in ended]

    def cancel(self, peer: str, cancel: Cancel) -> None:
        """The peer no longer wants it."""
        if peer in self._queues:
            self._queues[peer].forget(cancel.digest)

    def want(self, peer: str, want: Want, now: Now) -> Outputs:
        """Queue a request, or refuse it."""
        queue = self._queues.get(peer)
        if queue is None:
            return []
        served = self._served.get(want.digest)
        if served is None or served.chunk_count > CHUNK_LIST_MAX:
            return [Send(peer, Refuse(want.digest, "not_here"))]
        indexes = (*((LIST_INDEX,) if want.want_list else ()), *want.chunks)
        if any(served.cost(index) <= 0 or index < LIST_INDEX for index in indexes) or LIST_INDEX in want.chunks:
            return [Emit(Penalty(peer, "bad_want"))]
        return [*self._enqueue(peer, queue, want.digest, indexes), *self.pump(now)]

    def _enqueue(self, peer: str, queue: _Queue, digest: str, indexes: Sequence[int]) -> Outputs:
        limit = self._bounds.outstanding_bytes_per_peer
        for index in indexes:
            job, cost = (digest, index), self._served[digest].cost(index)
            if job in queue.waiting:
                continue
            if queue.waiting_bytes + cost > limit and queue.waiting:
                hit = BoundHit("outstanding_bytes_per_peer", limit, queue.waiting_bytes + cost)
                return [Emit(hit), Send(peer, Refuse(digest, "busy", BUSY_RETRY_MS))]
            queue.waiting[job] = cost
            queue.waiting_bytes += cost
        return []

    def waiting_bytes(self, digest: str) -> int:
        """What peers outside the own network have asked for of an artifact, and wait for."""
        held_back = (queue for peer, queue in self._queues.items() if not self._near.exempt(peer))
        return sum(cost for queue in held_back for job, cost in queue.waiting.items() if job[0] == digest)

    def served(self, event: ChunkServed, now: Now) -> Outputs:
        """The driver has handed a chunk to the link, or could not read it."""
        queue = self._queues.get(event.peer)
        if queue is not None:
            queue.ahead.pop((event.digest, event.index), None)
        self.sent_bytes += event.wire_bytes
        if event.peer in self._calls:
            self._calls[event.peer].given_bytes += event.wire_bytes
        failed = event.wire_bytes == 0 and queue is not None
        refusal = [Send(event.peer, Refuse(event.digest, "unreadable", UNREADABLE_RETRY_MS))] if failed else []
        return [*refusal, *self.pump(now)]

    def changed(self, limits: Limits, now: Now) -> Outputs:
        """Another rate, or other exemptions, from now on."""
        self._line.at_rate(limits.upload_rate, now)
        return self.pump(now)

    def timer_due(self, now: Now) -> Outputs:
        """The line is free again."""
        self._timer_ns = 0
        return self.pump(now)

    def pump(self, now: Now) -> Outputs:
        """Hand chunks to the driver for as long as the rate and the readers allow."""
        out: Outputs = []
        while (peer := self._whose_turn(now)) is not None:
            queue = self._queues.pop(peer)
            self._queues[peer] = queue
            (digest, index), cost = queue.take()
            if not self._near.exempt(peer):
                self._line.occupy(cost, now)
            out.append(self._effect(peer, digest, index))
        return [*out, *self._wait(now)]

    def _whose_turn(self, now: Now) -> str | None:
        busy = self._line.busy(now)
        able = (peer for peer, queue in self._queues.items() if queue.may_go)
        return next((peer for peer in able if not busy or self._near.exempt(peer)), None)

    def _effect(self, peer: str, digest: str, index: int) -> ServeChunk | ServeList:
        if index == LIST_INDEX:
            return ServeList(peer, digest)
        served = self._served[digest]
        return ServeChunk(peer, digest, index, *chunk_span(served.size_bytes, served.chunk_bytes, index))

    def _wait(self, now: Now) -> Outputs:
        """Whoever is left with something to send waits for the line."""
        waiting = [queue.waiting_bytes for queue in self._queues.values() if queue.may_go]
        if not waiting or self._timer_ns == self._line.free_ns:
            return []
        self._timer_ns = self._line.free_ns
        return [*self._line.told(sum(waiting), now), SetTimer(UPLOAD_TIMER, self._line.free_ns)]
