"""Whose word counts: an owner's keys after rotation, what was revoked, and which owners signed.

Rules:

- An owner's keys are those of the trusted record and of every later record that can be proved (`plora.proto.rotation`).
  Where two records claim to follow one, the owner's word doesn't count until that is settled.
- A revocation counts if the owner it speaks for signed it by threshold, or if the key that it strikes signed it itself.
  It strikes only what is that owner's own, needs no date, and is never undone; a revoked key may still revoke.
- An owner has signed if as many of their keys as their newest record requires validly signed: the manifest itself, or
  an attestation of it. Only unrevoked keys of an allowed algorithm count, each once, and an owner is one word however
  many keys it took.
- What a pinned root revoked is void whoever's it is (`plora.gate.root`).
- At most `ATTESTATIONS_MAX` attestations are verified for a manifest, taken from the owners in turn, so that one
  owner's flood can't crowd out another's word; whatever names an unknown key costs no verification.

Not handled here: the quorum and the scope (`plora.gate.stages`), freshness, votes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, zip_longest

from plora.gate.case import Case
from plora.gate.policy import Policy
from plora.gate.root import Root, root_revocations
from plora.gate.trust import COSIGN, Trust, TrustedOwner
from plora.proto.keys import PublicKey
from plora.proto.payloads import Attestation, Revocation
from plora.proto.rotation import Authority, Known, walk
from plora.proto.statement import Statement, verify_statement

ATTESTATIONS_MAX = 16
ANYBODY = ""


@dataclass(frozen=True, slots=True)
class Keyring:
    """A trusted owner, and who speaks for them by the newest record that can be proved."""

    owner: TrustedOwner
    authority: Authority

    @property
    def keys(self) -> Mapping[str, PublicKey]:
        """All keys that ever were the owner's, by id."""
        return self.authority.keys

    @property
    def threshold(self) -> int:
        """How many of them must sign."""
        return self.authority.threshold

    @property
    def forked(self) -> tuple[str, ...]:
        """The records that claim to follow the newest one, where there are several."""
        return self.authority.forked


@dataclass(frozen=True, slots=True)
class Struck:
    """What valid revocations strike, with the reason that was given: keys as (owner id, key id), the others by id.

    A key that the root revoked is struck whoever lists it: it stands under `ANYBODY`.
    """

    keys: Mapping[tuple[str, str], str] = field(default_factory=dict)
    contents: Mapping[str, str] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)

    def key(self, owner: str, key_id: str) -> str | None:
        """Why an owner's key is void; None where it isn't."""
        return self.keys.get((owner, key_id), self.keys.get((ANYBODY, key_id)))


@dataclass(frozen=True, slots=True)
class Signers:
    """Who signed a manifest, by nickname in order, and what it took to find out.

    `own_keys`: how many keys of the manifest's own owner signed. `partly` are the other owners of whom some keys
    signed, but fewer than their record requires.
    """

    own_keys: int = 0
    co_signers: tuple[str, ...] = ()
    partly: tuple[str, ...] = ()
    verified: int = 0
    invalid: int = 0


def keyring(owner: TrustedOwner, known: Known, root: Root | None = None) -> Keyring:
    """The owner's keys after every rotation that is proved; a key that the root revoked signs none."""
    keys = {key.key_id: key for key in owner.keys}
    by_root = root_revocations(root, known) if root is not None else ()
    void = {one.target: _by_root(one) for one in by_root if one.target_kind == "key"}
    start = Authority(owner.owner, owner.record, keys, keys, owner.threshold, owner.lineages, struck_by_others=void)
    return Keyring(owner, walk(start, known, frozenset(owner.rotations)))


def struck(case: Case, trust: Trust) -> Struck:
    """What the revocations of this case strike, as far as trusted owners, the keys themselves or the root say so."""
    keys: dict[tuple[str, str], str] = {}
    contents: dict[str, str] = {}
    owners: dict[str, str] = {}
    for whose, revocation, said in _counting(case, trust):
        own = {"owner": revocation.target, "content": case.manifest.owner}.get(revocation.target_kind)
        if revocation.target_kind == "key":
            keys[(whose, revocation.target)] = said
        elif whose in (own, ANYBODY):
            (owners if revocation.target_kind == "owner" else contents)[revocation.target] = said
    return Struck(keys, contents, owners)


def _counting(case: Case, trust: Trust) -> Iterator[tuple[str, Revocation, str]]:
    """The revocations that count: whose things each may strike (an owner's, or `ANYBODY`'s), and what was said."""
    for owner_id in dict.fromkeys(body.owner for _, body in case.revocations):
        owner = trust.owner(owner_id)
        spoken = keyring(owner, case, trust.root).authority.revocations.values() if owner is not None else ()
        yield from ((owner_id, revocation, revocation.reason) for revocation in spoken)
    if trust.root is not None:
        yield from ((ANYBODY, one, _by_root(one)) for one in root_revocations(trust.root, case))


def _by_root(revocation: Revocation) -> str:
    return f"{revocation.reason} (by the pinned root)"


def signers(case: Case, policy: Policy, trust: Trust, void: Struck) -> Signers:
    """Which keys of its owner and which other trusted owners signed the case's manifest.

    The manifest's own signature must have been verified.
    """
    manifest = case.manifest
    found: dict[str, _Word] = {}
    verified = invalid = 0
    for ring, key, statement in _in_turn(_candidates(case, policy, trust, void)):
        own = ring.owner.owner == manifest.owner
        word = found.setdefault(ring.owner.owner, _Word(ring, [manifest.key_id] if own else []))
        if word.said or key.key_id in word.keys:
            continue
        if verified == ATTESTATIONS_MAX:
            break
        verified += 1
        if verify_statement(statement, key):
            word.keys.append(key.key_id)
        else:
            invalid += 1
    own_word = found.pop(manifest.owner, None)
    return Signers(
        own_keys=len(own_word.keys) if own_word else 1,
        co_signers=tuple(sorted(word.nickname for word in found.values() if word.said)),
        partly=tuple(sorted(word.nickname for word in found.values() if word.keys and not word.said)),
        verified=verified,
        invalid=invalid,
    )


@dataclass(slots=True)
class _Word:
    """The keys of one owner that signed so far."""

    ring: Keyring
    keys: list[str]

    @property
    def said(self) -> bool:
        return len(self.keys) >= self.ring.threshold

    @property
    def nickname(self) -> str:
        return self.ring.owner.nickname


_Candidate = tuple[Keyring, PublicKey, Statement]


def _candidates(case: Case, policy: Policy, trust: Trust, void: Struck) -> list[list[_Candidate]]:
    """Per owner, the manifest's first, then by id, the attestations that could count, in the order of their ids."""
    found: dict[str, list[_Candidate]] = {}
    rings: dict[str, Keyring] = {}
    target = case.statement.id.hex()
    words = ((one, _believed(body, target, case, trust, void)) for one, body in case.attestations)
    known = [(statement, owner) for statement, owner in words if owner is not None]  # however many strangers speak
    for statement, owner in sorted(known, key=lambda pair: (pair[0].id, pair[0].signature)):
        if owner.owner not in rings:
            rings[owner.owner] = keyring(owner, case, trust.root)
        key = _usable(rings[owner.owner], statement.key_id, policy, trust, void)
        if key is not None and not rings[owner.owner].forked:
            found.setdefault(owner.owner, []).append((rings[owner.owner], key, statement))
    return [found[owner_id] for owner_id in sorted(found, key=lambda each: (each != case.manifest.owner, each))]


def _believed(attestation: Attestation, target: str, case: Case, trust: Trust, void: Struck) -> TrustedOwner | None:
    manifest = case.manifest
    if (attestation.target, attestation.swarm) != (target, manifest.swarm):
        return None
    owner = trust.owner(attestation.owner)
    if owner is None or owner.owner in void.owners:
        return None
    if owner.owner == manifest.owner:
        return owner
    return owner if owner.covers(manifest.domain, manifest.base_model, COSIGN) else None


def _usable(ring: Keyring, key_id: str, policy: Policy, trust: Trust, void: Struck) -> PublicKey | None:
    key = ring.keys.get(key_id)
    if key is None or key.algorithm not in policy.algorithms or trust.distrusts(key_id):
        return None
    return key if void.key(ring.owner.owner, key_id) is None else None


def _in_turn(groups: list[list[_Candidate]]) -> Iterator[_Candidate]:
    """One of each group, then the next of each."""
    rounds = zip_longest(*groups)
    return (candidate for candidate in chain.from_iterable(rounds) if candidate is not None)
