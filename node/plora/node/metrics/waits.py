"""How long plasmids of others took from first sight to first acceptance. Pure.

A verdict is on record once it is durable, which is later than it was given, and an adapter may be accepted again after
it was held back. So each is told once; who was told of is kept as long as it is live.
"""

from __future__ import annotations

from collections.abc import Mapping

from plora.node.core.plasmid import Plasmid

SPARE = 64


class Waits:
    """Of the live plasmids of one peer, by content id; what was accepted before `since_ms` (since 1970) is left out."""

    def __init__(self, live: Mapping[bytes, Plasmid], since_ms: int) -> None:
        self._live = live
        self._since_ms = since_ms
        self._told: set[bytes] = set()

    def seconds(self, content_id: bytes) -> float | None:
        """What the wait came to of a plasmid whose acceptance is on record now; None where it isn't the first."""
        plasmid = self._live.get(content_id)
        if plasmid is None or plasmid.own or content_id in self._told:
            return None
        if plasmid.accepted_ms is None or plasmid.accepted_ms < self._since_ms:
            return None
        self._told.add(content_id)
        if len(self._told) > 2 * len(self._live) + SPARE:
            self._told &= self._live.keys()
        return max(0, plasmid.accepted_ms - plasmid.seen_ms) / 1000
