"""Freshness that comes before the record that lists its key: it is had once that record is."""

from __future__ import annotations

import pytest
from tests.node.gossip.test_convergence import ADA, ADA_OWNER, BEN, SWARM, World, started

from plora.node.core.events import Publish
from plora.node.gossip.strays import STRAYS_MAX, Strays
from plora.proto.dsse import StatementKind
from plora.proto.fields import format_timestamp
from plora.proto.keys import private_key_from_seed
from plora.proto.payloads import Freshness, OwnerKey, OwnerRecord
from plora.proto.statement import Statement, sign_statement
from plora.sim.material import ISSUED_S

FRESH = private_key_from_seed(bytes(32))


def rotation() -> Statement:
    """Ada's second record, which adds the key for freshness."""
    payload = OwnerRecord(
        swarm=SWARM,
        issued=format_timestamp(ISSUED_S),
        key_id=ADA_OWNER.key.public.key_id,
        owner=ADA_OWNER.id,
        previous=ADA_OWNER.id,
        lineage=ADA_OWNER.id,
        name="ada",
        version=2,
        keys=(OwnerKey.of(ADA_OWNER.key.public), OwnerKey.of(FRESH.public, "freshness")),
        threshold=1,
    )
    return sign_statement(StatementKind.OWNER, payload, ADA_OWNER.key)


def fresh() -> Statement:
    payload = Freshness(
        swarm=SWARM,
        issued=format_timestamp(ISSUED_S),
        key_id=FRESH.public.key_id,
        owner=ADA_OWNER.id,
        trust_version=1,
        revocation_root="0" * 64,
        audit_head="0" * 64,
        expires=format_timestamp(ISSUED_S + 86_400 * 9),
    )
    return sign_statement(StatementKind.FRESHNESS, payload, FRESH)


def heard(world: World, peer: str) -> list[bytes]:
    return [entry.id for entry in world.cores[peer].seen.freshness()]


@pytest.mark.parametrize("eager_fanout", [0, 2])
def test_freshness_that_came_before_its_key_is_had_with_the_record(eager_fanout: int) -> None:
    """It is pushed at once; without pushes of the others, its owner's records come by the rounds after it."""
    world = started(ADA, BEN, eager_fanout=eager_fanout)
    for statement in (ADA_OWNER.record, rotation(), fresh()):
        world.tell(ADA, Publish((statement,)))
    world.run(5000)
    assert heard(world, BEN) == heard(world, ADA) == [fresh().id]


def test_what_is_remembered_of_strays_is_bounded_and_goes_with_the_neighbour() -> None:
    strays = Strays()
    for number in range(STRAYS_MAX + 1):
        strays.keep(number.to_bytes(2, "big"), owner="ada", peer=f"peer {number % 2}")
    strays.lost("peer 0")
    asked = strays.welcome("ada")
    assert list(asked) == ["peer 1"] and len(asked["peer 1"]) == STRAYS_MAX // 2


def test_a_stray_is_asked_of_whoever_offered_it_last_when_its_own_owner_comes_and_once() -> None:
    strays, one, two = Strays(), b"1" * 32, b"2" * 32
    for identity, owner, peer in ((one, "ada", "x"), (two, "ben", "x"), (one, "ada", "y")):
        strays.keep(identity, owner=owner, peer=peer)
    assert strays.welcome("cyd") == {}
    assert [strays.welcome("ada") for _ in range(2)] == [{"y": [one]}, {}]
    assert strays.welcome("ben") == {"x": [two]}


def test_of_strays_the_one_that_was_offered_longest_ago_gives_way() -> None:
    strays, ids = Strays(), [number.to_bytes(2, "big") for number in range(STRAYS_MAX + 1)]
    for identity in (*ids[:-2], ids[0], *ids[-2:]):
        strays.keep(identity, owner="ada", peer="x")
    assert strays.welcome("ada") == {"x": [*ids[2:-2], ids[0], *ids[-2:]]}
