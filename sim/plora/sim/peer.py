"""A simulated peer: the real core and the real store, over a simulated disk, clock and network.

- Carries effects out as the daemon's driver does: same effect, same answers. Decides nothing.
- Work on blobs is done when the effect comes, so that it keeps its order, and answered after a virtual cost; a
  transaction is committed when half of its cost has passed, and acknowledged after the other half: a crash may come
  before the one or between both.
- Answers of a process that has crashed reach nobody. One that is stopped finishes what it is
  writing; what it examines, inspects and merges it gives up.
- Merges are not computed here: the answer is a report without figures.
- `watch`, where it is set, is told of each event and of what the core asks for, before any of it is carried out.
- `core_class` and `store_class` are what a boot makes; a subclass that breaks one shows who notices.

Not handled here: several peers (`swarm`), frames under way (`links`).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any, ClassVar, Protocol, TextIO

from plora.gate import Policy, Trust
from plora.gate.findings import Findings
from plora.node.core.config import CoreConfig
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
    ChunkServed,
    DetectorsChanged,
    Event,
    Examined,
    Inspected,
    Merged,
    Persisted,
    PersistFailed,
    Publish,
    Start,
    Stop,
    TimerDue,
    Tried,
    WordSigned,
)
from plora.node.core.ledger import Ledger
from plora.node.core.messages import Chunk, ChunkList, Message
from plora.node.core.now import Now
from plora.node.core.peer import PeerCore
from plora.node.recorder import Recorder
from plora.node.store.store import Store
from plora.proto.errors import StoreError
from plora.proto.keys import PrivateKey
from plora.proto.records import ErrorMet
from plora.proto.statement import Statement, sign_statement
from plora.sim.clock import MS, VirtualClock
from plora.sim.disk import PowerCutError, SimDisk
from plora.sim.event_log import EventLog
from plora.sim.links import Network
from plora.sim.shared import Shared


@dataclass(frozen=True, slots=True)
class Costs:
    """What work takes, in virtual milliseconds."""

    persist_ms: float = 2.0
    chunk_ms: float = 1.0
    finish_ms: float = 5.0
    examine_ms: float = 30.0
    inspect_ms: float = 4000.0
    merge_ms: float = 80.0


class Watch(Protocol):
    """Somebody who looks on."""

    def saw(self, peer: SimPeer, event: Event, effects: list[Effect], now: Now) -> None:
        """What a peer's core asks for upon an event; it is carried out next."""


class SimPeer:
    """One peer over its boots. `log` has the lines of its event log, `adapters` what is exposed now.

    `handled` counts the events that its core took, over its boots. `listen` is told of each record with its number in
    this boot; `detectors` are ready as soon as it has started. `wall_ahead_ms` is how far its wall clock is
    ahead of the swarm's, `gate_slowness` how many times as long as usual examining takes; `first_id` is the id that it
    began with, `called` are all that it has had.
    """

    core_class: ClassVar[type[PeerCore]] = PeerCore
    store_class: ClassVar[type[Store]] = Store

    def __init__(
        self,
        config: CoreConfig,
        policy: Policy,
        trust: Trust,
        clock: VirtualClock,
        network: Network,
        shared: Shared,
        costs: Costs | None = None,
        vote_key: PrivateKey | None = None,
    ) -> None:
        self.config = config
        self.first_id = config.peer
        self.called = {config.peer}
        self.vote_key = vote_key
        self.policy = policy
        self.trust = trust
        self.disk = SimDisk()
        self.log = EventLog()
        self.adapters: dict[str, str] = {}
        self.merged: dict[str, tuple[str, ...]] = {}
        self._generations: dict[tuple[str, int], tuple[str, ...]] = {}
        self.stored_chunks: list[tuple[str, int]] = []
        self.wall_ahead_ms = 0
        self.gate_slowness = 1.0
        self.up = False
        self.handled = 0
        self.recording: TextIO | None = None
        self.watch: Watch | None = None
        self.listen: Callable[[SimPeer, int, Emit], None] | None = None
        self.detectors: DetectorsChanged | None = None
        self._clock = clock
        self._network = network
        self._shared = shared
        self._costs = costs or Costs()
        self._boots = 0
        self._timers: dict[str, int] = {}
        self._timer_number = 0
        self._under_way: dict[int, Callable[[], Event | None]] = {}
        self._work_number = 0
        self._recorder: Recorder | None = None
        self._carry: dict[type, Callable[[Any], None]] = {
            Send: self._send,
            Dial: lambda effect: self._network.dial(self.id, effect.peer, effect.addresses),
            Probe: lambda effect: self._network.probe(self.id, effect.peer, effect.addresses, effect.purpose),
            HangUp: lambda effect: self._network.hang_up(self.id, effect.peer, effect.reason),
            CutOff: lambda effect: None,  # its links have no calls beside the session, which gossip refuses
            SetTimer: self._set_timer,
            CancelTimer: self._cancel_timer,
            Persist: self._persist,
            StoreChunk: self._store_chunk,
            ServeChunk: self._serve_chunk,
            ServeList: self._serve_list,
            FinishBlob: self._finish_blob,
            DropBlob: lambda effect: self.store.drop_blob(effect.digest),
            Examine: self._examine,
            Inspect: self._inspect,
            Expose: self._expose,
            Hide: self._hide,
            Merge: self._merge,
            Try: self._try,
            ServeMerge: self._serve_merge,
            SignWord: self._sign_word,
            Emit: self._write,
        }

    @property
    def id(self) -> str:
        """The peer id."""
        return self.config.peer

    def rename(self, name: str) -> None:
        """Be somebody else from the next boot on, on the same disk; only for who is down."""
        self._network.rename(self.id, name)
        self.config = replace(self.config, peer=name)
        self.called.add(name)

    @property
    def now(self) -> Now:
        """The time as this peer sees it."""
        return self._clock.ahead(self.wall_ahead_ms)

    def boot(self) -> None:
        """Start the process on what the disk holds."""
        self._boots += 1
        self.config = replace(self.config, boot=f"{self._boots:08x}")
        self.store = self.store_class(self.disk)
        snapshot = self.store.load_snapshot(self.now.wall_ms)
        self.core = self.core_class(
            self.config,
            self.policy,
            self.trust,
            snapshot,
            verify=self._shared.verify,
            judge=self._shared.judge,
            row=self._shared.row,
            tell=self._shared.tell,
        )
        self._ledger = Ledger(self.id, self.config.boot)
        self._timers = {}
        if self.recording is not None:
            self._recorder = Recorder(self.recording, self.config, self.policy, self.trust, snapshot)
        self.up = True
        self.handle(Start())
        if self.detectors is not None:
            self.handle(self.detectors)

    def stop(self) -> None:
        """End the process in good order: what is being written is finished and answered first, as in the daemon."""
        self.handle(Stop())
        while self._under_way:
            self._answer(self._under_way.pop(next(iter(self._under_way))))
        if self.up:
            self.crash()

    def crash(self, power: Random | None = None) -> None:
        """End the process without a word; with `power`, as a power cut whose luck is drawn from it."""
        self.up = False
        self._under_way.clear()
        self.disk = self.disk.kill() if power is None else self.disk.power_cut(power)
        self._network.drop_peer(self.id)

    def publish(self, statements: tuple[Statement, ...], artifacts: tuple[bytes, ...] = ()) -> None:
        """A person publishes: the bytes first, then the statements."""
        held = tuple(self.store.import_blob(io.BytesIO(data), 16 * 1024).sha256 for data in artifacts)
        self.handle(Publish(statements, held))

    def send(self, peer: str, message: Message) -> None:
        """Put a frame on the link with a peer that the core didn't ask for."""
        self._network.send(self.id, peer, message)

    def handle(self, event: Event) -> None:
        """Give an event to the core and carry out what it asks for."""
        if not self.up:
            return
        self.handled += 1
        now = self.now
        if self._recorder is not None:
            self._recorder.event(event, now)
        effects = self.core.handle(event, now)
        if self.watch is not None:
            self.watch.saw(self, event, effects, now)
        for effect in effects:
            self._carry_out(effect)

    def _carry_out(self, effect: Effect) -> None:
        try:
            if self.up:
                self._carry[type(effect)](effect)
        except PowerCutError:
            self.crash(Random(0))  # noqa: S311 - luck, not a secret
        except StoreError as error:
            self._write(Emit(ErrorMet(f"StoreError: {error}"[:500], f"carrying out {type(effect).__name__}")))

    def _later(self, cost_ms: float, answer: Callable[[], Event | None]) -> None:
        boot = self.config.boot

        def arrive() -> None:
            if self.up and self.config.boot == boot:
                self._answer(answer)

        self._clock.after(int(cost_ms * MS), arrive)

    def _finished(self, cost_ms: float, answer: Callable[[], Event | None]) -> None:
        """The same for what is written, which a stop waits for; a crash takes it out."""
        self._work_number += 1
        number = self._work_number
        self._under_way[number] = answer

        def arrive() -> None:
            if self._under_way.pop(number, None):
                self._answer(answer)

        self._clock.after(int(cost_ms * MS), arrive)

    def _answer(self, answer: Callable[[], Event | None]) -> None:
        try:
            event = answer()
        except PowerCutError:
            self.crash(Random(0))  # noqa: S311 - luck, not a secret
            return
        if event is not None:
            self.handle(event)

    def _write(self, effect: Emit) -> None:
        seq = self._ledger.seq
        self.log.append(self._ledger.record(effect.body, self.now, effect.cause))
        if self.listen is not None:
            self.listen(self, seq, effect)

    def _send(self, effect: Send) -> None:
        self._network.send(self.id, effect.peer, effect.message)

    def _sign_word(self, effect: SignWord) -> None:
        if self.vote_key is None:
            raise RuntimeError("no vote key")
        statement = sign_statement(effect.payload.kind, effect.payload, self.vote_key)
        self._later(0, lambda: WordSigned(statement))

    def _set_timer(self, effect: SetTimer) -> None:
        self._timer_number += 1
        number, boot = self._timer_number, self.config.boot
        self._timers[effect.timer] = number

        def due() -> None:
            if self.up and self.config.boot == boot and self._timers.get(effect.timer) == number:
                del self._timers[effect.timer]
                self.handle(TimerDue(effect.timer))

        self._clock.at(effect.due_ns, due)

    def _cancel_timer(self, effect: CancelTimer) -> None:
        self._timers.pop(effect.timer, None)

    def _persist(self, effect: Persist) -> None:
        def commit() -> None:
            answer = self._commit(effect)
            self._finished(self._costs.persist_ms / 2, lambda: answer)

        self._finished(self._costs.persist_ms / 2, commit)

    def _commit(self, effect: Persist) -> Event:
        try:
            head = self.store.commit(effect.rows, effect.facts)
        except StoreError as error:
            return PersistFailed(effect.token, str(error))
        return Persisted(effect.token, head.seq, head.head)

    def _store_chunk(self, effect: StoreChunk) -> None:
        answer = self.store.store_chunk(effect)
        self.stored_chunks.append((effect.digest, effect.index))
        self._finished(self._costs.chunk_ms, lambda: answer)

    def _serve_chunk(self, effect: ServeChunk) -> None:
        try:
            data = self.store.read_chunk(effect.digest, effect.offset, effect.size_bytes)
            message = Chunk(effect.digest, effect.index, data)
        except StoreError:
            message, data = None, b""
        self._serve(message, ChunkServed(effect.peer, effect.digest, effect.index, len(data)))

    def _serve_list(self, effect: ServeList) -> None:
        try:
            hashes = self.store.chunk_hashes(effect.digest)
            message = ChunkList(effect.digest, hashes)
        except StoreError:
            message, hashes = None, ()
        self._serve(message, ChunkServed(effect.peer, effect.digest, LIST_INDEX, 32 * len(hashes)))

    def _serve(self, message: Message | None, served: ChunkServed) -> None:
        """Send what could be read; the core hears when it has left, or that nothing has."""

        def left() -> None:
            self._later(self._costs.chunk_ms, lambda: served)

        if message is None or not self._network.send(self.id, served.peer, message, left):
            self._later(self._costs.chunk_ms, lambda: replace(served, wire_bytes=0))

    def _finish_blob(self, effect: FinishBlob) -> None:
        answer = self.store.finish_blob(effect)
        self._finished(self._costs.finish_ms, lambda: answer)

    def _examine(self, effect: Examine) -> None:
        features = self._shared.examine(self.store, effect.digest)
        cost_ms = self._costs.examine_ms * self.gate_slowness
        self._later(cost_ms, lambda: Examined(effect.digest, features, cpu_ms=cost_ms))

    def _inspect(self, effect: Inspect) -> None:
        findings = self._shared.find(self.id, effect.detector, effect.digest)
        found = Inspected(effect.detector, effect.subject, effect.digest, findings, "sim")
        self._later(self._costs.inspect_ms * self.gate_slowness, lambda: found)

    def _expose(self, effect: Expose) -> None:
        self.adapters[effect.name] = effect.content_id.hex()

    def _hide(self, effect: Hide) -> None:
        self.adapters.pop(effect.name, None)

    def _merge(self, effect: Merge) -> None:
        if not effect.inputs:
            self.merged[effect.base] = ()

        def merged() -> Event:
            contents = tuple(item.content_id.hex() for item in effect.inputs)
            self._generations[(effect.base, effect.generation)] = contents
            return Merged(effect.base, effect.generation, "{}")

        self._later(self._costs.merge_ms, merged)

    def _try(self, effect: Try) -> None:
        answer = Tried(effect.base, effect.generation, effect.trial, Findings("", note="merges aren't computed here"))
        self._later(self._costs.merge_ms, lambda: answer)

    def _serve_merge(self, effect: ServeMerge) -> None:
        self.merged[effect.base] = self._generations.get((effect.base, effect.generation), ())
