"""Views of the core as the admin service's messages."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from plora.node.admin.troubles import troubles
from plora.node.core import view
from plora.node.core.now import Now
from plora.node.core.plasmid import Plasmid
from plora.node.core.wishes import Wish
from plora.node.driver.clock import read_clocks
from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from plora.node.daemon.node import Node

WAITING = ("waiting", "pending", "deferred", "fetching")


def status_reply(node: Node, uptime_ms: int) -> pb.StatusReply:
    """The peer in a few numbers, and what its person should know."""
    from plora.node.daemon.node import SOFTWARE

    status = view.status(node.core, read_clocks())
    plasmids, limits = status["plasmids"], node.config.limits
    sent_s, received_s = node.health.bytes_per_second
    free_bytes = shutil.disk_usage(node.home.root).free
    return pb.StatusReply(
        name=node.name,
        peer=status["peer"],
        swarm=status["swarm"],
        version=SOFTWARE,
        boot=status["boot"],
        uptime_ms=uptime_ms,
        listen=f"{node.config.listen.rpartition(':')[0]}:{node.port}",
        links=status["links"],
        statements=status["statements"],
        plasmids_held=status["held"],
        plasmids_accepted=sum(plasmids.get(state, 0) for state in ("accepted", "own", "carried")),
        plasmids_waiting=sum(plasmids.get(state, 0) for state in WAITING),
        store_bytes=status["held_bytes"],
        round=node.log.round_number,
        root=status["root"],
        warnings=troubles(node, status, uptime_ms, free_bytes),
        plasmids=plasmids,
        swarm_name=node.swarm_name,
        neighbours=len(node.config.peer_addresses()),
        store_bytes_max=limits.store_max,
        disk_free_bytes=free_bytes,
        disk_free_bytes_min=limits.disk_free_min,
        sent_bytes=node.transport.traffic.sent_bytes.total(),
        received_bytes=node.transport.traffic.received_bytes.total(),
        sent_bytes_s=sent_s,
        received_bytes_s=received_s,
        upload_bytes_s_max=limits.upload_rate,
        examining=node.driver.examining,
    )


def plasmid_message(node: Node, plasmid: Plasmid, now: Now) -> pb.Plasmid:
    """One row of the list."""
    row = view.row(node.core, plasmid, now)
    verdict = plasmid.verdict
    return pb.Plasmid(
        name=row["name"],
        content_id=row["content_id"],
        owner=plasmid.manifest.owner,
        domain=row["domain"],
        base_model=row["base"],
        state=row["state"],
        percent=row["percent"],
        outcome=verdict.outcome.value.upper() if verdict else "",
        stage=verdict.stage if verdict else "",
        reason=row["reason"],
        sentence=row["sentence"],
        size_bytes=row["size_bytes"],
        own=row["own"],
        accepted_wall_ms=plasmid.accepted_ms or 0,
        seen_wall_ms=plasmid.seen_ms,
        sha256=row["digest"],
        folder=str(node.home.adapters / plasmid.name) if plasmid.name and plasmid.usable else "",
        limit=row["limit"],
        pinned=row["pinned"],
    )


def kept_message(wish: Wish) -> pb.Plasmid:
    """One row of the list, for bytes that are kept although their manifest is gone."""
    return pb.Plasmid(
        name=wish.name,
        content_id=wish.content_id,
        state=wish.gone,
        percent=100,
        reason="pinned" if wish.pinned else "own",
        size_bytes=wish.size_bytes,
        own=wish.own,
        sha256=wish.digest,
        sentence=f"it is {wish.gone}, and its bytes are kept; `plora rm` deletes them",
        pinned=wish.pinned,
    )
