"""Peer exchange: bounded, scored, first-hand; nobody invents peers for others, nobody removed comes back."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plora.node.core.config import Bounds, CoreConfig
from plora.node.core.effects import Dial, Emit, Probe, Send
from plora.node.core.events import (
    DialFailed,
    LinkClosed,
    LinkOpened,
    NeighboursChanged,
    Probed,
    Received,
    Start,
    TimerDue,
)
from plora.node.core.messages import WIRE_VERSION, DialTry, Goodbye, Heartbeat, Hello, PeerAddress, Peers, Welcome
from plora.node.core.now import Now
from plora.node.core.streams import Streams
from plora.node.gossip.acquaintances import FAILURES_MAX, TELLERS_MAX, TOLD_MAX, Acquaintances
from plora.node.gossip.addresses import Scope, plain, scope_of, told
from plora.node.gossip.core import EXCHANGE_TIMER, Gossip
from plora.node.gossip.exchange import ACQUAINTANCES, FEELERS_PER_SPAN, NEIGHBOURS
from plora.node.gossip.links import BEAT_TIMER, DIAL_TIMER
from plora.node.store.disk import Put
from plora.node.store.snapshot import Snapshot
from plora.proto.host_port import split
from plora.proto.records import BoundHit
from plora.sim.clock import WALL_START_MS

ME, ADA, BEN, CYD = "5" * 64, "a" * 64, "b" * 64, "c" * 64
SWARM = "ab" * 32


def at(ms: int) -> Now:
    return Now(ms * 1_000_000, WALL_START_MS + ms)


def peer(number: int) -> str:
    return f"{number:064x}"


class Bench:
    """One gossip core whose world is played by the test."""

    def __init__(self, *neighbours: PeerAddress, snapshot: Snapshot | None = None, **settings: Any) -> None:
        settings = {"exchange": True, "heartbeat_ms": 10**9, "link_timeout_ms": 10**9, **settings}
        config = CoreConfig(peer=ME, swarm=SWARM, boot="00" * 16, neighbours=neighbours, **settings)
        self.core = Gossip(config, snapshot or Snapshot(), Streams(1, ME))
        self.ms = 0
        self.rows: dict[tuple[str, bytes], bytes] = {}
        self.outputs = self.tell(Start())

    def tell(self, event: Any) -> list[Any]:
        self.outputs = self.core.handle(event, at(self.ms))
        for persist in self.outputs:
            for row in getattr(persist, "rows", ()):
                if isinstance(row, Put):
                    self.rows[row.table, row.key] = row.value
                else:
                    self.rows.pop((row.table, row.key), None)
        return self.outputs

    def link(self, other: str, address: str, *, dialed: bool = False, says: tuple[str, ...] = ()) -> list[Any]:
        """A link that gets ready; all that came of it."""
        hello = Hello((WIRE_VERSION,), (), SWARM, "11" * 16, at(self.ms).epoch_day, says, dialable=bool(says))
        out = self.tell(LinkOpened(other, dialed, *(split(address) or ())))
        out += self.tell(Received(other, hello))
        return [*out, *self.tell(Received(other, Welcome(WIRE_VERSION)))]

    def snapshot(self) -> Snapshot:
        tables = {
            table: tuple(sorted((key, value) for (name, key), value in self.rows.items() if name == table))
            for table in (NEIGHBOURS, ACQUAINTANCES)
        }
        return Snapshot(tables=tables)

    def dials_for(self, seconds: int) -> list[Dial]:
        """All dials within that time, each of which fails at once."""
        dials: list[Dial] = []
        for _ in range(seconds):
            self.ms += 1000
            dials += self.failing(self.tell(TimerDue(DIAL_TIMER)))
        return dials

    def failing(self, outputs: list[Any]) -> list[Dial]:
        """The dials among these and what follows them; each fails."""
        dials: list[Dial] = []
        while found := [one for one in outputs if isinstance(one, Dial)]:
            dials += found
            outputs = [out for one in found for out in self.tell(DialFailed(one.peer, "no_answer"))]
        return dials


def of(outputs: list[Any], kind: type) -> list[Any]:
    return [one for one in outputs if isinstance(one, kind)]


def frames(outputs: list[Any], kind: type) -> list[tuple[str, Any]]:
    return [(one.peer, one.message) for one in of(outputs, Send) if isinstance(one.message, kind)]


def entry(number: int, address: str = "") -> PeerAddress:
    return PeerAddress(peer(number), (address or f"198.51.100.{number % 250 + 1}:{4000 + number % 1000}",))


# Telling


def test_only_what_was_reached_is_told_on() -> None:
    bench = Bench()
    bench.link(ADA, "203.0.113.1:4700", dialed=True)
    bench.tell(Received(ADA, Peers((entry(1),))))
    out = bench.link(BEN, "203.0.113.2:50000", says=("203.0.113.2:4700",))
    assert of(out, Probe) == [Probe(BEN, ("203.0.113.2:4700",), "feeler")]
    assert frames(out, Peers) == [(BEN, Peers((PeerAddress(ADA, ("203.0.113.1:4700",)),)))]
    assert frames(bench.tell(TimerDue(EXCHANGE_TIMER)), Peers) == frames(out, Peers)  # ben is not known to be there yet

    bench.tell(Probed(BEN, (DialTry("203.0.113.2:4700", "reached"),), "feeler"))
    told_now = dict(frames(bench.tell(TimerDue(EXCHANGE_TIMER)), Peers))
    assert told_now[ADA] == Peers((PeerAddress(BEN, ("203.0.113.2:4700",)),))


def test_who_comes_back_again_and_again_has_nobody_scanned_at_speed() -> None:
    bench = Bench()
    probes: list[Probe] = []
    for number in range(3 * FEELERS_PER_SPAN):
        other = peer(number % 2 + 1)  # the same ones, or as many new ones: ids cost nothing
        found = of(bench.link(other, "203.0.113.9:50000", says=(f"198.51.100.{number + 1}:22",)), Probe)
        for probe in found:
            bench.tell(Probed(probe.peer, (DialTry(probe.addresses[0], "no_answer"),), "feeler"))
        probes += found
        bench.tell(LinkClosed(other, "peer left"))
    assert len(probes) == FEELERS_PER_SPAN
    bench.tell(TimerDue(EXCHANGE_TIMER))
    assert of(bench.link(BEN, "203.0.113.9:50000", says=("203.0.113.9:4700",)), Probe)


def test_who_says_nothing_or_was_reached_before_is_not_tried() -> None:
    bench = Bench()
    out = bench.link(ADA, "203.0.113.1:4700", dialed=True, says=("203.0.113.1:4700",))
    out += bench.tell(LinkClosed(ADA, "peer left"))
    out += bench.link(ADA, "203.0.113.1:50000", says=("203.0.113.1:4700",))
    out += bench.link(BEN, "8.8.8.8:50000", says=("127.0.0.1:22", "ben.example:1"))
    out += bench.tell(TimerDue(EXCHANGE_TIMER))
    assert of(out, Probe) == []


def test_who_was_removed_while_being_dialed_is_told_to_nobody() -> None:
    bench = Bench(PeerAddress(ADA, ("203.0.113.1:4700",)))
    bench.tell(NeighboursChanged((), ()))
    bench.link(ADA, "203.0.113.1:4700", dialed=True)
    assert frames(bench.link(BEN, "203.0.113.2:50000"), Peers) == []


@pytest.mark.parametrize("outcome", ["no_answer", "another_peer", "denied_there"])
def test_who_says_an_address_that_is_not_theirs_is_told_to_nobody(outcome: str) -> None:
    bench = Bench()
    bench.link(ADA, "203.0.113.1:4700", dialed=True)
    bench.link(BEN, "203.0.113.2:50000", says=("203.0.113.77:443",))
    bench.tell(Probed(BEN, (DialTry("203.0.113.77:443", outcome),), "feeler"))
    out = bench.tell(TimerDue(EXCHANGE_TIMER))
    assert [who for who, _ in frames(out, Peers)] == [BEN]
    assert of(out, Probe) == []  # one feeler a link


def test_addresses_of_home_stay_at_home() -> None:
    bench = Bench()
    bench.link(ADA, "192.168.1.2:4700", dialed=True)
    bench.link(BEN, "127.0.0.1:4700", dialed=True)
    assert frames(bench.link(CYD, "8.8.4.4:50000"), Peers) == []
    told_there = dict(frames(bench.link(peer(9), "192.168.1.9:50000"), Peers))
    assert [one.peer for one in told_there[peer(9)].entries] == [ADA]


def test_a_frame_names_at_most_sixteen() -> None:
    bench = Bench(bounds=Bounds(links_out=64, links_in=64))
    for number in range(1, 40):
        bench.link(peer(number), f"198.51.100.{number}:4700", dialed=True)
    out = bench.tell(TimerDue(EXCHANGE_TIMER))
    assert {len(message.entries) for _, message in frames(out, Peers)} == {16}
    assert all(who not in [one.peer for one in message.entries] for who, message in frames(out, Peers))


# Hearing and dialing


def test_who_is_heard_of_is_dialed_and_then_told_on() -> None:
    bench = Bench(PeerAddress(ADA, ("203.0.113.1:4700",)))
    bench.link(ADA, "203.0.113.1:4700", dialed=True)
    out = bench.tell(Received(ADA, Peers((entry(1, "198.51.100.1:4700"),))))
    assert of(out, Dial) == [Dial(peer(1), ("198.51.100.1:4700",))]
    bench.link(peer(1), "198.51.100.1:4700", dialed=True)
    assert bench.rows[ACQUAINTANCES, bytes.fromhex(peer(1))] == b"198.51.100.1:4700"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:5432",
        "192.168.1.1:80",
        "10.0.0.1:22",
        "169.254.169.254:80",
        "[::1]:6379",
        "[::ffff:127.0.0.1]:6379",
        "0.0.0.0:0",
        "255.255.255.255:9",
        "224.0.0.1:9",
        "internal.example:80",
        "203.0.113.9",
        "203.0.113.9:99999",
        "unix:/run/x",
    ],
)
def test_a_neighbour_far_away_names_nothing_near(address: str) -> None:
    bench = Bench()
    bench.link(ADA, "8.8.8.8:4700", dialed=True)
    assert of(bench.tell(Received(ADA, Peers((PeerAddress(BEN, (address,)),)))), Dial) == []
    assert bench.dials_for(5) == []


def test_ten_thousand_invented_peers_leave_memory_flat_and_dials_few() -> None:
    bench = Bench(PeerAddress(ADA, ("203.0.113.1:4700",)))
    bench.link(ADA, "203.0.113.1:4700", dialed=True)
    bench.link(BEN, "203.0.113.2:4700", dialed=True)
    dials: list[Dial] = []
    bounds: list[BoundHit] = []
    for start in range(0, 10_000, 16):
        frame = Peers(tuple(entry(start + number) for number in range(1, 17)))
        out = bench.tell(Received(BEN, frame))
        bounds += [one.body for one in of(out, Emit) if isinstance(one.body, BoundHit)]
        dials += bench.failing(out)
        assert len(bench.core.exchange) <= TOLD_MAX + 3
        dials += bench.dials_for(1)
    assert [one.setting for one in bounds] == ["discovery.passive_max"]
    assert bench.ms > 600_000 and 5 < len(dials) < 20
    dials = bench.failing(bench.tell(Received(ADA, Peers((entry(10**6),)))))
    assert peer(10**6) in [one.peer for one in (*dials, *bench.dials_for(3))]  # what others say is not crowded out
    assert len(bench.rows) == 3


def test_many_liars_together_are_bounded_too() -> None:
    known = Acquaintances(256, Random(1))
    known.succeeded(ADA, "203.0.113.1:4700")
    for teller in range(1000):
        known.hear(peer(10_000 + teller), [entry(teller * 16 + number) for number in range(16)])
        known.failed(peer(teller * 16), at(0))
    assert len(known) <= 256
    assert len(known._tellers) <= TELLERS_MAX
    assert known.reached(ADA) is not None


def test_the_best_acquaintance_is_dialed_first_and_a_dead_one_forgotten() -> None:
    known = Acquaintances(256, Random(1))
    for who, times in ((ADA, 1), (BEN, 3)):
        for _ in range(times):
            known.succeeded(who, "203.0.113.1:4700")
    known.hear(CYD, [entry(1)])
    picked = known.pick(at(0), lambda one: True)
    assert picked is not None and picked.peer == BEN
    for _ in range(FAILURES_MAX):
        known.failed(BEN, at(0))
    assert known.reached(BEN) is None
    picked = known.pick(at(0), lambda one: one != ADA)
    assert picked == entry(1)


def test_what_gives_way_is_the_lowest_score_and_never_the_newest() -> None:
    known = Acquaintances(4, Random(1))
    for who in (ADA, ADA, BEN, CYD):
        known.succeeded(who, "203.0.113.1:4700")
    assert sorted(known.addresses()) == [ADA, CYD]


def test_who_was_reached_is_hearsay_no_more() -> None:
    known = Acquaintances(256, Random(1))
    for teller in (ADA, BEN):
        known.hear(teller, [PeerAddress(CYD, (f"203.0.113.{len(known)}:4700",))])
    assert known.addresses_of(CYD) == ("203.0.113.0:4700", "203.0.113.1:4700")
    known.succeeded(CYD, "203.0.113.9:4700")
    assert known.addresses_of(CYD) == ("203.0.113.9:4700",)
    assert len(known) == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "169.254.1.1", "fe80::1", "224.0.0.1", "240.0.0.1", "a.example"])
def test_what_nobody_can_be_dialed_at_has_no_scope(host: str) -> None:
    assert scope_of(host) is None


def test_a_failure_halves_the_score() -> None:
    known = Acquaintances(256, Random(1))
    for who, times in ((ADA, 1), (BEN, 4), (CYD, 3)):
        for _ in range(times):
            known.succeeded(who, "203.0.113.1:4700")
    assert [getattr(known.reached(who), "score", 0) for who in (ADA, BEN, CYD)] == [1, 4, 3]
    known.failed(BEN, at(0))
    picked = known.pick(at(3_600_000), lambda one: True)
    assert picked is not None and picked.peer == CYD


def test_a_teller_is_forgotten_with_the_last_entry_and_not_before() -> None:
    known = Acquaintances(256, Random(1))
    known.hear(ADA, [entry(1), entry(2)])
    known.forget(peer(1))
    assert known.addresses_of(peer(2)) == entry(2).addresses
    known.forget(peer(2))
    assert len(known) == 0 and not known._tellers


def test_configured_neighbours_keep_their_places() -> None:
    configured = [PeerAddress(peer(number), (f"198.51.100.{number}:4700",)) for number in range(1, 4)]
    bench = Bench(*configured, bounds=Bounds(links_out=4))
    bench.link(peer(1), "198.51.100.1:4700", dialed=True)  # the other two don't answer
    heard = Peers(tuple(entry(number, f"203.0.113.{number}:4700") for number in range(50, 60)))
    (dial,) = of(bench.tell(Received(peer(1), heard)), Dial)
    bench.link(dial.peer, dial.addresses[0], dialed=True)
    assert {one.peer for one in bench.dials_for(10)} <= {peer(2), peer(3)}


def test_a_peer_that_has_no_room_is_left_alone_for_as_long_as_it_says() -> None:
    bench = Bench()
    bench.link(BEN, "203.0.113.2:4700", dialed=True)
    bench.tell(Received(BEN, Goodbye("links_in", 30_000)))
    bench.tell(LinkClosed(BEN, "goodbye"))
    assert bench.dials_for(25) == []
    assert [one.peer for one in bench.dials_for(10)][:1] == [BEN]


# Removed


def test_a_removed_peer_is_never_dialed_again_not_even_after_a_restart() -> None:
    ada, ben = PeerAddress(ADA, ("203.0.113.1:4700",)), PeerAddress(BEN, ("203.0.113.2:4700",))
    bench = Bench(ada, ben)
    bench.link(ADA, "203.0.113.1:4700", dialed=True)
    bench.link(BEN, "203.0.113.2:4700", dialed=True)
    bench.tell(NeighboursChanged((ada,)))
    bench.tell(LinkClosed(BEN, "no longer a neighbour"))
    bench.tell(Received(ADA, Peers((ben,))))
    assert BEN not in [one.peer for one in bench.dials_for(30)]

    again = Bench(ada, snapshot=bench.snapshot())
    again.link(ADA, "203.0.113.1:4700", dialed=True)
    again.tell(Received(ADA, Peers((ben,))))
    assert BEN not in [one.peer for one in again.dials_for(30)]

    back = Bench(ada, ben, snapshot=again.snapshot())
    assert BEN in [one.peer for one in of(back.outputs, Dial)]
    once_more = Bench(ada, snapshot=back.snapshot())  # removed while it didn't run
    once_more.link(ADA, "203.0.113.1:4700", dialed=True)
    once_more.tell(Received(ADA, Peers((ben,))))
    assert BEN not in [one.peer for one in once_more.dials_for(30)]


def test_denied_peers_are_neither_dialed_nor_kept() -> None:
    bench = Bench(denied=(BEN,))
    bench.link(ADA, "203.0.113.1:4700", dialed=True)
    bench.tell(Received(ADA, Peers((PeerAddress(BEN, ("203.0.113.2:4700",)), PeerAddress(CYD, ("203.0.113.3:1",))))))
    bench.tell(DialFailed(CYD, "no_answer"))
    assert BEN not in [one.peer for one in bench.dials_for(30)]
    assert (ACQUAINTANCES, bytes.fromhex(ADA)) in bench.rows
    bench.tell(NeighboursChanged((), (ADA,)))
    assert (ACQUAINTANCES, bytes.fromhex(ADA)) not in bench.rows


def test_acquaintances_outlast_a_restart() -> None:
    bench = Bench()
    bench.link(BEN, "203.0.113.2:4700", dialed=True)
    again = Bench(snapshot=bench.snapshot())
    assert [one.peer for one in of(again.outputs, Dial)] == [BEN]


def test_switched_off_nothing_is_said_heard_dialed_or_kept() -> None:
    bench = Bench(exchange=False)
    out = bench.link(ADA, "203.0.113.1:4700", dialed=True, says=("203.0.113.1:4700",))
    out += bench.link(BEN, "203.0.113.2:4700", dialed=True)
    out += bench.tell(Received(ADA, Peers((entry(1),))))
    out += bench.tell(TimerDue(EXCHANGE_TIMER))
    assert not frames(out, Peers) and not of(out, Probe) and bench.dials_for(5) == [] and bench.rows == {}


# Addresses


@given(st.ip_addresses(), st.integers(0, 70_000), st.ip_addresses())
def test_nothing_nearer_than_its_teller_passes(ip: Any, port: int, seen: Any) -> None:
    address = f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"
    for one in told((address,), str(seen)):
        parts = split(one)
        assert parts is not None and plain(one) == one
        scope = scope_of(parts[0])
        nearest = scope_of(str(seen))
        assert scope is not None and scope >= (Scope.NETWORK if nearest is None else nearest)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_none(text: str) -> None:
    found = plain(text)
    assert found is None or plain(found) == found


def test_the_beat_and_other_timers_are_not_disturbed() -> None:
    bench = Bench()
    bench.link(ADA, "203.0.113.1:4700", dialed=True)
    assert frames(bench.tell(TimerDue(BEAT_TIMER)), Heartbeat)
