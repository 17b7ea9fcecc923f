"""The gate's last stage: with and without a certificate, and what people read about it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.council import Ballots, X, member, vote_key
from tests.gate.conftest import SWARM, Owner, World

from plora.gate import Case, Outcome, Policy, decide, explain
from plora.gate.consensus import Certificate, membership
from plora.gate.tally import Standing, Tally
from plora.proto.payloads import Choice

MEMBERS = membership(SWARM, map(member, range(4)))
STRICT = Policy(consensus=True, certificate_wait_ms=5000)


@pytest.fixture
def case(world: World, ada: Owner) -> Case:
    return world.case(ada)


def voted(case: Case, accepts: tuple[int, ...], *, rejects: tuple[int, ...] = (), twice: tuple[int, ...] = ()) -> Case:
    """The case as a peer knows it after these votes; it was first seen at the case's time."""
    sign, content, tally = Ballots(MEMBERS.slot(case.manifest)), case.statement.id.hex(), Tally(MEMBERS)
    for number in accepts:
        tally.take(sign.signed(vote_key(number), content, swarm=SWARM))
    for number in rejects:
        tally.take(sign.signed(vote_key(number), content, Choice.REJECT, swarm=SWARM, reason="rank_too_large"))
    for number in twice:
        tally.take(sign.signed(vote_key(number), X, swarm=SWARM))
    standing = tally.standing(sign.slot, content)
    return replace(case, members=MEMBERS, standing=standing, seen_ms=case.now_ms)


def test_off_it_asks_for_nothing(case: Case, world: World, ada: Owner) -> None:
    verdict = decide(voted(case, ()), Policy(), world.trust(ada))
    assert verdict.accepted and verdict.stages[-1].off


def test_a_certificate_is_the_last_word_that_lacked(case: Case, world: World, ada: Owner) -> None:
    verdict = decide(voted(case, (0, 1, 3)), STRICT, world.trust(ada))
    assert verdict.accepted and verdict.stage == "consensus"
    assert verdict.evidence == {
        "epoch": MEMBERS.epoch[:12],
        "needed": 3,
        "members": 4,
        "accepted_by": ["m0", "m1", "m3"],
        "rejected_by": {},
        "accepted_another": [],
        "guilty": [],
        "silent": ["m2"],
    }


def test_without_one_the_bytes_are_served_so_that_members_can_look(case: Case, world: World, ada: Owner) -> None:
    verdict = decide(voted(case, (0, 1)), STRICT, world.trust(ada))
    assert (verdict.outcome, verdict.reason) == (Outcome.PENDING, "awaiting_certificate")
    assert verdict.servable and not verdict.wants_bytes and not verdict.bytes_only


@pytest.mark.parametrize(("later_ms", "reason"), [(4999, "awaiting_certificate"), (5000, "certificate_overdue")])
def test_after_a_while_it_is_overdue(case: Case, world: World, ada: Owner, later_ms: int, reason: str) -> None:
    waiting = replace(voted(case, (0,)), now_ms=case.now_ms + later_ms)
    verdict = decide(waiting, STRICT, world.trust(ada))
    assert (verdict.outcome, verdict.reason) == (Outcome.PENDING, reason)
    late = replace(waiting, standing=voted(case, (0, 1, 2)).standing)
    assert decide(late, STRICT, world.trust(ada)).accepted


def test_what_is_refused_before_never_gets_so_far(case: Case, world: World, ada: Owner) -> None:
    strict = STRICT.model_copy(update={"rank_max": 1})
    verdict = decide(voted(case, (0, 1, 2, 3)), strict, world.trust(ada))
    assert verdict.stage == "policy" and verdict.stages[-1].stage == "policy"


def test_without_members_everything_waits(case: Case, world: World, ada: Owner) -> None:
    verdict = decide(case, STRICT, world.trust(ada))
    assert verdict.reason == "awaiting_certificate"
    assert explain(verdict).endswith("no members are known here: see consensus.members")


def test_a_certificate_of_another_epoch_is_none(case: Case, world: World, ada: Owner) -> None:
    other = membership(SWARM, map(member, range(4)), number=2)
    sign, content = Ballots(other.slot(case.manifest)), case.statement.id.hex()
    votes = tuple(sign.signed(vote_key(one), content, swarm=SWARM) for one in range(3))
    shown = replace(case, members=MEMBERS, standing=Standing(Certificate(sign.slot, content, votes)))
    verdict = decide(shown, STRICT, world.trust(ada))
    assert (verdict.outcome, verdict.reason) == (Outcome.REJECT, "bad_certificate")
    assert verdict.evidence["fault"] == "other_epoch"
    assert explain(verdict).startswith("its certificate is not valid: the member votes under another configuration")


def test_a_certificate_of_another_version_is_none(case: Case, world: World, ada: Owner) -> None:
    slot = MEMBERS.slot(case.manifest).model_copy(update={"version": 2})
    sign, content = Ballots(slot), case.statement.id.hex()
    votes = tuple(sign.signed(vote_key(one), content, swarm=SWARM) for one in range(3))
    shown = replace(case, members=MEMBERS, standing=Standing(Certificate(slot, content, votes)))
    verdict = decide(shown, STRICT, world.trust(ada))
    assert (verdict.reason, verdict.evidence["fault"]) == ("bad_certificate", "other_slot")


def test_people_read_who_said_what(case: Case, world: World, ada: Owner) -> None:
    trust = world.trust(ada)
    assert explain(decide(voted(case, ()), STRICT, trust)) == "0 of 3 members accepted it; not heard: m0, m1, m2, m3"
    mixed = voted(case, (0, 3), rejects=(1,), twice=(3, 2))
    assert explain(decide(mixed, STRICT, trust)) == (
        "1 of 3 members accepted it (m0); m1 refuses it: rank_too_large; for another content: m2; "
        "voted twice, so it no longer counts: m3"
    )
    late = replace(mixed, now_ms=mixed.now_ms + 60_000)
    assert explain(decide(late, STRICT, trust)).startswith("overdue: 1 of 3 members")


def test_a_broken_epoch_accepts_nothing_certificate_or_not(case: Case, world: World, ada: Owner) -> None:
    certified = voted(case, (0, 1, 2))
    broken = replace(certified, standing=replace(certified.standing, broken=True))
    verdict = decide(broken, STRICT, world.trust(ada))
    assert (verdict.outcome, verdict.reason) == (Outcome.PENDING, "consensus_compromised")
    assert "another consensus.number" in explain(verdict) and MEMBERS.epoch[:12] in explain(verdict)
