"""Virtual time, and links that misbehave as told."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from plora.node.core.events import DialFailed, Event, LinkClosed, LinkOpened, Received
from plora.node.core.messages import Chunk, Heartbeat
from plora.sim.clock import MS, WALL_START_MS, VirtualClock
from plora.sim.links import DIAL_TIMEOUT_NS, Network
from plora.sim.scenario import Links

A, B = "a", "b"


@dataclass
class End:
    up: bool = True
    events: list[Event] = field(default_factory=list)

    def handle(self, event: Event) -> None:
        self.events.append(event)


@dataclass
class World:
    conditions: Links = field(default_factory=Links)
    clock: VirtualClock = field(default_factory=VirtualClock)

    def __post_init__(self) -> None:
        self.network = Network(self.clock, self.conditions, Random(1))
        self.a, self.b = End(), End()
        self.network.endpoints.update({A: self.a, B: self.b})

    def linked(self, dialer: str = A) -> World:
        self.network.dial(dialer, B if dialer == A else A)
        self.clock.run_until(self.clock.mono_ns + 100 * MS)
        self.a.events.clear()
        self.b.events.clear()
        return self

    def send(self, count: int) -> list[int]:
        """Numbers of the heartbeats that arrive."""
        for number in range(count):
            assert self.network.send(A, B, beat(number))
        self.clock.run_until(self.clock.mono_ns + 1000 * MS)
        messages = [event.message for event in self.b.events if isinstance(event, Received)]
        return [message.count for message in messages if isinstance(message, Heartbeat)]


def beat(number: int) -> Heartbeat:
    return Heartbeat(number, b"", 0)


def test_calls_come_in_the_order_of_time_then_of_planning() -> None:
    clock, seen = VirtualClock(), list[str]()
    clock.after(5, lambda: seen.append("b"))
    clock.after(5, lambda: seen.append("c"))
    clock.at(-7, lambda: seen.append("a"))
    clock.run_until(4)
    assert (seen, clock.mono_ns) == (["a"], 4)
    clock.run_until(9 * MS)
    assert seen == ["a", "b", "c"] and not clock.step()
    assert clock.now.wall_ms == WALL_START_MS + 9


def test_both_ends_hear_of_a_link() -> None:
    world = World()
    world.network.dial(A, B)
    world.clock.run_until(100 * MS)
    assert world.a.events == [LinkOpened(B, dialed=True)] and world.b.events == [LinkOpened(A, dialed=False)]
    assert world.network.linked(A, B)


def test_frames_keep_their_order() -> None:
    assert World(Links(delay_ms=(1, 200))).linked().send(50) == list(range(50))


def test_loss_doubling_and_reordering() -> None:
    lossy = World(Links(loss=0.5)).linked().send(400)
    assert 140 < len(lossy) < 260 and lossy == sorted(lossy)
    doubled = World(Links(duplication=0.5)).linked().send(400)
    assert 540 < len(doubled) < 660 and list(dict.fromkeys(doubled)) == list(range(400))
    mixed = World(Links(reorder=0.5)).linked().send(50)
    assert sorted(mixed) == list(range(50)) != mixed


def test_bulk_frames_have_a_loss_of_their_own() -> None:
    world = World(Links(loss=1.0)).linked()
    assert world.send(3) == []
    world.network.send(A, B, Chunk("cd", 0, b""))
    world.clock.run_until(world.clock.mono_ns + 100 * MS)
    assert world.b.events == [Received(A, Chunk("cd", 0, b""))]
    silent = World(Links(bulk_loss=1.0)).linked()
    silent.network.send(A, B, Chunk("cd", 0, b""))
    assert silent.send(1) == [0] and len(silent.b.events) == 1


def test_without_a_link_nothing_is_sent() -> None:
    assert not World().network.send(A, B, beat(0))


def test_a_cut_swallows_frames_and_dials_until_it_is_healed() -> None:
    world = World().linked()
    world.network.cut(B, A)
    assert world.send(3) == []
    world.network.heal(A, B)
    assert world.send(2) == [0, 1]
    other = World()
    other.network.cut(A, B)
    other.network.dial(A, B)
    other.clock.run_until(100 * MS + DIAL_TIMEOUT_NS)
    assert other.a.events == [DialFailed(B, "unreachable")] and other.b.events == []
    other.network.heal_all()
    assert other.linked().network.linked(A, B)


def test_hanging_up_lets_what_is_under_way_arrive() -> None:
    world = World(Links(delay_ms=(1, 50))).linked()
    for number in range(5):
        world.network.send(A, B, beat(number))
    world.network.hang_up(A, B, "bye")
    assert world.send(0) == [0, 1, 2, 3, 4]
    assert world.b.events[-1] == LinkClosed(A, "bye") and world.a.events == [LinkClosed(B, "bye")]
    assert not world.network.linked(A, B)


def test_of_two_dials_the_smaller_ids_stays() -> None:
    world = World().linked(B)
    world.network.dial(A, B)
    world.clock.run_until(world.clock.mono_ns + 100 * MS)
    replaced = "replaced by another link"
    assert world.a.events == [LinkClosed(B, replaced), LinkOpened(B, dialed=True)]
    assert world.b.events == [LinkClosed(A, replaced), LinkOpened(A, dialed=False)]
    world.linked(B)
    world.network.dial(B, A)
    world.clock.run_until(world.clock.mono_ns + 100 * MS)
    assert world.b.events == [DialFailed(A, "linked already")] and world.a.events == []


def test_of_two_dials_in_one_direction_the_newer_stays() -> None:
    world = World().linked(B)
    world.network.dial(B, A)
    world.clock.run_until(world.clock.mono_ns + 100 * MS)
    assert world.b.events[-1] == LinkOpened(A, dialed=True) and len(world.b.events) == 2


class Frail(End):
    """A process that ends when it hears that a link closed."""

    def handle(self, event: Event) -> None:
        super().handle(event)
        if isinstance(event, LinkClosed):
            self.up = False


def test_who_ends_when_its_link_is_replaced_gets_no_other() -> None:
    for frail in (A, B):
        world = World()
        world.network.endpoints[frail] = Frail()
        world.linked(A)
        world.network.dial(A, B)
        world.clock.run_until(world.clock.mono_ns + DIAL_TIMEOUT_NS + 100 * MS)
        assert not world.network.linked(A, B)
        assert world.a.events[1:] == ([DialFailed(B, "unreachable")] if frail == B else [])


def test_a_broken_path_stays_broken_under_another_name() -> None:
    world = World()
    world.network.down.update({(A, B), (B, A)})
    world.network.rename(B, "c")
    world.network.dial(A, "c")
    world.clock.run_until(world.clock.mono_ns + DIAL_TIMEOUT_NS + 100 * MS)
    assert world.a.events == [DialFailed("c", "unreachable")]


def test_a_dead_process_answers_nobody_and_its_frames_are_lost() -> None:
    world = World().linked()
    world.network.send(A, B, beat(1))
    world.a.up = False
    world.network.drop_peer(A)
    world.clock.run_until(world.clock.mono_ns + 100 * MS)
    assert world.b.events == [LinkClosed(A, "connection lost")] and world.a.events == []
    world.network.dial(B, A)
    world.clock.run_until(world.clock.mono_ns + DIAL_TIMEOUT_NS + 100 * MS)
    assert world.b.events[-1] == DialFailed(A, "unreachable")
