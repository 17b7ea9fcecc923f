"""What the watch makes of its looks: floods by bytes and by calls, crowds, silence, and what an honest peer does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plora.node.transport import watch as rules
from plora.node.transport.watch import Offence, Seen, Watch

PEER, OTHER = "ab" * 32, "cd" * 32
HERE = "192.0.2.1:40000"
CALM = Seen(HERE, PEER, received_bytes=9000, told_bytes=2000, calls=2, handled=2, linked=True)
FLOODED = replace(CALM, received_bytes=rules.UNTOLD_BYTES_MAX + 200_000)


def looks(*moments: list[Seen], step_s: float = 0.5) -> list[list[Offence]]:
    watch = Watch()
    return [watch.look(seen, number * step_s) for number, seen in enumerate(moments)]


def test_a_link_that_reads_and_is_read_is_left_alone() -> None:
    growing = [[replace(CALM, received_bytes=9000 + n * 70_000, told_bytes=n * 69_000)] for n in range(200)]
    assert not any(looks(*growing))


def test_a_link_that_is_being_read_may_have_much_that_waits() -> None:
    busy = [[replace(FLOODED, received_bytes=20 << 20, told_bytes=n * 1000)] for n in range(20)]
    assert not any(looks(*busy))
    assert looks(*busy, *busy[-1:] * 2)[-1] == [Offence(PEER, "control_flood", (HERE,))]
    over = [[replace(FLOODED, received_bytes=rules.BACKLOG_BYTES_MAX * 2, told_bytes=n)] for n in range(2)]
    assert looks(*over)[-1] == [Offence(PEER, "control_flood", (HERE,))]


def test_bytes_of_no_message_are_a_flood_on_a_link_when_they_are_still_there_at_the_next_look() -> None:
    assert looks([FLOODED], [FLOODED], [FLOODED]) == [[], [], [Offence(PEER, "control_flood", (HERE,))]]


def test_without_a_link_bytes_of_no_call_are_a_flood_at_once() -> None:
    calls = replace(CALM, linked=False, told_bytes=0, calls=100, handled=100)
    assert not any(looks([replace(calls, received_bytes=rules.STRANGE_BYTES_MAX + 100 * rules.CALL_BYTES)]))
    beyond = replace(calls, received_bytes=rules.STRANGE_BYTES_MAX + 100 * rules.CALL_BYTES + 1)
    assert looks([beyond]) == [[Offence(PEER, "control_flood", (HERE,))]]


@pytest.mark.parametrize("linked", [True, False])
def test_what_a_long_connection_needs_beside_its_messages_is_forgiven(linked: bool) -> None:
    a_look_bytes = rules.UNTOLD_BYTES_A_S // 2
    day = [[replace(CALM, linked=linked, received_bytes=9000 + n * a_look_bytes)] for n in range(1000)]
    assert not any(looks(*day))
    twice = [[replace(CALM, linked=linked, received_bytes=9000 + n * 2 * a_look_bytes)] for n in range(1000)]
    assert looks(*twice)[-1]


def test_what_messages_took_less_than_was_counted_is_no_credit() -> None:
    modest = [[replace(CALM, received_bytes=9000 + n * 60_000, told_bytes=n * 128_000)] for n in range(100)]
    last = modest[-1][0]
    flood = [[replace(last, received_bytes=last.received_bytes + (2 << 20))]] * 3
    assert looks(*modest, *flood)[-1]


def test_a_message_that_was_refused_is_an_offence_with_what_came_of_it() -> None:
    refused = replace(CALM, linked=False, calls=3, received_bytes=9000 + 2 * rules.UNTAKEN_BYTES_MAX)
    assert looks([refused], [refused])[1] == [Offence(PEER, "oversized_call", (HERE,))]
    assert not any(looks([replace(refused, received_bytes=9000)], [replace(refused, received_bytes=9000)]))
    assert not any(looks([replace(refused, calls=2)], [replace(refused, calls=2)]))


def test_what_only_waits_to_be_read_is_no_flood() -> None:
    assert not any(looks([FLOODED], [CALM], [FLOODED], [CALM]))
    waiting = replace(FLOODED, received_bytes=rules.BACKLOG_BYTES_MAX, bulky=True)
    assert not any(looks([waiting], [waiting], [waiting]))


@pytest.mark.parametrize("handled", [0, 5000])
def test_too_many_calls_in_a_span_are_a_flood_however_they_ended(handled: int) -> None:
    many = replace(CALM, calls=2 + rules.CALLS_MAX, handled=handled, linked=False)
    assert looks([CALM], [replace(many, calls=many.calls + 1)])[1] == [Offence(PEER, "call_flood", (HERE,))]


def test_many_calls_over_a_long_time_are_none() -> None:
    steady = [[replace(CALM, calls=2 + 300 * n, handled=2 + 300 * n)] for n in range(20)]
    assert not any(looks(*steady, step_s=5.0))


def test_calls_that_no_handler_saw_are_an_offence_when_none_comes_late() -> None:
    lost = replace(CALM, calls=30, handled=3)
    late = replace(lost, handled=29)
    assert looks([lost], [lost])[1] == [Offence(PEER, "lost_calls", (HERE,))]
    assert not any(looks([lost], [late], [lost]))


def test_calls_that_are_lost_now_and_then_add_up_to_nothing() -> None:
    weeks = [[replace(CALM, calls=10 * n, handled=9 * n)] for n in range(200)]
    assert not any(looks(*weeks, step_s=rules.SPAN_S))


def test_a_leaf_that_proves_nobody_is_ended_and_blamed_on_nobody() -> None:
    assert looks([replace(CALM, peer="")]) == [[Offence("", "impostor", (HERE,))]]


def test_a_crowd_of_one_peer_is_ended_whole() -> None:
    crowd = [replace(CALM, address=f"192.0.2.1:{n}", linked=False) for n in range(rules.CONNECTIONS_MAX + 1)]
    bystander = replace(CALM, peer=OTHER, address="192.0.2.2:1")
    assert not any(looks([*crowd[1:], bystander]))
    assert looks([*crowd, bystander]) == [[Offence(PEER, "too_many_connections", tuple(one.address for one in crowd))]]


def test_coming_again_and_again_is_a_crowd_too() -> None:
    comings = [[replace(CALM, address=f"192.0.2.1:{n}")] for n in range(rules.COMERS_MAX + 1)]
    found = looks(*comings, step_s=rules.COMERS_S / 1000)
    assert not any(found[:-1]) and found[-1][0].reason == "too_many_connections"
    assert not any(looks(*comings, step_s=rules.COMERS_S / rules.COMERS_MAX))


def test_a_silent_connection_ends_without_blame_unless_one_of_its_calls_was_answered() -> None:
    silent = replace(CALM, linked=False, handled=0)
    assert looks([silent], [silent], step_s=rules.SILENT_S + 1)[1] == [Offence("", "silent", (HERE,))]
    assert not any(looks([CALM], [CALM], step_s=rules.SILENT_S + 1))


def test_a_suspicion_ends_with_its_connection() -> None:
    assert looks([FLOODED], [], [FLOODED]) == [[], [], []]
