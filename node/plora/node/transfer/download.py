"""The fetching half of transfer: chunk lists, windows, sources, stalls. Pure.

Rules:

- The chunk list comes first. It must hash to the signed root, and it is durable before a chunk is asked for.
- Chunks are asked of one source at a time, drawn among the linked ones by what they earned here. What is asked or on
  its way to the disk is at most `outstanding_bytes_per_peer` and `outstanding_bytes`; the window is refilled when it is
  half empty.
- A stored chunk is never asked for again. A chunk that was not asked for, or can't be used, counts as wasted; one from
  a peer that owes none is also a penalty.
- A wrong list, a chunk with a wrong hash or length: penalty, and that peer is not asked for this artifact again.
- No chunk for `stall_ms` while some were asked for: the source is left for another, and its patience doubles. When
  another then sends a chunk of the artifact, the line was not at fault: the one that was left gets a small penalty.
- `limits.download_rate` bytes a second are asked for, of all sources that are not exempt (see `rate`): chunks that
  the line has no time for yet stay to do.
- A full or failing disk pauses the fetch for `PAUSE_MS`, or until there is room; nothing that is stored is lost.
- When the whole doesn't hash to the digest, although every chunk was right, the signer is at fault: `BytesFailed`.

Timer "transfer:stall". Not handled here: which artifacts are worth fetching.
"""

from __future__ import annotations

from dataclasses import dataclass

from plora.node.core.config import CoreConfig, Limits
from plora.node.core.effects import LIST_INDEX, DropBlob, Emit, FinishBlob, Persist, Send, SetTimer, StoreChunk
from plora.node.core.events import BlobFailed, BlobFinished, ChunkRefused, ChunkStored
from plora.node.core.messages import CHUNK_LIST_MAX, WANT_MAX, Cancel, Chunk, ChunkList, Refuse, Want
from plora.node.core.notices import BytesFailed, BytesHeld, Outputs
from plora.node.core.now import Now
from plora.node.core.reputations import Reputations, reputations_of
from plora.node.core.streams import Streams
from plora.node.store.rows import ChunkPlan, plan_row
from plora.node.store.snapshot import Snapshot
from plora.node.transfer.artifact import Artifact, Progress
from plora.node.transfer.fetch import Fetch, Source
from plora.node.transfer.rate import Line, Neighbourhood
from plora.proto.records import BoundHit, FetchDone, FetchFailed, FetchStarted, Penalty

STALL_TIMER = "transfer:stall"
PAUSE_MS = 30_000
RETRY_MS_MIN = 1000
RETRY_MS_MAX = 300_000
PATIENCE_DOUBLINGS = 5
STALLED_WEIGHT = 0.25
DISK_TROUBLES = ("disk_full", "io_error", "limits.store_max", "limits.disk_free_min")

_HASH_BYTES = 32


@dataclass(slots=True)
class _Link:
    """A ready link. `outstanding_bytes` were asked or are on their way to the disk; `owed_bytes` may still come."""

    outstanding_bytes: int = 0
    owed_bytes: int = 0


class Downloads:
    """What this peer gets from others."""

    def __init__(
        self,
        config: CoreConfig,
        snapshot: Snapshot,
        neighbourhood: Neighbourhood,
        reputations: Reputations | None = None,
    ) -> None:
        self._config = config
        self._reputations = reputations_of(config, snapshot, reputations)
        self._limits = config.limits
        self._near = neighbourhood
        self._line = Line("limits.download_rate", config.limits.download_rate)
        self._bounds = config.bounds
        self._random = Streams(config.seed, config.peer).stream("transfer:source")
        self._plans: dict[str, ChunkPlan] = dict(snapshot.plans)
        self._partial: dict[str, frozenset[int]] = dict(snapshot.partial)
        self._fetches: dict[str, Fetch] = {}
        self._links: dict[str, _Link] = {}
        self._hungry: dict[str, None] = {}
        self._listing: dict[int, str] = {}
        self._token = 0
        self._timer_ns = 0
        self._stopped = False
        self._out: Outputs = []

    def drain(self) -> Outputs:
        """What the calls since the last `drain` have led to."""
        out, self._out = self._out, []
        return out

    def progress(self, now: Now) -> list[Progress]:
        """Every fetch, in the order in which it was wanted."""
        return [self._progress(fetch, now) for fetch in self._fetches.values()]

    def _progress(self, fetch: Fetch, now: Now) -> Progress:
        limited = self._line.rate and fetch.active and not self._near.exempt(fetch.active)
        limit = self._line.setting if limited else ""
        return fetch.progress(len(self._linked(fetch)), limit, now.mono_ns)

    def changed(self, limits: Limits, now: Now) -> None:
        """Other limits from now on: whoever waits for the rate or for room tries again."""
        self._limits = limits
        self._line.at_rate(limits.download_rate, now)
        for fetch in self._fetches.values():
            fetch.end_pause()
            self._pump(fetch, now)

    def room_found(self, free_bytes: int, now: Now) -> None:
        """The disk has so much left: who waits for room goes on if a chunk fits."""
        room = free_bytes - self._limits.disk_free_min
        for fetch in self._fetches.values():
            paused = fetch.paused_ns > now.mono_ns and fetch.trouble in DISK_TROUBLES
            if paused and room >= fetch.artifact.chunk_bytes:
                fetch.end_pause()
                self._pump(fetch, now)

    def chunks(self, digest: str) -> list[tuple[str, int]]:
        """Where the chunks of a fetch are, as runs of (place, count); empty if it isn't fetched."""
        fetch = self._fetches.get(digest)
        return fetch.chunks() if fetch else []

    def sources(self, digest: str) -> list[str]:
        """The linked peers that a fetch may ask."""
        fetch = self._fetches.get(digest)
        return self._linked(fetch) if fetch else []

    def stop(self) -> None:
        """Ask for nothing more."""
        self._stopped = True

    def want(self, artifact: Artifact, now: Now) -> None:
        """Begin to fetch what is not held; nothing if it is under way."""
        digest = artifact.digest
        if digest in self._fetches:
            return
        if artifact.chunk_count > CHUNK_LIST_MAX:
            self._out.append(Emit(BoundHit("CHUNK_LIST_MAX", CHUNK_LIST_MAX, artifact.chunk_count)))
            self._give_up(digest, "too_large")
        else:
            self._begin(artifact, now)

    def _begin(self, artifact: Artifact, now: Now) -> None:
        digest = artifact.digest
        fetch = self._fetches[digest] = Fetch(artifact)
        plan, stored = self._plans.pop(digest, None), self._partial.pop(digest, frozenset())
        if plan is not None and artifact.fits(plan.hashes) and plan == artifact.plan(plan.hashes):
            fetch.resume(plan, stored)
        elif plan is not None:
            self._out.append(DropBlob(digest))
        self._pump(fetch, now)

    def unwant(self, digest: str, now: Now) -> None:
        """Stop fetching and let go of what came."""
        fetch = self._fetches.pop(digest, None)
        known = self._plans.pop(digest, None)
        self._partial.pop(digest, None)
        if fetch is not None:
            self._leave(fetch)
            self._abandon_storing(fetch)
        if known is not None or fetch is not None:
            self._out.append(DropBlob(digest))
        self._feed_hungry(now)

    def add_source(self, peer: str, digest: str, now: Now) -> None:
        """A peer serves an artifact; of use while that is wanted."""
        fetch = self._fetches.get(digest)
        if fetch is not None and peer not in fetch.sources:
            fetch.sources[peer] = Source()
            self._pump(fetch, now)

    def link_ready(self, peer: str, now: Now) -> None:
        """A peer can be asked."""
        self._links[peer] = _Link()
        for fetch in self._fetches.values():
            if peer in fetch.sources:
                self._pump(fetch, now)

    def link_lost(self, peer: str, now: Now) -> None:
        """A peer can't be asked; if it comes back, it says again what it serves. A ban outlives the link."""
        if self._links.pop(peer, None) is None:
            return
        for fetch in self._fetches.values():
            source = fetch.sources.get(peer)
            if source is None:
                continue
            self._release(fetch, peer)
            if not source.banned:
                del fetch.sources[peer]
            self._pump(fetch, now)
        self._feed_hungry(now)

    def chunk_list(self, peer: str, message: ChunkList, now: Now) -> None:
        """A list of chunk hashes: believed if it hashes to the signed root, whoever sent it."""
        fetch = self._fetches.get(message.digest)
        if fetch is None or fetch.hashes is not None or peer not in fetch.sources:
            return
        asked = LIST_INDEX in fetch.sources[peer].asked
        if not fetch.artifact.fits(message.hashes):
            if asked:
                self._ban(fetch, peer, "bad_chunk_list", now)
            return
        self._release(fetch, fetch.active)
        fetch.sources[peer].failures = 0
        fetch.take_list(message.hashes)
        self._token += 1
        self._listing[self._token] = fetch.digest
        self._out.append(Persist(self._token, (plan_row(fetch.digest, fetch.artifact.plan(message.hashes)),)))

    def persisted(self, token: int, now: Now) -> None:
        """A chunk list is durable: chunks may be asked for."""
        fetch = self._fetches.get(self._listing.pop(token, ""))
        if fetch is not None and fetch.hashes is not None:
            fetch.listed = True
            self._pump(fetch, now)

    def persist_failed(self, token: int, reason: str, now: Now) -> None:
        """A chunk list could not be kept: it is asked for again after a pause."""
        fetch = self._fetches.get(self._listing.pop(token, ""))
        if fetch is not None and not fetch.listed:
            fetch.forget_list()
            self._pause(fetch, reason, now)

    def chunk(self, peer: str, message: Chunk, now: Now) -> None:
        """The bytes of a chunk have come."""
        link = self._links.get(peer)
        if link is None:
            return
        size = len(message.data)
        fetch = self._fetches.get(message.digest)
        if fetch is not None:
            fetch.wire_bytes += size
        if link.owed_bytes < size:
            self._waste(fetch, size)
            self._out.append(Emit(Penalty(peer, "unrequested_chunk")))
            return
        link.owed_bytes -= size
        if fetch is not None:
            self._use(fetch, peer, message, now)

    def _use(self, fetch: Fetch, peer: str, message: Chunk, now: Now) -> None:
        source, index = fetch.sources.get(peer), message.index
        asked = source is not None and source.asked.pop(index, None) is not None
        if not self._useful(fetch, source, index, asked):
            self._waste(fetch, len(message.data))
            return
        offset, size = fetch.artifact.span(index)
        if asked:
            self._links[peer].outstanding_bytes -= size
        else:
            fetch.todo.remove(index)
        if len(message.data) != size:
            self._waste(fetch, len(message.data))
            fetch.todo.appendleft(index)
            self._ban(fetch, peer, "bad_chunk", now)
            return
        self._store(fetch, peer, message, offset, now)

    def _useful(self, fetch: Fetch, source: Source | None, index: int, asked: bool) -> bool:
        """Asked for, or late: let go of after a stall and still to do, since nobody else was asked meanwhile."""
        if source is None or source.banned or fetch.finishing:
            return False
        return asked or (fetch.listed and index in fetch.todo)

    def _store(self, fetch: Fetch, peer: str, message: Chunk, offset: int, now: Now) -> None:
        self._blame_stalled(fetch, peer)
        source, size, index = fetch.sources[peer], len(message.data), message.index
        source.progress_ns, source.failures = now.mono_ns, 0
        fetch.storing[index] = peer
        fetch.givers[peer] = None
        self._links[peer].outstanding_bytes += size
        expected = fetch.hashes[index] if fetch.hashes else b""
        self._out.append(StoreChunk(peer, fetch.digest, index, offset, size, expected, message.data))

    def _blame_stalled(self, fetch: Fetch, giver: str) -> None:
        for peer, source in fetch.sources.items():
            if source.stalled and peer != giver:
                self._out.append(Emit(Penalty(peer, "stalled", STALLED_WEIGHT)))
            source.stalled = False

    def chunk_stored(self, event: ChunkStored, now: Now) -> None:
        """A chunk is in the partial file."""
        fetch = self._fetches.get(event.digest)
        if fetch is None or not self._stop_storing(fetch, event.index):
            return
        fetch.stored.add(event.index)
        self._pump(fetch, now)
        self._feed_hungry(now)

    def chunk_refused(self, event: ChunkRefused, now: Now) -> None:
        """A chunk was wrong, or the disk would not take it: it is to do again."""
        fetch = self._fetches.get(event.digest)
        if fetch is None or not self._stop_storing(fetch, event.index):
            return
        fetch.todo.appendleft(event.index)
        self._waste(fetch, fetch.artifact.span(event.index)[1])
        if event.reason == "bad_hash":
            self._ban(fetch, event.peer, "bad_chunk", now)
        else:
            self._pause(fetch, event.reason, now, event.left_bytes)

    def blob_finished(self, event: BlobFinished, now: Now) -> None:
        """The artifact is held."""
        fetch = self._fetches.pop(event.digest, None)
        if fetch is None:
            return
        self._leave(fetch)
        facts = (tuple(fetch.givers), fetch.wire_bytes, fetch.wasted_bytes, fetch.resumed_bytes)
        self._out += [Emit(FetchDone(fetch.digest, *facts)), BytesHeld(fetch.digest, *facts)]
        self._feed_hungry(now)

    def blob_failed(self, event: BlobFailed, now: Now) -> None:
        """The whole was not what was signed, or the disk failed."""
        fetch = self._fetches.get(event.digest)
        if fetch is None:
            return
        fetch.finishing = False
        if event.reason == "bad_hash":
            del self._fetches[event.digest]
            self._leave(fetch)
            self._give_up(event.digest, event.reason)
        else:
            self._pause(fetch, event.reason, now)

    def refused(self, peer: str, message: Refuse, now: Now) -> None:
        """A source does not serve: for now if it says so, else until it announces the artifact again."""
        fetch = self._fetches.get(message.digest)
        source = fetch.sources.get(peer) if fetch is not None else None
        if fetch is None or source is None or source.banned:
            return
        self._release(fetch, peer)
        if message.retry_after_ms:
            wait_ms = min(max(message.retry_after_ms, RETRY_MS_MIN), RETRY_MS_MAX)
            source.retry_ns = now.after_ms(wait_ms)
            self._arm(source.retry_ns)
        else:
            del fetch.sources[peer]
        self._pump(fetch, now)
        self._feed_hungry(now)

    def timer_due(self, now: Now) -> None:
        """Look after every fetch: leave stalled sources, end pauses, and set the timer for what is due next."""
        self._timer_ns = 0
        for fetch in self._fetches.values():
            source = fetch.sources.get(fetch.active)
            if source is not None and source.asked and self._stalls_ns(source) <= now.mono_ns:
                self._stalled(fetch, source, now)
            self._pump(fetch, now)
            self._arm_next(fetch, now)

    def _stalled(self, fetch: Fetch, source: Source, now: Now) -> None:
        source.retry_ns = self._stalls_ns(source) - source.progress_ns + now.mono_ns
        source.failures += 1
        source.stalled = True
        self._leave(fetch)

    def _stalls_ns(self, source: Source) -> int:
        patience_ms = self._config.stall_ms << min(source.failures, PATIENCE_DOUBLINGS)
        return source.progress_ns + patience_ms * 1_000_000

    def _arm_next(self, fetch: Fetch, now: Now) -> None:
        source = fetch.sources.get(fetch.active)
        if source is not None and source.asked:
            self._arm(self._stalls_ns(source))
        waits = [fetch.paused_ns, *(other.retry_ns for other in fetch.sources.values() if not other.banned)]
        later = [due_ns for due_ns in waits if due_ns > now.mono_ns]
        if later:
            self._arm(min(later))

    def _arm(self, due_ns: int) -> None:
        if not self._timer_ns or due_ns < self._timer_ns:
            self._timer_ns = due_ns
            self._out.append(SetTimer(STALL_TIMER, due_ns))

    def _pump(self, fetch: Fetch, now: Now) -> None:
        """Do what is next for a fetch."""
        if self._stopped or fetch.finishing or fetch.paused_ns > now.mono_ns:
            return
        fetch.paused_ns, fetch.trouble = 0, ""
        if fetch.whole:
            self._finish(fetch)
            return
        source = self._choose(fetch, now)
        if source is None:
            return
        if fetch.hashes is None:
            self._ask_list(fetch, source, now)
        elif fetch.listed:
            self._ask_chunks(fetch, source, now)

    def _finish(self, fetch: Fetch) -> None:
        fetch.finishing = True
        self._start(fetch)
        self._out.append(FinishBlob(fetch.digest, fetch.artifact.size_bytes))

    def _start(self, fetch: Fetch) -> None:
        if not fetch.started:
            fetch.started = True
            started = FetchStarted(fetch.digest, fetch.artifact.size_bytes, fetch.resumed_bytes)
            self._out.append(Emit(started))

    def _linked(self, fetch: Fetch) -> list[str]:
        return [peer for peer, source in fetch.sources.items() if not source.banned and peer in self._links]

    def _choose(self, fetch: Fetch, now: Now) -> Source | None:
        if not fetch.active:
            able = [peer for peer in self._linked(fetch) if fetch.sources[peer].retry_ns <= now.mono_ns]
            if not able:
                return None
            fetch.active = self._reputations.draw(self._random, able, str, now.wall_ms)
            fetch.since_ns, fetch.since_bytes = now.mono_ns, fetch.wire_bytes
        return fetch.sources[fetch.active]

    def _ask_list(self, fetch: Fetch, source: Source, now: Now) -> None:
        if source.asked:
            return
        self._ask(fetch, source, {LIST_INDEX: fetch.artifact.chunk_count * _HASH_BYTES}, now)
        self._out.append(Send(fetch.active, Want(fetch.digest, want_list=True)))

    def _ask_chunks(self, fetch: Fetch, source: Source, now: Now) -> None:
        room = self._room(fetch.active)
        limited = not self._near.exempt(fetch.active)
        if source.asked and room < self._bounds.outstanding_bytes_per_peer // 2:
            return
        if limited and fetch.todo and self._line.busy(now):
            self._await_line(fetch, now)
            return
        chosen = self._fill(fetch, room, now if limited else None)
        if not chosen:
            if fetch.todo:
                self._hungry[fetch.digest] = None
            return
        self._links[fetch.active].owed_bytes += sum(chosen.values())
        self._ask(fetch, source, chosen, now)
        indexes = tuple(chosen)
        for at in range(0, len(indexes), WANT_MAX):
            self._out.append(Send(fetch.active, Want(fetch.digest, indexes[at : at + WANT_MAX])))
        if limited and fetch.todo and self._line.busy(now):
            self._await_line(fetch, now)

    def _await_line(self, fetch: Fetch, now: Now) -> None:
        self._hungry[fetch.digest] = None
        self._out += self._line.told(len(fetch.todo) * fetch.artifact.chunk_bytes, now)
        self._arm(self._line.free_ns)

    def _room(self, peer: str) -> int:
        total = self._bounds.outstanding_bytes - sum(link.outstanding_bytes for link in self._links.values())
        return min(total, self._bounds.outstanding_bytes_per_peer - self._links[peer].outstanding_bytes)

    def _fill(self, fetch: Fetch, room: int, metered: Now | None) -> dict[int, int]:
        """Take chunks out of `todo` for as long as they fit; one at least if nothing at all is outstanding.

        With `metered`, the time, each of them takes its turn on the line.
        """
        idle = not any(link.outstanding_bytes for link in self._links.values())
        chosen: dict[int, int] = {}
        while fetch.todo and not (metered and self._line.busy(metered)):
            size = fetch.artifact.span(fetch.todo[0])[1]
            if size > room and not (idle and not chosen):
                break
            chosen[fetch.todo.popleft()] = size
            room -= size
            if metered:
                self._line.occupy(size, metered)
        return chosen

    def _ask(self, fetch: Fetch, source: Source, chunks: dict[int, int], now: Now) -> None:
        self._start(fetch)
        if not source.asked:
            source.progress_ns = now.mono_ns
        source.asked.update(chunks)
        self._links[fetch.active].outstanding_bytes += sum(chunks.values())
        self._arm(self._stalls_ns(source))

    def _feed_hungry(self, now: Now) -> None:
        """Room came free: fetches that found none may have it, the longest waiting first."""
        hungry, self._hungry = self._hungry, {}
        for digest in hungry:
            if digest in self._fetches:
                self._pump(self._fetches[digest], now)

    def _release(self, fetch: Fetch, peer: str) -> None:
        source = fetch.sources.get(peer)
        if source is not None:
            released = fetch.release(source)
            if peer in self._links:
                self._links[peer].outstanding_bytes -= released
        if fetch.active == peer:
            fetch.active = ""

    def _leave(self, fetch: Fetch) -> None:
        """Stop asking the active source."""
        peer = fetch.active
        asked = bool(peer) and bool(fetch.sources[peer].asked)
        self._release(fetch, peer)
        if asked:
            self._out.append(Send(peer, Cancel(fetch.digest)))

    def _ban(self, fetch: Fetch, peer: str, reason: str, now: Now) -> None:
        source = fetch.sources.setdefault(peer, Source())
        if not source.banned:
            source.banned = True
            self._out.append(Emit(Penalty(peer, reason)))
            if fetch.active == peer:
                self._leave(fetch)
        self._pump(fetch, now)
        self._feed_hungry(now)

    def _pause(self, fetch: Fetch, reason: str, now: Now, left_bytes: int = 0) -> None:
        if fetch.paused_ns <= now.mono_ns:
            fetch.paused_ns, fetch.trouble = now.after_ms(PAUSE_MS), reason
            part, _, name = reason.partition(".")
            if part == "limits":  # the disk obeys a setting
                self._out.append(Emit(BoundHit(reason, getattr(self._limits, name), left_bytes)))
            self._out.append(Emit(FetchFailed(fetch.digest, reason)))
            self._leave(fetch)
            self._arm(fetch.paused_ns)

    def _stop_storing(self, fetch: Fetch, index: int) -> bool:
        """The disk has answered for a chunk; False if it was not asked."""
        peer = fetch.storing.pop(index, None)
        if peer in self._links:
            self._links[peer].outstanding_bytes -= fetch.artifact.span(index)[1]
        return peer is not None

    def _abandon_storing(self, fetch: Fetch) -> None:
        for index in list(fetch.storing):
            self._stop_storing(fetch, index)

    def _give_up(self, digest: str, reason: str) -> None:
        self._out += [Emit(FetchFailed(digest, reason)), BytesFailed(digest, reason)]

    def _waste(self, fetch: Fetch | None, size: int) -> None:
        if fetch is not None:
            fetch.wasted_bytes += size
