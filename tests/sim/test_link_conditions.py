"""Delays as drawn, bandwidth as given, paths broken as told."""

from __future__ import annotations

from random import Random
from statistics import fmean, median, pstdev

import pytest

from plora.node.core.events import LinkClosed, Received
from plora.node.core.messages import Chunk, Heartbeat
from plora.proto.errors import UsageError
from plora.sim.clock import MS, VirtualClock
from plora.sim.links import Network, delays, frame_bytes
from plora.sim.scenario import DelayKind, Links, Scenario

FRAMES = 20_000
SECOND = 1000 * MS


class End:
    """A peer that writes down when something comes."""

    def __init__(self, clock: VirtualClock) -> None:
        self.up, self.clock = True, clock
        self.came: list[tuple[int, object]] = []
        self.closed: list[str] = []

    def handle(self, event: object) -> None:
        if isinstance(event, Received):
            self.came.append((self.clock.mono_ns, event.message))
        elif isinstance(event, LinkClosed):
            self.closed.append(event.reason)


class World:
    """Peers a, b and c; a has a link with each of the others."""

    def __init__(self, links: Links) -> None:
        self.clock = VirtualClock()
        self.network = Network(self.clock, Links(delay="constant"), Random(5))
        self.ends = {name: End(self.clock) for name in "abc"}
        self.network.endpoints.update(self.ends)
        for other in "bc":
            self.network.dial("a", other)
        self.clock.run_until(SECOND)
        self.network.links = links

    def came(self, peer: str, kind: type) -> list[int]:
        """When frames of a kind came, counted from the beginning of the test."""
        return [at_ns - SECOND for at_ns, message in self.ends[peer].came if isinstance(message, kind)]


def beat(number: int) -> Heartbeat:
    return Heartbeat(number, b"", 0)


def chunk(size: int, index: int = 0) -> Chunk:
    return Chunk("cd" * 32, index, bytes(size))


@pytest.mark.parametrize(
    ("kind", "least", "mean", "spread"),
    [
        ("constant", 10.0, 10.0, 0.0),
        ("uniform", 10.0, 20.0, 20 / 12**0.5),
        ("exponential", 10.0, 30.0, 20.0),
        ("lognormal", 10.0, 10 + 20 * 1.6487, 20 * 2.1612),
    ],
)
def test_each_distribution_has_its_least_mean_and_spread(
    kind: DelayKind, least: float, mean: float, spread: float
) -> None:
    draw = delays(Links(delay=kind, delay_ms=(10.0, 30.0)), Random(1))
    drawn = [draw() for _ in range(FRAMES)]
    assert min(drawn) >= least and min(drawn) < least + 0.5
    assert fmean(drawn) == pytest.approx(mean, rel=0.03)
    assert pstdev(drawn) == pytest.approx(spread, rel=0.08)


def test_the_median_of_a_lognormal_delay_is_what_the_scenario_says() -> None:
    draw = delays(Links(delay="lognormal", delay_ms=(0.0, 40.0)), Random(2))
    assert median(draw() for _ in range(FRAMES)) == pytest.approx(40, rel=0.03)


def test_a_typical_delay_below_the_least_is_refused() -> None:
    with pytest.raises(UsageError, match=r"links\.delay_ms"):
        Scenario.parse({"links": {"delay_ms": (5.0, 1.0)}})


def test_a_peers_frames_leave_at_its_bandwidth() -> None:
    world = World(Links(delay="constant", delay_ms=(7.0, 7.0), bandwidth=100_000))
    for number in range(20):
        world.network.send("a", "b", chunk(50_000, number))
    world.clock.run_until(60 * SECOND)
    came = world.came("b", Chunk)
    expected_ns = [number * frame_bytes(chunk(50_000)) * 10_000 + 7 * MS for number in range(1, 21)]
    assert came == pytest.approx(expected_ns, abs=MS)


def test_links_share_a_peers_uplink_evenly() -> None:
    world = World(Links(delay="constant", bandwidth=100_000))
    for number in range(10):
        world.network.send("a", "b", chunk(50_000, number))
        world.network.send("a", "c", chunk(50_000, number))
    world.clock.run_until(SECOND + 5_500 * MS)
    assert len(world.came("b", Chunk)) == len(world.came("c", Chunk)) == 5  # each has half of two frames a second


def test_control_frames_do_not_wait_behind_bulk() -> None:
    world = World(Links(delay="constant", bandwidth=100_000))
    for number in range(10):
        world.network.send("a", "b", chunk(1_000_000, number))
    world.network.send("a", "b", beat(1))
    world.clock.run_until(200 * SECOND)
    (beat_ns,) = world.came("b", Heartbeat)
    assert beat_ns < SECOND // 4  # one turn of the chunk that was being sent, at most
    assert world.came("b", Chunk)[-1] == pytest.approx(100 * SECOND, rel=0.01)


def test_who_waits_for_the_line_is_told_when_its_frame_left() -> None:
    world, left = World(Links(delay="constant", bandwidth=100_000)), list[int]()
    for number in range(2):
        world.network.send("a", "b", chunk(100_000, number), lambda: left.append(world.clock.mono_ns - SECOND))
    world.clock.run_until(5 * SECOND)
    assert left == pytest.approx([SECOND, 2 * SECOND], rel=0.01)


def test_what_waits_for_a_peer_that_is_gone_takes_no_bandwidth() -> None:
    world = World(Links(delay="constant", bandwidth=100_000))
    for number in range(50):
        world.network.send("a", "b", chunk(100_000, number))
    world.network.drop_peer("b")
    world.network.send("a", "c", chunk(100_000))
    world.clock.run_until(4 * SECOND)
    assert len(world.came("c", Chunk)) == 1 and world.came("b", Chunk) == []


def test_hanging_up_sends_first_what_was_said() -> None:
    world = World(Links(delay="constant", bandwidth=1_000))
    for number in range(20):
        world.network.send("a", "b", beat(number))
    world.network.hang_up("a", "b", "bye")
    world.clock.run_until(30 * SECOND)
    assert len(world.came("b", Heartbeat)) == 20 and world.ends["b"].closed == ["bye"]


def test_a_bandwidth_that_ends_lets_all_go() -> None:
    world = World(Links(delay="constant", bandwidth=1_000))
    for number in range(20):
        world.network.send("a", "b", chunk(50_000, number))
    world.network.links = Links(delay="constant")
    world.network.send("a", "b", chunk(50_000, 20))
    world.clock.run_until(60 * SECOND)
    assert [m.index for _, m in world.ends["b"].came if isinstance(m, Chunk)] == list(range(21))


def test_groups_are_parted_and_heal() -> None:
    world = World(Links(delay="constant"))
    world.network.part(["a"], ["b"])
    for other in "bc":
        world.network.send("a", other, beat(1))
    world.clock.run_until(2 * SECOND)
    assert (len(world.ends["b"].came), len(world.ends["c"].came)) == (0, 1)
    world.network.isolate(["a", "b"])  # now c is cut off from both, and they still from each other
    world.network.heal_all()
    world.network.send("a", "b", beat(2))
    world.clock.run_until(3 * SECOND)
    assert len(world.ends["b"].came) == 1


def test_who_is_isolated_reaches_its_own_and_nobody_else() -> None:
    world = World(Links(delay="constant"))
    world.network.isolate(["a", "b"])
    for other in "bc":
        world.network.send("a", other, beat(1))
    world.clock.run_until(2 * SECOND)
    assert (len(world.ends["b"].came), len(world.ends["c"].came)) == (1, 0)
    world.ends["d"] = world.network.endpoints["d"] = End(world.clock)
    world.network.dial("d", "a")
    world.clock.run_until(5 * SECOND)
    assert not world.network.linked("d", "a")


def test_a_cut_may_be_of_one_way_only() -> None:
    world = World(Links(delay="constant"))
    world.network.cut("a", "b", back=False)
    world.network.send("a", "b", beat(1))
    world.network.send("b", "a", beat(1))
    world.clock.run_until(2 * SECOND)
    assert (len(world.ends["a"].came), len(world.ends["b"].came)) == (1, 0)
