"""Who is known beside the neighbours: scores, whose hearsay counts how soon, and what gives way."""

from __future__ import annotations

from itertools import permutations
from random import Random

import pytest

from plora.node.core.messages import PeerAddress
from plora.node.core.now import Now
from plora.node.gossip.acquaintances import (
    ADDRESSES_MAX,
    RETRY_MS_MAX,
    RETRY_MS_MIN,
    SCORE_MAX,
    TELLERS_MAX,
    TOLD_MAX,
    Acquaintances,
)

ADA, BEN, CYD, DAN = (letter * 64 for letter in "abcd")
HOME = "203.0.113.1:4700"


def at(ms: int) -> Now:
    return Now(ms * 1_000_000, ms)


def acquaintances(limit: int = 256) -> Acquaintances:
    return Acquaintances(limit, Random(1))


def entry(number: int, *addresses: str) -> PeerAddress:
    return PeerAddress(f"{number:064x}", addresses or (f"198.51.100.{number % 250}:4700",))


def picked(known: Acquaintances, ms: int) -> str:
    """Whom it would dial then; empty for nobody."""
    found = known.pick(at(ms), lambda peer: True)
    return found.peer if found else ""


@pytest.mark.parametrize("order", list(permutations((ADA, BEN, CYD))))
def test_whoever_was_reached_last_never_gives_way(order: tuple[str, ...]) -> None:
    known = acquaintances(limit=4)
    for peer in order:
        known.succeeded(peer, HOME)
    assert len(known) == 2 and known.reached(order[-1]) is not None
    alone = acquaintances(limit=2)
    for peer in order:
        alone.succeeded(peer, HOME)
        assert list(alone.addresses()) == [peer]


def test_a_score_ends_where_one_failure_still_tells() -> None:
    known = acquaintances()
    for _ in range(5 * SCORE_MAX):
        known.succeeded(ADA, HOME)
    for _ in range(SCORE_MAX // 2 + 1):
        known.succeeded(BEN, HOME)
    known.failed(ADA, at(0))
    assert picked(known, RETRY_MS_MAX) == BEN


@pytest.mark.parametrize(("asked_ms", "wait_ms"), [(30_000, 30_000), (0, RETRY_MS_MIN), (10**9, RETRY_MS_MAX)])
def test_who_sent_this_one_away_is_left_alone_for_a_time_within_bounds(asked_ms: int, wait_ms: int) -> None:
    known = acquaintances()
    known.succeeded(ADA, HOME)
    known.put_off(ADA, at(1000), asked_ms)
    known.put_off(BEN, at(1000), asked_ms)
    assert [picked(known, 1000 + ms) for ms in (wait_ms - 1, wait_ms, wait_ms + 1)] == ["", ADA, ADA]
    assert known.any(lambda peer: True)
    known.put_off(ADA, at(1000), asked_ms)
    known.succeeded(ADA, HOME)
    assert picked(known, 1001) == ADA


def test_who_does_not_answer_is_left_alone_twice_as_long_each_time() -> None:
    known, waits = acquaintances(), []
    known.succeeded(ADA, HOME)
    for _ in range(3):
        known.failed(ADA, at(0))
        waits.append(next(ms for ms in range(0, RETRY_MS_MAX, 1000) if picked(known, ms) == ADA))
    assert waits == [waits[0], 2 * waits[0], 4 * waits[0]] and waits[0] > 0


def test_a_teller_whose_entries_fail_is_listened_to_ever_more_slowly_until_one_is_there() -> None:
    known = acquaintances()

    def wait_ms(peer: PeerAddress) -> int:
        """After that entry of BEN's failed, when the next of his may be tried."""
        known.failed(peer.peer, at(0))
        return next(ms for ms in range(10**6) if picked(known, ms))

    known.hear(BEN, [entry(number) for number in range(10)])
    assert [wait_ms(entry(number)) for number in range(4)] == [1000, 2000, 4000, 8000]
    known.hear(CYD, [entry(99)])
    assert picked(known, 0) == entry(99).peer  # others' word isn't slowed down
    known.forget(entry(99).peer)
    known.succeeded(entry(4).peer, HOME)
    known.forget(entry(4).peer)
    assert picked(known, 0)
    assert wait_ms(entry(5)) == 1000


def test_one_who_was_reached_is_dialed_before_anybody_heard_of() -> None:
    known = acquaintances()
    known.hear(BEN, [entry(number) for number in range(TOLD_MAX)])
    known.succeeded(ADA, HOME)
    assert {picked(known, 0) for _ in range(20)} == {ADA}
    known.failed(ADA, at(0))
    assert picked(known, 0) not in ("", ADA)


def test_hearsay_never_moves_who_was_reached_and_needs_an_address() -> None:
    known = acquaintances()
    known.succeeded(ADA, HOME)
    assert not known.hear(BEN, [PeerAddress(ADA, ("203.0.113.66:4700",)), PeerAddress(CYD, ())])
    assert (known.addresses_of(ADA), known.addresses_of(CYD), len(known)) == ((HOME,), (), 1)


def test_of_what_one_neighbour_tells_the_newest_stays() -> None:
    known = acquaintances()
    assert not known.hear(BEN, [entry(number) for number in range(TOLD_MAX)])
    assert not known.hear(BEN, [entry(0)])  # said again, it is the newest
    assert known.hear(BEN, [entry(TOLD_MAX)])
    assert [bool(known.addresses_of(entry(number).peer)) for number in (0, 1, 2, TOLD_MAX)] == [True, False, True, True]
    assert len(known) == TOLD_MAX


def test_when_there_is_too_much_hearsay_the_oldest_of_whoever_told_most_gives_way() -> None:
    known = acquaintances(limit=8)
    known.hear(ADA, [entry(1), entry(2), entry(3)])
    assert not known.hear(BEN, [entry(11)])
    assert known.hear(BEN, [entry(12)])
    left = [number for number in (1, 2, 3, 11, 12) if known.addresses_of(entry(number).peer)]
    assert left == [2, 3, 11, 12]


def test_of_too_many_tellers_the_one_who_began_first_is_forgotten_and_never_who_speaks() -> None:
    known = acquaintances(limit=10_000)
    for number in range(TELLERS_MAX + 1):
        known.hear(entry(1000 + number).peer, [entry(number)])
    assert len(known) == TELLERS_MAX and not known.addresses_of(entry(0).peer)
    known.hear(entry(1001).peer, [entry(2000)])
    assert known.addresses_of(entry(1).peer) and known.addresses_of(entry(2000).peer)


def test_addresses_are_bounded_the_surest_first() -> None:
    known = acquaintances()
    many = tuple(f"198.51.100.{number}:4700" for number in range(9))
    known.hear(BEN, [PeerAddress(DAN, many)])
    known.hear(CYD, [PeerAddress(DAN, (HOME, many[0]))])
    assert known.addresses_of(DAN) == many[:ADDRESSES_MAX]
    known.forget(DAN)
    known.hear(BEN, [PeerAddress(DAN, many[:2])])
    known.hear(CYD, [PeerAddress(DAN, (HOME, many[0]))])
    assert known.addresses_of(DAN) == (*many[:2], HOME)


def test_only_who_is_wanted_is_picked_and_asked_about() -> None:
    known = acquaintances()
    known.succeeded(ADA, HOME)
    known.hear(BEN, [entry(1)])
    assert known.pick(at(0), lambda peer: peer == entry(1).peer) == entry(1)
    assert known.pick(at(0), lambda peer: False) is None
    assert [known.any(one.__eq__) for one in (ADA, entry(1).peer, BEN)] == [True, True, False]
