"""A line with a limit on its rate, by a virtual clock, and who is left out of it. Pure.

- n bytes keep the line busy for n / rate seconds; a line that was idle has saved up `BURST_MS` of it.
- Links within one's own network are exempt while `limits.lan_exempt` says so.
- That the limit holds something back is a record, at most every `TOLD_MS`.

>>> line = Line("limits.upload_rate", 1000)
>>> now = Now(10**12, 0)
>>> line.occupy(500, now)
>>> line.busy(now), (line.free_ns - now.mono_ns) // 1_000_000
(True, 450)
"""

from __future__ import annotations

from dataclasses import dataclass

from plora.node.core.config import Limits
from plora.node.core.effects import Effect, Emit
from plora.node.core.nearness import is_near
from plora.node.core.now import Now
from plora.proto.records import BoundHit

BURST_MS = 50
TOLD_MS = 600_000


@dataclass(slots=True)
class Line:
    """`rate` bytes a second, 0 for no limit; `setting` names the limit."""

    setting: str
    rate: int
    free_ns: int = 0
    _told_ns: int = 0

    def busy(self, now: Now) -> bool:
        """Whether nothing more may go now; it may again at `free_ns`."""
        return bool(self.rate) and self.free_ns > now.mono_ns

    def occupy(self, cost: int, now: Now) -> None:
        """So many bytes go."""
        if self.rate:
            begin_ns = max(self.free_ns, now.mono_ns - BURST_MS * 1_000_000)
            self.free_ns = begin_ns + cost * 1_000_000_000 // self.rate

    def at_rate(self, rate: int, now: Now) -> None:
        """Another rate from now on; what the old one had the line wait for is forgotten."""
        self.rate, self.free_ns = rate, min(self.free_ns, now.mono_ns)

    def told(self, waiting_bytes: int, now: Now) -> list[Effect]:
        """The record that so much waits for the line, unless it was made not long ago."""
        if self._told_ns and now.mono_ns < self._told_ns + TOLD_MS * 1_000_000:
            return []
        self._told_ns = now.mono_ns
        return [Emit(BoundHit(self.setting, self.rate, waiting_bytes))]


class Neighbourhood:
    """Which peers (and callers) are within one's own network."""

    def __init__(self, limits: Limits) -> None:
        self._exempting = limits.lan_exempt
        self._near: dict[str, bool] = {}

    def opened(self, peer: str, host: str) -> None:
        """A link or call leads there."""
        self._near[peer] = is_near(host)

    def closed(self, peer: str) -> None:
        """It is over."""
        self._near.pop(peer, None)

    def changed(self, limits: Limits) -> None:
        """Other limits from now on."""
        self._exempting = limits.lan_exempt

    def exempt(self, peer: str) -> bool:
        """Whether the rates don't count for a peer."""
        return self._exempting and self._near.get(peer, False)
