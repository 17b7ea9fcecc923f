"""One open link, as gossip keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field

from plora.node.core.messages import Heartbeat, Hello
from plora.node.core.now import Now
from plora.proto.host_port import split

RANGES_PER_ROUND = 8192
FRAME_RANGES = 16
"""What a frame costs beside its ranges, counted in ranges."""


@dataclass(slots=True)
class Link:
    """One open link; `hello` is the newest that came, `heartbeat` likewise, `announced` the contents it serves.

    `address` is where the peer was dialed, or seen to come from; `ahead_ms` is how far its clock went before this one's
    at the newest heartbeat; `felt`: it was tried whether it can be dialed. `ranges_owed`: how many more ranges of
    reconciliation came than time has paid for until `ranges_ns`. `forwarded`: it comes from this machine to a peer that
    listens to others too, so some forwarder (a container's, `ssh -R`) may stand between.
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
    ranges_owed: int = 0
    ranges_ns: int = 0
    forwarded: bool = False

    def owes_ranges(self, count: int, now: Now, round_ms: int) -> int:
        """Count the ranges of one more frame; `RANGES_PER_ROUND` of them are paid for in each round's time."""
        paid = (now.mono_ns - self.ranges_ns) * RANGES_PER_ROUND // (round_ms * 1_000_000)
        self.ranges_owed, self.ranges_ns = max(0, self.ranges_owed - paid) + FRAME_RANGES + count, now.mono_ns
        return self.ranges_owed

    @property
    def host(self) -> str:
        """The host of `address`; empty where none is known, as behind a forwarder on this machine."""
        parts = None if self.forwarded else split(self.address)
        return parts[0] if parts else ""
