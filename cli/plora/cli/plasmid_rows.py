"""One line of `plora ls`: the columns of a plasmid as people read them."""

from __future__ import annotations

from typing import Any

SHOWN = {"offered": "waiting for you"}
"""States that people read by other words than JSON has."""


def state_word(state: str) -> str:
    """A state as the table shows it."""
    return SHOWN.get(state, state)


def state_of(word: str) -> str:
    """The inverse of `state_word`."""
    return next((state for state, shown in SHOWN.items() if shown == word), word)


def plasmid_row(plasmid: Any) -> dict[str, object]:
    """The columns of a `Plasmid` message.

    >>> from plora.v1.admin_pb2 import Plasmid
    >>> row = plasmid_row(Plasmid(state="pending", reason="limits.store_max", limit="16 KiB", size_bytes=2 << 20))
    >>> row["size"], row["reason"]
    ('2 MiB', 'limits.store_max 16 KiB')
    """
    from plora.proto.amounts import size_text

    reason = f"{plasmid.reason} {plasmid.limit}".strip()
    words = [word for word, true in (("published", plasmid.own), ("pinned", plasmid.pinned)) if true]
    return {
        "name": plasmid.name,
        "domain": plasmid.domain,
        "base_model": plasmid.base_model,
        "size": size_text(plasmid.size_bytes),
        "state": state_word(plasmid.state),
        "percent": f"{plasmid.percent:.0f} %",
        "reason": reason,
        "yours": " ".join(words),
    }
