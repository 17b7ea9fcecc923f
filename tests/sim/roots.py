"""A root of three owners, two of whom must speak, on simulated swarms."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from plora.gate import Root, RootMember
from plora.proto.dsse import StatementKind
from plora.proto.fields import format_timestamp
from plora.proto.keys import PrivateKey, private_key_from_seed
from plora.proto.payloads import Freshness, OwnerKey, OwnerRecord
from plora.proto.statement import Statement, sign_statement
from plora.sim.material import ISSUED_S, Owner, attest, revoke
from plora.sim.swarm import SWARM_ID


@dataclass(frozen=True)
class Guardian:
    """An owner of the root, who signs by one key and speaks of freshness by another."""

    owner: Owner
    fresh: PrivateKey

    @property
    def member(self) -> RootMember:
        return RootMember(self.owner.name, self.owner.id, (self.owner.key.public,), 1, (self.fresh.public,))


def guardian(name: str) -> Guardian:
    """The record lists both keys."""
    sign, fresh = (private_key_from_seed(hashlib.sha256(f"{name} {kind}".encode()).digest()) for kind in ("s", "f"))
    record = OwnerRecord(
        swarm=SWARM_ID,
        issued=format_timestamp(ISSUED_S),
        key_id=sign.public.key_id,
        name=name,
        version=1,
        keys=(OwnerKey.of(sign.public), OwnerKey.of(fresh.public, "freshness")),
        threshold=1,
    )
    return Guardian(Owner(name, SWARM_ID, sign, sign_statement(StatementKind.OWNER, record, sign)), fresh)


GUARDIANS = tuple(guardian(name) for name in ("north", "south", "west"))
ROOT = Root(1, 2, tuple(one.member for one in GUARDIANS))


def says(number: int, now_ms: int) -> tuple[Statement, ...]:
    """A guardian's record and their word at a time, good for a day."""
    owner, key = GUARDIANS[number].owner, GUARDIANS[number].fresh
    payload = Freshness(
        swarm=SWARM_ID,
        issued=format_timestamp(now_ms // 1000),
        key_id=key.public.key_id,
        owner=owner.id,
        trust_version=1,
        revocation_root="0" * 64,
        audit_head="0" * 64,
        expires=format_timestamp(now_ms // 1000 + 86_400),
    )
    return owner.record, sign_statement(StatementKind.FRESHNESS, payload, key)


def begins_to_revoke(number: int, kind: str, target: str) -> tuple[Statement, Statement]:
    """A guardian's record, and their revocation of whosever thing."""
    owner = GUARDIANS[number].owner
    return owner.record, revoke(owner, kind, target)


def signs_too(number: int, revocation: Statement) -> tuple[Statement, Statement]:
    """Another guardian's record, and their word for a revocation."""
    owner = GUARDIANS[number].owner
    return owner.record, attest(owner, revocation.id)
