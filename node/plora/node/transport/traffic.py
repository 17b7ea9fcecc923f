"""Counts of frames and bytes by frame name, and of who was shown the door, for the `wire` record and the metrics."""

from __future__ import annotations

from collections import Counter

from plora.node.core.messages import Message

UNKNOWN = "unknown"


class Traffic:
    """What passed in both directions since the counters were last taken.

    >>> from plora.node.core.messages import Welcome
    >>> traffic = Traffic()
    >>> traffic.received(Welcome(1), 4)
    >>> traffic.received_frames["Welcome"], traffic.received_bytes["Welcome"]
    (1, 4)
    """

    def __init__(self) -> None:
        self.sent_frames: Counter[str] = Counter()
        self.sent_bytes: Counter[str] = Counter()
        self.received_frames: Counter[str] = Counter()
        self.received_bytes: Counter[str] = Counter()
        self.cut_off = 0
        self.repelled = 0

    def sent(self, message: Message, size_bytes: int) -> None:
        """A frame was handed to the wire or its queue."""
        name = type(message).__name__
        self.sent_frames[name] += 1
        self.sent_bytes[name] += size_bytes

    def received(self, message: Message | None, size_bytes: int) -> None:
        """A frame came; None is one of a kind that this version doesn't know."""
        name = UNKNOWN if message is None else type(message).__name__
        self.received_frames[name] += 1
        self.received_bytes[name] += size_bytes
