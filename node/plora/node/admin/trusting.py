"""Whom to believe, and who signs: the admin service's answers about owners and co-signatures.

- A co-signer's peer judges first: what its own gate doesn't pass, apart from missing signatures, it doesn't attest.
- The peer has no owner's key. The caller signs; the peer checks what it is about and spreads it.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from plora.gate import Outcome
from plora.node.admin.replies import plasmid_message
from plora.node.admin.spreading import spread
from plora.node.core import view
from plora.node.core.detectors import awaited
from plora.node.core.events import FetchAsked
from plora.node.core.owners import KnownOwner, named, strangers
from plora.node.core.plasmid import Plasmid
from plora.node.driver.clock import read_clocks
from plora.proto.dsse import StatementKind
from plora.proto.errors import RefusedError, UsageError
from plora.proto.payloads import Attestation, Revocation
from plora.proto.statement import Statement, open_statement
from plora.proto.wire import statement_from_pb, statement_to_pb
from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from plora.node.daemon.node import Node

FETCH_WAIT_S = 600.0
WAITING_SHOWN = 8
SETTLED = ("refused", "quarantined", "deferred", "waiting")


def owners_reply(node: Node, name: str) -> pb.OwnersReply:
    """The owners that a name may mean, or without one the strangers of whom something waits."""
    found = named(node.core, name) if name else strangers(node.core)
    return pb.OwnersReply(
        owners=[_owner(node, one) for one in found],
        strangers=node.core.gossip.seen.strangers,
        strangers_max=node.config.limits.untrusted_owners,
    )


async def judge(node: Node, name: str) -> pb.JudgeReply:
    """Have a plasmid's bytes fetched and judged here, and say what the gate saw."""
    plasmid = await settled(node, name)
    document = json.dumps(view.why(node.core, plasmid.content_id.hex(), read_clocks()), sort_keys=True)
    message = plasmid_message(node, plasmid, read_clocks())
    return pb.JudgeReply(plasmid=message, document=document, passed=_passed(plasmid))


async def attest(node: Node, request: pb.AttestRequest) -> pb.AttestReply:
    """Spread an attestation that the caller signed of a plasmid that passed the gate here."""
    statement = statement_from_pb(request.attestation)
    payload = open_statement(statement)
    if not isinstance(payload, Attestation):
        raise UsageError("not an attestation")
    plasmid = node.core.desk.book.live.get(bytes.fromhex(payload.target))
    if plasmid is None:
        raise UsageError("what it attests is not known here", where=payload.target[:12], mend="see `plora ls`")
    _check_word(node, plasmid, statement)
    records = tuple(map(statement_from_pb, request.statements))
    await spread(node, (*records, statement), statement)
    document = json.dumps(view.why(node.core, plasmid.content_id.hex(), read_clocks()), sort_keys=True)
    return pb.AttestReply(statement_id=statement.id.hex(), document=document)


async def revoke(node: Node, request: pb.RevokeRequest) -> pb.RevokeReply:
    """Spread a revocation that the caller signed, and say where it doesn't count here yet."""
    statement = statement_from_pb(request.revocation)
    payload = open_statement(statement)
    if not isinstance(payload, Revocation):
        raise UsageError("not a revocation")
    docket = node.core.desk.docket
    words = [one.key_id for one in docket.about(payload.target) if one.kind == StatementKind.REVOCATION]
    if statement.key_id in words:
        raise RefusedError("was revoked by this key already", where=payload.target[:12])
    await spread(node, (statement,), statement)
    plasmid = node.core.desk.book.live.get(bytes.fromhex(payload.target))
    verdict = plasmid.verdict if plasmid is not None else None
    if plasmid is None or verdict is None or verdict.reason.startswith("revoked"):
        return pb.RevokeReply(statement_id=statement.id.hex())
    owner = node.core.desk.trust.owner(payload.owner)
    note = "its owner is not trusted here" if owner is None else f"{owner.nickname} revokes with {owner.threshold} keys"
    return pb.RevokeReply(statement_id=statement.id.hex(), note=note)


async def settled(node: Node, name: str) -> Plasmid:
    """The plasmid of a name once waiting longer can't change what the gate says of it; its bytes are asked for."""
    plasmid = view.one(node.core, name)
    node.driver.handle(FetchAsked(plasmid.content_id))
    async with asyncio.timeout(FETCH_WAIT_S):
        await node.driver.until(lambda: bool(plasmid.gone) or _settled(node, plasmid))
    await node.driver.shelved()
    return plasmid


def _settled(node: Node, plasmid: Plasmid) -> bool:
    """In use, judged with the bytes at hand, or held back without them, be it by a limit."""
    standing = view.standing_of(node.core, plasmid, read_clocks())
    return plasmid.usable or bool(plasmid.bound) or _passed(plasmid) or standing.state in SETTLED


def _passed(plasmid: Plasmid) -> bool:
    """Whether the gate had no objection, or none but missing signatures, and waits for no detector."""
    verdict = plasmid.verdict
    if verdict is None or awaited(verdict):
        return False
    return plasmid.usable or (verdict.outcome is Outcome.PENDING and verdict.servable)


def _check_word(node: Node, plasmid: Plasmid, statement: Statement) -> None:
    """Raises RefusedError where the signature would say nothing, or more than the gate does."""
    if not _passed(plasmid):
        standing = view.row(node.core, plasmid, read_clocks())
        name = standing["name"]
        raise RefusedError(f"the gate holds it: {standing['sentence']}", where=name, mend=f"see `plora why {name}`")
    about = node.core.desk.docket.about(plasmid.content_id.hex())
    words = [one.key_id for one in about if one.kind == StatementKind.ATTESTATION]
    if statement.key_id in (plasmid.statement.key_id, *words):
        name = view.name_of(node.core, plasmid)
        raise RefusedError("was signed by this key already", where=name, mend="another owner has to sign")


def _owner(node: Node, one: KnownOwner) -> pb.OwnerInfo:
    shown = one.waiting[:WAITING_SHOWN]
    return pb.OwnerInfo(
        owner=one.owner,
        name=one.name,
        nickname=one.nickname,
        distrusted=one.distrusted,
        record=statement_to_pb(one.record),
        waiting=[_about(plasmid) for plasmid in shown],
        waiting_count=len(one.waiting),
        since_wall_ms=shown[0].seen_ms if shown else 0,
    )


def _about(plasmid: Plasmid) -> str:
    manifest = plasmid.manifest
    return f"{manifest.plasmid_id}@{manifest.version} ({manifest.domain} on {manifest.base_model})"
