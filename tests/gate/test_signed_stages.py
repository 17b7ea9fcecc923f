"""The stages before the bytes: each input falls at the stage and for the reason that it was made for."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gate.conftest import ISSUED, NOW_MS, Owner, World, forged, key_of, record_of

from plora.gate import BaseFacts, Case, Outcome, Policy, Trust, TrustedOwner, Verdict, decide
from plora.gate.signers import ATTESTATIONS_MAX, signers, struck
from plora.gate.stages import largest_scale
from plora.proto.dsse import StatementKind
from plora.proto.fields import parse_timestamp
from plora.proto.keys import generate_private_key
from plora.proto.manifest import Lora, Manifest
from plora.proto.signatures import sign_sha256_hex
from plora.proto.statement import Statement, sign_statement

TWO = Policy(quorum_required=2)


def fell(verdict: Verdict) -> tuple[Outcome, str, str]:
    return verdict.outcome, verdict.stage, verdict.reason


def rejected(stage: str, reason: str) -> tuple[Outcome, str, str]:
    return Outcome.REJECT, stage, reason


# envelope and size


def test_other_statement_is_no_manifest(world: World, ada: Owner) -> None:
    case = world.case(ada)
    other = replace(case, statement=world.attestation(ada, case.statement)[0])
    verdict = decide(other, Policy(), world.trust(ada))
    assert fell(verdict) == rejected("envelope and size", "not_a_manifest")
    assert verdict.bytes_only


def test_artifact_bound_is_inclusive(world: World, ada: Owner) -> None:
    case = world.case(ada)
    size = case.manifest.artifacts.size_bytes
    assert decide(case, Policy(artifact_bytes_max=size), world.trust(ada)).accepted
    verdict = decide(case, Policy(artifact_bytes_max=size - 1), world.trust(ada))
    assert fell(verdict) == rejected("envelope and size", "too_large")
    assert not verdict.bytes_only


# strict manifest


def test_payload_that_is_no_manifest(world: World, ada: Owner) -> None:
    case = world.case(ada)
    broken = replace(case.statement, payload=case.statement.payload.replace(b'"r":4', b'"r":0'))
    verdict = decide(replace(case, statement=broken), Policy(), world.trust(ada))
    assert fell(verdict) == rejected("strict manifest", "bad_manifest")
    assert verdict.bytes_only


def test_judged_manifest_must_be_the_signed_one(world: World, ada: Owner) -> None:
    case = world.case(ada)
    other = case.manifest.model_copy(update={"domain": "medical"})
    verdict = decide(replace(case, manifest=other), Policy(), world.trust(ada))
    assert fell(verdict) == rejected("strict manifest", "manifest_differs")


@pytest.mark.parametrize("pattern", ["rank_pattern", "alpha_pattern"])
def test_attack_014_patterns_that_can_name_one_module(world: World, ada: Owner, pattern: str) -> None:
    both = {"q_proj": 2, "self_attn.q_proj": 3}
    case = world.case(
        ada, lora={pattern: both if pattern == "rank_pattern" else {k: float(v) for k, v in both.items()}}
    )
    assert fell(decide(case, Policy(), world.trust(ada))) == rejected("strict manifest", "ambiguous_pattern")


# swarm and base


def test_attack_054_other_swarm(world: World, ada: Owner) -> None:
    case = world.case(ada, swarm="77" * 32)
    assert fell(decide(case, Policy(), world.trust(ada))) == rejected("swarm and base", "wrong_swarm")
    assert decide(replace(case, swarm=None), Policy(), world.trust(ada)).accepted


def test_other_base(world: World, ada: Owner) -> None:
    verdict = decide(world.case(ada, base_model="smollm2"), Policy(base_model="mini"), world.trust(ada))
    assert fell(verdict) == rejected("swarm and base", "wrong_base")


def test_attack_012_right_base_name_with_wrong_digest(world: World, ada: Owner) -> None:
    case = world.case(ada)
    pinned = Policy(base_digests={"mini": "cc" * 32})
    assert fell(decide(case, pinned, world.trust(ada))) == rejected("swarm and base", "base_digest_mismatch")
    at_hand = replace(case, base=BaseFacts("mini", "cc" * 32))
    assert fell(decide(at_hand, Policy(), world.trust(ada))) == rejected("swarm and base", "base_digest_mismatch")
    other = replace(case, base=BaseFacts("smollm2", "cc" * 32))
    assert decide(other, Policy(base_digests={"mini": "ba" * 32}), world.trust(ada)).accepted


# policy


def test_attack_013_rank_not_listed_or_too_large(world: World, ada: Owner) -> None:
    case = world.case(ada)
    assert fell(decide(case, Policy(allowed_ranks=(8, 16)), world.trust(ada))) == rejected("policy", "rank_not_allowed")
    assert fell(decide(case, Policy(rank_max=3), world.trust(ada))) == rejected("policy", "rank_too_large")
    assert decide(case, Policy(rank_max=4), world.trust(ada)).accepted


def test_attack_013_rank_hidden_in_a_pattern(world: World, ada: Owner) -> None:
    case = world.case(ada, lora={"rank_pattern": {"v_proj": 32}})
    assert fell(decide(case, Policy(allowed_ranks=(4,)), world.trust(ada))) == rejected("policy", "rank_not_allowed")
    assert fell(decide(case, Policy(rank_max=16), world.trust(ada))) == rejected("policy", "rank_too_large")


def test_target_not_listed(world: World, ada: Owner) -> None:
    case = world.case(ada, lora={"target_modules": ("q_proj", "lm_head")})
    verdict = decide(case, Policy(allowed_targets=("q_proj",)), world.trust(ada))
    assert fell(verdict) == rejected("policy", "target_not_allowed")
    assert verdict.evidence["targets"] == ["lm_head"]


@pytest.mark.parametrize(
    "lora",
    [
        {"alpha": 260.0},
        {"alpha": 130.0, "use_rslora": True},
        {"alpha_pattern": {"q_proj": 260.0}},
        {"alpha": 65.0, "rank_pattern": {"q_proj": 1}},
    ],
)
def test_attack_014_inflated_scale(world: World, ada: Owner, lora: dict[str, object]) -> None:
    case = world.case(ada, lora=lora)
    assert fell(decide(case, Policy(scale_max=64), world.trust(ada))) == rejected("policy", "scale_too_large")


def test_scale_bound_is_inclusive(world: World, ada: Owner) -> None:
    assert decide(world.case(ada), Policy(scale_max=2.0), world.trust(ada)).accepted
    assert decide(world.case(ada), Policy(scale_max=1.99), world.trust(ada)).reason == "scale_too_large"


def test_largest_scale_by_hand() -> None:
    plain = {"r": 4, "alpha": 8.0, "dropout": 0.0, "target_modules": ("q_proj",)}
    assert largest_scale(Lora.model_validate(plain)) == 2.0
    assert largest_scale(Lora.model_validate(plain | {"use_rslora": True})) == 4.0
    patterned = plain | {"rank_pattern": {"a": 2}, "alpha_pattern": {"a": 16.0}}
    assert largest_scale(Lora.model_validate(patterned)) == 8.0


# signatures and quorum


def test_unknown_owner_waits_or_is_refused(world: World, ada: Owner, bob: Owner) -> None:
    case = replace(world.case(ada), features=None)
    waiting = decide(case, Policy(), world.trust(bob))
    assert fell(waiting) == (Outcome.PENDING, "signatures and quorum", "unknown_owner")
    assert not waiting.wants_bytes and not waiting.servable
    refused = decide(case, Policy(unknown_owner="reject"), world.trust(bob))
    assert fell(refused) == rejected("signatures and quorum", "unknown_owner")
    assert not refused.bytes_only


@pytest.mark.parametrize("scope", [{"domains": ("medical",)}, {"bases": ("smollm2",)}, {"roles": ("cosign",)}])
def test_trust_ends_at_its_scope(world: World, ada: Owner, scope: dict[str, tuple[str, ...]]) -> None:
    trust = world.trust(ada, **scope)
    assert fell(decide(world.case(ada), Policy(), trust))[::2] == (Outcome.PENDING, "out_of_scope")
    refused = decide(world.case(ada), Policy(unknown_owner="reject"), trust)
    assert fell(refused) == rejected("signatures and quorum", "out_of_scope")


@pytest.mark.parametrize("by_key", [True, False])
def test_distrust_works_at_once(world: World, ada: Owner, by_key: bool) -> None:
    trust = world.trust(ada).with_distrusted(ada.key.public.key_id if by_key else ada.id)
    assert fell(decide(world.case(ada), Policy(), trust)) == rejected("signatures and quorum", "distrusted")


def test_attack_094_garbage_signature_spoils_nothing(world: World, ada: Owner) -> None:
    case = world.case(ada)
    bad = decide(replace(case, statement=forged(case.statement)), Policy(), world.trust(ada))
    assert fell(bad) == rejected("signatures and quorum", "bad_signature")
    assert not bad.bytes_only
    assert forged(case.statement).id == case.statement.id
    assert decide(case, Policy(), world.trust(ada)).accepted


def test_attack_086_owner_squatted_by_another_trusted_owner(world: World, ada: Owner, bob: Owner) -> None:
    case = world.case(ada, key=bob.key)
    verdict = decide(case, Policy(), world.trust(ada, bob))
    assert fell(verdict) == rejected("signatures and quorum", "bad_signature")
    assert verdict.evidence["cause"] == "not a key of the owner"


def test_attack_044_signature_from_another_context(world: World, ada: Owner) -> None:
    case = world.case(ada)
    elsewhere = ada.key.sign(case.statement.payload)
    verdict = decide(replace(case, statement=replace(case.statement, signature=elsewhere)), Policy(), world.trust(ada))
    assert fell(verdict) == rejected("signatures and quorum", "bad_signature")


def test_attack_087_digest_signature_as_manifest_signature(world: World, ada: Owner) -> None:
    ada.key.save(world.folder / "ada.pem")
    case = world.case(ada)
    oracle = base64.b64decode(sign_sha256_hex(world.folder / "ada.pem", case.statement.id.hex()))
    verdict = decide(replace(case, statement=replace(case.statement, signature=oracle)), Policy(), world.trust(ada))
    assert fell(verdict) == rejected("signatures and quorum", "bad_signature")


def test_attack_047_algorithms_come_from_the_policy(world: World, ada: Owner, bob: Owner) -> None:
    rsa_only = Policy(algorithms=("RSA-PSS-SHA256",))
    verdict = decide(world.case(ada), rsa_only, world.trust(ada))
    assert fell(verdict) == rejected("signatures and quorum", "algorithm_not_allowed")


def test_attack_047_foreign_algorithms_dont_count_as_cosignatures(world: World, ada: Owner, bob: Owner) -> None:
    rsa = generate_private_key("RSA-PSS-SHA256")
    carl = Owner("carl", (rsa,), world.owner_record("carl", (rsa,)))
    case = world.case(carl, key=rsa)
    signed = replace(case, attestations=(world.attestation(ada, case.statement),))
    only_rsa = Policy(quorum_required=2, algorithms=("RSA-PSS-SHA256",))
    assert decide(signed, TWO, world.trust(ada, carl)).accepted
    assert decide(signed, only_rsa, world.trust(ada, carl)).reason == "below_quorum"


def test_attack_040_one_signature_many_times(world: World, ada: Owner, bob: Owner) -> None:
    case = world.case(ada)
    own = world.attestation(ada, case.statement)
    verdict = decide(replace(case, attestations=(own,) * 5), TWO, world.trust(ada, bob))
    assert fell(verdict) == (Outcome.PENDING, "signatures and quorum", "below_quorum")
    bobs = world.attestation(bob, case.statement)
    three = Policy(quorum_required=3)
    assert decide(replace(case, attestations=(bobs,) * 5), three, world.trust(ada, bob)).reason == "below_quorum"


def test_attack_041_two_keys_of_one_owner_are_one_word(world: World, ada: Owner) -> None:
    pair = world.owner("pair", keys=2)
    case = world.case(ada)
    both = tuple(world.attestation(pair, case.statement, key=key) for key in pair.keys)
    judged = replace(case, attestations=both)
    assert decide(judged, TWO, world.trust(ada, pair)).accepted
    verdict = decide(judged, Policy(quorum_required=3), world.trust(ada, pair))
    assert fell(verdict) == (Outcome.PENDING, "signatures and quorum", "below_quorum")


def test_attack_041_own_second_key_is_no_cosigner(world: World, bob: Owner) -> None:
    pair = world.owner("pair", keys=2)
    case = world.case(pair)
    judged = replace(case, attestations=(world.attestation(pair, case.statement, key=pair.keys[1]),))
    assert decide(judged, TWO, world.trust(pair, bob)).reason == "below_quorum"


def test_attack_088_late_cosignature_turns_pending_into_accept(world: World, ada: Owner, bob: Owner) -> None:
    case, trust = world.case(ada), world.trust(ada, bob)
    before = decide(replace(case, features=None), TWO, trust)
    assert fell(before) == (Outcome.PENDING, "signatures and quorum", "below_quorum")
    assert before.wants_bytes and not before.servable
    with_bytes = decide(case, TWO, trust)
    assert with_bytes.outcome is Outcome.PENDING and with_bytes.servable and not with_bytes.wants_bytes
    after = decide(replace(case, attestations=(world.attestation(bob, case.statement),)), TWO, trust)
    assert after.accepted


def test_attack_049_garbage_attestations_dont_hurt(world: World, ada: Owner, bob: Owner) -> None:
    case = world.case(ada)
    good = world.attestation(bob, case.statement)
    garbage = tuple(
        (forged(statement), body)
        for statement, body in (
            world.attestation(bob, case.statement, issued=f"2026-01-01T00:{n // 60:02}:{n % 60:02}Z") for n in range(40)
        )
    )
    carl = world.owner("carl")
    carls = world.attestation(carl, case.statement)
    judged = replace(case, attestations=(*garbage, carls))
    trust = world.trust(ada, bob, carl)
    found = signers(judged, TWO, trust, struck(judged, trust))
    assert found.co_signers == ("carl",)
    assert (found.verified, found.invalid) == (ATTESTATIONS_MAX, ATTESTATIONS_MAX - 1)
    assert decide(replace(case, attestations=(good, garbage[0])), TWO, trust).accepted


def test_a_forged_attestation_and_anothers_second_word_hide_no_true_one(world: World, ada: Owner, bob: Owner) -> None:
    """In turn: the first owner's word, the second's forged one, the first's again (passed over), the second's own."""
    case, carl = world.case(ada), world.owner("carl")
    first, second = sorted((bob, carl), key=lambda owner: owner.id)
    twice = (
        world.attestation(first, case.statement),
        world.attestation(first, case.statement, issued="2026-01-01T00:00:01Z"),
    )
    true, body = world.attestation(second, case.statement)
    unsigned = (replace(true, signature=bytes(64)), body)  # of one id, the smaller signature comes first
    judged = replace(case, attestations=(*twice, unsigned, (true, body)))
    trust = world.trust(ada, bob, carl)
    found = signers(judged, TWO, trust, struck(judged, trust))
    assert found.co_signers == ("bob", "carl")
    assert (found.verified, found.invalid) == (3, 1)


def test_attack_049_attestations_by_strangers_cost_no_verification(world: World, ada: Owner, bob: Owner) -> None:
    case, trust = world.case(ada), world.trust(ada)
    strangers = tuple(world.attestation(world.owner(f"s{n}"), case.statement) for n in range(30))
    judged = replace(case, attestations=strangers)
    assert signers(judged, TWO, trust, struck(judged, trust)).verified == 0


@pytest.mark.parametrize("kind", ["target", "swarm", "scope", "owner", "distrusted", "revoked key", "revoked owner"])
def test_attestations_that_dont_count(world: World, ada: Owner, bob: Owner, kind: str) -> None:
    case, trust = world.case(ada), world.trust(ada, bob)
    one = world.attestation(bob, case.statement)
    judged = replace(case, attestations=(one,))
    assert decide(judged, TWO, trust).accepted
    if kind == "target":
        judged = replace(case, attestations=(world.attestation(bob, bob.record),))
    elif kind == "swarm":
        judged = replace(case, attestations=(world.attestation(bob, case.statement, swarm="77" * 32),))
    elif kind == "owner":
        judged = replace(case, attestations=(world.attestation(bob, case.statement, key=key_of("thief")),))
    elif kind == "scope":
        trust = Trust((*world.trust(ada).owners, *world.trust(bob, domains=("medical",)).owners))
    elif kind == "distrusted":
        trust = trust.with_distrusted(bob.key.public.key_id)
    elif kind == "revoked key":
        judged = replace(judged, revocations=(world.revocation(bob, "key", bob.key.public.key_id),))
    else:
        judged = replace(judged, revocations=(world.revocation(bob, "owner", bob.id),))
    assert decide(judged, TWO, trust).reason == "below_quorum"


def test_switched_off_signatures_are_shown(world: World, ada: Owner) -> None:
    case = world.case(ada)
    insecure = Policy(signatures_enabled=False, insecure=True)
    verdict = decide(replace(case, statement=forged(case.statement)), insecure, Trust())
    assert verdict.accepted
    shown = next(stage for stage in verdict.stages if stage.stage == "signatures and quorum")
    assert shown.evidence["insecure"] is True


# revocation


@pytest.mark.parametrize("kind", ["key", "content", "owner"])
def test_attack_048_revoked(world: World, ada: Owner, kind: str) -> None:
    case = world.case(ada)
    target = {"key": ada.key.public.key_id, "content": case.statement.id.hex(), "owner": ada.id}[kind]
    judged = replace(case, revocations=(world.revocation(ada, kind, target),))
    verdict = decide(judged, Policy(), world.trust(ada))
    assert fell(verdict) == rejected("signatures and quorum", f"revoked_{kind}")
    assert not verdict.bytes_only


@pytest.mark.parametrize("kind", ["key", "content", "owner"])
def test_attack_089_revocation_by_another_owner_strikes_nothing(
    world: World, ada: Owner, bob: Owner, kind: str
) -> None:
    case = world.case(ada)
    target = {"key": ada.key.public.key_id, "content": case.statement.id.hex(), "owner": ada.id}[kind]
    trust = world.trust(ada, bob)
    assert decide(replace(case, revocations=(world.revocation(bob, kind, target),)), Policy(), trust).accepted
    in_her_name = world.revocation(ada, kind, target, key=bob.key)
    assert decide(replace(case, revocations=(in_her_name,)), Policy(), trust).accepted
    statement, body = world.revocation(ada, kind, target)
    assert decide(replace(case, revocations=((forged(statement), body),)), Policy(), trust).accepted


def test_attack_089_a_revocation_is_never_undone(world: World, ada: Owner) -> None:
    case = world.case(ada)
    first = world.revocation(ada, "content", case.statement.id.hex())
    key_too = world.revocation(ada, "key", ada.key.public.key_id)
    for order in ((first, key_too), (key_too, first)):
        verdict = decide(replace(case, revocations=order), Policy(), world.trust(ada))
        assert verdict.outcome is Outcome.REJECT


def test_content_needs_the_owners_threshold_a_key_only_itself(world: World) -> None:
    pair = world.owner("pair", keys=2, threshold=2)
    signed = world.case(pair)
    case = replace(signed, attestations=(world.attestation(pair, signed.statement, key=pair.keys[1]),))
    trust = world.trust(pair)
    alone = world.revocation(pair, "content", case.statement.id.hex())
    assert decide(replace(case, revocations=(alone,)), Policy(), trust).accepted
    second = world.attestation(pair, alone[0], key=pair.keys[1])
    both = replace(case, revocations=(alone,), attestations=(*case.attestations, second))
    assert decide(both, Policy(), trust).reason == "revoked_content"
    itself = world.revocation(pair, "key", pair.key.public.key_id)
    assert decide(replace(case, revocations=(itself,)), Policy(), trust).reason == "revoked_key"
    other = world.revocation(pair, "key", pair.key.public.key_id, key=pair.keys[1])
    assert decide(replace(case, revocations=(other,)), Policy(), trust).accepted


# rotation and lineage


def rotated(world: World, ada: Owner, *, signed_by_old: bool, signed_by_new: bool) -> tuple[Case, Statement]:
    """A manifest by a new key, with the record that brings it."""
    new = key_of("ada new")
    record = world.owner_record(
        "ada", (new,), owner=ada.id, previous=ada.id, version=2, signer=new if signed_by_new else key_of("nobody")
    )
    case = world.case(ada, key=new, lineage=record.id.hex())
    witness = world.attestation(ada, record, key=ada.key if signed_by_old else key_of("nobody"))
    return replace(case, owner_records=(record_of(record),), attestations=(witness,)), record


def test_rotation_needs_old_and_new_keys(world: World, ada: Owner) -> None:
    trust = world.trust(ada)
    case, _ = rotated(world, ada, signed_by_old=True, signed_by_new=True)
    assert decide(case, Policy(), trust).accepted
    for old, new in ((True, False), (False, True)):
        case, _ = rotated(world, ada, signed_by_old=old, signed_by_new=new)
        assert fell(decide(case, Policy(), trust)) == rejected("signatures and quorum", "bad_signature")


def test_two_successors_of_one_record_end_the_walk(world: World, ada: Owner) -> None:
    case, _ = rotated(world, ada, signed_by_old=True, signed_by_new=True)
    rival_key = key_of("rival")
    rival = world.owner_record("ada", (rival_key,), owner=ada.id, previous=ada.id, version=2)
    witness = world.attestation(ada, rival)
    both = replace(
        case, owner_records=(*case.owner_records, record_of(rival)), attestations=(*case.attestations, witness)
    )
    trust = world.trust(ada)
    torn = decide(both, Policy(), trust)
    assert fell(torn) == (Outcome.PENDING, "signatures and quorum", "forked_owner")
    by_old = replace(world.case(ada), owner_records=both.owner_records, attestations=both.attestations)
    assert decide(by_old, Policy(), trust).reason == "forked_owner"
    kept = replace(both, believed=frozenset({case.owner_records[0][0].id.hex()}))
    assert decide(kept, Policy(), trust).accepted


def test_attack_053_new_lineage_after_a_stolen_key(world: World, ada: Owner) -> None:
    trust = world.trust(ada)
    case, _ = rotated(world, ada, signed_by_old=True, signed_by_new=True)
    old = ada.key.public.key_id
    revoked = replace(case, revocations=(world.revocation(ada, "key", old, key=key_of("ada new")),))
    assert decide(revoked, Policy(), trust).accepted
    stolen = replace(world.case(ada, version=2**53 - 1), revocations=revoked.revocations)
    known = replace(stolen, owner_records=revoked.owner_records, attestations=revoked.attestations)
    assert decide(known, Policy(), trust).reason == "revoked_key"


def test_a_revoked_key_rotates_nothing_that_was_not_believed_before(world: World, ada: Owner) -> None:
    """Nobody can tell a rotation by the owner from one by the thief, once the key itself said that it is void."""
    case, record = rotated(world, ada, signed_by_old=True, signed_by_new=True)
    void = replace(case, revocations=(world.revocation(ada, "key", ada.key.public.key_id),))
    assert decide(void, Policy(), world.trust(ada)).reason == "bad_signature"
    believed = replace(void, believed=frozenset({record.id.hex()}))
    assert decide(believed, Policy(), world.trust(ada)).accepted


def test_two_keys_of_three_survive_the_theft_of_the_third(world: World) -> None:
    """The thief publishes the highest version and rotates; the others revoke, rotate, and open a new lineage."""
    house = world.owner("house", keys=3, threshold=2)
    trust, (thief, second, third) = world.trust(house), house.keys
    fresh = key_of("house fresh")
    record = world.owner_record(
        "house", (second, third, fresh), threshold=2, owner=house.id, previous=house.id, version=2, signer=second
    )
    taken = world.owner_record("house", (thief,), owner=house.id, previous=house.id, version=2)
    revocation = world.revocation(house, "key", thief.public.key_id, key=second)
    words = [world.attestation(house, one, key=third) for one in (record, revocation[0])]
    words.append(world.attestation(house, taken, key=thief))
    case = world.case(house, key=fresh, lineage=record.id.hex())
    words.append(world.attestation(house, case.statement, key=second))
    known = replace(
        case, owner_records=(record_of(record), record_of(taken)), attestations=tuple(words), revocations=(revocation,)
    )
    assert decide(known, Policy(), trust).accepted


def test_a_stolen_key_that_attests_without_end_crowds_no_other_out(world: World) -> None:
    """Two of three revoke it; between them, in the order of ids, lie hundreds of attestations by the thief."""
    house = world.owner("house", keys=3, threshold=2)
    thief, second, third = house.keys
    case = world.case(house, key=second)
    revocation = world.revocation(house, "key", thief.public.key_id, key=second)
    flood = [
        world.attestation(house, revocation[0], key=thief, issued=f"2026-01-01T00:{minute:02}:{second_:02}Z")
        for minute in range(5)
        for second_ in range(60)
    ]
    words = (world.attestation(house, revocation[0], key=third), world.attestation(house, case.statement, key=thief))
    known = replace(case, revocations=(revocation,), attestations=(*flood, *words))
    assert decide(known, Policy(), world.trust(house)).reason == "below_threshold"
    third_too = replace(known, attestations=(*known.attestations, world.attestation(house, case.statement, key=third)))
    assert decide(third_too, Policy(), world.trust(house)).accepted


def test_a_revocation_outlasts_the_record_whose_keys_made_it(world: World, ada: Owner) -> None:
    """A later record that requires more keys doesn't undo what one key could do when it alone was the owner's."""
    keys = (key_of("ada one"), key_of("ada two"))
    record = world.owner_record("ada", keys, threshold=2, owner=ada.id, previous=ada.id, version=2, lineage=ada.id)
    words = [world.attestation(ada, record, key=key) for key in (ada.key, *keys)]
    case = world.case(ada, key=keys[0])
    words.append(world.attestation(ada, case.statement, key=keys[1]))
    known = replace(case, owner_records=(record_of(record),), attestations=tuple(words))
    assert decide(known, Policy(), world.trust(ada)).accepted
    revoked = replace(known, revocations=(world.revocation(ada, "content", case.statement.id.hex()),))
    assert decide(revoked, Policy(), world.trust(ada)).reason == "revoked_content"


def test_unknown_lineage_waits(world: World, ada: Owner) -> None:
    verdict = decide(world.case(ada, lineage="99" * 32), Policy(), world.trust(ada))
    assert fell(verdict) == (Outcome.PENDING, "signatures and quorum", "unknown_lineage")


# replay


def test_attack_052_from_the_future(world: World, ada: Owner) -> None:
    issued_ms = parse_timestamp(ISSUED) * 1000
    case, policy, trust = world.case(ada), Policy(clock_skew_ms_max=1000), world.trust(ada)
    assert decide(replace(case, now_ms=issued_ms - 1000), policy, trust).accepted
    early = decide(replace(case, now_ms=issued_ms - 1001), policy, trust)
    assert fell(early) == (Outcome.DEFER, "replay", "not_yet_valid")
    assert not early.bytes_only


def test_expired_at_the_very_moment(world: World, ada: Owner) -> None:
    case = world.case(ada)
    expires_ms = parse_timestamp(case.manifest.expires) * 1000
    assert decide(replace(case, now_ms=expires_ms - 1), Policy(), world.trust(ada)).accepted
    verdict = decide(replace(case, now_ms=expires_ms), Policy(), world.trust(ada))
    assert fell(verdict) == rejected("replay", "expired")


def test_attack_050_lower_version(world: World, ada: Owner) -> None:
    case = world.case(ada, version=3)
    assert decide(replace(case, newest_version=3), Policy(), world.trust(ada)).accepted
    verdict = decide(replace(case, newest_version=4), Policy(), world.trust(ada))
    assert fell(verdict) == rejected("replay", "superseded")
    assert not verdict.bytes_only


def test_attack_051_other_content_under_one_version(world: World, ada: Owner) -> None:
    case = world.case(ada)
    resigned = replace(case, same_version=(case.statement.id,))
    assert decide(resigned, Policy(), world.trust(ada)).accepted
    rival = world.case(ada, domain="medical").statement.id
    verdict = decide(replace(case, same_version=(case.statement.id, rival)), Policy(), world.trust(ada))
    assert fell(verdict) == rejected("replay", "two_contents")
    assert verdict.evidence["others"] == [rival.hex()]


def test_attack_107_metrics_are_no_input(world: World, ada: Owner) -> None:
    lying = world.case(ada, metrics={"delta_ppl": -1e6}, safety={"licence": "MIT", "poisoning_score": 1.0})
    assert decide(lying, Policy(), world.trust(ada)).accepted


# quorum as a property


@settings(max_examples=25, deadline=None)
@given(
    trusted=st.sets(st.integers(0, 5)),
    signed=st.lists(st.integers(0, 5), max_size=8),
    required=st.integers(1, 6),
)
def test_quorum_counts_trusted_owners_once(
    tmp_path_factory: pytest.TempPathFactory, trusted: set[int], signed: list[int], required: int
) -> None:
    world = World(tmp_path_factory.mktemp("quorum"))
    publisher, others = world.owner("publisher"), [world.owner(f"owner{index}") for index in range(6)]
    case = world.case(publisher)
    attestations = tuple(world.attestation(others[index], case.statement) for index in signed)
    trust = world.trust(publisher, *(others[index] for index in sorted(trusted)))
    verdict = decide(replace(case, attestations=attestations), Policy(quorum_required=required), trust)
    assert verdict.accepted is (1 + len(trusted.intersection(signed)) >= required)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 63), st.integers(0, 7))
def test_any_flipped_bit_voids_the_signature(tmp_path_factory: pytest.TempPathFactory, index: int, bit: int) -> None:
    world = World(tmp_path_factory.mktemp("bits"))
    ada = world.owner("ada")
    case = world.case(ada)
    signature = bytearray(case.statement.signature)
    signature[index] ^= 1 << bit
    broken = replace(case.statement, signature=bytes(signature))
    assert decide(replace(case, statement=broken), Policy(), world.trust(ada)).reason == "bad_signature"


def test_statement_of_another_kind_with_the_manifests_payload(world: World, ada: Owner) -> None:
    case = world.case(ada)
    disguised = replace(case.statement, kind=str(StatementKind.VOTE))
    assert decide(replace(case, statement=disguised), Policy(), world.trust(ada)).reason == "not_a_manifest"


def test_nickname_is_only_local(world: World, ada: Owner) -> None:
    verdict = decide(world.case(ada), Policy(), Trust((TrustedOwner.of_record(ada.record, nickname="best-friend"),)))
    shown = next(stage for stage in verdict.stages if stage.stage == "signatures and quorum")
    assert shown.evidence["owners"] == ["best-friend"]


def test_time_is_an_argument(world: World, ada: Owner) -> None:
    assert world.case(ada).now_ms == NOW_MS
    assert sign_statement(StatementKind.MANIFEST, world.case(ada).manifest, ada.key).id == world.case(ada).statement.id


def test_what_changed_in_memory_after_it_was_read_is_not_what_was_signed(world: World, ada: Owner) -> None:
    case = world.case(ada)
    shared = case.statement.opened
    assert isinstance(shared, Manifest)
    case = replace(case, manifest=shared)
    assert decide(case, Policy(), world.trust(ada)).accepted
    shared.lora.rank_pattern["q_proj"] = 4096
    assert fell(decide(case, Policy(), world.trust(ada))) == rejected("strict manifest", "manifest_differs")
