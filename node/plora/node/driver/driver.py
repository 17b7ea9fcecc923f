"""The driver: turns what happens into events, hands them to the core one at a time, and carries out its effects.

Rules:

- It decides nothing. Each effect has one method; each answer is the event that the effect names.
- The core runs on the event loop; hashing, disk and workers don't. Nothing here waits for a disk.
- An event's records carry the time at which the core handled it, so that a recording replays to the same lines.
- A defect (an exception of the core or of an effect) becomes an `error` record; a frame that caused it costs its sender
  the link, since what a peer sends must not be able to stop another. What runs in the background answers whatever
  happens: the core is told that it failed.
- Received chunks that are not stored yet are bounded: beyond `STORING_BYTES_MAX` the links are read no further.

Not handled here: sockets (`plora.node.transport`), folders (`shelf`), configuration and signals (`plora.node.daemon`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from plora.gate import Features
from plora.node.audit.chain import Mark
from plora.node.core.effects import (
    LIST_INDEX,
    CancelTimer,
    CutOff,
    Dial,
    DropBlob,
    Effect,
    Emit,
    Examine,
    Expose,
    FinishBlob,
    HangUp,
    Hide,
    Inspect,
    Merge,
    Persist,
    Probe,
    Send,
    ServeChunk,
    ServeList,
    ServeMerge,
    SetTimer,
    SignWord,
    StoreChunk,
    Try,
)
from plora.node.core.events import (
    BlobFailed,
    ChunkRefused,
    ChunkServed,
    DialFailed,
    Event,
    Examined,
    Inspected,
    LinkClosed,
    LinkOpened,
    Merged,
    Misbehaved,
    Noted,
    Persisted,
    PersistFailed,
    Probed,
    Received,
    TimerDue,
    Tried,
    WordSigned,
)
from plora.node.core.messages import Chunk, ChunkList, DialTry, Message
from plora.node.core.now import Now
from plora.node.driver import trial
from plora.node.driver.keyed import KeyedPool
from plora.node.driver.shelf import Shelf, report_text
from plora.node.driver.trial import Prober, no_prober
from plora.node.eventlog import EventLog
from plora.node.recorder import Recorder
from plora.node.store.store import Store, blob_path
from plora.node.store.writer import Writer
from plora.node.transport.transport import Transport
from plora.node.workers.pool import Workers
from plora.proto.errors import PloraError, SpoiltBytesError
from plora.proto.host_port import split
from plora.proto.keys import PrivateKey
from plora.proto.records import Body, ErrorMet, Repair, Repelled
from plora.proto.statement import sign_statement

STORING_BYTES_MAX = 32 << 20
THREADS = 3
SHELF_KEY = "shelf"


class Core(Protocol):
    """What the driver needs of a `PeerCore`."""

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """The effects of one event."""


class Inspector(Protocol):
    """Who has detectors look into artifacts."""

    async def inspect(self, effect: Inspect, blob: Path) -> Inspected:
        """The answer to one effect; PloraError where the worker failed."""


class Driver:
    """Runs one core. Give it its transport by `attach` before the first event."""

    def __init__(
        self,
        core: Core,
        *,
        home: Path,
        store: Store,
        shelf: Shelf,
        log: EventLog,
        clock: Callable[[], Now],
        recorder: Recorder | None = None,
        workers: Workers | None = None,
        vote_key: PrivateKey | None = None,
        inspector: Inspector | None = None,
    ) -> None:
        self.core = core
        self.log = log
        self.clock = clock
        self._home = home
        self._vote_key = vote_key
        self._inspector = inspector
        self._store = store
        self._shelf = shelf
        self._recorder = recorder
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(store.commit)
        self._pool = KeyedPool(THREADS, "disk")
        self._workers = workers or Workers()
        self.on_shelved: Callable[[], None] = lambda: None  # called when what is exposed or served has changed
        self.prober: Prober = no_prober
        self.examining = 0  # files that the examiner has, or that wait for it
        self._transport: Transport | None = None
        self._calls: dict[str, Callable[[Message], None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._events: deque[Event] = deque()
        self._busy = False
        self._stepped: asyncio.Future[None] | None = None
        self._storing_bytes = 0
        self._writing = 0
        self._room = asyncio.Event()
        self._room.set()
        self._methods: dict[type, Callable[[Any], None]] = self._table()

    def attach(self, transport: Transport) -> None:
        """Give the driver its links."""
        self._transport = transport

    # Events in

    def handle(self, event: Event) -> None:
        """Have the core handle an event, and all events that its effects lead to at once."""
        self._events.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._events:
                self._step(self._events.popleft())
        finally:
            self._busy = False
        if self._stepped is not None:
            self._stepped.set_result(None)
            self._stepped = None

    async def until(self, reached: Callable[[], bool]) -> None:
        """Returns when `reached()` holds; it is asked again after every event."""
        while not reached():
            if self._stepped is None:
                self._stepped = self._loop.create_future()
            await asyncio.shield(self._stepped)

    async def shelved(self) -> None:
        """Returns when the adapters' folders are as the core wanted them until now."""
        await self.blocking(SHELF_KEY, lambda: None)

    def note(self, body: Body) -> None:
        """Have the core emit a record of the driver's own: it numbers them all."""
        self.handle(Noted(body))

    def answer_call(self, caller: str, take: Callable[[Message], None]) -> None:
        """Give what the core sends to a caller of a one-way call to `take`, instead of a link."""
        self._calls[caller] = take

    def forget_call(self, caller: str) -> None:
        """The call is over."""
        self._calls.pop(caller, None)

    def later(self, event: Event) -> None:
        """Handle an event soon; from any thread."""
        self._loop.call_soon_threadsafe(self.handle, event)

    def link_opened(self, peer: str, dialed: bool, address: str) -> None:
        """The transport has a link."""
        self.handle(LinkOpened(peer, dialed, *(split(address) or ())))

    def link_closed(self, peer: str, reason: str) -> None:
        """The transport lost it."""
        self.handle(LinkClosed(peer, reason))

    def dial_failed(self, peer: str, reason: str) -> None:
        """The transport found nobody."""
        self.handle(DialFailed(peer, reason))

    def probed(self, peer: str, tries: tuple[DialTry, ...], purpose: str) -> None:
        """The transport saw who answers at some addresses."""
        self.handle(Probed(peer, tries, purpose))

    def received(self, peer: str, message: Message) -> None:
        """A frame came."""
        self.handle(Received(peer, message))

    def misbehaved(self, peer: str, reason: str) -> None:
        """A peer broke a rule of the wire."""
        self.handle(Misbehaved(peer, reason))

    def repelled(self, host: str, reason: str, count: int) -> None:
        """Connections of nobody known were ended."""
        self.note(Repelled(host, reason, count))

    async def room(self) -> None:
        """Returns when received chunks may be taken again."""
        await self._room.wait()

    def _step(self, event: Event) -> None:
        now = self.clock()
        if self._recorder is not None:
            self._recorder.event(event, now)
        try:
            effects = self.core.handle(event, now)
        except Exception as error:  # what a peer sends must not be able to stop this one
            self._defect(f"handling {type(event).__name__}", error)
            if isinstance(event, Received):
                self._hang_up(HangUp(event.peer, "internal error"))
            return
        for effect in effects:
            self._carry_out(effect, now)

    def _carry_out(self, effect: Effect, now: Now) -> None:
        if isinstance(effect, Emit):
            self.log.write(effect.body, now, effect.cause)
            return
        try:
            self._methods[type(effect)](effect)
        except Exception as error:  # one effect's failure must not swallow the others
            self._defect(f"carrying out {type(effect).__name__}", error)

    def _defect(self, where: str, error: BaseException) -> None:
        self.note(ErrorMet(f"{type(error).__name__}: {error}"[:500], where))

    # Effects out

    def _table(self) -> dict[type, Callable[[Any], None]]:
        return {
            Send: self._send,
            Dial: self._dial,
            Probe: self._probe,
            HangUp: self._hang_up,
            CutOff: self._cut_off,
            SetTimer: self._set_timer,
            CancelTimer: self._cancel_timer,
            Persist: self._persist,
            StoreChunk: self._store_chunk,
            ServeChunk: self._serve_chunk,
            ServeList: self._serve_list,
            FinishBlob: self._finish_blob,
            DropBlob: self._drop_blob,
            Examine: self._examine,
            Inspect: self._inspect,
            Expose: self._expose,
            Hide: self._hide,
            Merge: self._merge,
            Try: self._try,
            ServeMerge: self._serve_merge,
            SignWord: self._sign_word,
        }

    @property
    def _links(self) -> Transport:
        if self._transport is None:
            raise RuntimeError("no transport attached")
        return self._transport

    def _send(self, effect: Send) -> None:
        if effect.peer in self._calls:
            self._calls[effect.peer](effect.message)
            return
        link = self._links.link(effect.peer)
        if link is not None:
            link.send(effect.message)

    def _dial(self, effect: Dial) -> None:
        self._links.dial(effect.peer, effect.addresses)

    def _probe(self, effect: Probe) -> None:
        self._links.probe(effect.peer, effect.addresses, effect.purpose)

    def _sign_word(self, effect: SignWord) -> None:
        if self._vote_key is None:
            raise RuntimeError("no vote key")
        self.handle(WordSigned(sign_statement(effect.payload.kind, effect.payload, self._vote_key)))

    def _hang_up(self, effect: HangUp) -> None:
        link = self._links.link(effect.peer)
        if link is not None:
            link.close(effect.reason)

    def _cut_off(self, effect: CutOff) -> None:
        self._links.cut_off(effect.peer, max(0, effect.until_ns - self.clock().mono_ns) / 1e9)

    def _set_timer(self, effect: SetTimer) -> None:
        self._cancel_timer(CancelTimer(effect.timer))
        delay_s = max(0, effect.due_ns - self.clock().mono_ns) / 1e9
        self._timers[effect.timer] = self._loop.call_later(delay_s, self._timer_due, effect.timer)

    def _cancel_timer(self, effect: CancelTimer) -> None:
        handle = self._timers.pop(effect.timer, None)
        if handle is not None:
            handle.cancel()

    def _timer_due(self, timer: str) -> None:
        self._timers.pop(timer, None)
        self.handle(TimerDue(timer))

    def _persist(self, effect: Persist) -> None:
        def done(future: Future[Mark]) -> None:
            self._loop.call_soon_threadsafe(self._written, effect.token, future)

        future = self._writer.submit(effect.rows, effect.facts)
        self._writing += 1
        future.add_done_callback(done)

    def _written(self, token: int, future: Future[Mark]) -> None:
        self._writing -= 1
        error = future.exception()
        if error is not None:
            self.handle(PersistFailed(token, str(error)))
            return
        head = future.result()
        self.handle(Persisted(token, head.seq, head.head))

    def _store_chunk(self, effect: StoreChunk) -> None:
        size = len(effect.data)
        self._storing_bytes += size
        if self._storing_bytes >= STORING_BYTES_MAX:
            self._room.clear()

        def done(event: Event) -> None:
            self._storing_bytes -= size
            if self._storing_bytes < STORING_BYTES_MAX:
                self._room.set()
            self.handle(event)

        refused = ChunkRefused(effect.peer, effect.digest, effect.index, "io_error")
        what = f"storing a chunk of {effect.digest[:12]}"
        self._answer(effect.digest, what, lambda: self._store.store_chunk(effect), done, refused)

    def _answer(
        self, key: str, what: str, work: Callable[[], Any], done: Callable[[Any], None], otherwise: Any
    ) -> None:
        """Blocking work whose answer the core waits for: a defect of this program is a record, and `otherwise`."""

        def failed(error: Exception) -> None:
            self._defect(what, error)
            done(otherwise)

        self._pool.submit(key, work, done, failed)

    def _serve_chunk(self, effect: ServeChunk) -> None:
        def read() -> Message | None:
            try:
                data = self._store.read_chunk(effect.digest, effect.offset, effect.size_bytes)
            except PloraError:
                return None
            return Chunk(effect.digest, effect.index, data)

        self._serve(effect.peer, effect.digest, effect.index, read)

    def _serve_list(self, effect: ServeList) -> None:
        def read() -> Message | None:
            try:
                return ChunkList(effect.digest, self._store.chunk_hashes(effect.digest))
            except PloraError:
                return None

        self._serve(effect.peer, effect.digest, LIST_INDEX, read)

    def _serve(self, peer: str, digest: str, index: int, read: Callable[[], Message | None]) -> None:
        def sent(wire_bytes: int) -> None:
            self.handle(ChunkServed(peer, digest, index, wire_bytes))

        def done(message: Message | None) -> None:
            link = self._links.link(peer)
            if message is not None and peer in self._calls:
                self._calls[peer](message)
                sent(_bytes_of(message))
            elif link is None or message is None:
                sent(0)
            else:
                link.send(message, sent)

        self._answer(f"serve:{peer}", f"reading {digest[:12]}", read, done, None)

    def _finish_blob(self, effect: FinishBlob) -> None:
        what, failed = f"finishing {effect.digest[:12]}", BlobFailed(effect.digest, "io_error")
        self._answer(effect.digest, what, lambda: self._store.finish_blob(effect), self.handle, failed)

    def _drop_blob(self, effect: DropBlob) -> None:
        self._do(effect.digest, f"dropping {effect.digest[:12]}", lambda: self._store.drop_blob(effect.digest))

    def _expose(self, effect: Expose) -> None:
        def expose() -> None:
            try:
                self._shelf.expose(effect)
            except FileNotFoundError:
                if self._store.holds(effect.digest):
                    raise  # else the bytes left meanwhile, and what takes the name away, or gives it anew, comes next

        self._shelve(f"exposing {effect.name}", expose)

    def _hide(self, effect: Hide) -> None:
        self._shelve(f"hiding {effect.name}", lambda: self._shelf.hide(effect.name))

    def _do(self, key: str, what: str, work: Callable[[], None], then: Callable[[], None] = lambda: None) -> None:
        """Blocking work that has no answer; a failure becomes a record."""
        self._pool.submit(key, work, lambda _: then(), lambda error: self._defect(what, error))

    def _examine(self, effect: Examine) -> None:
        self._start(self._examined(effect.digest, effect.owner))

    async def examined(self, path: Path) -> Examined:
        """What the worker sees of a file of one's own; WorkerError when the examination failed."""
        features, cpu_ms = await self._examination(path)
        return Examined(features.sha256, features, cpu_ms=cpu_ms)

    async def _examination(self, path: Path, owner: str = "") -> tuple[Features, float]:
        self.examining += 1
        try:
            return await self._workers.examine(str(path), owner)
        finally:
            self.examining -= 1

    async def _examined(self, digest: str, owner: str) -> None:
        try:
            features, cpu_ms = await self._examination(self._home / blob_path(digest), owner)
        except PloraError as error:
            self.handle(Examined(digest, None, str(error)))
        except Exception as error:  # ours, not the bytes': nobody is to blame, and the plasmid must not wait for ever
            self._defect(f"examining {digest[:12]}", error)
            self.handle(Examined(digest, None, type(error).__name__, defect=True))
        else:
            self.handle(Examined(digest, features, cpu_ms=cpu_ms))

    def _inspect(self, effect: Inspect) -> None:
        self._start(self._inspected(effect))

    async def _inspected(self, effect: Inspect) -> None:
        asked = (effect.detector, effect.subject, effect.digest)
        try:
            if self._inspector is None:
                raise RuntimeError("no detectors")
            found = await self._inspector.inspect(effect, self._home / blob_path(effect.digest))
        except PloraError as error:
            found = Inspected(*asked, None, reason=str(error))
        except Exception as error:  # ours, not the bytes': the plasmid must not wait for ever
            self._defect(f"inspecting {effect.digest[:12]}", error)
            found = Inspected(*asked, None, reason=type(error).__name__)
        self.handle(found)

    def _merge(self, effect: Merge) -> None:
        self._start(self._merged(effect))

    def _serve_merge(self, effect: ServeMerge) -> None:
        self._shelve(f"serving the merge of {effect.base}", lambda: self._shelf.serve_merge(effect))

    def _shelve(self, what: str, work: Callable[[], None]) -> None:
        self._do(SHELF_KEY, what, work, self.on_shelved)

    def _try(self, effect: Try) -> None:
        self._start(self._tried(effect))

    async def _tried(self, effect: Try) -> None:
        try:
            answer = await trial.carry_out(
                effect, self._shelf, self._workers, self.prober, partial(self.blocking, SHELF_KEY)
            )
        except Exception as error:  # likewise: a merge must not stay under test for ever
            self._defect(f"probing the merge of {effect.base}", error)
            answer = Tried(effect.base, effect.generation, effect.trial, None, type(error).__name__)
        self.handle(answer)

    async def _merged(self, effect: Merge) -> None:
        try:
            report = await self._merge_on_shelf(effect)
        except SpoiltBytesError as error:
            self.handle(Merged(effect.base, effect.generation, "", "hash_mismatch", error.where))
        except (OSError, PloraError) as error:
            self.handle(Merged(effect.base, effect.generation, "", str(error) or type(error).__name__))
        except Exception as error:  # likewise: the base must not stay without a merge
            self._defect(f"merging {effect.base}", error)
            self.handle(Merged(effect.base, effect.generation, "", type(error).__name__))
        else:
            self.handle(Merged(effect.base, effect.generation, report_text(report)))

    async def _merge_on_shelf(self, effect: Merge) -> dict[str, Any]:
        if not effect.inputs:
            await self.blocking(SHELF_KEY, lambda: self._shelf.hide_merge(effect.base))
            self.on_shelved()
            return {}
        request = await self.blocking(SHELF_KEY, lambda: self._shelf.merge_request(effect))
        try:
            report = await self._workers.merge(request)
        except PloraError:
            await self.blocking(SHELF_KEY, lambda: self._shelf.forget_merge(effect, request))
            raise
        stays = report.pop("kept", [])
        if report.pop("damaged", False):
            self.note(Repair("what earlier merges kept was wrong; it was not used, and is made anew", effect.base))
        await self.blocking(SHELF_KEY, lambda: self._shelf.take_merge(effect, request, stays))
        return report

    async def blocking(self, key: str, work: Callable[[], Any]) -> Any:
        """The result of blocking work, done in a thread after all earlier work of `key`."""
        future: asyncio.Future[Any] = self._loop.create_future()

        def settle(give: Callable[[Any], None], outcome: Any) -> None:
            if not future.cancelled():
                give(outcome)

        self._pool.submit(key, work, partial(settle, future.set_result), partial(settle, future.set_exception))
        return await future

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._defect(task.get_name(), error)

    # The end

    async def stop(self) -> None:
        """After the last event: finish what touches the disk, kill workers, close the log."""
        for timer in list(self._timers):
            self._cancel_timer(CancelTimer(timer))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._workers.stop()
        await self._pool.drain()
        while self._writing:  # what is answered may ask for more: nothing finds the store closed
            await self.until(lambda: not self._writing)
            await self._pool.drain()
        await asyncio.to_thread(self._writer.close)
        self._pool.close()


def _bytes_of(message: Message) -> int:
    """What a chunk or chunk list counts for as sent."""
    if isinstance(message, Chunk):
        return len(message.data)
    return sum(map(len, message.hashes)) if isinstance(message, ChunkList) else 0
