"""An organisation's root: the owners who together say how new the swarm is, and may revoke what isn't theirs. Pure.

Rules:

- A root is a file that a person pins in peer.yaml (`root:`), never a statement: it changes when they put another there.
  It names n owners with their keys, and how many of them (`threshold`) must speak. Without one nothing here applies.
- A member has spoken when as many of their signing keys signed as the file says. Members together may revoke any key,
  content or owner, and nothing else: they make nobody trusted, and no adapter accepted. One of them begins it, by a
  revocation in their own name; the others attest that.
- *Freshness*: a statement {trust version, revocation root, audit head, issued, expires} by a member's freshness key. It
  counts while it hasn't expired, is no older than `max_trust_age_ms`, isn't from the future, and names the root's own
  version: a newer file voids what was said under an older one, stolen freshness keys included. A peer is fresh while
  `threshold` members' statements count.
- *Signed time*: the latest time that `threshold` members have reached by what they signed, whatever has expired since.
- Not handled here: the clock's floor over restarts (room `node`), the file (`plora.gate.root_file`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from plora.gate.policy import Policy
from plora.proto.dsse import REVOCATIONS_TAG
from plora.proto.errors import ConfigError
from plora.proto.fields import parse_timestamp
from plora.proto.keys import PublicKey
from plora.proto.payloads import Freshness, Revocation
from plora.proto.rotation import Known, signed_by
from plora.proto.statement import Statement, verify_statement

Fresh = tuple[tuple[Statement, Freshness], ...]


@dataclass(frozen=True, slots=True)
class RootMember:
    """One owner of a root: id in hex, the keys that sign for them, how many must, and the keys for freshness."""

    name: str
    owner: str
    keys: tuple[PublicKey, ...]
    threshold: int
    freshness_keys: tuple[PublicKey, ...]


@dataclass(frozen=True, slots=True)
class Root:
    """The pinned root. Raises ConfigError where its members can never, or always, reach the threshold.

    `supposed` count as if its members had revoked them: a look ahead at what that would change.
    """

    version: int
    threshold: int
    members: tuple[RootMember, ...]
    supposed: tuple[Revocation, ...] = ()

    def __post_init__(self) -> None:
        owners = [member.owner for member in self.members]
        keys = [key.key_id for member in self.members for key in (*member.keys, *member.freshness_keys)]
        if not 1 <= self.threshold <= len(owners):
            raise ConfigError(f"threshold {self.threshold} of {len(owners)} owners", where="root")
        if len(frozenset(owners)) < len(owners) or len(frozenset(keys)) < len(keys):
            raise ConfigError("an owner or a key stands twice", where="root", mend="one key speaks for one owner only")

    def member(self, owner: str) -> RootMember | None:
        """The member of that owner id."""
        return next((one for one in self.members if one.owner == owner), None)

    def digest(self) -> str:
        """SHA-256 over what verdicts depend on, 64 hexadecimal digits."""
        members = [
            [one.owner, one.threshold, *(key.key_id for key in (*one.keys, *one.freshness_keys))]
            for one in sorted(self.members, key=lambda one: one.owner)
        ]
        supposed = [[one.target_kind, one.target] for one in self.supposed]
        return hashlib.sha256(json.dumps([self.version, self.threshold, members, *supposed]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class FreshnessState:
    """How new a peer may believe to be. `until_ms`: when that ends, 0 where it isn't fresh.

    `signed` are the members whose statements count; `outdated`: so many of the others speak under a newer root file.
    """

    fresh: bool
    signed: tuple[str, ...]
    required: int
    until_ms: int = 0
    outdated: int = 0


def freshness_state(statements: Fresh, root: Root, policy: Policy, now_ms: int) -> FreshnessState:
    """How fresh these statements make a peer at a time, in milliseconds since 1970."""
    ends: dict[str, int] = {}
    newer: dict[str, None] = {}
    for member, one in _spoken(statements, root):
        if one.trust_version > root.version:
            newer[member.owner] = None
        elif one.trust_version == root.version and (end_ms := _ends_ms(one, policy, now_ms)) > now_ms:
            ends[member.name] = max(end_ms, ends.get(member.name, 0))
    lasting = sorted(ends.values(), reverse=True)
    fresh = len(lasting) >= root.threshold
    until_ms = lasting[root.threshold - 1] if fresh else 0
    return FreshnessState(fresh, tuple(sorted(ends)), root.threshold, until_ms, len(newer))


def signed_time_ms(statements: Fresh, root: Root) -> int:
    """The latest time that enough members reached by what they signed, in milliseconds since 1970; 0 for none."""
    latest: dict[str, int] = {}
    for member, one in _spoken(statements, root):
        latest[member.owner] = max(parse_timestamp(one.issued) * 1000, latest.get(member.owner, 0))
    times = sorted(latest.values(), reverse=True)
    return times[root.threshold - 1] if len(times) >= root.threshold else 0


def root_revocations(root: Root, known: Known) -> Iterator[Revocation]:
    """The revocations that enough members signed: themselves, or by an attestation in their own names."""
    yield from root.supposed
    for statement, revocation in known.revocations:
        begun = root.member(revocation.owner) is not None  # a stranger's is nobody's word, whoever attests it
        if begun and len(members_behind(root, statement, known)) >= root.threshold:
            yield revocation


def members_behind(root: Root, statement: Statement, known: Known) -> tuple[str, ...]:
    """Names of the members who signed a revocation, in the root's order."""
    return tuple(member.name for member in root.members if _has_signed(member, statement, known))


def revocation_root(statement_ids: Iterable[bytes]) -> str:
    """The digest of a set of revocations by their statement ids, 64 hexadecimal digits.

    >>> revocation_root([b"b" * 32, b"a" * 32]) == revocation_root([b"a" * 32, b"b" * 32])
    True
    """
    return hashlib.sha256(REVOCATIONS_TAG + b"".join(sorted(statement_ids))).hexdigest()


def _spoken(statements: Fresh, root: Root) -> Iterator[tuple[RootMember, Freshness]]:
    """What members' freshness keys validly signed in their names."""
    for statement, payload in statements:
        member = root.member(payload.owner)
        key = _by_id(member.freshness_keys).get(statement.key_id) if member is not None else None
        if member is not None and key is not None and verify_statement(statement, key):
            yield member, payload


def _ends_ms(one: Freshness, policy: Policy, now_ms: int) -> int:
    """When it stops counting; 0 for a statement from the future."""
    issued_ms = parse_timestamp(one.issued) * 1000
    if issued_ms > now_ms + policy.clock_skew_ms_max:
        return 0
    return min(parse_timestamp(one.expires) * 1000, issued_ms + policy.max_trust_age_ms)


def _has_signed(member: RootMember, statement: Statement, known: Known) -> bool:
    return len(signed_by(statement, _by_id(member.keys), member.owner, known)) >= member.threshold


def _by_id(keys: tuple[PublicKey, ...]) -> Mapping[str, PublicKey]:
    return {key.key_id: key for key in keys}
