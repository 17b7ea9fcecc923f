"""`plora status` as one screen of text: first what is wrong, then who, with whom, what, and how much.

Pure: replies of the admin service in, lines out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from plora.cli.measure_lines import measure_lines
from plora.node.reach import sentence_of
from plora.proto.amounts import rate_text, size_text, span_text
from plora.v1 import admin_pb2 as pb

STATES = (
    *("own", "accepted", "carried", "fetching", "examining", "pending", "deferred", "waiting", "offered", "unwanted"),
    *("quarantined", "refused", "removed", "superseded", "expired", "evicted"),
)
"""The order in which people read states of plasmids; a state that is not here comes last."""

DOWN_SHOWN = 5
_LABEL = 12


def status_lines(status: pb.StatusReply, peers: Sequence[pb.PeerInfo], merges: Sequence[pb.MergeInfo]) -> Iterator[str]:
    """The screen. The first line is what is wrong, if anything is."""
    yield from (f"! {trouble}" for trouble in status.warnings)
    yield headline(status)
    yield _row("peer", status.peer)
    yield _row("swarm", f"{status.swarm}  {status.swarm_name}")
    yield _row("listens", status.listen)
    yield from _labelled("neighbours", neighbour_lines(status, peers))
    yield _row("plasmids", plasmid_text(status))
    yield _row("statements", f"{status.statements}, root {status.root[:12]}, round {status.round}")
    yield from _labelled("merges", [line for one in merges for line in merge_lines(one)] or ["none yet"])
    yield _row("disk", disk_text(status))
    yield _row("rates", rates_text(status))


def headline(status: pb.StatusReply) -> str:
    """Who this peer is, and for how long."""
    return f"{status.name}  ·  up {span_text(status.uptime_ms)}  ·  plora {status.version}"


def neighbour_lines(status: pb.StatusReply, peers: Sequence[pb.PeerInfo]) -> list[str]:
    """How many are linked, and each configured neighbour that is not, with the reason."""
    configured = [one for one in peers if one.configured]
    up = sum(one.state == "up" for one in configured)
    more = status.links - up
    others = f", {more} other{'s' if more != 1 else ''}" if more > 0 else ""
    down = [f"{one.nickname or one.peer[:12]} {_reason(one)}" for one in configured if one.state != "up"]
    left = [f"and {len(down) - DOWN_SHOWN} more; see `plora peers`"] if len(down) > DOWN_SHOWN else []
    return [f"{up} of {len(configured)} connected{others}", *down[:DOWN_SHOWN], *left]


def plasmid_text(status: pb.StatusReply) -> str:
    """How many there are in each state."""
    counts = dict(status.plasmids)
    ordered = sorted(counts, key=lambda state: (STATES.index(state) if state in STATES else len(STATES), state))
    return ", ".join(f"{counts[state]} {state}" for state in ordered) or "none yet"


def merge_lines(merge: pb.MergeInfo) -> list[str]:
    """One base's merge, and what it brings."""
    return [merge_text(merge), *(measure_lines(merge) if merge.generation else ())]


def merge_text(merge: pb.MergeInfo) -> str:
    """One base's merge in a few numbers."""
    inputs = f"{len(merge.inputs)} adapter{'s' if len(merge.inputs) != 1 else ''}"
    lost = f"{merge.discarded_energy:.1%} of energy discarded"
    return f"{merge.base_model}: {inputs}, generation {merge.generation}, {lost}"


def disk_text(status: pb.StatusReply) -> str:
    """What is used and free, each with its limit."""
    most = f" of {size_text(status.store_bytes_max)} (store_max)" if status.store_bytes_max else ""
    floor = f", {size_text(status.disk_free_bytes_min)} stay free (disk_free_min)" if status.disk_free_bytes_min else ""
    return f"{size_text(status.store_bytes)}{most}  ·  {size_text(status.disk_free_bytes)} free on the disk{floor}"


def rates_text(status: pb.StatusReply) -> str:
    """Bytes a second now, and bytes since the start, both ways."""
    most = f" (upload_rate {rate_text(status.upload_bytes_s_max)})" if status.upload_bytes_s_max else ""
    now = f"up {rate_text(status.sent_bytes_s)}{most}, down {rate_text(status.received_bytes_s)}"
    return f"{now}  ·  since the start {size_text(status.sent_bytes)} sent, {size_text(status.received_bytes)} received"


def _reason(peer: pb.PeerInfo) -> str:
    return f"{peer.state}: {sentence_of(peer.last_error)}" if peer.last_error else peer.state


def _labelled(label: str, lines: Sequence[str]) -> Iterator[str]:
    for place, line in enumerate(lines):
        yield _row("" if place else label, line)


def _row(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}{text}"
