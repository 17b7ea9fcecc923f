"""One open link, as gossip keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field

from plora.node.core.messages import Heartbeat, Hello
from plora.node.gossip.addresses import split


@dataclass(slots=True)
class Link:
    """One open link; `hello` is the newest that came, `heartbeat` likewise, `announced` the contents it serves.

    `address` is where the peer was dialed, or seen to come from; `ahead_ms` is how far its clock went before this one's
    at the newest heartbeat; `felt`: it was tried whether it can be dialed.
    """

    peer: str
    dialed: bool
    opened_ns: int
    heard_ns: int
    address: str = ""
    hello: Hello | None = None
    welcomed: bool = False
    ready: bool = False
    closing: bool = False
    felt: bool = False
    heartbeat: Heartbeat | None = None
    ahead_ms: int | None = None
    announced: dict[bytes, None] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The host of `address`; empty where none is known."""
        parts = split(self.address)
        return parts[0] if parts else ""
