"""The audit of a running peer: its entries, and whether anybody changed them. Disk work is in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from plora.node.audit.copies import Verified, copy_lines, newest, verify
from plora.node.doctor.finding import Finding, audit_findings
from plora.node.store.store import Store
from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from plora.node.daemon.node import Node


async def audit_lines(node: Node, store: Store, request: pb.AuditRequest) -> Iterator[str]:
    """An export's lines."""
    audit = await asyncio.to_thread(store.audit)
    return copy_lines(newest(audit, request.newest), node.core.config.peer)


async def verified(node: Node, store: Store, request: pb.VerifyAuditRequest) -> pb.VerifyAuditReply:
    """What is wrong with the audit."""
    return verified_message(await asyncio.to_thread(verify, store, node.home.events, tuple(request.heads)))


async def audit_trouble(node: Node, store: Store) -> list[Finding]:
    """The same, for the doctor."""
    return audit_findings(await asyncio.to_thread(verify, store, node.home.events))


def verified_message(found: Verified) -> pb.VerifyAuditReply:
    """What was found, as the service and the command line's own look at a stopped peer say it."""
    return pb.VerifyAuditReply(
        start=found.ends.start.seq,
        end=found.ends.head.seq,
        head=found.ends.head.head,
        notes=found.notes,
        faults=[pb.AuditFault(entry=fault.seq, what=fault.what) for fault in found.faults],
    )
