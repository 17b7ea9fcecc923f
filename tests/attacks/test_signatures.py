"""Attacks on signatures, keys and the quorum."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from nacl.bindings import crypto_core_ed25519_add
from tests.attacks.conftest import Watched
from tests.attacks.inputs import Fate, as_file, off_the_wire, with_field
from tests.gate.conftest import NOW_MS, Owner, World, forged, key_of

from plora.gate import Case, Policy, Trust, TrustedOwner, Verdict, decide, save_trust
from plora.gate.signers import ATTESTATIONS_MAX, signers, struck
from plora.node.daemon.main import main as plora_node
from plora.node.home import init_home
from plora.proto.canonical import canonical_bytes
from plora.proto.dsse import StatementKind, pae
from plora.proto.errors import ConfigError, FormatError, UsageError
from plora.proto.keys import PrivateKey, PublicKey, generate_private_key
from plora.proto.payloads import OwnerKey
from plora.proto.signatures import aggregate_signatures, sign_sha256_hex, verify_aggregate
from plora.proto.statement import Statement, open_statement, verify_statement
from plora.proto.swarm import new_swarm
from plora.proto.yaml_view import SignedManifest, to_yaml

ORDER = 2**252 + 27742317777372353535851937790883648493
"""The order of Ed25519's prime subgroup (RFC 8032, section 5.1)."""

SPKI_ED25519 = bytes.fromhex("302a300506032b6570032100")
SMALL_ORDER = (
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
)
"""Points of order 4, 1, 2, 8 and 8."""

NOT_CANONICAL = (
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0100000000000000000000000000000000000000000000000000000000000080",
)
"""Zero and one written as p and p + 1, and one with the sign of a zero."""

TWO = Policy(quorum_required=2)


def fell(attack: Watched, verdict: Verdict, outcome: str, reason: str) -> None:
    """It fell among the signatures for this reason, after no other objection."""
    assert (str(verdict.outcome), verdict.reason) == (outcome, reason), dict(verdict.evidence)
    assert verdict.stage == "signatures and quorum"
    assert [one.reason for one in verdict.stages if one.reason] == [reason]
    attack.saw(verdict.outcome, reason)


def signed_by(case: Case, signature: bytes) -> Case:
    return replace(case, statement=replace(case.statement, signature=signature))


def refused(attack: Watched, met: Fate, words: str) -> None:
    outcome, reason, where = met
    assert outcome == "reject" and words in f"{reason} {where}", met
    attack.saw(outcome, reason if "_" in reason else words)


def test_attack_040_one_signature_several_times(attack: Watched, world: World, ada: Owner, bob: Owner) -> None:
    case, trust = world.case(ada), world.trust(ada, bob)
    bobs = world.attestation(bob, case.statement)
    text = to_yaml(SignedManifest.of(case.statement, [bobs[0]]))
    assert as_file(text)[0] == "accept"
    entry = text[text.index("  - ") :]
    refused(attack, as_file(text + entry), "a key must not co-sign twice")
    three = Policy(quorum_required=3)
    assert decide(replace(case, attestations=(bobs,) * 5), three, trust).reason == "below_quorum"


def test_attack_040_one_signature_several_times_in_an_aggregate(attack: Watched, tmp_path: Path) -> None:
    private = [generate_private_key("Ed25519") for _ in range(2)]
    private[0].save(tmp_path / "one.pem")
    signature = sign_sha256_hex(tmp_path / "one.pem", "ab" * 32)
    publics = [key.public for key in private]
    once = aggregate_signatures([signature])
    assert verify_aggregate(once, "ab" * 32, publics, quorum=1)
    twice = once.replace(f'["{signature}"]', f'["{signature}","{signature}"]')
    assert twice != once
    for aggregate in (twice, aggregate_signatures([signature, signature])):
        assert not verify_aggregate(aggregate, "ab" * 32, publics, quorum=2)
        attack.saw("reject", "one key is one signature")


def test_attack_041_one_owner_counted_twice(attack: Watched, world: World, ada: Owner) -> None:
    """Two Ed25519 keys; Ed25519 and RSA: both pairs are one owner's."""
    mixed = (key_of("mixed"), generate_private_key("RSA-PSS-SHA256"))
    pairs = (world.owner("pair", keys=2), Owner("mixed", mixed, world.owner_record("mixed", mixed)))
    case = world.case(ada)
    for pair in pairs:
        both = replace(case, attestations=tuple(world.attestation(pair, case.statement, key=key) for key in pair.keys))
        trust = world.trust(ada, pair)
        assert decide(both, TWO, trust).accepted
        fell(attack, decide(both, Policy(quorum_required=3), trust), "pending", "below_quorum")


def test_attack_041_own_second_key_is_no_cosigner(attack: Watched, world: World, bob: Owner) -> None:
    pair = world.owner("pair", keys=2)
    case = world.case(pair)
    judged = replace(case, attestations=(world.attestation(pair, case.statement, key=pair.keys[1]),))
    fell(attack, decide(judged, TWO, world.trust(pair, bob)), "pending", "below_quorum")


def torsion_twins(key: PrivateKey) -> list[bytes]:
    """The public keys that differ from this one by a point of small order: one secret signs for all of them."""
    raw = key.public.spki[-32:]
    return [crypto_core_ed25519_add(raw, bytes.fromhex(point)) for point in SMALL_ORDER if not point.startswith("01")]


def test_attack_041_torsion_twins(attack: Watched, world: World, ada: Owner, bob: Owner) -> None:
    """No twin becomes a key of anybody, so a twin's owner stays a stranger whose word doesn't count."""
    case, trust = world.case(ada), world.trust(ada, bob)
    for raw in torsion_twins(ada.key):
        with pytest.raises(FormatError, match="weak Ed25519 key"):
            PublicKey.from_spki(SPKI_ED25519 + raw)
        with pytest.raises(ValueError, match="weak Ed25519 key"):
            OwnerKey(algorithm="Ed25519", public_key=base64.b64encode(SPKI_ED25519 + raw).decode())
    in_a_strangers_name = world.attestation(world.owner("twin"), case.statement, key=ada.key)
    judged = decide(replace(case, attestations=(in_a_strangers_name,)), TWO, trust)
    fell(attack, judged, "pending", "below_quorum")


@pytest.mark.parametrize("point", [*SMALL_ORDER, *NOT_CANONICAL])
def test_attack_042_key_of_small_order_or_foreign_spelling(attack: Watched, point: str) -> None:
    with pytest.raises(FormatError, match=r"weak Ed25519 key|not a public key"):
        PublicKey.from_spki(SPKI_ED25519 + bytes.fromhex(point))
    attack.saw("reject", "weak Ed25519 key")


def test_attack_042_key_of_mixed_order_on_load_and_on_verify(attack: Watched, ada: Owner) -> None:
    message = b"any message"
    for raw in torsion_twins(ada.key):
        with pytest.raises(FormatError, match="not a canonical point of prime order"):
            PublicKey.from_spki(SPKI_ED25519 + raw)
        attack.saw("reject", "weak Ed25519 key")
        slipped = serialization.load_der_public_key(SPKI_ED25519 + raw)
        past_the_door = PublicKey("Ed25519", SPKI_ED25519 + raw, slipped)  # type: ignore[arg-type]
        assert not past_the_door.verify(message, ada.key.sign(message))
        attack.saw("reject", "bad_signature")
    identity = serialization.load_der_public_key(SPKI_ED25519 + bytes.fromhex(SMALL_ORDER[1]))
    universal = bytes.fromhex(SMALL_ORDER[1]) + bytes(32)  # R = identity, s = 0: fits any message under the identity
    assert not PublicKey("Ed25519", b"", identity).verify(message, universal)  # type: ignore[arg-type]
    attack.saw("reject", "bad_signature")


@pytest.mark.parametrize("change", ["S+L", "S+2L", "63", "65", "hex", "0"])
def test_attack_043_signature_in_another_spelling(attack: Watched, world: World, ada: Owner, change: str) -> None:
    case = world.case(ada)
    r, s = case.statement.signature[:32], int.from_bytes(case.statement.signature[32:], "little")
    spelled: dict[str, bytes] = {
        "S+L": r + (s + ORDER).to_bytes(32, "little"),
        "S+2L": r + (s + 2 * ORDER).to_bytes(32, "little"),
        "63": case.statement.signature[:-1],
        "65": case.statement.signature + b"\x00",
        "hex": case.statement.signature.hex().encode(),
        "0": b"\x00",
    }
    fell(attack, decide(signed_by(case, spelled[change]), Policy(), world.trust(ada)), "reject", "bad_signature")


@pytest.mark.parametrize("context", ["bare", "attestation", "other version", "undelimited"])
def test_attack_044_signature_from_another_context(attack: Watched, world: World, ada: Owner, context: str) -> None:
    case = world.case(ada)
    payload, kind = case.statement.payload, case.statement.kind
    messages = {
        "bare": payload,
        "attestation": pae(StatementKind.ATTESTATION, payload),
        "other version": pae(str(kind).replace("v1", "v2"), payload),
        "undelimited": str(kind).encode() + payload,
    }
    judged = decide(signed_by(case, ada.key.sign(messages[context])), Policy(), world.trust(ada))
    fell(attack, judged, "reject", "bad_signature")


PSS, PKCS1 = padding.PSS, padding.PKCS1v15
SHA1, SHA256 = hashes.SHA1(), hashes.SHA256()
FOREIGN_RSA: dict[str, tuple[Any, Any]] = {
    "PKCS#1 v1.5": (PKCS1(), SHA256),
    "SHA-1": (PSS(padding.MGF1(SHA256), 32), SHA1),
    "MGF1 with SHA-1": (PSS(padding.MGF1(SHA1), 32), SHA256),
    "salt of 20": (PSS(padding.MGF1(SHA256), 20), SHA256),
    "no salt": (PSS(padding.MGF1(SHA256), 0), SHA256),
    "longest salt": (PSS(padding.MGF1(SHA256), PSS.MAX_LENGTH), SHA256),
}


@pytest.fixture(scope="module")
def rsa_key() -> PrivateKey:
    return generate_private_key("RSA-PSS-SHA256")


@pytest.mark.parametrize("name", sorted(FOREIGN_RSA))
def test_attack_045_rsa_with_other_parameters(attack: Watched, world: World, rsa_key: PrivateKey, name: str) -> None:
    owner = Owner("rsa", (rsa_key,), world.owner_record("rsa", (rsa_key,)))
    case = world.case(owner)
    assert decide(case, Policy(), world.trust(owner)).accepted
    scheme, digest = FOREIGN_RSA[name]
    message = pae(StatementKind.MANIFEST, case.statement.payload)
    signature = rsa_key._key.sign(message, scheme, digest)  # type: ignore[call-arg]
    fell(attack, decide(signed_by(case, signature), Policy(), world.trust(owner)), "reject", "bad_signature")


RSA_PSS_OID = bytes.fromhex("06092a864886f70d01010a")
RSA_OID = bytes.fromhex("06092a864886f70d0101010500")


def der_of(bits: int, exponent: int) -> bytes:
    key = rsa.generate_private_key(exponent, bits).public_key()
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def with_pss_oid() -> bytes:
    """A good 2048-bit key whose algorithm is id-RSASSA-PSS without parameters."""
    der = der_of(2048, 65537)
    assert RSA_OID in der
    outer, inner = len(der) - 4 - 2, 13
    head = b"\x30\x82" + outer.to_bytes(2, "big") + b"\x30" + bytes([inner - 2])
    return head + RSA_PSS_OID + der[der.index(RSA_OID) + len(RSA_OID) :]


@pytest.mark.parametrize("weak", ["1024 bits", "e = 3", "PSS-OID key", "trailing byte"])
def test_attack_045_rsa_keys(attack: Watched, weak: str) -> None:
    made: dict[str, Callable[[], bytes]] = {
        "1024 bits": lambda: der_of(1024, 65537),
        "e = 3": lambda: der_of(2048, 3),
        "PSS-OID key": with_pss_oid,
        "trailing byte": lambda: der_of(2048, 65537) + b"\x00",
    }
    words = {"1024 bits": "1024 bits", "e = 3": "exponent 3", "PSS-OID key": "foreign encoding"}
    with pytest.raises(FormatError, match=words.get(weak, "not a public key")) as refusal:
        PublicKey.from_spki(made[weak]())
    attack.saw("reject", refusal.value.what)


@pytest.mark.parametrize("quorum", [0, -1, True, 1.5])
def test_attack_046_quorum_of_nobody(attack: Watched, tmp_path: Path, quorum: object) -> None:
    with pytest.raises(ConfigError, match="quorum_required"):
        Policy.parse({"quorum_required": quorum})
    attack.saw("reject", "quorum_required")
    if quorum != 1.5:
        with pytest.raises(UsageError, match="quorum"):
            verify_aggregate("{}", "ab" * 32, [key_of("one").public], quorum=cast("int", quorum))
        attack.saw("reject", "a quorum that means nothing")


def test_attack_046_quorum_above_the_owners(
    attack: Watched, world: World, ada: Owner, capsys: pytest.CaptureFixture[str]
) -> None:
    made = init_home(
        world.folder / "home", name="ada", swarm=new_swarm("test", bytes(64)), listen="127.0.0.1:1", now_s=1
    )
    save_trust(made.home.trust, Trust((TrustedOwner.of_record(ada.record),), version=1))
    config = made.home.config
    config.write_text(config.read_text().replace("quorum_required: 1", "quorum_required: 2"))
    for options in ([], ["--check"]):
        with pytest.raises(SystemExit) as ended:
            plora_node(["--config", str(config), *options])
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert "2 owners must sign" in said and "names only 1" in said
        attack.saw("reject", "more than there are owners")


@pytest.mark.parametrize("field", ["threshold", "quorum", "quorum_required", "signer.threshold", "signer.algorithms"])
def test_attack_047_threshold_in_the_manifest(attack: Watched, world: World, ada: Owner, field: str) -> None:
    refused(attack, off_the_wire(world, ada, with_field(field, 1)), field)


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ed25519", "RSA-PKCS1-SHA256", ""])
def test_attack_047_algorithm_in_the_manifest(attack: Watched, world: World, ada: Owner, algorithm: str) -> None:
    refused(attack, off_the_wire(world, ada, with_field("signer.algo", algorithm)), "signer.algo")


def test_attack_047_algorithms_come_from_the_policy(attack: Watched, world: World, ada: Owner) -> None:
    only = Policy(algorithms=("RSA-PSS-SHA256",))
    fell(attack, decide(world.case(ada), only, world.trust(ada)), "reject", "algorithm_not_allowed")
    named = replace(world.case(ada).statement, algorithm="RSA-PSS-SHA256")
    verdict = decide(replace(world.case(ada), statement=named), only, world.trust(ada))
    assert (verdict.stage, verdict.reason) == ("strict manifest", "bad_manifest")
    assert "names another algorithm" in str(verdict.evidence["error"])
    attack.saw(verdict.outcome, verdict.reason)


@pytest.mark.parametrize("kind", ["key", "content", "owner"])
def test_attack_048_revoked(attack: Watched, world: World, ada: Owner, kind: str) -> None:
    case = world.case(ada)
    target = {"key": ada.key.public.key_id, "content": case.statement.id.hex(), "owner": ada.id}[kind]
    struck_out = replace(case, revocations=(world.revocation(ada, kind, target),))
    fell(attack, decide(struck_out, Policy(), world.trust(ada)), "reject", f"revoked_{kind}")


def test_attack_048_a_revoked_key_signed_nothing_ever(attack: Watched, world: World, ada: Owner, bob: Owner) -> None:
    """What it signed before the revocation is void as well, co-signatures included."""
    early = world.case(ada, issued="2025-02-01T00:00:00Z")
    gone = (world.revocation(ada, "key", ada.key.public.key_id),)
    fell(attack, decide(replace(early, revocations=gone), Policy(), world.trust(ada)), "reject", "revoked_key")
    case = world.case(bob)
    cosigned = replace(case, attestations=(world.attestation(ada, case.statement),))
    assert decide(cosigned, TWO, world.trust(ada, bob)).accepted
    assert decide(replace(cosigned, revocations=gone), TWO, world.trust(ada, bob)).reason == "below_quorum"


def test_attack_048_an_expiry_of_a_key(attack: Watched, ada: Owner) -> None:
    """Keys end by rotation and revocation. A record that says otherwise is refused, so that nobody relies on it."""
    fields = json.loads(ada.record.payload)
    fields["keys"][0]["expires"] = "2026-02-01T00:00:00Z"
    payload = canonical_bytes(fields)
    signed = replace(ada.record, payload=payload, signature=ada.key.sign(pae(ada.record.kind, payload)))
    assert verify_statement(signed, ada.key.public)
    with pytest.raises(FormatError, match=r"keys\.0\.expires"):
        open_statement(signed)
    attack.saw("reject", "keys.0.expires")


def test_attack_048_what_a_key_signed_expires(attack: Watched, world: World, ada: Owner, bob: Owner) -> None:
    """However good its keys still are, and whoever signs it again."""
    old = world.case(ada, issued="2025-01-01T00:00:00Z", expires="2026-05-31T23:59:59Z")
    again = replace(old, attestations=(world.attestation(bob, old.statement),))
    assert decide(replace(again, now_ms=NOW_MS - 2000), TWO, world.trust(ada, bob)).accepted
    for case, policy in ((old, Policy()), (again, TWO)):
        verdict = decide(case, policy, world.trust(ada, bob))
        assert [one.reason for one in verdict.stages if one.reason] == ["expired"]
        attack.saw(verdict.outcome, verdict.reason)


def test_attack_049_garbage_beside_enough(attack: Watched, world: World, ada: Owner, bob: Owner) -> None:
    case, trust = world.case(ada), world.trust(ada, bob)
    good, body = world.attestation(bob, case.statement)
    carl = world.owner("carl")
    garbage = ((forged(good), body), (forged(world.attestation(carl, case.statement)[0]), body))
    verdict = decide(replace(case, attestations=((good, body), *garbage)), TWO, trust)
    assert verdict.accepted
    attack.saw(verdict.outcome, "garbage beside enough counts nothing")


def test_attack_049_ten_thousand_garbage_signatures(attack: Watched, world: World, ada: Owner, bob: Owner) -> None:
    case, carl = world.case(ada), world.owner("carl")
    trust = world.trust(ada, bob, carl)
    good = world.attestation(carl, case.statement)
    one, body = world.attestation(bob, case.statement)
    payload = one.payload
    flood = tuple(
        (Statement(one.kind, payload, one.key_id, "Ed25519", n.to_bytes(64, "big")), body) for n in range(10_000)
    )
    judged = replace(case, attestations=(*flood, good))
    verdict = decide(judged, TWO, trust)
    assert verdict.accepted
    attack.saw(verdict.outcome, f"at most {ATTESTATIONS_MAX} verified")
    found = signers(judged, TWO, trust, struck(judged, trust))
    assert (found.verified, found.co_signers) == (ATTESTATIONS_MAX, ("carl",))


def test_attack_086_owner_squatted_by_another(attack: Watched, world: World, ada: Owner, bob: Owner) -> None:
    trust = world.trust(ada, bob)
    fell(attack, decide(world.case(ada, key=bob.key), Policy(), trust), "reject", "bad_signature")
    in_her_name = replace(world.case(ada), statement=replace(world.case(ada).statement, signature=bob.key.sign(b"x")))
    fell(attack, decide(in_her_name, Policy(), trust), "reject", "bad_signature")


def test_attack_086_a_record_of_the_same_name_is_somebody_else(attack: Watched, world: World, ada: Owner) -> None:
    thief = key_of("thief")
    other = Owner("ada", (thief,), world.owner_record("ada", (thief,)))
    assert other.id != ada.id
    verdict = decide(world.case(ada, key=thief), Policy(), world.trust(ada))
    fell(attack, verdict, "reject", "bad_signature")
    assert decide(world.case(other), Policy(), world.trust(ada)).reason == "unknown_owner"


@pytest.mark.parametrize("digest", ["content id", "signed bytes"])
def test_attack_087_digest_signer_as_oracle(attack: Watched, world: World, ada: Owner, digest: str) -> None:
    ada.key.save(world.folder / "ada.pem")
    case = world.case(ada)
    message = pae(case.statement.kind, case.statement.payload)
    asked = {"content id": case.statement.id.hex(), "signed bytes": hashlib.sha256(message).hexdigest()}[digest]
    signature = base64.b64decode(sign_sha256_hex(world.folder / "ada.pem", asked))
    fell(attack, decide(signed_by(case, signature), Policy(), world.trust(ada)), "reject", "bad_signature")


def test_attack_088_late_cosignature(attack: Watched, world: World, ada: Owner, bob: Owner) -> None:
    case, trust = world.case(ada), world.trust(ada, bob)
    before = decide(case, TWO, trust)
    assert (str(before.outcome), before.reason) == ("pending", "below_quorum") and before.servable
    after = decide(replace(case, attestations=(world.attestation(bob, case.statement),)), TWO, trust)
    assert after.accepted
    attack.saw(after.outcome, "pending, then enough signed")
