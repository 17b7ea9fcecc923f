"""A root of three owners, two of whom must speak, with what they sign; for tests."""

from __future__ import annotations

from dataclasses import dataclass

from tests.gate.conftest import SWARM, Owner, World, key_of

from plora.gate import Root, RootMember
from plora.proto.dsse import StatementKind
from plora.proto.fields import format_timestamp
from plora.proto.payloads import Freshness
from plora.proto.statement import Statement, sign_statement

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True)
class Council:
    """The owners of a root and the root itself."""

    owners: tuple[Owner, ...]
    root: Root

    def says(
        self, number: int, at_ms: int, *, days: int = 30, version: int = 1, key_name: str = "", swarm: str = SWARM
    ) -> tuple[Statement, Freshness]:
        """What an owner's freshness key says at a time, good for so many days."""
        owner = self.owners[number]
        key = key_of(key_name or f"{owner.name} freshness")
        body = Freshness(
            swarm=swarm,
            issued=format_timestamp(at_ms // 1000),
            key_id=key.public.key_id,
            owner=owner.id,
            trust_version=version,
            revocation_root="ab" * 32,
            audit_head="0" * 64,
            expires=format_timestamp((at_ms + days * DAY_MS) // 1000),
        )
        return sign_statement(StatementKind.FRESHNESS, body, key), body


def council(world: World, threshold: int = 2) -> Council:
    """Three owners, each with one signing key and one freshness key."""
    owners = tuple(world.owner(name) for name in ("north", "south", "west"))
    members = tuple(
        RootMember(owner.name, owner.id, (owner.key.public,), 1, (key_of(f"{owner.name} freshness").public,))
        for owner in owners
    )
    return Council(owners, Root(1, threshold, members))
