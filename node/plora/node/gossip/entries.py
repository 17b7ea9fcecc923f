"""What gossip must know of a statement to keep the set of live ones, read from its payload once.

Rules:

- A known kind is parsed strictly. An unknown kind is opaque: nothing of it is looked at beside `swarm`, `owner`,
  `key_id` and `issued`, which mean the same in every payload.
- A manifest belongs to a series (owner, lineage, plasmid id) and lives until the day it expires.
- Attestations and votes *depend* on what they are about: they live as long as it does.
- Votes and evidence of two votes are *words of members*. One of each is kept: a member's word on a content, and its
  accusation of another member. The smallest id stands, so that all peers keep the same.
- Freshness stands outside the reconciled set. Owner records, revocations and evidence are lasting.

Source: PROTOCOL "Sets". Not handled here: signatures, bounds, which of several versions lives (`seen`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from plora.node.gossip.ordered import order_key
from plora.proto.canonical import is_hex_digest
from plora.proto.errors import StatementError
from plora.proto.fields import epoch_day
from plora.proto.keys import PublicKey
from plora.proto.manifest import Manifest
from plora.proto.payload import Payload
from plora.proto.payloads import PAYLOAD_MODELS, Attestation, Evidence, Freshness, OwnerRecord, Revocation, Vote
from plora.proto.statement import Statement, named_key_id

Series = tuple[str, str, str]

_DAY_MAX = 2**32 - 1
_RANKS = (OwnerRecord, Manifest)


@dataclass(frozen=True, slots=True)
class Entry:
    """One statement and its place among the others.

    `owner` is an owner id in hex, None where the kind names none (the key then says who speaks). `expires_day` is the
    last epoch day on which it lives. `keys` are those that an owner record brings. `rank` orders what must be taken up
    first: owner records, then manifests, then the rest. `word`: it counts only as the word of a member.
    """

    statement: Statement
    key: bytes
    swarm: str
    owner: str | None
    rank: int
    payload: Payload | None = field(repr=False)
    series: Series | None = None
    version: int = 0
    expires_day: int | None = None
    target: bytes | None = None
    lasting: bool = False
    fresh: bool = False
    word: bool = False
    keys: tuple[PublicKey, ...] = ()
    hops: int = 0

    @property
    def id(self) -> bytes:
        """The statement id."""
        return self.statement.id


def entry_of(statement: Statement, hops: int = 0) -> Entry:
    """Read a statement; `FormatError` when its payload breaks a rule."""
    if statement.kind not in PAYLOAD_MODELS:
        return _opaque(statement, hops)
    payload = statement.opened
    common = (statement, _key(statement), payload.swarm)
    rank = next((place for place, model in enumerate(_RANKS) if isinstance(payload, model)), len(_RANKS))
    match payload:
        case Manifest():
            series, last = (payload.owner, payload.lineage, payload.plasmid_id), epoch_day(payload.expires)
            named = {"series": series, "version": payload.version, "expires_day": last}
            return Entry(*common, payload.owner, rank, payload, hops=hops, **named)  # type: ignore[arg-type]
        case OwnerRecord():
            owner = payload.owner or statement.id.hex()
            return Entry(*common, owner, rank, payload, lasting=True, keys=_all_keys(payload), hops=hops)
        case Attestation():
            return Entry(*common, payload.owner, rank, payload, target=bytes.fromhex(payload.target), hops=hops)
        case Revocation():
            return Entry(*common, payload.owner, rank, payload, lasting=True, hops=hops)
        case Freshness():
            last = epoch_day(payload.expires)
            return Entry(*common, payload.owner, rank, payload, expires_day=last, fresh=True, hops=hops)
        case Vote():
            said = (payload.key_id, payload.content, payload.choice.value)
            about = bytes.fromhex(payload.content)
            return Entry(*common, None, rank, payload, series=said, target=about, word=True, hops=hops)
        case Evidence(offence="two_votes"):
            said = (payload.key_id, payload.accused, payload.offence)
            return Entry(*common, None, rank, payload, series=said, lasting=True, word=True, hops=hops)
    return Entry(*common, None, rank, payload, lasting=isinstance(payload, Evidence), hops=hops)


def _opaque(statement: Statement, hops: int) -> Entry:
    body = statement.body()
    swarm, owner = body.get("swarm"), body.get("owner")
    if named_key_id(statement) != statement.key_id:
        raise StatementError("the payload names another key than the statement", where="key_id")
    if not isinstance(swarm, str) or not is_hex_digest(swarm):
        raise StatementError("the payload names no swarm", where="swarm")
    if owner is not None and not (isinstance(owner, str) and is_hex_digest(owner)):
        raise StatementError("the payload's owner is malformed", where="owner")
    return Entry(statement, _key(statement), swarm, owner, len(_RANKS), None, hops=hops)


def _key(statement: Statement) -> bytes:
    if not 0 <= statement.day <= _DAY_MAX:
        raise StatementError("the day of issue can't be ordered", where="issued")
    return order_key(statement.day, statement.id)


def _all_keys(record: OwnerRecord) -> tuple[PublicKey, ...]:
    return tuple(listed.key() for listed in record.keys if listed.purpose != "export")
