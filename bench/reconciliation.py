"""How many bytes and round trips it takes two peers to find a few differences among many statements.

- Ids only, drawn from a seed, spread over 30 epoch days; half of the differences are missing on either side.
- Bytes are those of the real frames as the codec encodes them, both directions together, the one that ends it included.
- Frames alternate, so two make one round trip. The worst of several draws counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from plora.node.core.messages import Reconcile
from plora.node.gossip.ordered import OrderedKeys, id_of, order_key
from plora.node.gossip.reconcile import open_ranges, respond
from plora.node.transport.codec import encode

DAYS = range(20_400, 20_430)


@dataclass(frozen=True, slots=True)
class Cost:
    """Frames of one reconciliation and their bytes."""

    frames: int
    wire_bytes: int

    @property
    def round_trips(self) -> int:
        """Two frames, one there and one back, make a round trip."""
        return -(-self.frames // 2)


def worst_cost(statements: int, differences: int, draws: int, seed: int) -> Cost:
    """The largest number of frames and of bytes over `draws` draws of what differs."""
    rng = Random(seed)
    keys = [order_key(rng.choice(DAYS), rng.randbytes(32)) for _ in range(statements)]
    left, right = OrderedKeys(keys), OrderedKeys(keys)
    costs = [_cost_of_draw(left, right, rng.sample(keys, differences), rng) for _ in range(draws)]
    return Cost(max(cost.frames for cost in costs), max(cost.wire_bytes for cost in costs))


def reconcile(left: OrderedKeys, right: OrderedKeys, session: int) -> tuple[Cost, set[bytes], set[bytes]]:
    """Run one reconciliation that `left` opens; its cost, and the ids that either side learnt to lack."""
    lacks: tuple[set[bytes], set[bytes]] = (set(), set())
    frames = [encode(Reconcile(session, ranges := open_ranges(left)))]
    while ranges:
        side = len(frames) % 2
        answer = respond((left, right)[side], ranges, session=session)
        lacks[side].update(answer.need)
        ranges = answer.ranges
        frames.append(encode(Reconcile(session, ranges)))
    return Cost(len(frames), sum(map(len, frames))), *lacks


def _cost_of_draw(left: OrderedKeys, right: OrderedKeys, differing: list[bytes], rng: Random) -> Cost:
    half = len(differing) // 2
    absent = ((left, differing[:half]), (right, differing[half:]))
    for side, keys in absent:
        for key in keys:
            side.discard(key)
    cost, *lacks = reconcile(left, right, rng.randrange(1 << 32))
    if lacks != [{id_of(key) for key in keys} for _, keys in absent]:
        raise AssertionError("the reconciliation didn't find what differs")
    for side, keys in absent:
        for key in keys:
            side.add(key)
    return cost
