"""One line of `plora ls`: the columns of a plasmid as people read them."""

from __future__ import annotations

from typing import Any

WAITS_FOR_YOU = "offered"


def plasmid_row(plasmid: Any) -> dict[str, object]:
    """The columns of a `Plasmid` message.

    >>> from plora.v1.admin_pb2 import Plasmid
    >>> row = plasmid_row(Plasmid(state="pending", reason="limits.store_max", limit="16 KiB", size_bytes=2 << 20))
    >>> row["size"], row["reason"]
    ('2 MiB', 'limits.store_max 16 KiB')
    """
    from plora.proto.amounts import size_text

    reason = f"{plasmid.reason} {plasmid.limit}".strip()
    words = [word for word, true in (("own", plasmid.own), ("pinned", plasmid.pinned)) if true]
    return {
        "name": plasmid.name,
        "domain": plasmid.domain,
        "base_model": plasmid.base_model,
        "size": size_text(plasmid.size_bytes),
        "state": "waiting for you" if plasmid.state == WAITS_FOR_YOU else plasmid.state,
        "percent": f"{plasmid.percent:.0f} %",
        "reason": reason,
        "own": " ".join(words),
    }
