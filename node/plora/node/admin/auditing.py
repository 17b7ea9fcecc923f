"""The audit of a running peer: its entries, and whether anybody changed them. Disk work is in threads.

What was found when it was last compared with everything at hand stays as `node.audited`, for page, status and metrics;
that is done once after the start, and whenever somebody asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from plora.node.audit.acknowledging import acknowledgements
from plora.node.audit.copies import Verified, copy_lines, newest, verify
from plora.node.doctor.finding import Finding, audit_findings
from plora.node.driver.clock import read_clocks
from plora.node.store.store import Store
from plora.proto.records import AuditAcknowledged
from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from plora.node.daemon.node import Node


async def audit_lines(node: Node, store: Store, request: pb.AuditRequest) -> Iterator[str]:
    """An export's lines."""
    audit = await asyncio.to_thread(store.audit)
    return copy_lines(newest(audit, request.newest), node.core.config.peer)


async def look(node: Node, store: Store) -> Verified:
    """Compare the audit with all that is at hand here, and keep what was found."""
    found = await asyncio.to_thread(verify, store, node.home.events)
    node.audited = replace(found, at_ms=read_clocks().wall_ms)
    return node.audited


async def verified(node: Node, store: Store, request: pb.VerifyAuditRequest) -> pb.VerifyAuditReply:
    """What is wrong with the audit, now or when it was last looked at."""
    if request.last:
        return _as_last_seen(node)
    if request.heads:  # that a person noted elsewhere: what they show is theirs alone to know
        return verified_message(await asyncio.to_thread(verify, store, node.home.events, tuple(request.heads)))
    return verified_message(await look(node, store))


async def acknowledge(node: Node, store: Store, request: pb.AcknowledgeAuditRequest) -> pb.VerifyAuditReply:
    """Write into the chain that a person knows of what is wrong at an entry. UsageError where nothing is."""
    found = await look(node, store)
    facts = acknowledgements(found.faults, request.entry, request.note, read_clocks().wall_ms)
    await asyncio.to_thread(store.commit, (), facts)
    for fact in facts:
        node.driver.note(AuditAcknowledged(request.entry, fact.subject, request.note.strip()))
    return verified_message(await look(node, store))


def acknowledge_stopped(store: Store, events: Path, request: pb.AcknowledgeAuditRequest) -> pb.VerifyAuditReply:
    """The same at a peer that isn't running. Blocking."""
    faults = verify(store, events).faults
    store.commit((), acknowledgements(faults, request.entry, request.note, read_clocks().wall_ms))
    return verified_message(verify(store, events))


async def audit_trouble(node: Node, store: Store) -> list[Finding]:
    """The same, for the doctor."""
    return audit_findings(await look(node, store))


def audit_numbers(node: Node) -> Mapping[str, int]:
    """The numbers of it, for metrics. `fault_entry` is where the first fault is that nobody acknowledged."""
    found, head = node.audited, node.core.auditor.head
    if found is None:
        return {"entry": head.seq}
    broken = {"fault_entry": found.open[0].seq} if found.open else {}
    return {
        "entry": head.seq,
        "entries": head.seq - found.ends.start.seq,
        "verified_timestamp_seconds": found.at_ms // 1000,
        "faults": len(found.open),
        "faults_acknowledged": len(found.faults) - len(found.open),
        **broken,
    }


def verified_message(found: Verified) -> pb.VerifyAuditReply:
    """What was found, as the service and the command line's own look at a stopped peer say it."""
    return pb.VerifyAuditReply(
        start=found.ends.start.seq,
        end=found.ends.head.seq,
        head=found.ends.head.head,
        notes=found.notes,
        faults=[
            pb.AuditFault(entry=one.seq, what=one.what, note=one.note, acknowledged_wall_ms=one.noted_ms)
            for one in found.faults
        ],
        verified_wall_ms=found.at_ms,
    )


def _as_last_seen(node: Node) -> pb.VerifyAuditReply:
    head = node.core.auditor.head
    message = verified_message(node.audited) if node.audited is not None else pb.VerifyAuditReply()
    message.end, message.head, message.entries_max = head.seq, head.head, node.config.limits.audit_max
    return message
