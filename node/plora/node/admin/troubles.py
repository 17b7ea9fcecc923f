"""What is wrong with a running peer, a sentence each, the worst first: for `plora status`, `plora top` and the page.

A sentence names the setting or command that mends it. An empty list means that nothing needs its person.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from plora.gate import quorum_trouble
from plora.node.core import council_view
from plora.node.core.freshness import freshness_here
from plora.node.core.now import Now
from plora.node.core.plasmid import Plasmid
from plora.node.driver.clock import read_clocks
from plora.proto.amounts import bound_text, size_text, span_text

if TYPE_CHECKING:
    from plora.node.daemon.node import Node

LONELY_AFTER_MS = 10_000
RECENT_MS = 600_000


def troubles(node: Node, status: dict[str, Any], uptime_ms: int, free_bytes: int) -> list[str]:
    """`status` is `view.status`; `free_bytes` are those of the home's file system."""
    return [
        *_of_the_person(node),
        *council_view.troubles(node.core),
        *_of_the_disk(node, status, free_bytes),
        *_of_the_swarm(node, status, uptime_ms),
        *node.lacks,
    ]


def _of_the_person(node: Node) -> Iterator[str]:
    if node.core.desk.policy.insecure:
        yield "signatures are switched off: anybody's adapter is accepted (policy.insecure)"
    yield from staleness(node, read_clocks())
    trouble = quorum_trouble(node.core.desk.policy, node.core.desk.trust)
    if trouble:
        yield trouble
    if node.audited is not None and node.audited.open:
        yield (
            f"the audit doesn't hold: {node.audited.open[0].what}; see `plora audit verify`, and if you know how "
            "it came about, `plora audit acknowledge`"
        )
    for name in node.config.subscribe.owners:
        if not any(name == owner.nickname or owner.owner.startswith(name) for owner in node.core.desk.trust.owners):
            yield f"subscribe.owners names {name}, whom nobody here trusts; see `plora trust ls`"
    if node.config.consensus.membership(node.swarm.id) != node.core.council.members:
        yield "the block consensus in peer.yaml was changed, which takes a restart of the peer"
    if node.reload_trouble:
        yield f"the last reload failed: {node.reload_trouble}"
    if node.serving is not None:
        yield from node.serving.troubles


def staleness(node: Node, now: Now) -> Iterator[str]:
    """Why nothing new is accepted: the clock is wrong, or the pinned root's owners were not heard lately."""
    desk = node.core.desk
    behind_ms = desk.docket.signed_time_ms - now.wall_ms
    if behind_ms > desk.policy.clock_skew_ms_max:
        yield f"STALE: the clock is {span_text(behind_ms)} behind what a quorum signed; set it, nothing new is accepted"
    found = freshness_here(desk.docket, desk.policy, desk.trust, now)
    if found is not None and not found.fresh:
        who = f" ({', '.join(found.signed)})" if found.signed else ""
        newer = "; others speak under a newer root file: ask for it" if found.outdated else ""
        yield (
            f"STALE: {len(found.signed)} of {found.required} owners of the pinned root said lately how new the swarm "
            f"is{who}, so nothing new is accepted{newer}"
        )


def _of_the_disk(node: Node, status: dict[str, Any], free_bytes: int) -> Iterator[str]:
    limits = node.config.limits
    if node.log.trouble:
        yield f"the event log can't be written: {node.log.trouble}"
    if free_bytes < limits.disk_free_min:
        left, floor = size_text(free_bytes), size_text(limits.disk_free_min)
        yield f"nothing more is fetched: the disk has {left} left, and limits.disk_free_min keeps {floor} free"
    yield from _of_the_limits(node)
    for merge in status["merges"]:
        if merge["trouble"]:
            yield f"the merge of {merge['base']} failed: {merge['trouble']}"


def _of_the_limits(node: Node) -> Iterator[str]:
    """What finds no room, and the other bounds that were reached not long ago; each with its setting and value."""
    short: dict[str, list[Plasmid]] = {}
    for plasmid in node.core.desk.larder.short():
        if plasmid.bound is not None:
            short.setdefault(plasmid.bound.setting, []).append(plasmid)
    for setting, plasmids in short.items():
        limit = next(size_text(plasmid.bound.limit) for plasmid in plasmids if plasmid.bound)
        which = "1 adapter is" if len(plasmids) == 1 else f"{len(plasmids)} adapters are"
        yield f"{which} not fetched: {setting} is {limit}; `plora ls` says which"
    now_ms = read_clocks().wall_ms
    for bound in node.core.bounds.values():
        if bound.setting not in short and now_ms - bound.wall_ms < RECENT_MS:
            ago, limit = span_text(now_ms - bound.wall_ms), bound_text(bound.setting, bound.limit)
            yield f"{bound.setting} ({limit}) was reached {ago} ago"


def _of_the_swarm(node: Node, status: dict[str, Any], uptime_ms: int) -> Iterator[str]:
    configured = len(node.config.peer_addresses())
    if configured and not status["links"] and uptime_ms >= LONELY_AFTER_MS:
        one = configured == 1
        which = "its one neighbour is not connected" if one else f"none of its {configured} neighbours is connected"
        yield f"{which}; `plora peers` says why"
