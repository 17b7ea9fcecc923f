"""The pinned root: who counts as having spoken, for how long, and what its owners may revoke together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.gate.conftest import NOW_MS, Owner, World, forged, key_of, record_of
from tests.gate.roots import DAY_MS, HOUR_MS, Council, council

from plora.gate import Case, Outcome, Policy, Root, Verdict, decide, explain, freshness_state, load_root, root_text
from plora.gate.root import members_behind, root_revocations, signed_time_ms
from plora.proto.errors import ConfigError
from plora.proto.rotation import Dossier

WEEK = Policy(max_trust_age_ms=7 * DAY_MS)


@pytest.fixture
def house(world: World) -> Council:
    return council(world)


def judged(world: World, house: Council, case: Case, policy: Policy = WEEK) -> Verdict:
    trust = replace(world.trust(world.owner("ada")), root=house.root)
    return decide(case, policy, trust)


def test_two_of_three_make_it_fresh_until_the_second_of_them_ends(house: Council) -> None:
    said = (house.says(0, NOW_MS - HOUR_MS, days=3), house.says(1, NOW_MS - HOUR_MS, days=2))
    found = freshness_state(said, house.root, WEEK, NOW_MS)
    assert (found.fresh, found.signed) == (True, ("north", "south"))
    assert found.until_ms == NOW_MS - HOUR_MS + 2 * DAY_MS
    assert not freshness_state(said, house.root, WEEK, found.until_ms).fresh
    assert freshness_state(said, house.root, WEEK, found.until_ms - 1).fresh
    third = (*said, house.says(2, NOW_MS - HOUR_MS, days=30))
    assert freshness_state(third, house.root, WEEK, NOW_MS).until_ms == NOW_MS - HOUR_MS + 3 * DAY_MS


@pytest.mark.parametrize(
    "second",
    ["the same owner", "an old one", "the future", "another key", "another root", "forged", "a foreign name"],
)
def test_what_does_not_count(house: Council, second: str) -> None:
    first = house.says(0, NOW_MS - HOUR_MS)
    statement, body = house.says(1, NOW_MS - HOUR_MS)
    other = {
        "the same owner": house.says(0, NOW_MS - 2 * HOUR_MS),
        "an old one": house.says(1, NOW_MS - 8 * DAY_MS),
        "the future": house.says(1, NOW_MS + HOUR_MS),
        "another key": house.says(1, NOW_MS - HOUR_MS, key_name="south 0"),
        "another root": house.says(1, NOW_MS - HOUR_MS, version=2),
        "forged": (forged(statement), body),
        "a foreign name": (house.says(2, NOW_MS)[0], body),
    }[second]
    assert not freshness_state((first, other), house.root, WEEK, NOW_MS).fresh
    assert freshness_state((first, (statement, body)), house.root, WEEK, NOW_MS).fresh


def test_a_newer_root_file_is_named(world: World, house: Council) -> None:
    newer = tuple(house.says(number, NOW_MS, version=2) for number in (0, 1))
    assert freshness_state(newer, house.root, WEEK, NOW_MS).outdated == 2
    verdict = judged(world, house, replace(world.case(world.owner("ada")), freshness=newer))
    assert explain(verdict).endswith("the others speak under a newer root file: ask for it")


def test_the_signed_time_takes_two_and_outlasts_expiry(house: Council) -> None:
    early, late = house.says(0, NOW_MS - 50 * DAY_MS, days=1), house.says(1, NOW_MS - HOUR_MS)
    assert signed_time_ms((late,), house.root) == 0
    assert signed_time_ms((early, late), house.root) == NOW_MS - 50 * DAY_MS


def test_a_statement_counts_from_as_far_ahead_as_clocks_may_differ(house: Council) -> None:
    skew_ms = WEEK.clock_skew_ms_max
    for ahead_ms, fresh in ((skew_ms, True), (skew_ms + 1000, False)):
        said = (house.says(0, NOW_MS), house.says(1, NOW_MS + ahead_ms))
        assert freshness_state(said, house.root, WEEK, NOW_MS).fresh is fresh


def test_of_what_an_owner_says_the_latest_counts_whatever_its_place(house: Council) -> None:
    old, new, other = house.says(0, NOW_MS - 9 * HOUR_MS), house.says(0, NOW_MS - HOUR_MS), house.says(1, NOW_MS)
    for said in ((old, new, other), (other, new, old)):
        assert signed_time_ms(said, house.root) == NOW_MS - HOUR_MS
        until_ms = freshness_state(said, house.root, WEEK, NOW_MS).until_ms
        assert until_ms == NOW_MS - HOUR_MS + WEEK.max_trust_age_ms
    assert freshness_state((old, new), house.root, WEEK, NOW_MS).until_ms == 0


def test_a_member_of_several_keys_speaks_by_their_own_threshold(world: World, house: Council, ada: Owner) -> None:
    north, south = house.owners[:2]
    pair = replace(house.root.members[0], keys=(north.key.public, key_of("north two").public), threshold=2)
    root = Root(1, 2, (pair, *house.root.members[1:]))
    begun = world.revocation(south, "owner", ada.id)
    one, two = (world.attestation(north, begun[0], key=key) for key in (north.key, key_of("north two")))
    behind = [members_behind(root, begun[0], Dossier(attestations=said)) for said in ((), (one,), (one, two))]
    assert behind == [("south",), ("south",), ("north", "south")]
    for said, counts in (((one,), []), ((one, two), [begun[1]])):
        assert list(root_revocations(root, Dossier(revocations=(begun,), attestations=said))) == counts


def test_what_a_stranger_begins_no_member_can_make_count(world: World, house: Council, ada: Owner) -> None:
    begun = world.revocation(world.owner("eve"), "owner", ada.id)
    words = tuple(world.attestation(owner, begun[0]) for owner in house.owners)
    assert list(root_revocations(house.root, Dossier(revocations=(begun,), attestations=words))) == []
    supposed = replace(house.root, supposed=(begun[1],))
    assert list(root_revocations(supposed, Dossier())) == [begun[1]]


def test_a_digest_follows_what_verdicts_depend_on(world: World, house: Council) -> None:
    root, (first, *others) = house.root, house.root.members
    renamed = replace(root, members=(*others, replace(first, name="renamed")))
    assert renamed.digest() == root.digest()
    revoked = world.revocation(house.owners[0], "owner", "ab" * 32)[1]
    changes = (
        {"version": 2},
        {"threshold": 3},
        {"members": tuple(others)},
        {"members": (replace(first, freshness_keys=()), *others)},
        {"members": (replace(first, keys=(key_of("new").public,)), *others)},
        {"supposed": (revoked,)},
    )
    assert len({root.digest(), *(replace(root, **change).digest() for change in changes)}) == len(changes) + 1


@pytest.mark.parametrize("kind", ["key", "content", "owner"])
def test_the_root_revokes_what_is_anothers_by_its_threshold(world: World, house: Council, kind: str) -> None:
    ada = world.owner("ada")
    fresh = tuple(house.says(number, NOW_MS - HOUR_MS) for number in (0, 1))
    case = replace(world.case(ada), freshness=fresh)
    target = {"key": ada.key.public.key_id, "content": case.statement.id.hex(), "owner": ada.id}[kind]
    begun = world.revocation(house.owners[0], kind, target)
    alone = replace(case, revocations=(begun,))
    assert judged(world, house, alone).accepted
    second = world.attestation(house.owners[1], begun[0])
    both = replace(alone, attestations=(second,))
    verdict = judged(world, house, both)
    assert (verdict.outcome, verdict.reason) == (Outcome.REJECT, f"revoked_{kind}")
    assert "by the pinned root" in explain(verdict)
    unpinned = decide(both, WEEK, world.trust(ada))
    assert unpinned.accepted
    stranger = world.attestation(world.owner("eve"), begun[0])
    assert judged(world, house, replace(alone, attestations=(stranger,))).accepted


def test_a_key_that_the_root_revoked_rotates_nothing(world: World, house: Council) -> None:
    ada, thief = world.owner("ada"), key_of("thief")
    record = world.owner_record("ada", (thief,), owner=ada.id, previous=ada.id, version=2, signer=thief)
    begun = world.revocation(house.owners[0], "key", ada.key.public.key_id)
    words = (world.attestation(ada, record), world.attestation(house.owners[2], begun[0]))
    fresh = tuple(house.says(number, NOW_MS - HOUR_MS) for number in (0, 1))
    case = replace(
        world.case(ada, key=thief, lineage=record.id.hex()),
        owner_records=(record_of(record),), attestations=words, freshness=fresh,
    )  # fmt: skip
    assert judged(world, house, case).accepted
    assert judged(world, house, replace(case, revocations=(begun,))).reason == "bad_signature"


def test_a_root_reads_back_as_it_was_written(tmp_path: Path, house: Council) -> None:
    path = tmp_path / "root.yaml"
    path.write_text(root_text(house.root))
    assert load_root(path) == house.root


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("threshold: 2\nowners", "threshold: 4\nowners", "threshold 4 of 3 owners"),
        ("threshold: 2\nowners", "threshold: 0\nowners", "greater than or equal to 1"),
        ("version: 1", "version: 1\nquorum: 2", "unknown field"),
        ("    threshold: 1", "    threshold: 2", "threshold 2 of 1 signing keys"),
    ],
)
def test_a_root_that_cannot_be_is_refused(tmp_path: Path, house: Council, before: str, after: str, said: str) -> None:
    path = tmp_path / "root.yaml"
    text = root_text(house.root)
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(ConfigError, match=said):
        load_root(path)


def test_one_key_speaks_for_one_owner_only(house: Council) -> None:
    first, second = house.root.members[:2]
    for twin in (
        replace(second, keys=first.keys),
        replace(second, freshness_keys=first.freshness_keys),
        replace(second, freshness_keys=first.keys),
        replace(second, freshness_keys=second.keys),
        replace(second, owner=first.owner),
    ):
        with pytest.raises(ConfigError, match="stands twice"):
            Root(1, 2, (first, twin))


def test_what_was_accepted_stays_while_the_peer_is_stale(world: World, house: Council, ada: Owner) -> None:
    case = world.case(ada)
    assert judged(world, house, case).reason == "stale"
    assert judged(world, house, replace(case, granted=True)).accepted
