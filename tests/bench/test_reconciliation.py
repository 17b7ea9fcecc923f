"""The bench of reconciliation finds what differs and counts real frames."""

from __future__ import annotations

from bench.reconciliation import Cost, reconcile, worst_cost

from plora.node.gossip.ordered import OrderedKeys, order_key


def test_equal_sets_take_one_round_trip() -> None:
    keys = [order_key(1, bytes([number]) * 32) for number in range(50)]
    cost, left, right = reconcile(OrderedKeys(keys), OrderedKeys(keys), session=1)
    assert (cost.frames, left, right) == (2, set(), set())
    assert cost.wire_bytes < 64


def test_both_sides_learn_what_they_lack() -> None:
    first, second = order_key(1, b"a" * 32), order_key(2, b"b" * 32)
    _, left, right = reconcile(OrderedKeys([first]), OrderedKeys([second]), session=1)
    assert (left, right) == ({b"b" * 32}, {b"a" * 32})


def test_round_trips_are_pairs_of_frames() -> None:
    assert [Cost(frames, 0).round_trips for frames in (1, 2, 3, 8)] == [1, 1, 2, 4]


def test_cost_grows_with_what_differs_and_draws_repeat() -> None:
    few, many = worst_cost(2_000, 2, 3, seed=1), worst_cost(2_000, 40, 3, seed=1)
    assert few.wire_bytes < many.wire_bytes
    assert worst_cost(2_000, 2, 3, seed=1) == few
