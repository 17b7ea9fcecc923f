"""What is read of a peer at each scrape: one reading a number, by the names of `table`.

It runs on the peer's event loop, so that numbers are read between two events and never while the core changes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from plora.node.admin.auditing import audit_numbers
from plora.node.admin.troubles import troubles
from plora.node.core import council_view, view
from plora.node.core.belief_view import rivals
from plora.node.core.now import Now
from plora.node.core.peer import PeerCore
from plora.node.daemon.node import SOFTWARE, Node
from plora.node.transport.identity import Identity
from plora.node.transport.traffic import Traffic

Reading = tuple[str, tuple[str, ...], float]
"""Name of a metric, values of its labels, the number."""

ROOT_BYTES = 6
"""As much of a root as a double holds exactly."""


def readings(node: Node, now: Now, uptime_ms: int) -> Iterator[Reading]:
    """All of one scrape."""
    core, status = node.core, view.status(node.core, now)
    yield from status_readings(status)
    yield from swarm_readings(core, now)
    yield from traffic_readings(node.transport.traffic)
    yield from certificate_readings(node.identity)
    yield "plora_two_contents", (), float(len(rivals(core)))
    for name, count in council_view.counts(core).items():
        yield f"plora_consensus_{name}", (), float(count)
    for name, count in audit_numbers(node).items():
        yield f"plora_audit_{name}", (), float(count)
    yield from _of_the_daemon(node)
    free_bytes = shutil.disk_usage(node.home.root).free
    yield "plora_disk_free_bytes", (), float(free_bytes)
    yield "plora_troubles", (), float(len(troubles(node, status, uptime_ms, free_bytes)))


def status_readings(status: Mapping[str, Any]) -> Iterator[Reading]:
    """Of `plora.node.core.view.status`."""
    for name in ("statements", "links", "held", "held_bytes", "insecure"):
        yield f"plora_{name}", (), float(status[name])
    yield "plora_statements_root", (), float(int.from_bytes(bytes.fromhex(status["root"])[:ROOT_BYTES]))
    yield "plora_served_bytes_total", (), float(status["sent_bytes"])
    for state, count in status["plasmids"].items():
        yield "plora_plasmids", (state,), float(count)
    for one in status["objections"]:
        yield "plora_objections", (one["stage"], one["reason"]), float(one["plasmids"])
    for kind, count in status["reputations"].items():
        yield "plora_reputations", (kind,), float(count)
    if status["freshness"] is not None:
        yield "plora_stale", (), float(status["freshness"]["state"] == "stale")
        yield "plora_fresh_until_timestamp_seconds", (), status["freshness"]["until_ms"] / 1000
    for merge in status["merges"]:
        base = (merge["base"],)
        yield "plora_merge_generation", base, float(merge["generation"])
        yield "plora_merge_inputs", base, float(len(merge["inputs"]))
        yield "plora_merge_failed", base, float(bool(merge["trouble"]))


def swarm_readings(core: PeerCore, now: Now) -> Iterator[Reading]:
    """How this peer stands to its neighbours."""
    links = core.gossip.links
    ready = {link.peer: link.heartbeat.count if link.heartbeat else 0 for link in links.ready()}
    yield "plora_neighbours", (), float(len(links.neighbours))
    yield "plora_neighbours_unlinked", (), float(sum(peer not in ready for peer in links.neighbours))
    yield "plora_statements_behind", (), float(max(0, max(ready.values(), default=0) - core.live_count))
    yield "plora_transfers", (), float(len(core.transfer.progress(now)))


def traffic_readings(traffic: Traffic) -> Iterator[Reading]:
    """What crossed the wire, and who was shown the door."""
    for way in ("sent", "received"):
        for unit in ("frames", "bytes"):
            for frame, count in sorted(getattr(traffic, f"{way}_{unit}").items()):
                yield f"plora_{way}_{unit}_total", (frame,), float(count)
    yield "plora_cut_off_total", (), float(traffic.cut_off)
    yield "plora_repelled_total", (), float(traffic.repelled)


def certificate_readings(identity: Identity) -> Iterator[Reading]:
    """Until when the next handshake's certificate holds."""
    yield "plora_certificate_expiry_timestamp_seconds", (), identity.leaf().expires.timestamp()


def _of_the_daemon(node: Node) -> Iterator[Reading]:
    limits = node.config.limits
    yield "plora_peer_info", (node.core.config.peer, node.name, SOFTWARE), 1.0
    yield "plora_examining", (), float(node.driver.examining)
    yield "plora_store_limit_bytes", (), float(limits.store_max)
    yield "plora_disk_floor_bytes", (), float(limits.disk_free_min)
    yield "plora_reload_failed", (), float(bool(node.reload_trouble))
    yield "plora_event_log_failed", (), float(bool(node.log.trouble))
    yield "plora_isolation_missing", (), float(len(node.lacks))
