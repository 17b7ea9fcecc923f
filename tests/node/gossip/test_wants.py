"""What is asked of whom: one neighbour at a time, for one patience, then the one who waited longest to be asked."""

from __future__ import annotations

from plora.node.core.messages import IWANT_MAX
from plora.node.gossip.wants import WINDOW, Wants

ADA, BEN, CYD = "a" * 64, "b" * 64, "c" * 64
PATIENCE_NS = 100


def ids(count: int, first: int = 0) -> list[bytes]:
    return [number.to_bytes(32, "big") for number in range(first, first + count)]


def wants(queue_max: int = 10_000) -> Wants:
    return Wants(PATIENCE_NS, queue_max)


def test_what_came_is_asked_of_nobody_any_more() -> None:
    books = wants()
    one, two = ids(2)
    books.queue(ADA, [one])
    books.queue(BEN, [one, two])
    assert books.ask(ADA, 0) == (one,)
    books.came(one)
    assert (books.ask(BEN, 0), books.ask(ADA, 0), books.late(PATIENCE_NS + 1)) == ((two,), (), [])
    books.came(ids(1, first=7)[0])  # nobody was asked for it


def test_what_was_asked_is_asked_of_nobody_else_for_one_patience_from_then() -> None:
    books, (one,) = wants(), ids(1)
    books.queue(ADA, [one])
    books.queue(BEN, [one])
    assert books.ask(ADA, 1000) == (one,)
    assert books.ask(BEN, 1000 + PATIENCE_NS) == ()
    assert books.late(1000 + PATIENCE_NS) == []
    assert books.late(1001 + PATIENCE_NS) == [(BEN, (one,))]
    assert books.late(1001 + 2 * PATIENCE_NS) == []
    books.queue(CYD, [one])
    assert books.late(1002 + 2 * PATIENCE_NS) == [(CYD, (one,))]


def test_who_was_asked_and_offers_again_stands_at_the_end_of_the_line() -> None:
    books, (one,) = wants(), ids(1)
    for peer in (ADA, BEN):
        books.queue(peer, [one])
    books.ask(ADA, 0)
    assert books.queue(ADA, [one]) == 0  # it is to answer first
    assert books.late(101) == [(BEN, (one,))]
    for peer in (ADA, CYD, ADA):
        books.queue(peer, [one])
    assert books.late(202) == [(ADA, (one,))]
    assert books.late(303) == [(CYD, (one,))]


def test_what_nobody_else_offered_may_be_asked_of_whoever_offers_it_again() -> None:
    books, (one,) = wants(), ids(1)
    books.queue(ADA, [one])
    books.ask(ADA, 0)
    assert books.late(101) == [] and books.ask(ADA, 101) == ()
    assert books.queue(ADA, [one]) == 1
    assert books.ask(ADA, 101) == (one,)


def test_what_is_late_goes_to_neighbours_with_room_in_frames_of_the_usual_size() -> None:
    books, many, own = wants(), ids(WINDOW), ids(WINDOW - 1, first=WINDOW)
    for peer, offered in ((ADA, many), (BEN, [*own, *many]), (CYD, many[1:])):
        books.queue(peer, offered)
    while books.ask(ADA, 0):
        pass
    while books.ask(BEN, 50):  # one place is left
        pass
    moved = books.late(101)
    assert [(peer, len(frame)) for peer, frame in moved if peer == BEN] == [(BEN, 1)]
    assert sorted(identity for _, frame in moved for identity in frame) == many
    assert max(len(frame) for _, frame in moved) == IWANT_MAX
    assert books.ask(BEN, 101) == ()


def test_with_a_neighbour_its_line_is_gone_and_its_debts_are_anybodys() -> None:
    books, (one, two) = wants(), ids(2)
    books.queue(ADA, [one, two])
    books.queue(BEN, [one])
    books.ask(BEN, 0)
    books.lost(ADA)
    assert (books.ask(ADA, 0), books.late(101)) == ((), [])
    books.queue(CYD, [one, two])
    assert books.ask(CYD, 101) == (one, two)


def test_a_line_is_bounded_and_an_offer_said_twice_takes_one_place() -> None:
    books = wants(queue_max=2)
    one, two, three = ids(3)
    assert books.queue(ADA, [one, one]) == 1
    assert books.queue(ADA, [two, three]) == 2
    assert books.queue(BEN, [three]) == 1
    assert books.ask(ADA, 0) == (one, two)
    assert books.queue(ADA, [two, three]) == 1
