"""The rows of the consensus: what must outlive the votes that it came from. Canonical JSON.

| table | key | value |
|---|---|---|
| `ballots` | slot | what this peer chose in it; never removed |
| `certificates` | slot | the quorum's votes, while any vote of the slot is live |
| `guilty` | epoch / member's key id | the two votes that prove it; never removed |
| `broken` | slot | two certificates of it; never removed |

Rows of another epoch stay and are not read: a ballot binds whenever that epoch comes back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from plora.gate.consensus import Certificate, Guilt
from plora.gate.tally import Broken
from plora.gate.voter import Ballot
from plora.node.store.disk import Delete, Put
from plora.node.store.snapshot import Snapshot
from plora.proto.canonical import canonical_bytes
from plora.proto.errors import FormatError, StoreError
from plora.proto.payloads import Slot
from plora.proto.statement import Statement, statement_from_json, statement_to_json

BALLOTS = "ballots"
CERTIFICATES = "certificates"
GUILTY = "guilty"
BROKEN = "broken"

_Rows = Iterable[tuple[bytes, bytes]]


def ballot_row(ballot: Ballot) -> Put:
    """What this peer chose."""
    return Put(BALLOTS, _key(ballot.slot), canonical_bytes({"content": ballot.content, "issued": ballot.issued}))


def certificate_row(certificate: Certificate) -> Put:
    """A certificate."""
    return Put(CERTIFICATES, _key(certificate.slot), canonical_bytes(_plain(certificate)))


def forget_certificate(certificate: Certificate) -> Delete:
    """Removes a certificate of whose slot nothing is live."""
    return Delete(CERTIFICATES, _key(certificate.slot))


def guilt_row(guilt: Guilt, epoch: str) -> Put:
    """A proof against a member."""
    return Put(GUILTY, f"{epoch}/{guilt.member}".encode(), canonical_bytes(_texts(guilt.votes)))


def broken_row(broken: Broken) -> Put:
    """Two certificates of one slot."""
    return Put(BROKEN, _key(broken[0].slot), canonical_bytes([_plain(one) for one in broken]))


def ballots(snapshot: Snapshot, epoch: str) -> list[Ballot]:
    """The ballots of an epoch. Raises StoreError, as all here, for a row that isn't what this module writes."""
    rows = _of_epoch(snapshot, BALLOTS, epoch)
    return [Ballot(slot, str(fields["content"]), str(fields["issued"])) for slot, fields in rows]


def certificates(snapshot: Snapshot, epoch: str) -> list[Certificate]:
    """The certificates of an epoch."""
    return [_certificate(slot, fields) for slot, fields in _of_epoch(snapshot, CERTIFICATES, epoch)]


def guilty(snapshot: Snapshot, epoch: str) -> list[Guilt]:
    """The proofs of an epoch."""
    found = []
    for key, value in snapshot.rows(GUILTY):
        at, _, member = key.decode().partition("/")
        if at == epoch:
            first, second = _statements(_read(value, GUILTY))
            found.append(Guilt(member, (first, second)))
    return found


def broken(snapshot: Snapshot, epoch: str) -> list[Broken]:
    """The contradictions of an epoch."""
    rows = _of_epoch(snapshot, BROKEN, epoch)
    return [(_certificate(slot, fields[0]), _certificate(slot, fields[1])) for slot, fields in rows]


def _key(slot: Slot) -> bytes:
    return canonical_bytes(slot.model_dump(mode="json"))


def _of_epoch(snapshot: Snapshot, table: str, epoch: str) -> Iterator[tuple[Slot, Any]]:
    for key, value in snapshot.rows(table):
        try:
            slot = Slot.model_validate_json(key)
        except ValueError as error:
            raise StoreError("a row's key is no slot", where=f"state.db: {table}") from error
        if slot.epoch == epoch:
            yield slot, _read(value, table)


def _read(value: bytes, table: str) -> Any:
    try:
        return json.loads(value)
    except ValueError as error:
        raise StoreError("a row is no JSON", where=f"state.db: {table}") from error


def _plain(certificate: Certificate) -> dict[str, object]:
    return {"content": certificate.content, "votes": _texts(certificate.votes)}


def _certificate(slot: Slot, fields: Any) -> Certificate:
    return Certificate(slot, str(fields["content"]), tuple(_statements(fields["votes"])))


def _texts(statements: Iterable[Statement]) -> list[str]:
    return [statement_to_json(statement) for statement in statements]


def _statements(texts: Iterable[str]) -> list[Statement]:
    try:
        return [statement_from_json(text) for text in texts]
    except FormatError as error:
        raise StoreError("a vote can't be read", where="state.db: votes") from error
