"""Two transfer cores over real stores on simulated disks, wired by a pump that can lose, double and reorder frames."""

import hashlib
import io
from collections import deque
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.node.core.config import Bounds, CoreConfig
from plora.node.core.effects import (
    LIST_INDEX,
    DropBlob,
    Effect,
    Emit,
    FinishBlob,
    Persist,
    Send,
    ServeChunk,
    ServeList,
    SetTimer,
    StoreChunk,
)
from plora.node.core.events import ChunkServed, Event, Persisted, PersistFailed, Received, Stop, TimerDue
from plora.node.core.messages import CHUNK_LIST_MAX, Cancel, Chunk, ChunkList, Message, Refuse, Want
from plora.node.core.notices import BytesFailed, BytesHeld, LinkLost, LinkReady, Notice
from plora.node.core.now import Now
from plora.node.store.rows import plan_row
from plora.node.store.store import Store
from plora.node.transfer.core import Artifact, Transfer
from plora.node.transfer.download import PAUSE_MS
from plora.proto.chunks import ArtifactDescription
from plora.proto.errors import StoreError
from plora.proto.records import Body, FetchDone, FetchFailed, FetchStarted, Penalty
from plora.sim.disk import SimDisk

CHUNK = 16_384
MS = 1_000_000


def artifact_of(described: ArtifactDescription) -> Artifact:
    root = bytes.fromhex(described.chunk_root)
    return Artifact(described.sha256, described.size_bytes, described.chunk_bytes, described.chunk_count, root)


class Peer:
    """A transfer core with its store; effects are carried out as a driver would."""

    def __init__(self, name: str, disk: SimDisk | None = None, **settings: object) -> None:
        self.name = name
        self.disk = disk or SimDisk()
        self.store = Store(self.disk)
        self.config = CoreConfig(peer=name, swarm="s", boot="b", **settings)  # type: ignore[arg-type]
        self.core = Transfer(self.config, self.store.load_snapshot())
        self.notices: list[Notice] = []
        self.records: list[Body] = []
        self.timers: dict[str, int] = {}
        self.served: list[tuple[str, int]] = []
        self.spoil: set[int] = set()

    def publish(self, content: bytes) -> Artifact:
        described = self.store.import_blob(io.BytesIO(content), CHUNK)
        self.core.serve(described.sha256, described.size_bytes, described.chunk_bytes)
        return artifact_of(described)

    def answer(self, effect: Effect) -> tuple[Event | None, tuple[str, Message] | None]:
        """The event that answers an effect, and the frame that it sends."""
        match effect:
            case Persist(token, rows):
                self.store.commit(rows)
                return Persisted(token), None
            case StoreChunk():
                return self.store.store_chunk(effect), None
            case FinishBlob():
                return self.store.finish_blob(effect), None
            case ServeChunk(peer, digest, index, offset, size):
                self.served.append((digest, index))
                data = self.store.read_chunk(digest, offset, size)
                if index in self.spoil:
                    data = bytes([data[0] ^ 1]) + data[1:]
                return ChunkServed(self.name, digest, index, size), (peer, Chunk(digest, index, data))
            case ServeList(peer, digest):
                hashes = self.store.chunk_hashes(digest)
                served = ChunkServed(self.name, digest, LIST_INDEX, 32 * len(hashes))
                return served, (peer, ChunkList(digest, hashes))
            case _:
                return None, None


class World:
    """Peers, links and a clock that jumps to the next timer. Frames are lost, doubled and reordered by the seed."""

    def __init__(self, seed: int = 0, loss: float = 0.0, double: float = 0.0, swap: float = 0.0) -> None:
        self.rng = Random(seed)
        self.loss, self.double, self.swap = loss, double, swap
        self.now = Now(1, 1)
        self.peers: dict[str, Peer] = {}
        self.frames: deque[tuple[str, str, Message]] = deque()
        self.sent: list[tuple[str, str, Message]] = []

    def add(self, peer: Peer) -> Peer:
        self.peers[peer.name] = peer
        return peer

    def link(self, a: str, b: str) -> None:
        self.tell(a, LinkReady(b))
        self.tell(b, LinkReady(a))

    def cut(self, a: str, b: str) -> None:
        self.frames = deque(frame for frame in self.frames if {frame[0], frame[1]} != {a, b})
        self.tell(a, LinkLost(b))
        self.tell(b, LinkLost(a))

    def tell(self, name: str, event: Event | Notice) -> None:
        self.carry_out(name, self.peers[name].core.handle(event, self.now))

    def carry_out(self, name: str, outputs: list[Effect | Notice]) -> None:
        peer = self.peers[name]
        for output in outputs:
            match output:
                case Send(to, message):
                    self.post(name, to, message)
                case SetTimer(timer, due_ns):
                    peer.timers[timer] = due_ns
                case Emit(body):
                    peer.records.append(body)
                case DropBlob(digest):
                    peer.store.drop_blob(digest)
                case BytesHeld() | BytesFailed():
                    peer.notices.append(output)
                case _:
                    self.execute(name, output)

    def execute(self, name: str, effect: object) -> None:
        event, frame = self.peers[name].answer(effect)  # type: ignore[arg-type]
        if frame is not None:
            self.post(name, *frame)
        if event is not None:
            self.tell(name, _at(event, frame))

    def post(self, sender: str, to: str, message: Message) -> None:
        self.sent.append((sender, to, message))
        if self.rng.random() < self.loss:
            return
        self.frames.append((sender, to, message))
        if self.rng.random() < self.double:
            self.frames.append((sender, to, message))

    def step(self) -> bool:
        """Deliver one frame, or else let the next timer fire."""
        if self.frames:
            if self.rng.random() < self.swap:
                self.frames.rotate(1)
            sender, to, message = self.frames.popleft()
            self.tell(to, Received(sender, message))
            return True
        due = sorted(
            (due_ns, name, timer) for name, peer in self.peers.items() for timer, due_ns in peer.timers.items()
        )
        if not due:
            return False
        due_ns, name, timer = due[0]
        self.now = Now(max(self.now.mono_ns, due_ns), 1)
        del self.peers[name].timers[timer]
        self.tell(name, TimerDue(timer))
        return True

    def run(self, steps: int = 20_000) -> None:
        for _ in range(steps):
            if not self.step():
                return
        raise AssertionError("the transfer did not end")

    def run_until(self, condition: object) -> None:
        assert callable(condition)
        for _ in range(20_000):
            if condition():
                return
            assert self.step()
        raise AssertionError("it never happened")


def _at(event: Event, frame: tuple[str, Message] | None) -> Event:
    """`ChunkServed` names the peer that was served."""
    if isinstance(event, ChunkServed) and frame is not None:
        return ChunkServed(frame[0], event.digest, event.index, event.wire_bytes)
    return event


def content(size: int, seed: int = 1) -> bytes:
    return Random(seed).randbytes(size)


def fetch_pair(
    world: World, size: int = 5 * CHUNK + 7, disk: SimDisk | None = None, **settings: object
) -> tuple[Peer, Peer, Artifact]:
    ada, bob = world.add(Peer("ada")), world.add(Peer("bob", disk, **settings))
    artifact = ada.publish(content(size))
    world.link("ada", "bob")
    return ada, bob, artifact


def start(world: World, name: str, artifact: Artifact, *sources: str) -> None:
    core = world.peers[name].core
    world.carry_out(name, core.want(artifact, world.now))
    for source in sources:
        world.carry_out(name, core.add_source(source, artifact.digest, world.now))


def blob(peer: Peer, artifact: Artifact) -> bytes:
    return peer.store.read_chunk(artifact.digest, 0, artifact.size_bytes)


def asked_chunks(world: World, name: str) -> list[int]:
    return [
        index
        for sender, _, message in world.sent
        if sender == name and isinstance(message, Want)
        for index in message.chunks
    ]


def test_an_artifact_moves_whole_and_nothing_is_wasted() -> None:
    world = World()
    ada, bob, artifact = fetch_pair(world)
    start(world, "bob", artifact, "ada")
    world.run()
    assert bob.notices == [BytesHeld(artifact.digest, ("ada",), artifact.size_bytes, 0, 0)]
    assert hashlib.sha256(blob(bob, artifact)).hexdigest() == artifact.digest
    assert bob.records == [
        FetchStarted(artifact.digest, artifact.size_bytes, 0),
        FetchDone(artifact.digest, ("ada",), artifact.size_bytes, 0, 0),
    ]
    assert sorted(asked_chunks(world, "bob")) == list(range(artifact.chunk_count))
    assert ada.core.sent_bytes == artifact.size_bytes + 32 * artifact.chunk_count
    assert bob.core.progress(world.now) == []
    assert bob.store.load_snapshot().held == {artifact.digest: artifact.size_bytes}


def test_the_list_is_durable_before_a_chunk_is_asked_for() -> None:
    world = World()
    _, bob, artifact = fetch_pair(world)
    start(world, "bob", artifact, "ada")
    world.run_until(lambda: asked_chunks(world, "bob"))
    assert artifact.digest in Store(bob.disk.power_cut()).load_snapshot().plans


@pytest.mark.parametrize("spoiled", [0, 3, 5])
def test_a_wrong_chunk_is_the_senders_fault_and_comes_from_another(spoiled: int) -> None:
    world = World()
    eve, bob, artifact = fetch_pair(world)
    eve.spoil = {spoiled}
    start(world, "bob", artifact, "ada")
    world.run()
    assert bob.notices == []
    assert Penalty("ada", "bad_chunk") in bob.records
    cyd = world.add(Peer("cyd"))
    cyd.publish(content(artifact.size_bytes))
    world.link("cyd", "bob")
    world.carry_out("bob", bob.core.add_source("cyd", artifact.digest, world.now))
    world.run()
    (held,) = bob.notices
    assert isinstance(held, BytesHeld)
    assert "cyd" in held.sources
    assert held.wasted_bytes >= artifact.span(spoiled)[1]
    assert spoiled in [index for _, index in cyd.served]


def test_a_banned_source_is_not_asked_again_even_over_a_new_link() -> None:
    world = World()
    ada, bob, artifact = fetch_pair(world)
    ada.spoil = {0}
    start(world, "bob", artifact, "ada")
    world.run()
    asked = len(world.sent)
    world.cut("ada", "bob")
    world.link("ada", "bob")
    world.carry_out("bob", bob.core.add_source("ada", artifact.digest, world.now))
    world.run()
    assert len(world.sent) == asked
    assert [record for record in bob.records if isinstance(record, Penalty)] == [Penalty("ada", "bad_chunk")]


def test_a_list_that_the_signer_did_not_mean_is_refused() -> None:
    world = World()
    _, bob, artifact = fetch_pair(world)
    meant = Artifact(artifact.digest, artifact.size_bytes, CHUNK, artifact.chunk_count, bytes(32))
    start(world, "bob", meant, "ada")
    world.run()
    assert Penalty("ada", "bad_chunk_list") in bob.records
    assert asked_chunks(world, "bob") == []
    assert bob.store.load_snapshot().plans == {}


def test_right_chunks_of_a_wrong_whole_are_the_signers_fault() -> None:
    world = World()
    ada, bob, artifact = fetch_pair(world)
    lie = "ab" * 32
    ada.core.serve(lie, artifact.size_bytes, CHUNK)
    ada.disk.transact([plan_row(lie, artifact.plan(ada.store.chunk_hashes(artifact.digest)))])
    ada.disk.write(f"blobs/ab/{lie}", 0, content(artifact.size_bytes))
    start(world, "bob", Artifact(lie, artifact.size_bytes, CHUNK, artifact.chunk_count, artifact.chunk_root), "ada")
    world.run()
    assert bob.notices == [BytesFailed(lie, "bad_hash")]
    assert FetchFailed(lie, "bad_hash") in bob.records
    assert not [record for record in bob.records if isinstance(record, Penalty)]
    assert bob.store.load_snapshot() == Peer("fresh").store.load_snapshot()


def test_what_was_stored_before_a_restart_is_not_fetched_again() -> None:
    world = World()
    _, bob, artifact = fetch_pair(world, bounds=Bounds(outstanding_bytes_per_peer=2 * CHUNK))
    start(world, "bob", artifact, "ada")
    world.run_until(lambda: len(bob.disk.log) >= 5)
    before = bob.core.progress(world.now)[0]
    assert 0 < before.stored_bytes < artifact.size_bytes
    again = world.add(Peer("bob", disk=bob.disk.kill()))
    stored = again.store.load_snapshot().partial[artifact.digest]
    world.frames.clear()
    world.sent.clear()
    world.link("ada", "bob")
    start(world, "bob", artifact, "ada")
    world.run()
    assert sorted(asked_chunks(world, "bob")) == sorted(set(range(artifact.chunk_count)) - stored)
    assert not [message for _, _, message in world.sent if isinstance(message, ChunkList)]
    (held,) = again.notices
    assert isinstance(held, BytesHeld)
    assert held.resumed_bytes == artifact.bytes_of(stored) == before.stored_bytes
    assert held.wire_bytes == artifact.size_bytes - held.resumed_bytes


def test_a_partial_file_under_another_signed_list_is_dropped() -> None:
    world = World()
    _, bob, artifact = fetch_pair(world)
    bob.disk.transact([plan_row(artifact.digest, artifact.plan((bytes(32),) * artifact.chunk_count))])
    again = world.add(Peer("bob", disk=bob.disk))
    world.link("ada", "bob")
    start(world, "bob", artifact, "ada")
    world.run()
    assert again.notices == [BytesHeld(artifact.digest, ("ada",), artifact.size_bytes, 0, 0)]


def test_a_silent_source_is_left_for_another() -> None:
    world = World()
    _, bob, artifact = fetch_pair(world, stall_ms=1000)
    cyd = world.add(Peer("cyd"))
    start(world, "bob", artifact, "ada")
    world.frames.clear()
    cyd.publish(content(artifact.size_bytes))
    world.link("cyd", "bob")
    world.carry_out("bob", bob.core.add_source("cyd", artifact.digest, world.now))
    world.run_until(lambda: bob.notices)
    (held,) = bob.notices
    assert isinstance(held, BytesHeld)
    assert held.sources == ("cyd",)
    assert ("bob", "ada", Cancel(artifact.digest)) in world.sent
    assert world.now.mono_ns == 1 + 1000 * MS
    assert [record for record in bob.records if isinstance(record, Penalty)] == [Penalty("ada", "stalled", 0.25)]


def test_a_stalled_only_source_is_asked_again_with_doubled_patience() -> None:
    world = World()
    _, bob, artifact = fetch_pair(world, stall_ms=1000)
    start(world, "bob", artifact, "ada")
    asked_at = []
    for _ in range(3):
        asked_at.append(world.now.mono_ns // (1000 * MS))
        world.frames.clear()
        world.step()
        assert bob.core.progress(world.now)[0].state == "waiting"
        world.frames.clear()
        world.step()
    assert asked_at == [0, 2, 6]
    world.run()
    assert isinstance(bob.notices[0], BytesHeld)
    assert not [record for record in bob.records if isinstance(record, Penalty)], "the line may have been at fault"


def test_late_chunks_are_used_and_cost_no_penalty() -> None:
    world = World()
    ada, bob, artifact = fetch_pair(world, stall_ms=1000)
    start(world, "bob", artifact, "ada")
    world.run_until(lambda: len(ada.served) == artifact.chunk_count)
    late = deque(world.frames)
    world.frames.clear()
    world.step()
    assert bob.core.progress(world.now)[0].state == "waiting"
    world.frames = late
    world.run_until(lambda: bob.notices)
    assert bob.notices == [BytesHeld(artifact.digest, ("ada",), artifact.size_bytes, 0, 0)]
    assert not [record for record in bob.records if isinstance(record, Penalty)]


def test_a_chunk_that_nobody_asked_for_is_wasted_and_a_penalty() -> None:
    world = World()
    _, bob, artifact = fetch_pair(world)
    world.tell("bob", Received("ada", Chunk("cd" * 32, 0, b"x")))
    assert bob.records == [Penalty("ada", "unrequested_chunk")]
    start(world, "bob", artifact, "ada")
    world.tell("bob", Received("ada", Chunk(artifact.digest, 0, bytes(CHUNK))))
    assert bob.core.progress(world.now)[0].wasted_bytes == CHUNK
    world.run()
    (held,) = bob.notices
    assert isinstance(held, BytesHeld)
    assert (held.wasted_bytes, held.wire_bytes) == (CHUNK, artifact.size_bytes + CHUNK)


def test_a_chunk_of_the_wrong_length_never_reaches_the_disk() -> None:
    world = World()
    ada, bob, artifact = fetch_pair(world)
    start(world, "bob", artifact, "ada")
    world.run_until(lambda: ada.served)
    world.frames.clear()
    world.tell("bob", Received("ada", Chunk(artifact.digest, 0, b"short")))
    assert Penalty("ada", "bad_chunk") in bob.records
    assert not bob.disk.exists(f"partial/{artifact.digest}")


def test_no_more_is_asked_than_the_bounds_allow() -> None:
    world = World()
    bounds = Bounds(outstanding_bytes_per_peer=4 * CHUNK, outstanding_bytes=5 * CHUNK)
    _, bob, first = fetch_pair(world, 20 * CHUNK, bounds=bounds)
    cyd = world.add(Peer("cyd"))
    second = cyd.publish(content(20 * CHUNK, seed=2))
    world.link("cyd", "bob")
    start(world, "bob", first, "ada")
    start(world, "bob", second, "cyd")
    most = 0
    while len(bob.notices) < 2:
        assert world.step()
        arrived = sum(len(message.data) for _, to, message in world.sent if to == "bob" and isinstance(message, Chunk))
        arrived -= sum(len(m.data) for _, to, m in world.frames if to == "bob" and isinstance(m, Chunk))
        most = max(most, len(asked_chunks(world, "bob")) * CHUNK - arrived)
    assert most == 5 * CHUNK
    assert len(asked_chunks(world, "bob")) == 40


def test_a_window_smaller_than_a_chunk_still_moves() -> None:
    world = World()
    _, bob, artifact = fetch_pair(world, bounds=Bounds(outstanding_bytes_per_peer=1, outstanding_bytes=1))
    start(world, "bob", artifact, "ada")
    world.run()
    assert isinstance(bob.notices[0], BytesHeld)


def test_a_full_disk_pauses_and_goes_on_where_it_stopped() -> None:
    world = World()
    bounds = Bounds(outstanding_bytes_per_peer=2 * CHUNK)
    _, bob, artifact = fetch_pair(world, disk=SimDisk(capacity_bytes=3 * CHUNK), bounds=bounds)
    start(world, "bob", artifact, "ada")
    world.run_until(lambda: bob.records[-1] == FetchFailed(artifact.digest, "disk_full"))
    (view,) = bob.core.progress(world.now)
    assert (view.state, view.stored_bytes, view.percent) == ("disk_full", 3 * CHUNK, 59)
    places = bob.core.chunks(artifact.digest)
    assert places[0] == ("stored", 3)
    assert sum(count for _, count in places) == artifact.chunk_count
    assert bob.core.sources(artifact.digest) == ["ada"]
    bob.disk.capacity_bytes = None
    world.run()
    assert bob.core.chunks(artifact.digest) == []
    (held,) = bob.notices
    assert isinstance(held, BytesHeld)
    assert held.wasted_bytes <= 2 * CHUNK
    assert [asked_chunks(world, "bob").count(index) for index in (0, 1, 2)] == [1, 1, 1]


def test_a_failing_finish_is_tried_again() -> None:
    world = World()
    _, bob, artifact = fetch_pair(world)
    bob.disk.fail_at(len(bob.disk.log) + artifact.chunk_count + 2, StoreError("broken"))
    start(world, "bob", artifact, "ada")
    world.run()
    assert FetchFailed(artifact.digest, "io_error") in bob.records
    assert bob.notices == [BytesHeld(artifact.digest, ("ada",), artifact.size_bytes, 0, 0)]


def test_an_unkept_list_is_asked_for_again() -> None:
    world = World()
    _, bob, artifact = fetch_pair(world)
    assert bob.core.want(artifact, world.now) == []
    outputs = bob.core.add_source("ada", artifact.digest, world.now)
    assert Send("ada", Want(artifact.digest, want_list=True)) in outputs
    hashes = world.peers["ada"].store.chunk_hashes(artifact.digest)
    (persist,) = bob.core.handle(Received("ada", ChunkList(artifact.digest, hashes)), world.now)
    assert isinstance(persist, Persist)
    failed = bob.core.handle(PersistFailed(persist.token, "disk_full"), world.now)
    assert Emit(FetchFailed(artifact.digest, "disk_full")) in failed
    later = Now(world.now.after_ms(PAUSE_MS), 1)
    assert Send("ada", Want(artifact.digest, want_list=True)) in bob.core.handle(TimerDue("transfer:stall"), later)


def test_an_unwanted_fetch_is_cancelled_and_leaves_nothing() -> None:
    world = World()
    _, bob, artifact = fetch_pair(world, bounds=Bounds(outstanding_bytes_per_peer=2 * CHUNK))
    start(world, "bob", artifact, "ada")
    world.run_until(lambda: bob.core.progress(world.now)[0].stored_bytes)
    world.carry_out("bob", bob.core.unwant(artifact.digest, world.now))
    world.run()
    assert ("bob", "ada", Cancel(artifact.digest)) in world.sent
    assert bob.notices == []
    assert not bob.disk.exists(f"partial/{artifact.digest}")
    start(world, "bob", artifact, "ada")
    world.run()
    assert isinstance(bob.notices[0], BytesHeld)


def test_an_artifact_with_too_many_chunks_is_not_begun() -> None:
    bob = Peer("bob")
    huge = Artifact("ab" * 32, (CHUNK_LIST_MAX + 1) * CHUNK, CHUNK, CHUNK_LIST_MAX + 1, bytes(32))
    outputs = bob.core.want(huge, Now(1, 1))
    assert BytesFailed(huge.digest, "too_large") in outputs
    assert bob.core.progress(Now(1, 1)) == []


def test_who_does_not_serve_is_left_until_it_announces_again() -> None:
    world = World()
    ada, bob, artifact = fetch_pair(world)
    world.carry_out("ada", ada.core.unserve(artifact.digest))
    start(world, "bob", artifact, "ada")
    world.run()
    assert bob.core.progress(world.now)[0].state == "no_source"
    ada.core.serve(artifact.digest, artifact.size_bytes, CHUNK)
    world.carry_out("bob", bob.core.add_source("ada", artifact.digest, world.now))
    world.run()
    assert isinstance(bob.notices[0], BytesHeld)


def test_a_busy_source_is_asked_again_after_the_time_that_it_named() -> None:
    world = World()
    _, bob, artifact = fetch_pair(world)
    start(world, "bob", artifact, "ada")
    world.frames.clear()
    world.tell("bob", Received("ada", Refuse(artifact.digest, "busy", 5000)))
    world.step()
    assert world.now.mono_ns == 1 + 5000 * MS
    world.run()
    assert isinstance(bob.notices[0], BytesHeld)


def test_a_lost_link_gives_its_chunks_to_another_source() -> None:
    world = World()
    _, bob, artifact = fetch_pair(world, 30 * CHUNK, bounds=Bounds(outstanding_bytes_per_peer=4 * CHUNK))
    cyd = world.add(Peer("cyd"))
    cyd.publish(content(artifact.size_bytes))
    world.link("cyd", "bob")
    start(world, "bob", artifact, "ada", "cyd")
    world.run_until(lambda: bob.core.progress(world.now)[0].stored_bytes > 8 * CHUNK)
    world.cut("bob", bob.core.progress(world.now)[0].source)
    world.run()
    (held,) = bob.notices
    assert isinstance(held, BytesHeld)
    assert sorted(held.sources) == ["ada", "cyd"]
    assert held.wasted_bytes == 0


def test_nothing_new_is_asked_while_stopping() -> None:
    world = World()
    *_, artifact = fetch_pair(world)
    world.tell("bob", Stop())
    start(world, "bob", artifact, "ada")
    assert world.sent == []


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.1, 0.3]),
    double=st.sampled_from([0.0, 0.2]),
    swap=st.sampled_from([0.0, 0.5]),
    chunks=st.integers(1, 12),
    window=st.integers(1, 8),
    cuts=st.lists(st.integers(1, 40), max_size=3),
)
def test_it_gets_there_over_bad_links_and_restarts(
    seed: int, loss: float, double: float, swap: float, chunks: int, window: int, cuts: list[int]
) -> None:
    world = World(seed, loss, double, swap)
    bounds = Bounds(outstanding_bytes_per_peer=window * CHUNK)
    _, bob, artifact = fetch_pair(world, chunks * CHUNK - 5, stall_ms=100, bounds=bounds)
    start(world, "bob", artifact, "ada")
    fetched: set[int] = set()
    for steps in cuts:
        for _ in range(steps):
            world.step()
        if bob.notices:
            break
        world.cut("ada", "bob")
        fetched = set(bob.store.load_snapshot().partial.get(artifact.digest, ()))
        bob = world.add(Peer("bob", disk=bob.disk.kill(), stall_ms=100, bounds=bounds))
        world.sent.clear()
        world.link("ada", "bob")
        start(world, "bob", artifact, "ada")
    world.run_until(lambda: bob.notices)
    assert hashlib.sha256(blob(bob, artifact)).hexdigest() == artifact.digest
    assert not fetched & set(asked_chunks(world, "bob"))
    if not double:
        assert not [record for record in bob.records if isinstance(record, Penalty)]
