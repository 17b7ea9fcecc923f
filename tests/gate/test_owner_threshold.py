"""An owner's own threshold: an owner has signed when as many of their keys did as their record requires."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.gate.conftest import Owner, World, key_of, record_of

from plora.gate import Case, Outcome, Policy, Trust, Verdict, decide, explain
from plora.gate.signers import ATTESTATIONS_MAX, signers, struck

TWO = Policy(quorum_required=2)


def fell(verdict: Verdict) -> tuple[Outcome, str]:
    return verdict.outcome, verdict.reason


def attested(world: World, case: Case, *words: tuple[Owner, int]) -> Case:
    """The case with attestations by (owner, number of the key)."""
    made = (world.attestation(owner, case.statement, key=owner.keys[number]) for owner, number in words)
    return replace(case, attestations=tuple(made))


def test_one_key_of_two_waits_and_its_bytes_are_looked_at(world: World) -> None:
    house = world.owner("house", keys=3, threshold=2)
    case, trust = world.case(house), world.trust(house)
    alone = decide(case, Policy(), trust)
    assert fell(alone) == (Outcome.PENDING, "below_threshold")
    assert alone.servable and explain(alone) == "1 of 2 keys of house signed; waiting for another key of house"
    assert decide(replace(case, features=None), Policy(), trust).wants_bytes
    assert fell(decide(attested(world, case, (house, 0)), Policy(), trust)) == (Outcome.PENDING, "below_threshold")
    assert decide(attested(world, case, (house, 2)), Policy(), trust).accepted


def test_revoked_and_foreign_keys_do_not_fill_a_threshold(world: World, ada: Owner) -> None:
    house = world.owner("house", keys=3, threshold=2)
    case, trust = world.case(house), world.trust(house, ada)
    judged = attested(world, case, (house, 1))
    key_id = house.keys[1].public.key_id
    gone = replace(judged, revocations=(world.revocation(house, "key", key_id, key=house.keys[1]),))
    assert decide(judged, Policy(), trust).accepted
    assert decide(gone, Policy(), trust).reason == "below_threshold"
    assert decide(judged, Policy(), trust.with_distrusted(key_id)).reason == "below_threshold"
    assert decide(attested(world, case, (ada, 0)), Policy(), trust).reason == "below_threshold"


def test_a_co_signer_counts_when_their_threshold_is_reached(world: World, ada: Owner) -> None:
    house = world.owner("house", keys=3, threshold=2)
    case, trust = world.case(ada), world.trust(ada, house)
    half = decide(attested(world, case, (house, 0)), TWO, trust)
    assert fell(half) == (Outcome.PENDING, "below_quorum")
    assert explain(half) == "1 of 2 owners signed (ada); waiting for one of: house; house signed with too few keys"
    assert decide(attested(world, case, (house, 0), (house, 2)), TWO, trust).accepted


def test_the_newest_record_says_how_many(world: World) -> None:
    """A record that raises the threshold holds for what was signed before: nobody can say when a stolen key signed."""
    house = world.owner("house", keys=2)
    second = world.owner_record(
        "house", house.keys, threshold=2, version=2, owner=house.id, previous=house.id, lineage=house.id
    )
    by_both = world.attestation(house, second, key=house.keys[1])
    case = world.case(house)
    raised = replace(case, owner_records=(record_of(second),), attestations=(by_both,))
    assert decide(case, Policy(), world.trust(house)).accepted
    assert decide(raised, Policy(), world.trust(house)).reason == "below_threshold"
    vouched = world.attestation(house, case.statement, key=house.keys[1])
    both = replace(raised, attestations=(by_both, vouched))
    assert decide(both, Policy(), world.trust(house)).accepted


def test_the_owners_own_keys_come_first_and_all_words_are_bounded(world: World, ada: Owner) -> None:
    house = world.owner("house", keys=3, threshold=3)
    others = [world.owner(f"o{number}") for number in range(20)]
    case = world.case(house)
    words = [(owner, 0) for owner in others]
    judged = attested(world, case, *words, (house, 1), (house, 2))
    trust = world.trust(house, *others)
    found = signers(judged, TWO, trust, struck(judged, trust))
    assert (found.own_keys, found.verified) == (2, ATTESTATIONS_MAX)
    fewer = attested(world, case, *words[:14], (house, 1), (house, 2))
    assert decide(fewer, TWO, trust).accepted


@pytest.mark.parametrize(
    ("policy", "names", "sentence"),
    [
        (TWO, ("bob",), "1 of 2 owners signed (ada); waiting for one of: bob"),
        (TWO, ("bob", "cyd"), "1 of 2 owners signed (ada); waiting for one of: bob, cyd"),
        (
            Policy(quorum_required=3),
            ("bob", "cyd", "dan"),
            "1 of 3 owners signed (ada); waiting for two of: bob, cyd, dan",
        ),
        (
            TWO,
            (),
            "1 of 2 owners signed (ada); nobody else is trusted for this: trust another co-signer by `plora trust add`",
        ),
        (
            Policy(quorum_required=3),
            ("bob",),
            "1 of 3 owners signed (ada); only bob could: trust another co-signer by `plora trust add`",
        ),
    ],
)
def test_it_says_who_is_awaited(
    world: World, ada: Owner, policy: Policy, names: tuple[str, ...], sentence: str
) -> None:
    trust = world.trust(ada, *(world.owner(name) for name in names))
    assert explain(decide(world.case(ada), policy, trust)) == sentence


def test_who_is_out_of_scope_is_not_awaited(world: World, ada: Owner, bob: Owner) -> None:
    medical = world.trust(bob, domains=("medical",)).owners[0]
    trust = Trust((*world.trust(ada).owners, medical))
    assert "nobody else is trusted" in explain(decide(world.case(ada), TWO, trust))


def test_keys_of_a_name_are_its_own() -> None:
    assert key_of("house 0") != key_of("house 1")
