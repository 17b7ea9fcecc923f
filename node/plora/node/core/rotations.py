"""The owner records that this peer followed, durably: a rotation that was believed stays believed. Pure.

- One row an owner in table `rotations`: the ids of the records after the one that a person trusted, in order.
- Whatever is learned of a trusted owner's keys, the walk is made again and what is new is written and told.
- What was believed is not forgotten when trust is taken away: whoever trusts the owner again goes on from there.
- Not handled here: which records can be proved (`plora.proto.rotation`).

>>> believed_ids([(b"ada", b'["ab","cd"]')]) == frozenset({"ab", "cd"})
True
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from plora.gate.signers import Keyring, keyring
from plora.gate.trust import Trust
from plora.node.core.docket import Docket
from plora.node.store.disk import Put, RowOp
from plora.proto.errors import StoreError
from plora.proto.records import OwnerRotated

ROTATIONS = "rotations"


def believed_ids(rows: Iterable[tuple[bytes, bytes]]) -> frozenset[str]:
    """The records in the rows of the table; `StoreError` for a row that `follow` didn't write."""
    try:
        return frozenset(str(record) for _, value in rows for record in json.loads(value))
    except (TypeError, ValueError) as error:
        raise StoreError("a row is no list of records", where=f"state.db: {ROTATIONS}") from error


def follow(docket: Docket, trust: Trust, owners: Iterable[str]) -> tuple[list[RowOp], list[OwnerRotated]]:
    """Believe what is proved of these owners now: the rows to write, and what to tell. Strangers are left alone."""
    trusted = (trust.owner(owner) for owner in dict.fromkeys(owners))
    rings = [keyring(owner, docket.dossier(owner.owner), trust.root) for owner in trusted if owner is not None]
    moved = [ring for ring in rings if any(record not in docket.believed for record in ring.authority.walked)]
    for ring in moved:
        docket.believed |= frozenset(ring.authority.walked)
    return [_row(ring) for ring in moved], [_told(ring) for ring in moved]


def _row(ring: Keyring) -> Put:
    return Put(ROTATIONS, ring.owner.owner.encode(), json.dumps(ring.authority.walked).encode())


def _told(ring: Keyring) -> OwnerRotated:
    at = ring.authority
    return OwnerRotated(at.owner, at.record, tuple(at.current), at.threshold, at.lineages[-1])
