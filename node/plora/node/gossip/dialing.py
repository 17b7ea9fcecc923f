"""Whom to dial and when: configured neighbours, with a back-off that doubles and is jittered.

Rules:

- A neighbour without a link is dialed at once, then after `REDIAL_MS_MIN` doubled with each failure up to
  `redial_ms_max`, times a random factor of [0.5, 1); a link that got ready ends the series.
- Addresses are those configured, then those known by peer exchange (`further`).
- At most `links_out` links are dialed at once.
- Not handled here: links that exist (`links`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from plora.node.core.effects import Dial
from plora.node.core.messages import PeerAddress
from plora.node.core.now import Now

REDIAL_MS_MIN = 500


@dataclass(slots=True)
class _Target:
    addresses: tuple[str, ...]
    failures: int = 0
    due_ns: int = 0
    dialing: bool = False
    linked: bool = False


class Dialing:
    """The neighbours that this peer dials."""

    def __init__(
        self,
        neighbours: tuple[PeerAddress, ...],
        links_out: int,
        redial_ms_max: int,
        rng: Random,
        further: Callable[[str], tuple[str, ...]],
    ) -> None:
        self._targets = {each.peer: _Target(each.addresses) for each in neighbours}
        self._links_out = links_out
        self._redial_ms_max = redial_ms_max
        self._rng = rng
        self._further = further

    def __contains__(self, peer: str) -> bool:
        return peer in self._targets

    @property
    def peers(self) -> tuple[str, ...]:
        """The configured neighbours, in the configuration's order."""
        return tuple(self._targets)

    def replace(self, neighbours: tuple[PeerAddress, ...]) -> list[str]:
        """Take over the configured neighbours; the ones that are no longer there come back."""
        wanted = {each.peer: each.addresses for each in neighbours}
        gone = [peer for peer in self._targets if peer not in wanted]
        for peer in gone:
            del self._targets[peer]
        for peer, addresses in wanted.items():
            self._targets.setdefault(peer, _Target(addresses)).addresses = addresses
        return gone

    def linked(self, peer: str) -> None:
        """There is a link with the peer, whoever dialed."""
        if target := self._targets.get(peer):
            target.linked, target.dialing = True, False

    def released(self, peer: str) -> None:
        """The old link with the peer is gone; the back-off set before goes on."""
        if target := self._targets.get(peer):
            target.linked = False

    def succeeded(self, peer: str) -> None:
        """The link with the peer got ready."""
        if target := self._targets.get(peer):
            target.failures = 0

    def failed(self, peer: str, now: Now, retry_after_ms: int = 0) -> None:
        """There is no link with the peer (any more): dial again after a while."""
        target = self._targets.get(peer)
        if target is None:
            return
        wait_ms = min(self._redial_ms_max, REDIAL_MS_MIN << min(target.failures, 20)) * self._rng.uniform(0.5, 1.0)
        target.failures += 1
        target.linked = target.dialing = False
        target.due_ns = now.after_ms(max(int(wait_ms), min(retry_after_ms, self._redial_ms_max)))

    def due(self, now: Now) -> list[Dial]:
        """The dials that are due, within `links_out`."""
        busy = sum(target.dialing or target.linked for target in self._targets.values())
        dials = []
        for peer, target in self._targets.items():
            addresses = tuple(dict.fromkeys((*target.addresses, *self._further(peer))))
            if busy >= self._links_out or target.dialing or target.linked or target.due_ns > now.mono_ns:
                continue
            if addresses:
                target.dialing = True
                busy += 1
                dials.append(Dial(peer, addresses))
        return dials

    def next_due_ns(self) -> int | None:
        """When the next dial is due; None when nobody waits to be dialed."""
        waiting = [target.due_ns for target in self._targets.values() if not (target.dialing or target.linked)]
        return min(waiting, default=None)
