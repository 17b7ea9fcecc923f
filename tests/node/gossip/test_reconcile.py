"""Ordered keys against a plain sorted list; reconciliation against set algebra, sizes against the promise."""

from __future__ import annotations

import hashlib
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from plora.node.core.messages import RECONCILE_BYTES_MAX, Range
from plora.node.gossip.ordered import OrderedKeys, id_of, order_key
from plora.node.gossip.reconcile import Answer, check_ranges, open_ranges, range_bytes, respond
from plora.proto.errors import ProtocolError

END = b""


def some_keys(count: int, seed: int, days: int = 30) -> list[bytes]:
    draws = Random(seed)
    return [order_key(20_000 + draws.randrange(days), draws.randbytes(32)) for _ in range(count)]


def expected_fingerprint(keys: list[bytes]) -> bytes:
    total = sum(int.from_bytes(key[4:], "big") for key in keys) % 2**256
    return hashlib.sha256(total.to_bytes(32, "big") + len(keys).to_bytes(8, "big")).digest()[:16]


def exchange(first: OrderedKeys, second: OrderedKeys, session: int = 0) -> tuple[list[tuple[Range, ...]], list[bytes]]:
    """All frames of a session that `first` opens, and the keys' ids that either side found missing."""
    frames, sides = [open_ranges(first)], (second, first)
    needs: list[bytes] = []
    while frames[-1]:
        answer = respond(sides[(len(frames) + 1) % 2], frames[-1], session=session)
        needs += answer.need
        frames.append(answer.ranges)
    return frames[:-1], needs


class KeysMachine(RuleBasedStateMachine):
    """Whatever is added and removed, blocks answer as a sorted list does."""

    def __init__(self) -> None:
        super().__init__()
        self.keys = OrderedKeys()
        self.model: set[bytes] = set()

    @rule(seed=st.integers(0, 1000), count=st.integers(1, 300))
    def add(self, seed: int, count: int) -> None:
        for key in some_keys(count, seed):
            self.keys.add(key)
            self.model.add(key)

    @rule(seed=st.integers(0, 1000), count=st.integers(1, 300))
    def discard(self, seed: int, count: int) -> None:
        for key in some_keys(count, seed):
            self.keys.discard(key)
            self.model.discard(key)

    @rule(part=st.floats(0, 1), count=st.integers(0, 200))
    def look(self, part: float, count: int) -> None:
        ordered = sorted(self.model)
        start = int(part * len(ordered))
        stop = min(len(ordered), start + count)
        assert self.keys.between(start, stop) == ordered[start:stop]
        assert self.keys.fingerprint(start, stop) == expected_fingerprint(ordered[start:stop])
        bound = (20_000 + int(part * 30)).to_bytes(4, "big")
        assert self.keys.position(bound) == sum(key < bound for key in ordered)

    @invariant()
    def equals_the_model(self) -> None:
        assert list(self.keys) == sorted(self.model)
        assert len(self.keys) == len(self.model)
        assert self.keys.root() == expected_fingerprint(list(self.model))


KeysMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
TestKeys = KeysMachine.TestCase


@settings(max_examples=60, deadline=None)
@given(
    shared=st.integers(0, 400),
    here=st.integers(0, 60),
    there=st.integers(0, 60),
    seed=st.integers(),
    days=st.integers(1, 5),
)
def test_each_side_learns_exactly_what_it_lacks(shared: int, here: int, there: int, seed: int, days: int) -> None:
    keys = some_keys(shared + here + there, seed, days)
    mine, theirs = OrderedKeys(keys[: shared + here]), OrderedKeys([*keys[:shared], *keys[shared + here :]])
    frames, needs = exchange(mine, theirs)
    assert sorted(needs) == sorted(id_of(key) for key in keys[shared:])
    assert len(frames) <= 9


def test_equal_sets_end_after_the_opening() -> None:
    keys = some_keys(1000, 1)
    frames, needs = exchange(OrderedKeys(keys), OrderedKeys(keys))
    assert (len(frames), needs) == (1, [])
    assert sum(range_bytes(each) for each in frames[0]) <= 24


@pytest.mark.parametrize(("differences", "bytes_max"), [(10, 16 * 1024), (100, 96 * 1024)])
def test_a_few_differences_in_a_hundred_thousand_cost_little_and_are_found_at_once(
    differences: int, bytes_max: int
) -> None:
    half = differences // 2
    keys = some_keys(100_000 + differences, 2)
    mine, theirs = OrderedKeys(keys[:-half]), OrderedKeys([*keys[: -2 * half], *keys[-half:]])
    frames, needs = exchange(mine, theirs)
    assert len(needs) == differences
    assert len(frames) <= 8  # four round trips
    assert sum(range_bytes(each) for frame in frames for each in frame) < bytes_max


@pytest.mark.parametrize(("here", "there"), [(6000, 0), (0, 6000), (4000, 4000)])
def test_frames_stay_small_and_sessions_make_progress_however_far_apart(here: int, there: int) -> None:
    keys = some_keys(here + there, 3)
    mine, theirs = OrderedKeys(keys[:here]), OrderedKeys(keys[here:])
    by_id = {id_of(key): key for key in keys}
    for session in range(0, 40, 2):
        frames, needs = exchange(mine, theirs, session)
        assert max(sum(range_bytes(each) for each in frame) for frame in frames) <= RECONCILE_BYTES_MAX
        for identity in needs:
            mine.add(by_id[identity])
            theirs.add(by_id[identity])
    assert mine.root() == theirs.root()
    assert len(mine) == here + there


def test_ids_that_are_refused_for_good_hide_nothing() -> None:
    keys = some_keys(6000, 4)
    giver, taker = OrderedKeys(keys), OrderedKeys()
    wanted, got = {id_of(key) for key in keys[::500]}, set()
    for session in range(0, 400, 2):
        got |= wanted.intersection(exchange(taker, giver, session)[1])
    assert got == wanted


def test_a_crowded_frame_answers_some_ranges_in_full_and_others_in_later_sessions() -> None:
    keys = OrderedKeys(some_keys(2000, 6, days=100))
    bounds = [(20_000 + day).to_bytes(4, "big") for day in range(1, 101)]
    asked = tuple(Range(bound, fingerprint=bytes(16)) for bound in bounds)
    answered: set[bytes] = set()
    for session in range(0, 80, 2):
        answer = respond(keys, asked, session=session, bytes_max=4096)
        open_days = {each.upper[:4] for each in answer.ranges if each.fingerprint or each.ids}
        assert open_days
        assert sum(range_bytes(each) for each in answer.ranges) <= 4096
        answered |= open_days
    assert len(answered) >= 95


def test_ranges_beyond_the_last_bound_are_settled() -> None:
    keys = OrderedKeys(some_keys(10, 5))
    low = (20_000).to_bytes(4, "big")
    assert respond(keys, (Range(low, fingerprint=OrderedKeys().root()),), session=0) == Answer(())


@pytest.mark.parametrize(
    "ranges",
    [
        (Range(b"b"), Range(b"a")),
        (Range(b"a"), Range(b"a")),
        (Range(END), Range(b"a")),
        (Range(END), Range(END)),
        (Range(bytes([255]) * 37),),
        (Range(END, fingerprint=b"short"),),
        (Range(END, ids=(b"short",)),),
        (Range(END, reply=(b"l" * 33,)),),
    ],
)
def test_crafted_ranges_break_the_protocol(ranges: tuple[Range, ...]) -> None:
    with pytest.raises(ProtocolError):
        check_ranges(ranges)
    with pytest.raises(ProtocolError):
        respond(OrderedKeys(), ranges, session=0)
