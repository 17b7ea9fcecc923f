"""What peers of one simulation share: never anything but what each would have computed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plora.gate import Case, Outcome, Policy, Trust, decide
from plora.gate.reputation import Reputation
from plora.proto.fields import parse_timestamp
from plora.proto.payloads import OwnerRecord
from plora.proto.statement import open_statement
from plora.sim.clock import WALL_START_MS
from plora.sim.material import Plasmid, attest, make_owner, make_plasmid, tiny_adapter
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID

ADA, BOB = make_owner("ada", SWARM_ID), make_owner("bob", SWARM_ID)
LEGAL = make_plasmid(ADA, "legal", tiny_adapter(1))
MEDICAL = make_plasmid(ADA, "medical", tiny_adapter(2))
TRUST = Trust((ADA.trusted, BOB.trusted))
POLICY = Policy()


def case(plasmid: Plasmid = LEGAL) -> Case:
    """One that is accepted."""
    record = open_statement(ADA.record)
    assert isinstance(record, OwnerRecord)
    features = Shared().features(plasmid.data)
    known = Case(plasmid.statement, plasmid.manifest, WALL_START_MS, SWARM_ID, ((ADA.record, record),))
    return replace(known, features=features, newest_version=1)


def test_equal_cases_are_judged_once_whatever_the_hour() -> None:
    shared, one = Shared(), case()
    first = shared.judge(one, POLICY, TRUST)
    assert first.outcome is Outcome.ACCEPT
    assert shared.judge(replace(one, now_ms=one.now_ms + 1, seen_ms=5), POLICY, TRUST) is first


def test_what_is_shared_is_what_the_gate_says() -> None:
    shared, one = Shared(), case()
    issued, expires = parse_timestamp(LEGAL.manifest.issued) * 1000, parse_timestamp(LEGAL.manifest.expires) * 1000
    skew = POLICY.clock_skew_ms_max
    word = open_statement(attest(BOB, LEGAL.content_id))
    cases = [
        one,
        case(MEDICAL),
        *(replace(one, now_ms=at) for at in (issued - skew - 1, issued - skew, expires - 1, expires)),
        *(replace(one, signed_time_ms=one.now_ms + skew + by) for by in (0, 1)),
        replace(one, features=None),
        replace(one, manifest=MEDICAL.manifest),
        replace(one, swarm="ab" * 32),
        replace(one, newest_version=2),
        replace(one, same_version=(MEDICAL.content_id,)),
        replace(one, attestations=((attest(BOB, LEGAL.content_id), word),)),  # type: ignore[arg-type]
        replace(one, blamed_beside=()),
        replace(one, folder_fault=("ambiguous_pattern", "x")),
        *(replace(one, reputation=Reputation(bad=bad)) for bad in (0.0, 9.0)),
    ]
    policies = (POLICY, Policy(quorum_required=2), Policy(reputation=True), Policy(tensor_outliers=True))
    judged = [(one, policy, trust) for one in cases for policy in policies for trust in (TRUST, Trust())]
    outcomes = {decide(*each).reason for each in judged}
    assert len(outcomes) > 10
    for each in (*judged, *reversed(judged)):
        assert shared.judge(*each) == decide(*each)


def test_a_certificate_may_become_overdue() -> None:
    shared, one, policy = Shared(), case(), Policy(consensus=True)
    later = replace(one, now_ms=one.now_ms + 10 * policy.certificate_wait_ms)
    for each in (one, later):
        assert shared.judge(each, policy, TRUST) == decide(each, policy, TRUST)


@pytest.mark.parametrize("altered_first", [True, False])
def test_an_altered_envelope_decides_for_itself_alone(altered_first: bool) -> None:
    shared, key = Shared(), ADA.key.public
    copies = [replace(ADA.record, algorithm="RSA-PSS-SHA256"), replace(ADA.record, key_id=BOB.key.public.key_id)]
    for each in [*copies, ADA.record] if altered_first else [ADA.record, *copies]:
        assert shared.verify(each, key) == (each is ADA.record)
