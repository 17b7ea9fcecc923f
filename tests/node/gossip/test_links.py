"""Links alone: greeting, silence, back-off, bounds; and the small books beside them."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from plora.node.core.config import Bounds, CoreConfig
from plora.node.core.effects import CutOff, Dial, Emit, HangUp, Send
from plora.node.core.events import NeighboursChanged
from plora.node.core.messages import Goodbye, Heartbeat, Hello, PeerAddress, Welcome
from plora.node.core.notices import LinkLost, LinkReady
from plora.node.core.now import Now
from plora.node.gossip.dialing import Dialing
from plora.node.gossip.exchange import Exchange
from plora.node.gossip.link import FRAME_RANGES, RANGES_PER_ROUND, Link
from plora.node.gossip.links import Links
from plora.node.gossip.sessions import Sessions
from plora.node.gossip.wants import WINDOW, Wants
from plora.node.store.snapshot import Snapshot
from plora.proto.records import Penalty

ME, ADA, BEN, CAT = "5" * 64, "a" * 64, "b" * 64, "c" * 64
SWARM = "ab" * 32
DAY = 20_000
NEIGHBOUR = PeerAddress(ADA, ("ada:1",))


def at(ms: int) -> Now:
    return Now(ms * 1_000_000, DAY * 86_400_000 + ms)


def links_of(*neighbours: PeerAddress, **settings: Any) -> Links:
    config = CoreConfig(peer=ME, swarm=SWARM, boot="00" * 16, neighbours=neighbours, **settings)
    exchange = Exchange(config, Random(2), Snapshot())
    links = Links(config, Random(1), lambda link, now: Heartbeat(0, bytes(16), 0), exchange)
    links.start(at(0))
    return links


def hello(swarm: str = SWARM, versions: tuple[int, ...] = (1, 2), day: int = DAY) -> Hello:
    return Hello(versions, (), swarm, "11" * 16, day)


def ready(links: Links, peer: str = ADA, ms: int = 0) -> Links:
    links.opened(peer, True, at(ms))
    link = links.get(peer)
    assert link is not None
    links.hello(link, hello(), at(ms))
    assert LinkReady(peer) in links.welcome(link, at(ms))
    return links


def said(outputs: list[Any], kind: type) -> list[Any]:
    return [output.message for output in outputs if isinstance(output, Send) and isinstance(output.message, kind)]


def test_a_link_needs_hello_and_welcome_in_either_order() -> None:
    links = links_of(NEIGHBOUR)
    outputs = links.opened(ADA, True, at(0))
    assert [message.swarm for message in said(outputs, Hello)] == [SWARM]
    link = links.get(ADA)
    assert link is not None
    assert not any(isinstance(output, LinkReady) for output in links.welcome(link, at(0)))
    outputs = links.hello(link, hello(), at(0))
    assert said(outputs, Welcome) == [Welcome(1)]
    assert LinkReady(ADA) in outputs
    assert LinkReady(ADA) not in links.hello(link, hello(), at(1))


def test_who_stops_says_when_to_dial_again() -> None:
    links = ready(links_of(NEIGHBOUR, redial_ms_max=50_000))
    assert said(links.stop(at(1)), Goodbye) == [Goodbye("stopping", 5_000)]


@pytest.mark.parametrize(
    ("greeting", "reason"),
    [
        (hello(swarm="cd" * 32), "wrong_swarm"),
        (hello(versions=(2, 3)), "no_common_version"),
        (hello(day=DAY + 2), "clocks_apart"),
        (hello(day=DAY - 2), "clocks_apart"),
    ],
)
def test_a_misfit_is_sent_away(greeting: Hello, reason: str) -> None:
    links = links_of(NEIGHBOUR)
    links.opened(ADA, True, at(0))
    link = links.get(ADA)
    assert link is not None
    outputs = links.hello(link, greeting, at(0))
    assert [message.reason for message in said(outputs, Goodbye)] == [reason]
    assert HangUp(ADA, reason) in outputs
    assert links.get(ADA) is None


@pytest.mark.parametrize(("theirs", "pair"), [(DAY - 1, DAY - 1), (DAY, DAY), (DAY + 1, DAY)])
def test_a_pair_goes_by_the_earlier_day(theirs: int, pair: int) -> None:
    links = ready(links_of(NEIGHBOUR))
    link = links.get(ADA)
    assert link is not None
    links.hello(link, hello(day=theirs), at(1))
    assert links.day_with(link, at(1)) == pair


@pytest.mark.parametrize(
    ("own", "dialed", "seen", "host"),
    [
        ("0.0.0.0:4700", False, "127.0.0.1:50000", ""),
        ("203.0.113.1:4700", False, "[::1]:50000", ""),
        ("0.0.0.0:4700", False, "192.0.2.7:50000", "192.0.2.7"),
        ("0.0.0.0:4700", True, "127.0.0.1:4701", "127.0.0.1"),
        ("127.0.0.1:4700", False, "127.0.0.1:50000", "127.0.0.1"),
    ],
)
def test_who_comes_from_this_machine_to_a_peer_open_to_others_may_be_anywhere(
    own: str, dialed: bool, seen: str, host: str
) -> None:
    links = links_of(NEIGHBOUR, addresses=(own,))
    links.opened(ADA, dialed, at(0), seen)
    link = links.get(ADA)
    assert link is not None
    assert (link.host, link.address) == (host, seen)


def test_who_broke_a_rule_is_cut_off_with_or_without_a_link() -> None:
    links = ready(links_of(NEIGHBOUR, redial_ms_max=4000))
    cut = CutOff(ADA, 5000 * 1_000_000)
    for _ in range(2):
        outputs = links.punish(ADA, "bad_signature", at(1000))
        assert outputs[0] == Emit(Penalty(ADA, "bad_signature")) and outputs[-1] == cut


def test_ranges_of_reconciliation_are_paid_for_by_time() -> None:
    link = Link(ADA, True, 0, 0)
    frame = RANGES_PER_ROUND // 2 - FRAME_RANGES
    owed = [link.owes_ranges(frame, at(ms), round_ms=1000) for ms in (1000, 1000, 2000, 9000)]
    assert owed == [RANGES_PER_ROUND // 2, RANGES_PER_ROUND, RANGES_PER_ROUND // 2, RANGES_PER_ROUND // 2]
    assert link.owes_ranges(frame, at(9500), round_ms=2000) == RANGES_PER_ROUND * 3 // 4


def test_silence_ends_a_link_but_own_lag_is_forgiven() -> None:
    links = ready(links_of(NEIGHBOUR, link_timeout_ms=5000, heartbeat_ms=1000))
    for ms in range(1000, 6000, 1000):
        assert said(links.beat(at(ms)), Heartbeat)
    links.late(2000)
    assert HangUp(ADA, "silent") not in links.beat(at(6000))
    links.late(0)
    outputs = links.beat(at(7000))
    assert HangUp(ADA, "silent") in outputs
    assert LinkLost(ADA) in outputs
    assert links.ready() == []


@pytest.mark.parametrize("lag_ms", [0, 1, 700, 2000])
def test_patience_is_the_timeout_and_twice_the_lag(lag_ms: int) -> None:
    links = ready(links_of(NEIGHBOUR, link_timeout_ms=5000, heartbeat_ms=1000))
    links.late(lag_ms)
    patience_ms = 5000 + 2 * lag_ms
    for ms in (*range(1000, patience_ms, 1000), patience_ms):
        assert HangUp(ADA, "silent") not in links.beat(at(ms))
    assert HangUp(ADA, "silent") in links.beat(at(patience_ms + 1))


@pytest.mark.parametrize(("late_ms", "silent"), [(999, True), (1000, False)])
def test_patience_grows_by_twice_what_the_beat_is_late(late_ms: int, silent: bool) -> None:
    links = ready(links_of(NEIGHBOUR, link_timeout_ms=5000, heartbeat_ms=1000))
    for ms in range(1000, 6000, 1000):
        links.beat(at(ms))
    outputs = links.beat(at(6000 + late_ms))  # 6000 + late > 5000 + 2 * late
    assert (HangUp(ADA, "silent") in outputs) is silent


def test_a_late_beat_blames_nobody() -> None:
    links = ready(links_of(NEIGHBOUR, link_timeout_ms=5000, heartbeat_ms=1000))
    assert HangUp(ADA, "silent") not in links.beat(at(11_000))


def test_whoever_never_greets_is_hung_up_after_the_guard() -> None:
    links = links_of(NEIGHBOUR, link_timeout_ms=2000)
    links.opened(ADA, True, at(0))
    for ms in range(1000, 6000, 1000):
        assert said(links.beat(at(ms)), Hello)
    assert HangUp(ADA, "silent") in links.beat(at(6000))


def test_the_day_is_told_again_when_it_changes() -> None:
    links = ready(links_of(NEIGHBOUR))
    assert said(links.beat(at(1000)), Hello) == []
    late = Now(2_000_000_000, (DAY + 1) * 86_400_000)
    assert [message.epoch_day for message in said(links.beat(late), Hello)] == [DAY + 1]
    assert said(links.beat(late), Hello) == []
    set_back = Now(3_000_000_000, DAY * 86_400_000)
    assert [message.epoch_day for message in said(links.beat(set_back), Hello)] == [DAY]


def test_links_in_are_bounded_and_a_place_is_given_back() -> None:
    links = links_of(bounds=Bounds(links_in=1))
    assert said(links.opened(ADA, False, at(0)), Hello)
    outputs = links.opened(BEN, False, at(0))
    assert [message.reason for message in said(outputs, Goodbye)] == ["links_in"]
    assert [output.body.kind for output in outputs if isinstance(output, Emit)] == ["bound_hit"]
    links.closed(BEN, "", at(1))
    links.closed(ADA, "", at(1))
    assert said(links.opened(BEN, False, at(2)), Hello)


def test_strangers_keep_no_neighbour_out() -> None:
    links = links_of(NEIGHBOUR, bounds=Bounds(links_in=2))
    for stranger in (BEN, CAT):
        links.opened(stranger, False, at(0))
    outputs = links.opened(ADA, False, at(1))
    assert HangUp(CAT, "links_in") in outputs
    assert len(said(outputs, Hello)) == 1
    assert (links.get(ADA) is None, links.get(BEN) is None, links.get(CAT) is None) == (False, False, True)


def test_neighbours_keep_to_links_in_among_themselves() -> None:
    links = links_of(NEIGHBOUR, PeerAddress(BEN, ()), bounds=Bounds(links_in=1))
    links.opened(ADA, False, at(0))
    assert HangUp(BEN, "links_in") in links.opened(BEN, False, at(1))
    assert links.get(ADA) is not None


def test_a_replaced_link_is_lost_first() -> None:
    links = ready(links_of(NEIGHBOUR))
    outputs = links.opened(ADA, False, at(1))
    assert outputs.index(LinkLost(ADA)) < outputs.index(next(o for o in outputs if isinstance(o, Send)))
    link = links.get(ADA)
    assert link is not None
    assert (link.dialed, link.ready) == (False, False)


def test_denied_and_removed_neighbours_are_left_and_new_ones_dialed() -> None:
    links = ready(links_of(NEIGHBOUR, PeerAddress("c" * 64, ("cleo:1",))))
    links.opened(BEN, False, at(0))
    outputs = links.changed(NeighboursChanged((PeerAddress("d" * 64, ("dan:1",)),), (BEN,)), at(1))
    assert [(o.peer, o.reason) for o in outputs if isinstance(o, HangUp)] == [
        (ADA, "no longer a neighbour"),
        (BEN, "denied"),
    ]
    assert Dial("d" * 64, ("dan:1",)) in outputs
    links.closed(BEN, "", at(2))
    assert not said(links.opened(BEN, False, at(3)), Hello)


def test_a_goodbye_names_the_time_before_which_nobody_dials() -> None:
    links = ready(links_of(NEIGHBOUR))
    link = links.get(ADA)
    assert link is not None
    assert HangUp(ADA, "goodbye: full") in links.goodbye(link, Goodbye("full", 9000), at(0))
    assert not [o for o in links.closed(ADA, "", at(10)) if isinstance(o, Dial)]
    assert not [o for o in links.dial(at(8999)) if isinstance(o, Dial)]
    assert Dial(ADA, ("ada:1",)) in links.dial(at(9000))


def test_addresses_known_by_exchange_come_after_the_configured() -> None:
    dialing = Dialing((NEIGHBOUR,), 8, 4000, Random(3), {ADA: ("ada:9", "ada:1")}.__getitem__)
    assert dialing.due(at(0)) == [Dial(ADA, ("ada:1", "ada:9"))]


def test_back_off_doubles_with_jitter_up_to_its_limit() -> None:
    dialing = Dialing((NEIGHBOUR,), 8, 4000, Random(3), lambda peer: ())
    assert dialing.due(at(0)) == [Dial(ADA, ("ada:1",))]
    assert dialing.due(at(0)) == []  # one at a time
    waits = []
    for _ in range(6):
        dialing.failed(ADA, at(0))
        due_ns = dialing.next_due_ns()
        assert due_ns is not None
        waits.append(due_ns / 1e6)
    for wait, whole in zip(waits, [500, 1000, 2000, 4000, 4000, 4000], strict=True):
        assert whole / 2 <= wait <= whole
    assert len(set(waits[3:])) == 3
    dialing.succeeded(ADA)
    dialing.failed(ADA, at(0))
    assert (dialing.next_due_ns() or 0) <= 500e6


def test_dials_are_bounded() -> None:
    many = tuple(PeerAddress(f"{number:064x}", ("h:1",)) for number in range(5))
    dialing = Dialing(many, 2, 1000, Random(1), lambda peer: ())
    assert [dial.peer for dial in dialing.due(at(0))] == [many[0].peer, many[1].peer]
    dialing.linked(many[0].peer)
    assert dialing.due(at(0)) == []
    dialing.failed(many[0].peer, at(0))
    dialing.failed(many[1].peer, at(0))
    assert [dial.peer for dial in dialing.due(at(0))] == [many[2].peer, many[3].peer]


def test_only_who_is_neither_linked_nor_being_dialed_is_waited_for() -> None:
    dialing = Dialing((NEIGHBOUR, PeerAddress(BEN, ("ben:1",))), 8, 4000, Random(3), lambda peer: ())
    assert dialing.next_due_ns() == 0
    dialing.linked(BEN)
    assert [dial.peer for dial in dialing.due(at(0))] == [ADA]
    assert dialing.next_due_ns() is None
    dialing.released(BEN)
    assert dialing.next_due_ns() == 0
    dialing.failed(BEN, at(0), retry_after_ms=10**9)
    assert dialing.next_due_ns() == 4000 * 1_000_000
    assert dialing.due(at(3999)) == [] and [dial.peer for dial in dialing.due(at(4000))] == [BEN]


def test_a_neighbour_that_stays_keeps_its_link_and_takes_the_new_addresses() -> None:
    dialing = Dialing((NEIGHBOUR, PeerAddress(BEN, ("ben:1",))), 8, 4000, Random(3), lambda peer: ())
    dialing.linked(ADA)
    assert dialing.replace((PeerAddress(ADA, ("ada:2",)),)) == [BEN]
    assert (dialing.peers, BEN in dialing, dialing.due(at(0))) == ((ADA,), False, [])
    dialing.released(ADA)
    assert dialing.due(at(0)) == [Dial(ADA, ("ada:2",))]


def test_asking_keeps_a_window_and_gives_up_with_the_link() -> None:
    wants = Wants(patience_ns=100, queue_max=1000)
    ids = [number.to_bytes(32, "big") for number in range(WINDOW + 10)]
    assert wants.queue(ADA, ids) == WINDOW + 10
    asked = [wants.ask(ADA, 0) for _ in range(6)]
    assert [len(each) for each in asked] == [64, 64, 64, 64, 0, 0]
    wants.came(ids[0])
    assert wants.ask(ADA, 0) == (ids[WINDOW],)
    wants.queue(BEN, ids[:3])
    assert wants.ask(BEN, 0) == (ids[0],)  # the others are asked of ada
    wants.lost(ADA)
    assert wants.ask(BEN, 0) == (ids[1], ids[2])
    assert Wants(1, 2).queue(ADA, ids) == 2


def test_session_numbers_tell_who_began() -> None:
    mine, theirs = Sessions(ADA, Random(1)), Sessions(BEN, Random(2))
    own = mine.begin(BEN)
    foreign = theirs.of_frame(ADA, own.number)
    assert foreign is not None
    assert theirs.begin(ADA).number % 2 != own.number % 2
    assert mine.of_frame(BEN, own.number) is own
    assert mine.of_frame(BEN, own.number + 2) is None
    newer = mine.begin(BEN)
    assert (newer.number - own.number) % 2**32 == 2
    assert mine.of_frame(BEN, own.number) is None  # stale
    assert theirs.of_frame(ADA, own.number) is foreign
    assert theirs.of_frame(ADA, newer.number) is not foreign
    mine.end(BEN, newer)
    assert mine.of_frame(BEN, newer.number) is None


def test_a_session_that_was_replaced_ends_no_other_and_all_end_with_the_link() -> None:
    mine, theirs = Sessions(ADA, Random(1)), Sessions(BEN, Random(2))
    old, new = mine.begin(BEN), mine.begin(BEN)
    mine.end(BEN, old)
    assert mine.of_frame(BEN, new.number) is new
    foreign = theirs.begin(ADA).number
    began = mine.of_frame(BEN, foreign)
    assert began is not None and mine.of_frame(BEN, foreign) is began
    mine.lost(BEN)
    assert mine.of_frame(BEN, new.number) is None
    assert mine.of_frame(BEN, foreign) is not began
