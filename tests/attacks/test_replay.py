"""Attacks by time and order: what is old, early, doubled, from elsewhere, or shown at the wrong moment first."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.attacks.conftest import Watched
from tests.attacks.inputs import adapter
from tests.gate.conftest import ISSUED, Owner, World, factors, forged, key_of, record_of
from tests.node.core.conftest import ADA, LEGAL, SOURCE, Bench, records, those

from plora.gate import Case, Policy, Verdict, decide
from plora.node.core.alarms import CLOCK_TIMER
from plora.node.core.effects import Hide
from plora.node.core.events import TimerDue
from plora.proto.fields import parse_timestamp
from plora.sim.clock import WALL_START_MS
from plora.sim.material import make_plasmid, tiny_adapter


def fell(attack: Watched, verdict: Verdict, outcome: str, stage: str, reason: str) -> None:
    assert (str(verdict.outcome), verdict.stage, verdict.reason) == (outcome, stage, reason), dict(verdict.evidence)
    assert [one.reason for one in verdict.stages if one.reason] == [reason]
    attack.saw(verdict.outcome, reason)


def test_attack_050_older_version(attack: Watched, world: World, ada: Owner) -> None:
    case = world.case(ada, version=3)
    assert decide(replace(case, newest_version=3), Policy(), world.trust(ada)).accepted
    verdict = decide(replace(case, newest_version=4), Policy(), world.trust(ada))
    fell(attack, verdict, "reject", "replay", "superseded")
    assert not verdict.bytes_only


def test_attack_050_the_carrier_is_not_blamed(attack: Watched) -> None:
    bench = Bench()
    bench.accept(make_plasmid(ADA, "legal", tiny_adapter(2), version=2))
    old = make_plasmid(ADA, "legal", tiny_adapter(1), version=1)
    out = bench.add(old.statement)
    assert bench.verdict(old) == ("reject", "superseded")
    assert not records(out, "penalty")
    attack.saw(*bench.verdict(old))


def test_attack_051_other_content_under_one_version(attack: Watched) -> None:
    """Both contents of the version are blocked, whichever came first; the first is taken away again."""
    bench = Bench()
    bench.accept()
    assert bench.verdict() == ("accept", "")
    twin = make_plasmid(ADA, "legal", tiny_adapter(2))
    out = bench.add(twin.statement)
    assert bench.verdict() == bench.verdict(twin) == ("reject", "two_contents")
    assert those(Hide, out) == [Hide("ada--legal")]
    attack.saw("evidence", "two_contents")


def test_attack_051_signing_again_makes_no_second_content(attack: Watched, world: World, ada: Owner) -> None:
    """RSA-PSS gives other bytes each time; the content is the same."""
    case = world.case(ada)
    again = replace(case, same_version=(case.statement.id,))
    assert decide(again, Policy(), world.trust(ada)).accepted
    rival = world.case(ada, domain="medical").statement.id
    verdict = decide(replace(case, same_version=(case.statement.id, rival)), Policy(), world.trust(ada))
    assert (verdict.stage, verdict.reason, verdict.evidence["others"]) == ("replay", "two_contents", [rival.hex()])
    attack.saw("evidence", verdict.reason)


def test_attack_052_from_the_future(attack: Watched, world: World, ada: Owner) -> None:
    issued_ms = parse_timestamp(ISSUED) * 1000
    case, policy, trust = world.case(ada), Policy(clock_skew_ms_max=60_000), world.trust(ada)
    assert decide(replace(case, now_ms=issued_ms - 60_000), policy, trust).accepted
    early = decide(replace(case, now_ms=issued_ms - 60_001), policy, trust)
    fell(attack, early, "defer", "replay", "not_yet_valid")
    assert not early.bytes_only


def test_attack_052_its_time_comes(attack: Watched) -> None:
    start_s = WALL_START_MS // 1000 + 86_400
    later = make_plasmid(ADA, "later", tiny_adapter(1), issued_s=start_s)
    bench = Bench()
    bench.add(ADA.record, later.statement)
    assert bench.verdict(later) == ("defer", "not_yet_valid")
    attack.saw(*bench.verdict(later))
    bench.wall_ms = start_s * 1000
    bench.tell(TimerDue(CLOCK_TIMER))
    assert bench.verdict(later) == ("pending", "bytes_missing")


def test_attack_053_highest_version_by_a_stolen_key(attack: Watched, world: World, ada: Owner) -> None:
    """The thief signs version 2^53-1; the owner rotates with a new lineage and revokes: her next version 1 counts."""
    new = key_of("ada new")
    record = world.owner_record("ada", (new,), owner=ada.id, previous=ada.id, version=2, signer=new)

    def known(case: Case) -> Case:
        gone = (world.revocation(ada, "key", ada.key.public.key_id, key=new),)
        words = (world.attestation(ada, record),)
        return replace(case, owner_records=(record_of(record),), attestations=words, revocations=gone)

    stolen = known(world.case(ada, version=2**53 - 1))
    assert decide(stolen, Policy(), world.trust(ada)).reason == "revoked_key"
    hers = known(world.case(ada, key=new, lineage=record.id.hex()))
    verdict = decide(hers, Policy(), world.trust(ada))
    assert verdict.accepted
    attack.saw(verdict.outcome, "a lineage of its own")
    in_the_old_line = replace(known(world.case(ada, key=new)), newest_version=2**53 - 1)
    assert decide(in_the_old_line, Policy(), world.trust(ada)).reason == "superseded"


def test_attack_054_other_swarm(attack: Watched, world: World, ada: Owner) -> None:
    case = world.case(ada, swarm="77" * 32)
    fell(attack, decide(case, Policy(), world.trust(ada)), "reject", "swarm and base", "wrong_swarm")


def test_attack_054_cosignature_of_another_swarm(attack: Watched, world: World, ada: Owner, bob: Owner) -> None:
    """It counts nothing here; the manifest it came with is refused where it came from another swarm as well."""
    trust, two = world.trust(ada, bob), Policy(quorum_required=2)
    case = world.case(ada)
    elsewhere = world.attestation(bob, case.statement, swarm="77" * 32)
    assert decide(replace(case, attestations=(elsewhere,)), two, trust).reason == "below_quorum"
    foreign = world.case(ada, swarm="77" * 32)
    signed = replace(foreign, attestations=(world.attestation(bob, foreign.statement, swarm="77" * 32),))
    fell(attack, decide(signed, two, trust), "reject", "swarm and base", "wrong_swarm")


def test_attack_091_configuration_of_another_version(attack: Watched, world: World, ada: Owner) -> None:
    """Version 1 has alpha 8, version 2 has alpha 16 and other tensors: what is mixed of them falls at its seam."""
    first = adapter(world, ada, factors(seed=1), version=1, lora={"alpha": 8.0})
    second = adapter(world, ada, factors(seed=2), version=2, lora={"alpha": 16.0})
    assert first.judged().accepted and second.judged().accepted
    tensors = second.artifact.read_bytes()
    second.config.write_bytes(first.config.read_bytes())
    fell(attack, second.judged(), "reject", "strict manifest", "config_differs")
    first.artifact.write_bytes(tensors)
    fell(attack, first.judged(), "reject", "chunks and hash", "hash_mismatch")


@pytest.mark.parametrize("first", ["garbage signature", "too early", "unknown owner", "wrong bytes"])
def test_attack_094_first_seen_wrong_then_right(
    attack: Watched, world: World, ada: Owner, bob: Owner, first: str
) -> None:
    case, trust = world.case(ada), world.trust(ada)
    wrong = {
        "garbage signature": replace(case, statement=forged(case.statement)),
        "too early": replace(case, now_ms=0),
        "wrong bytes": replace(case, features=world.features(factors(seed=5))),
    }
    before = decide(wrong.get(first, case), Policy(), world.trust(bob) if first == "unknown owner" else trust)
    assert not before.accepted and not before.bytes_only, "nothing that others did may be remembered of the content"
    after = decide(case, Policy(), trust)
    assert after.accepted
    attack.saw(after.outcome, f"{before.reason}, then accepted")


def test_attack_094_at_a_peer(attack: Watched) -> None:
    """The very content, first with a garbled signature: the peer takes the good one when it comes."""
    bench = Bench()
    bench.add(ADA.record, forged(LEGAL.statement))
    bench.add(LEGAL.statement, via=SOURCE)
    bench.hold()
    assert bench.verdict() == ("accept", "")
    attack.saw(*bench.verdict())
