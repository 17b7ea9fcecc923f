"""An owner's file on its way into the swarm: records, revocations of keys, and who signed them.

The peer has no owner's key: whoever calls signed on files. Statements go in the order of the file, since a later record
may be signed by a key that an earlier one brings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plora.gate.root import revocation_root
from plora.gate.signers import keyring
from plora.node.admin.spreading import spread
from plora.node.core.freshness import freshness_here
from plora.node.driver.clock import read_clocks
from plora.proto.errors import UsageError
from plora.proto.owner_chain import OwnerFile
from plora.proto.payloads import Attestation, Freshness, OwnerRecord, Revocation
from plora.proto.statement import open_statement
from plora.proto.wire import statement_from_pb
from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from plora.node.daemon.node import Node


async def introduce(node: Node, request: pb.IntroduceRequest) -> pb.IntroduceReply:
    """Spread an owner's statements, and say what this peer makes of them."""
    file = OwnerFile(tuple(map(statement_from_pb, request.statements)))
    if not all(
        isinstance(open_statement(one), OwnerRecord | Attestation | Revocation | Freshness) for one in file.statements
    ):
        raise UsageError(
            "is more than an owner's records, revocations, attestations and freshness", where=file.first.name
        )
    for statement in file.statements:
        await spread(node, (statement,), statement)
    return pb.IntroduceReply(owner=file.id, record=file.authority.record, note=_note(node, file))


def freshness_reply(node: Node) -> pb.FreshnessReply:
    """How fresh this peer is, and what a freshness statement would say of it."""
    desk = node.core.desk
    root, found = desk.trust.root, freshness_here(desk.docket, desk.policy, desk.trust, read_clocks())
    said = pb.FreshnessReply(
        state="no root",
        revocation_root=revocation_root(desk.docket.revocation_ids),
        audit_head=node.audit_head(),
        signed_time_wall_ms=desk.docket.signed_time_ms,
    )
    if root is None or found is None:
        return said
    said.state = "fresh" if found.fresh else "stale"
    said.signed.extend(found.signed)
    said.trust_version, said.required, said.until_wall_ms = root.version, found.required, found.until_ms
    return said


def _note(node: Node, file: OwnerFile) -> str:
    """Why this peer goes by other keys than the file says; empty where it goes by them."""
    owner = node.core.desk.trust.owner(file.id)
    if owner is None:
        return "its owner is not trusted here"
    at = keyring(owner, node.core.desk.docket.dossier(file.id), node.core.desk.trust.root).authority
    if at.forked:
        return "another record claims to follow the same one, so neither is believed"
    return "" if at.record == file.authority.record else f"it believes record {at.record[:12]}"
