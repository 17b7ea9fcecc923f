"""An owner's keys over their life: walked from the record that somebody trusts along every rotation that can be proved.

Rules:

- A record follows another if it names that as `previous` and enough keys of the old *and* of the new record signed it:
  its own signature, and attestations of it in the owner's name. Both thresholds count distinct keys.
- A revocation counts if, at some record of the walk, as many of that record's keys signed it as it requires, or if the
  key that it strikes signed it itself. Once it counts, no later record undoes it; a revoked key may still revoke.
- A revoked key signs no rotation: what is known of revocations at a record is taken off before its successor is looked
  for. So whoever stole a key can't rotate once it is revoked. A revocation that only later keys signed doesn't reach
  back: otherwise retiring a key for good would void the rotation that retired it.
- Two successors of one record end the walk and leave it `forked`: nobody can tell which is the owner's. A record that
  was believed here before (`Known.believed`) is followed all the same, as in TUF: no peer goes back below what it saw.
- Not handled here: who is trusted, swarm-wide roots, what a revocation does to a manifest (room `gate`).

>>> from plora.proto.keys import private_key_from_seed
>>> key = private_key_from_seed(bytes(32)).public
>>> start = Authority("ab" * 32, "ab" * 32, {key.key_id: key}, {key.key_id: key}, 1, ("ab" * 32,))
>>> walk(start, Dossier()) == start
True
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from plora.proto.keys import PublicKey
from plora.proto.payloads import Attestation, OwnerRecord, Revocation
from plora.proto.statement import Statement, verify_statement

ROTATIONS_MAX = 64
WORDS_PER_KEY = 5
"""How many words of one key for one statement are verified: its own signature, then attestations by ascending id."""

Records = tuple[tuple[Statement, OwnerRecord], ...]
Attestations = tuple[tuple[Statement, Attestation], ...]
Revocations = tuple[tuple[Statement, Revocation], ...]


class Known(Protocol):
    """What is known of owners; it may hold more than belongs to one of them, in any order."""

    @property
    def owner_records(self) -> Records:
        """Owner records."""

    @property
    def attestations(self) -> Attestations:
        """Attestations, of records and revocations among others."""

    @property
    def revocations(self) -> Revocations:
        """Revocations."""

    @property
    def believed(self) -> frozenset[str]:
        """Ids in hex of the owner records that were followed here before."""


@dataclass(frozen=True, slots=True)
class Dossier:
    """The plain form of `Known`."""

    owner_records: Records = ()
    attestations: Attestations = ()
    revocations: Revocations = ()
    believed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Authority:
    """Who speaks for an owner. Ids are 64 hexadecimal digits; keys stand by their ids.

    `keys` are all that ever were the owner's on the walk, `current` those of the newest record. `revocations` are those
    that count, by statement id; `forked` are the rival successors of `record`; `walked` are the records that followed
    the one where the walk began. `struck_by_others`: keys that a root revoked, with the reason.
    """

    owner: str
    record: str
    keys: Mapping[str, PublicKey]
    current: Mapping[str, PublicKey]
    threshold: int
    lineages: tuple[str, ...]
    revocations: Mapping[str, Revocation] = field(default_factory=dict)
    forked: tuple[str, ...] = ()
    walked: tuple[str, ...] = ()
    struck_by_others: Mapping[str, str] = field(default_factory=dict)

    @property
    def void_keys(self) -> Mapping[str, str]:
        """The keys whose signatures are void, each with the reason that was given."""
        struck = (one for one in self.revocations.values() if one.target_kind == "key")
        return {**self.struck_by_others, **{one.target: one.reason for one in struck}}


def first_authority(statement: Statement, record: OwnerRecord) -> Authority:
    """Who speaks for an owner by a record that is trusted as it stands."""
    keys, record_id = _by_id(record), statement.id.hex()
    return Authority(
        record.owner_id(statement.id), record_id, keys, keys, record.threshold, (_lineage(record_id, record),)
    )


def walk(start: Authority, known: Known, vouched: frozenset[str] = frozenset()) -> Authority:
    """The authority after every rotation that `known` proves. `vouched` are believed like `known.believed`."""
    trusted = known.believed | vouched
    at = _struck(start, known)
    for _ in range(ROTATIONS_MAX):
        following = {one[0].id.hex(): one for one in known.owner_records if _follows(at, one, known, trusted)}
        believed = [record_id for record_id in sorted(following) if record_id in trusted]
        if len(following) > 1 and not believed:
            return replace(at, forked=tuple(sorted(following)))
        if not following:
            break
        at = _struck(_after(at, *following[(believed or sorted(following))[0]]), known)
    return at


def signed_by(statement: Statement, keys: Mapping[str, PublicKey], owner: str, known: Known) -> frozenset[str]:
    """Ids of those keys that signed a statement itself, or an attestation of it in the owner's name.

    Each key has turns of its own: however often a stolen one attests, it crowds no other out.
    """
    target = statement.id.hex()
    words: dict[str, list[Statement]] = {statement.key_id: [statement]}
    for witness, attestation in sorted(known.attestations, key=lambda pair: pair[0].id):
        if attestation.target == target and attestation.owner == owner:
            words.setdefault(witness.key_id, []).append(witness)
    return frozenset(
        key_id
        for key_id, said in words.items()
        if key_id in keys and any(verify_statement(one, keys[key_id]) for one in said[:WORDS_PER_KEY])
    )


def missing(at: Authority, statement: Statement, record: OwnerRecord, known: Known) -> tuple[int, int]:
    """How many signatures a record still lacks to follow: of the old record's keys, and of its own."""
    old = signed_by(statement, at.current, at.owner, known) - frozenset(at.void_keys)
    new = signed_by(statement, _by_id(record), at.owner, known) - frozenset(at.void_keys)
    return max(0, at.threshold - len(old)), max(0, record.threshold - len(new))


def _follows(at: Authority, pair: tuple[Statement, OwnerRecord], known: Known, trusted: frozenset[str]) -> bool:
    statement, record = pair
    if (record.owner, record.previous) != (at.owner, at.record):
        return False
    return statement.id.hex() in trusted or missing(at, statement, record, known) == (0, 0)


def _after(at: Authority, statement: Statement, record: OwnerRecord) -> Authority:
    new, record_id = _by_id(record), statement.id.hex()
    lineage = _lineage(record_id, record)
    return replace(
        at,
        record=record_id,
        keys={**at.keys, **new},
        current=new,
        threshold=record.threshold,
        lineages=at.lineages if lineage in at.lineages else (*at.lineages, lineage),
        walked=(*at.walked, record_id),
    )


def _struck(at: Authority, known: Known) -> Authority:
    """With the revocations that count by the keys of this record."""
    news = {
        statement.id.hex(): revocation
        for statement, revocation in known.revocations
        if revocation.owner == at.owner and statement.id.hex() not in at.revocations
        if _revokes(at, statement, revocation, known)
    }
    return replace(at, revocations={**at.revocations, **news}) if news else at


def _revokes(at: Authority, statement: Statement, revocation: Revocation, known: Known) -> bool:
    if revocation.target_kind == "key" and revocation.target not in at.keys:
        return False  # a key that this record doesn't know is no business of its keys
    if revocation.target_kind == "key" and statement.key_id == revocation.target:
        return verify_statement(statement, at.keys[statement.key_id])
    return len(signed_by(statement, at.current, at.owner, known)) >= at.threshold


def _lineage(record_id: str, record: OwnerRecord) -> str:
    return record.lineage or record_id


def _by_id(record: OwnerRecord) -> dict[str, PublicKey]:
    return {key.key_id: key for key in record.signing_keys()}
