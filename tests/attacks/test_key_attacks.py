"""Attacks on keys over their life and on time: stolen keys, revocations undone, freezes, clocks set back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.attacks.conftest import Watched
from tests.gate.conftest import NOW_MS, Owner, World, key_of, record_of
from tests.gate.roots import DAY_MS, HOUR_MS, council

from plora.gate import Case, Policy, Trust, Verdict, decide
from plora.proto.fields import format_timestamp

HIGHEST = 2**53 - 1
WEEK = Policy(max_trust_age_ms=7 * DAY_MS)


def saw(attack: Watched, verdict: Verdict, stage: str, reason: str) -> None:
    """The verdict fell at this stage for this reason."""
    assert (verdict.stage, verdict.reason) == (stage, reason)
    attack.saw(verdict.outcome, verdict.reason)


def test_attack_053_the_highest_version_by_a_stolen_key(attack: Watched, world: World) -> None:
    """Another key revokes the stolen one and rotates: its version 2^53-1 binds nobody in the new lineage."""
    house = world.owner("house", keys=3, threshold=1)
    stolen, second, fresh = house.keys[0], house.keys[1], key_of("house fresh")
    trust = world.trust(house)
    taken = world.case(house, version=HIGHEST)
    assert decide(taken, Policy(), trust).accepted

    revocation = world.revocation(house, "key", stolen.public.key_id, key=second)
    rotation: dict[str, Any] = {"owner": house.id, "previous": house.id, "version": 2}
    record = world.owner_record("house", (second, fresh), signer=second, **rotation)
    thiefs = world.owner_record("house", (stolen,), signer=stolen, **rotation)
    known: dict[str, Any] = {"owner_records": (record_of(record), record_of(thiefs)), "revocations": (revocation,)}
    saw_void = decide(replace(taken, **known), Policy(), trust)
    assert (saw_void.stage, saw_void.reason) == ("signatures and quorum", "revoked_key")

    anew = replace(world.case(house, key=fresh, lineage=record.id.hex(), version=1), **known)
    verdict = decide(anew, Policy(), trust)
    assert verdict.accepted
    attack.saw(verdict.outcome, "accepted in the new lineage")
    old_lineage = replace(world.case(house, key=fresh, version=2), newest_version=HIGHEST, **known)
    assert decide(old_lineage, Policy(), trust).reason == "superseded"


@pytest.mark.parametrize("days", [0, 40], ids=["nothing was ever said", "what was said has expired"])
def test_attack_055_a_root_is_pinned_and_nothing_fresh_is_known(
    attack: Watched, world: World, ada: Owner, days: int
) -> None:
    house = council(world)
    trust = replace(world.trust(ada), root=house.root)
    said = tuple(house.says(number, NOW_MS - days * DAY_MS, days=30) for number in (0, 1)) if days else ()
    saw(attack, decide(replace(world.case(ada), freshness=said), Policy(), trust), "replay", "stale")
    one = replace(world.case(ada), freshness=(house.says(0, NOW_MS - HOUR_MS),))
    saw(attack, decide(one, Policy(), trust), "replay", "stale")
    two = replace(one, freshness=(*one.freshness, house.says(1, NOW_MS - HOUR_MS)))
    assert decide(two, Policy(), trust).accepted


@pytest.mark.parametrize("kind", ["content", "key", "owner"])
def test_attack_089_a_revocation_undone_or_by_another(
    attack: Watched, world: World, ada: Owner, bob: Owner, kind: str
) -> None:
    """What could undo it: a later record, a rotation away from the key, an attestation, a trusted owner's word."""
    case, trust = world.case(ada), world.trust(ada, bob)
    target = {"key": ada.key.public.key_id, "content": case.statement.id.hex(), "owner": ada.id}[kind]
    revocation = world.revocation(ada, kind, target)
    new = (key_of("ada two"), key_of("ada three"))
    later = world.owner_record("ada", new, threshold=2, owner=ada.id, previous=ada.id, version=2, signer=ada.key)
    words = [world.attestation(ada, later, key=key) for key in new]
    words += [world.attestation(one, case.statement) for one in (ada, bob)]
    undone = replace(
        case,
        revocations=(revocation,), owner_records=(record_of(later),), attestations=tuple(words),
        believed=frozenset({later.id.hex()}),
    )  # fmt: skip
    saw(attack, decide(undone, Policy(), trust), "signatures and quorum", f"revoked_{kind}")
    by_bob = replace(case, revocations=(world.revocation(bob, kind, target),))
    assert decide(by_bob, Policy(), trust).accepted
    in_her_name = replace(case, revocations=(world.revocation(ada, kind, target, key=bob.key),))
    assert decide(in_her_name, Policy(), trust).accepted


def test_attack_090_frozen_behind_old_statements_that_have_not_expired(
    attack: Watched, world: World, ada: Owner
) -> None:
    """Statements good for a year are served again and again: after `max_trust_age_ms` they count no longer."""
    house = council(world)
    trust = replace(world.trust(ada), root=house.root)
    said = tuple(house.says(number, NOW_MS - DAY_MS, days=365) for number in (0, 1))
    frozen = replace(world.case(ada), freshness=said)
    end_ms = NOW_MS + 6 * DAY_MS
    assert decide(replace(frozen, now_ms=end_ms - 1), WEEK, trust).accepted
    saw(attack, decide(replace(frozen, now_ms=end_ms), WEEK, trust), "replay", "stale")


@pytest.mark.parametrize("pinned", [False, True], ids=["by a quorum of owners", "by the pinned root"])
def test_attack_092_the_clock_set_back_below_what_was_signed(
    attack: Watched, world: World, ada: Owner, pinned: bool
) -> None:
    """An expired adapter and old freshness would pass again if the clock were believed."""
    house = council(world)
    trust: Trust = replace(world.trust(ada), root=house.root) if pinned else world.trust(ada)
    then_ms = NOW_MS - 30 * DAY_MS
    said = tuple(house.says(number, then_ms) for number in (0, 1)) if pinned else ()
    case = world.case(ada, expires=format_timestamp((NOW_MS - DAY_MS) // 1000))
    believing = replace(case, now_ms=then_ms, freshness=said)
    assert decide(believing, WEEK, trust).accepted
    floored: Case = replace(believing, signed_time_ms=NOW_MS)
    saw(attack, decide(floored, WEEK, trust), "replay", "clock_behind")
    skew_ms = WEEK.clock_skew_ms_max
    assert decide(replace(believing, signed_time_ms=then_ms + skew_ms), WEEK, trust).accepted
    assert decide(replace(believing, signed_time_ms=then_ms + skew_ms + 1), WEEK, trust).reason == "clock_behind"
