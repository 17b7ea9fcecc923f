"""An owner's file on its way into the swarm: records, revocations of keys, and who signed them.

The peer has no owner's key: whoever calls signed on files. Statements go in the order of the file, since a later record
may be signed by a key that an earlier one brings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plora.gate.signers import keyring
from plora.node.admin.spreading import spread
from plora.proto.errors import UsageError
from plora.proto.owner_chain import OwnerFile
from plora.proto.payloads import Attestation, OwnerRecord, Revocation
from plora.proto.statement import open_statement
from plora.proto.wire import statement_from_pb
from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from plora.node.daemon.node import Node


async def introduce(node: Node, request: pb.IntroduceRequest) -> pb.IntroduceReply:
    """Spread an owner's statements, and say what this peer makes of them."""
    file = OwnerFile(tuple(map(statement_from_pb, request.statements)))
    if not all(isinstance(open_statement(one), OwnerRecord | Attestation | Revocation) for one in file.statements):
        raise UsageError("is more than an owner's records, revocations and attestations", where=file.first.name)
    for statement in file.statements:
        await spread(node, (statement,), (), statement)
    return pb.IntroduceReply(owner=file.id, record=file.authority.record, note=_note(node, file))


def _note(node: Node, file: OwnerFile) -> str:
    """Why this peer goes by other keys than the file says; empty where it goes by them."""
    owner = node.core.desk.trust.owner(file.id)
    if owner is None:
        return "its owner is not trusted here"
    at = keyring(owner, node.core.desk.docket.dossier(file.id)).authority
    if at.forked:
        return "another record claims to follow the same one, so neither is believed"
    return "" if at.record == file.authority.record else f"it believes record {at.record[:12]}"
