"""Dial-backs: who asks is dialed only where it is seen, and not too often."""

from __future__ import annotations

from random import Random

import pytest

from plora.node.core.effects import Probe, Send
from plora.node.core.messages import DialBack, DialedBack, DialTry, Hello
from plora.node.core.now import Now
from plora.node.gossip.dial_backs import ASKED_MS_MIN, ASKERS_MAX, DIAL_BACK, PROBES_MAX, DialBacks
from plora.node.gossip.link import Link
from plora.proto.host_port import join

ADA = "a" * 64


def at(ms: int) -> Now:
    return Now(ms * 1_000_000, ms)


def link_of(*addresses: str, host: str = "203.0.113.5", peer: str = ADA) -> Link:
    hello = Hello((1,), (), "ab" * 32, "11" * 16, 0, addresses)
    return Link(peer, False, 0, 0, join(host, 40_000), hello)


@pytest.mark.parametrize(
    ("host", "address", "dialed"),
    [
        ("203.0.113.5", "203.0.113.5:4700", "203.0.113.5:4700"),
        ("203.0.113.5", "0.0.0.0:4700", "203.0.113.5:4700"),
        ("2001:db8::5", "[::]:4700", "[2001:db8::5]:4700"),
        ("2001:db8::5", "[2001:DB8:0::5]:4700", "[2001:db8::5]:4700"),
        ("127.0.0.1", "127.0.0.1:4700", "127.0.0.1:4700"),
    ],
)
def test_who_asks_is_dialed_where_it_is_seen(host: str, address: str, dialed: str) -> None:
    backs = DialBacks(Random(1))
    assert backs.asked(link_of(address, host=host), 7, at(0)) == [Probe(ADA, (dialed,), DIAL_BACK)]
    tries = (DialTry(dialed, "reached", 3),)
    assert backs.probed(ADA, tries) == [Send(ADA, DialedBack(7, host, tries))]


@pytest.mark.parametrize(
    "address",
    [
        "203.0.113.6:4700",
        "127.0.0.1:5432",
        "192.168.1.1:80",
        "169.254.169.254:80",
        "victim.example:443",
        "203.0.113.5:0",
        "203.0.113.5:65536",
        "224.0.0.1:4700",
        "[::ffff:10.0.0.1]:80",
        "nonsense",
        "",
    ],
)
def test_nobody_can_have_others_scan_a_third_host(address: str) -> None:
    backs = DialBacks(Random(1))
    answer = DialedBack(7, "203.0.113.5", (DialTry(address, "not_tried"),))
    assert backs.asked(link_of(address), 7, at(0)) == [Send(ADA, answer)]


def test_good_and_bad_addresses_are_answered_together() -> None:
    backs = DialBacks(Random(1))
    link = link_of("10.0.0.1:1", "203.0.113.5:2", "[::]:3", "203.0.113.5:2")
    assert backs.asked(link, 7, at(0)) == [Probe(ADA, ("203.0.113.5:2", "203.0.113.5:3"), DIAL_BACK)]
    tries = (DialTry("203.0.113.5:2", "reached"), DialTry("203.0.113.5:3", "no_answer"))
    (send,) = backs.probed(ADA, tries)
    assert send == Send(ADA, DialedBack(7, "203.0.113.5", (*tries, DialTry("10.0.0.1:1", "not_tried"))))


def test_who_asks_too_often_is_told_so_even_after_a_reconnect() -> None:
    backs = DialBacks(Random(1))
    backs.asked(link_of("203.0.113.5:1"), 1, at(0))
    backs.probed(ADA, ())
    backs.lost(ADA)
    (send,) = backs.asked(link_of("203.0.113.5:1"), 2, at(ASKED_MS_MIN - 1))
    assert isinstance(send, Send) and isinstance(send.message, DialedBack)
    assert send.message.tries == (DialTry("203.0.113.5:1", "too_often"),)
    assert backs.asked(link_of("203.0.113.5:1"), 3, at(ASKED_MS_MIN)) == [Probe(ADA, ("203.0.113.5:1",), DIAL_BACK)]


def test_probes_at_once_and_memory_of_askers_are_bounded() -> None:
    backs = DialBacks(Random(1))
    askers = [link_of("203.0.113.5:1", peer=f"{number:064x}") for number in range(2 * ASKERS_MAX)]
    began = [isinstance(backs.asked(link, 1, at(0))[0], Probe) for link in askers[: 2 * PROBES_MAX]]
    assert began == [True] * PROBES_MAX + [False] * PROBES_MAX
    for link in askers:
        backs.asked(link, 1, at(0))
        backs.probed(link.peer, ())
    assert len(backs._due_ns) <= ASKERS_MAX


def test_only_the_answer_to_the_newest_question_counts() -> None:
    backs = DialBacks(Random(1))
    ((first,), (second,)) = backs.ask(ADA), backs.ask(ADA)
    assert isinstance(first, Send) and isinstance(first.message, DialBack)
    assert isinstance(second, Send) and isinstance(second.message, DialBack)
    backs.answered(ADA, DialedBack(first.message.number, "", ()))
    assert backs.answer(ADA) is None
    answer = DialedBack(second.message.number, "203.0.113.5", (DialTry("203.0.113.5:1", "reached"),))
    backs.answered(ADA, answer)
    backs.answered(ADA, DialedBack(second.message.number, "9.9.9.9", ()))
    assert backs.answer(ADA) == answer
    backs.lost(ADA)
    assert backs.answer(ADA) is None
