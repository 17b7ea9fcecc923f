"""Whose word counts: an owner's keys after rotation, what was revoked, and which owners signed.

Rules:

- An owner's keys are those of the trusted record and of every later record that old *and* new threshold signed, walked
  one by one. Two valid successors of one record end the walk: neither is believed.
- A revocation counts if the owner it speaks for signed it by threshold, or if the key that it strikes signed it itself.
  It strikes only what is that owner's own, needs no date, and is never undone; a revoked key may still revoke.
- An owner has signed if one unrevoked key of theirs, of an allowed algorithm, validly signed. Two keys of one owner
  are one word. At most `ATTESTATIONS_MAX` attestations are verified for a manifest, taken from the owners in turn, so
  that one owner's flood can't crowd out another's word; whatever names an unknown key costs no verification.

Not handled here: thresholds and scope (`plora.gate.stages`), freshness, votes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest

from plora.gate.case import Case
from plora.gate.policy import Policy
from plora.gate.trust import COSIGN, Trust, TrustedOwner
from plora.proto.keys import PublicKey
from plora.proto.payloads import Attestation, OwnerRecord, Revocation
from plora.proto.statement import Statement, verify_statement

ATTESTATIONS_MAX = 16
ROTATIONS_MAX = 64


@dataclass(frozen=True, slots=True)
class Keyring:
    """An owner's keys by id, the keys of the newest record, and the lineages that the owner opened."""

    owner: TrustedOwner
    keys: Mapping[str, PublicKey]
    current: Mapping[str, PublicKey]
    threshold: int
    record: str
    lineages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Struck:
    """What valid revocations strike: keys as (owner id, key id), contents and owners by id."""

    keys: frozenset[tuple[str, str]] = frozenset()
    contents: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CoSigners:
    """The owners whose attestation is valid, by nickname in order, and what it took to find out."""

    nicknames: tuple[str, ...] = ()
    verified: int = 0
    invalid: int = 0


def keyring(owner: TrustedOwner, case: Case) -> Keyring:
    """The owner's keys after every rotation that the case proves."""
    keys = {key.key_id: key for key in owner.keys}
    ring = Keyring(owner, keys, keys, owner.threshold, owner.record, owner.lineages)
    for _ in range(ROTATIONS_MAX):
        successors = [pair for pair in case.owner_records if _succeeds(ring, pair, case)]
        ids = sorted(frozenset(statement.id for statement, _ in successors))
        if len(ids) != 1:
            break
        ring = _rotated(ring, *successors[0])
    return ring


def struck(case: Case, trust: Trust) -> Struck:
    """What the revocations of this case strike, as far as trusted owners or the keys themselves say so."""
    keys: set[tuple[str, str]] = set()
    contents: set[str] = set()
    owners: set[str] = set()
    for statement, revocation in case.revocations:
        owner = trust.owner(revocation.owner)
        if owner is None:
            continue
        ring = keyring(owner, case)
        if not _revokes(ring, statement, revocation, case):
            continue
        if revocation.target_kind == "key":
            keys.add((owner.owner, revocation.target))
        elif revocation.target_kind == "owner" and revocation.target == owner.owner:
            owners.add(owner.owner)
        elif revocation.target_kind == "content" and case.manifest.owner == owner.owner:
            contents.add(revocation.target)
    return Struck(frozenset(keys), frozenset(contents), frozenset(owners))


def co_signers(case: Case, policy: Policy, trust: Trust, void: Struck) -> CoSigners:
    """Which other trusted owners validly attest the case's manifest."""
    names: list[str] = []
    verified = invalid = 0
    for owner, key, statement in _in_turn(_candidates(case, policy, trust, void)):
        if owner.nickname in names:
            continue
        if verified == ATTESTATIONS_MAX:
            break
        verified += 1
        if verify_statement(statement, key):
            names.append(owner.nickname)
        else:
            invalid += 1
    return CoSigners(tuple(sorted(names)), verified, invalid)


_Candidate = tuple[TrustedOwner, PublicKey, Statement]


def _candidates(case: Case, policy: Policy, trust: Trust, void: Struck) -> list[list[_Candidate]]:
    """Per owner, in the order of owner ids, the attestations that could count, in the order of their ids."""
    found: dict[str, list[_Candidate]] = {}
    rings: dict[str, Keyring] = {}
    target = case.statement.id.hex()
    for statement, attestation in sorted(case.attestations, key=lambda pair: (pair[0].id, pair[0].signature)):
        owner = _believed(attestation, target, case, trust, void)
        if owner is None:
            continue
        if owner.owner not in rings:
            rings[owner.owner] = keyring(owner, case)
        key = _usable(rings[owner.owner], statement.key_id, policy, trust, void)
        if key is not None:
            found.setdefault(owner.owner, []).append((owner, key, statement))
    return [found[owner_id] for owner_id in sorted(found)]


def _believed(attestation: Attestation, target: str, case: Case, trust: Trust, void: Struck) -> TrustedOwner | None:
    manifest = case.manifest
    if (attestation.target, attestation.swarm) != (target, manifest.swarm) or attestation.owner == manifest.owner:
        return None
    owner = trust.owner(attestation.owner)
    if owner is None or owner.owner in void.owners:
        return None
    return owner if owner.covers(manifest.domain, manifest.base_model, COSIGN) else None


def _usable(ring: Keyring, key_id: str, policy: Policy, trust: Trust, void: Struck) -> PublicKey | None:
    key = ring.keys.get(key_id)
    if key is None or key.algorithm not in policy.algorithms or key_id in trust.distrusted:
        return None
    return None if (ring.owner.owner, key_id) in void.keys else key


def _in_turn(groups: list[list[_Candidate]]) -> Iterator[_Candidate]:
    """One of each group, then the next of each."""
    rounds = zip_longest(*groups)
    return (candidate for candidate in chain.from_iterable(rounds) if candidate is not None)


def _succeeds(ring: Keyring, pair: tuple[Statement, OwnerRecord], case: Case) -> bool:
    statement, record = pair
    if (record.owner, record.previous) != (ring.owner.owner, ring.record):
        return False
    new = {key.key_id: key for key in record.signing_keys()}
    signed_by_old = _signers(statement, ring.current, ring.owner.owner, case)
    signed_by_new = _signers(statement, new, ring.owner.owner, case)
    return len(signed_by_old) >= ring.threshold and len(signed_by_new) >= record.threshold


def _rotated(ring: Keyring, statement: Statement, record: OwnerRecord) -> Keyring:
    new = {key.key_id: key for key in record.signing_keys()}
    lineage = record.lineage or statement.id.hex()
    lineages = ring.lineages if lineage in ring.lineages else (*ring.lineages, lineage)
    return Keyring(ring.owner, {**ring.keys, **new}, new, record.threshold, statement.id.hex(), lineages)


def _revokes(ring: Keyring, statement: Statement, revocation: Revocation, case: Case) -> bool:
    own = ring.keys.get(statement.key_id)
    if own is not None and revocation.target_kind == "key" and revocation.target == own.key_id:
        return verify_statement(statement, own)
    return len(_signers(statement, ring.keys, ring.owner.owner, case)) >= ring.threshold


def _signers(statement: Statement, keys: Mapping[str, PublicKey], owner_id: str, case: Case) -> frozenset[str]:
    """Ids of those keys that signed the statement itself or an attestation of it in the owner's name."""
    target = statement.id.hex()
    witnesses = [
        witness
        for witness, attestation in sorted(case.attestations, key=lambda pair: pair[0].id)
        if attestation.target == target and attestation.owner == owner_id and witness.key_id in keys
    ]
    signed = [statement, *witnesses[:ATTESTATIONS_MAX]]
    valid = [one.key_id for one in signed if one.key_id in keys and verify_statement(one, keys[one.key_id])]
    return frozenset(valid)
