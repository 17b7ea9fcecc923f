"""Whom this peer trusts: owners with their keys, each for some domains, bases and roles.

Rules:

- Trust lists *owners*. A quorum counts owners, never keys or signatures, so one key may belong to one owner only.
- The nickname is local: no two owners share one, and nothing outside this peer depends on it.
- An empty tuple of domains or bases means "any". An owner without the role `publish` is believed as co-signer only.
- `distrusted` holds owner ids and key ids that were struck out by hand: at once, locally, without any signature.
  Adding the owner again undoes it.
- Every change raises `version` by one and makes a new value; nothing is changed in place.
- An empty list is valid: then everything waits.

Not handled here: rotation and revocation by statements (`plora.gate.signers`), the file (`plora.gate.trust_file`).

>>> Trust().owner("ab" * 32) is None
True
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace

from plora.gate.policy import Policy
from plora.gate.root import Root
from plora.proto.errors import ConfigError, StatementError
from plora.proto.fields import check_id
from plora.proto.keys import PublicKey
from plora.proto.payloads import OwnerRecord
from plora.proto.statement import Statement, open_statement, verify_statement

PUBLISH = "publish"
COSIGN = "cosign"
ROLES = (PUBLISH, COSIGN)


@dataclass(frozen=True, slots=True)
class TrustedOwner:
    """An owner as this peer knows them: `owner`, `record` and `lineages` are statement ids in hex.

    `record` is the owner record that `keys` and `threshold` come from; later records are walked from there. `rotations`
    are records after it that a person vouched for, since the owner's own file has them: no rival can block those.
    `who` and `when` say who added the owner, and are no part of the digest.
    """

    nickname: str
    owner: str
    keys: tuple[PublicKey, ...]
    threshold: int = 1
    record: str = ""
    lineages: tuple[str, ...] = ()
    rotations: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    roles: tuple[str, ...] = ROLES
    who: str = ""
    when: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "record", self.record or self.owner)
        object.__setattr__(self, "lineages", self.lineages or (self.owner,))
        if not self.keys or not 1 <= self.threshold <= len(self.keys):
            raise ConfigError(f"threshold {self.threshold} of {len(self.keys)} keys", where=f"owner {self.nickname}")
        unknown = [role for role in self.roles if role not in ROLES]
        if unknown or not self.roles:
            raise ConfigError(f"roles {self.roles!r}", where=f"owner {self.nickname}", mend=f"use {', '.join(ROLES)}")
        try:
            check_id(self.nickname)
        except ValueError as error:
            raise ConfigError(str(error), where=f"nickname {self.nickname!r:.80}") from error

    @classmethod
    def of_record(
        cls,
        statement: Statement,
        *,
        nickname: str = "",
        rotations: tuple[str, ...] = (),
        domains: tuple[str, ...] = (),
        bases: tuple[str, ...] = (),
        roles: tuple[str, ...] = ROLES,
        who: str = "",
        when: str = "",
    ) -> TrustedOwner:
        """Trust in the owner whom a first owner record makes. Raises StatementError where it isn't validly signed."""
        record = open_statement(statement)
        if not isinstance(record, OwnerRecord) or record.version != 1:
            raise StatementError(
                "not a first owner record",
                mend="ask the owner for their `.owner` file",
            )
        keys = record.signing_keys()
        if not any(verify_statement(statement, key) for key in keys):
            raise StatementError("the owner record isn't signed by one of its own keys")
        return cls(
            nickname=nickname or record.name,
            owner=statement.id.hex(),
            keys=keys,
            threshold=record.threshold,
            rotations=rotations,
            domains=domains,
            bases=bases,
            roles=roles,
            who=who,
            when=when,
        )

    def covers(self, domain: str, base_model: str, role: str) -> bool:
        """Whether the owner is believed in that role about that domain and base."""
        in_domain = not self.domains or domain in self.domains
        on_base = not self.bases or base_model in self.bases
        return in_domain and on_base and role in self.roles

    def to_fields(self) -> dict[str, object]:
        """Plain data, as the trust file has it."""
        return {
            "nickname": self.nickname,
            "owner": self.owner,
            "record": self.record,
            "lineages": list(self.lineages),
            "rotations": list(self.rotations),
            "keys": [{"algorithm": key.algorithm, "public_key": key.to_text()} for key in self.keys],
            "threshold": self.threshold,
            "domains": list(self.domains),
            "bases": list(self.bases),
            "roles": list(self.roles),
            "added": {"who": self.who, "when": self.when},
        }


@dataclass(frozen=True, slots=True)
class Distrusted:
    """An owner id or key id that was struck out by hand; `name`, `who` and `when` are for people."""

    entry: str
    name: str = ""
    who: str = ""
    when: str = ""


@dataclass(frozen=True, slots=True)
class Trust:
    """The trusted owners and what was struck out. Raises ConfigError where nickname, owner or key stands twice.

    `root` is the organisation's, if one is pinned in peer.yaml; the trust file has none.
    """

    owners: tuple[TrustedOwner, ...] = ()
    version: int = 0
    distrusted: tuple[Distrusted, ...] = ()
    root: Root | None = None
    _by_owner: dict[str, TrustedOwner] = field(init=False, repr=False, compare=False)
    _struck: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _refuse_twins("nickname", [owner.nickname for owner in self.owners])
        _refuse_twins("owner", [owner.owner for owner in self.owners])
        _refuse_twins("key", [key.key_id for owner in self.owners for key in owner.keys])
        object.__setattr__(self, "_by_owner", {owner.owner: owner for owner in self.owners})
        object.__setattr__(self, "_struck", frozenset(struck.entry for struck in self.distrusted))

    def owner(self, owner_id: str) -> TrustedOwner | None:
        """The trusted owner of that id; None also where the owner was distrusted."""
        return None if self.distrusts(owner_id) else self._by_owner.get(owner_id)

    def knows(self, owner_id: str) -> bool:
        """Whether a person here decided about that owner: for them or against."""
        return owner_id in self._by_owner or self.distrusts(owner_id)

    @property
    def believed(self) -> tuple[TrustedOwner, ...]:
        """The owners whose word counts: those that are not struck out."""
        return tuple(owner for owner in self.owners if not self.distrusts(owner.owner))

    @property
    def heard(self) -> tuple[str, ...]:
        """Ids of the owners whose statements may change a verdict: the believed ones, and those of the pinned root."""
        members = self.root.members if self.root is not None else ()
        return tuple(dict.fromkeys((*(one.owner for one in self.believed), *(one.owner for one in members))))

    def distrusts(self, *entries: str) -> bool:
        """Whether one of these owner ids or key ids was struck out."""
        return any(entry in self._struck for entry in entries)

    def named(self, nickname: str) -> TrustedOwner | None:
        """The trusted owner of that local nickname."""
        return next((owner for owner in self.owners if owner.nickname == nickname), None)

    def hears(self, owner_id: str) -> bool:
        """Whether the owner is one of those who are `heard`."""
        return self.owner(owner_id) is not None or (self.root is not None and self.root.member(owner_id) is not None)

    def nickname(self, owner_id: str) -> str:
        """The local nickname, or the first twelve digits of the id."""
        found = self._by_owner.get(owner_id)
        return found.nickname if found else owner_id[:12]

    def with_owner(self, owner: TrustedOwner) -> Trust:
        """With one more owner, or the newer entry of the same owner; no longer distrusted."""
        others = tuple(known for known in self.owners if known.owner != owner.owner)
        struck = tuple(entry for entry in self.distrusted if entry.entry != owner.owner)
        return replace(self, owners=(*others, owner), version=self.version + 1, distrusted=struck)

    def without(self, owner_id: str) -> Trust:
        """Without an owner's entry: they are a stranger again, and what they signed waits."""
        left = tuple(owner for owner in self.owners if owner.owner != owner_id)
        return replace(self, owners=left, version=self.version + 1)

    def with_distrusted(self, entry: str, *, name: str = "", who: str = "", when: str = "") -> Trust:
        """With an owner id or key id struck out; the owner's entry stays, unused."""
        others = [struck for struck in self.distrusted if struck.entry != entry]
        struck = sorted([*others, Distrusted(entry, name, who, when)], key=lambda one: one.entry)
        return replace(self, version=self.version + 1, distrusted=tuple(struck))

    def digest(self) -> str:
        """SHA-256 over everything that verdicts depend on, 64 hex digits; the order of owners doesn't matter."""
        owners = [owner.to_fields() | {"added": None} for owner in sorted(self.owners, key=lambda owner: owner.owner)]
        struck = [one.entry for one in self.distrusted]
        root = self.root.digest() if self.root is not None else ""
        text = json.dumps({"owners": owners, "distrusted": struck, "root": root}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def quorum_trouble(policy: Policy, trust: Trust) -> str:
    """Why nothing can be accepted: more owners must sign than are believed here; empty where that can't be said.

    It is no error of a running peer: an owner must be removable at once, and then everything waits.
    """
    believed = len(trust.believed)
    if not policy.signatures_enabled or not believed or policy.quorum_required <= believed:
        return ""
    only = "1 is" if believed == 1 else f"{believed} are"
    return (
        f"{policy.quorum_required} owners must sign (policy.quorum_required), but only {only} trusted here, "
        "so everything waits; trust more owners by `plora trust add`"
    )


def check_quorum(policy: Policy, trust: Trust) -> None:
    """Raises ConfigError where more owners must sign than the trust list has, unless it is empty.

    Who was struck out counts here: taking trust away must never keep a peer from starting again.
    """
    if policy.signatures_enabled and 0 < len(trust.owners) < policy.quorum_required:
        what = f"{policy.quorum_required} owners must sign, but trust.yaml names only {len(trust.owners)}"
        mend = "trust more owners by `plora trust add`, or lower it"
        raise ConfigError(what, where="policy.quorum_required", mend=mend)


def _refuse_twins(what: str, names: list[str]) -> None:
    twins = [name for index, name in enumerate(names) if name in names[:index]]
    if twins:
        raise ConfigError(f"{what} {twins[0]!r} stands twice", where="trust", mend="remove one of the entries")
