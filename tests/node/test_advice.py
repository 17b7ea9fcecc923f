"""What `plora peers ping` concludes from two tries."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plora.node.advice import Ends, judge
from plora.node.core.messages import DialedBack, DialTry

ENDS = Ends("ben", "0.0.0.0:4700", dialable=True, other_dialable=True, linked=True)
THERE = (DialTry("192.0.2.7:4700", "reached", 3),)


def back(*tries: tuple[str, str], host: str = "203.0.113.5") -> DialedBack:
    return DialedBack(1, host, tuple(DialTry(*one) for one in tries))


def test_both_directions_work() -> None:
    finding = judge(ENDS, THERE, back(("203.0.113.5:4700", "reached")))
    assert finding.good and finding.mends == ()


def test_one_good_address_of_several_is_enough() -> None:
    tries = back(("10.0.0.2:4700", "not_tried"), ("203.0.113.5:4700", "reached"), ("203.0.113.5:1", "no_answer"))
    assert judge(ENDS, (DialTry("10.0.0.9:1", "no_route"), *THERE), tries).good


@pytest.mark.parametrize(
    ("tries", "parts"),
    [
        (
            [("203.0.113.5:4700", "no_answer")],
            ("dial you at 203.0.113.5:4700", "TCP port 4700", "dialable: false"),
        ),
        ([("203.0.113.5:4711", "nobody_listens")], ("forward TCP port 4711 to port 4700", "`advertise`")),
        ([("203.0.113.5:4700", "another_peer")], ("another peer answers there",)),
        ([("192.168.1.2:4700", "not_tried")], ("sees you at 203.0.113.5", "`advertise: [203.0.113.5:4700]`")),
        ([], ("you name nothing", "advertise")),
        ([("203.0.113.5:4700", "a_new_code")], ("a_new_code",)),
    ],
)
def test_the_way_back_fails(tries: list[tuple[str, str]], parts: tuple[str, ...]) -> None:
    finding = judge(ENDS, THERE, back(*tries))
    assert not finding.good
    (mend,) = finding.mends
    assert all(part in mend for part in parts), mend


def test_who_listens_on_loopback_is_told_what_to_set() -> None:
    ends = replace(ENDS, listen="127.0.0.1:4700")
    (mend,) = judge(ends, THERE, back(("127.0.0.1:4700", "not_tried"))).mends
    assert "this machine only" in mend and "`listen: 0.0.0.0:4700`" in mend


def test_who_only_dials_out_needs_no_way_back() -> None:
    ends = replace(ENDS, dialable=False)
    assert judge(ends, THERE, back(("127.0.0.1:4700", "not_tried"))).good
    finding = judge(ends, THERE, back(("203.0.113.5:4700", "reached")))
    assert finding.good and "would help others" in finding.mends[0]


def test_a_neighbour_that_only_dials_out_needs_no_way_there() -> None:
    ends = replace(ENDS, other_dialable=False)
    finding = judge(ends, (), back(("203.0.113.5:4700", "reached")))
    assert finding.good and "only dials out" in finding.mends[0]


def test_without_a_link_the_way_there_says_why() -> None:
    ends = replace(ENDS, linked=False)
    finding = judge(ends, (DialTry("192.0.2.7:4700", "no_answer"),), None)
    assert not finding.good
    assert "you can't dial ben at 192.0.2.7:4700: no answer in time" in finding.mends[0]
    assert "no link with ben" in finding.mends[1]
    assert "no address of ben" in judge(ends, (), None).mends[0]


def test_an_older_peer_that_never_answers_is_named_as_such() -> None:
    assert "older" in judge(ENDS, THERE, None).mends[0]
