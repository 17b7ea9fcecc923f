"""Reconciliations under way: at most one that this peer began with each neighbour, and one that the neighbour began.

Rules:

- Session numbers tell who began: of a pair the smaller peer id draws even ones, the other odd ones. A frame of an own
  session that is no longer current is stale and ignored.
- A session has at most `reconcile_legs` frames, both directions together.
- A session that isn't finished is replaced by the next one; nothing else is lost, for answers keep no state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from plora.node.core.messages import Range
from plora.node.gossip.reconcile import BRANCH, range_bytes

_NUMBERS = 1 << 32


@dataclass(slots=True)
class Session:
    """One reconciliation: frames and their bytes so far, statements missing on either side.

    `ranges_max`: no honest frame that comes next has more ranges. `unread`: something that the neighbour holds was
    missing here, or wasn't compared.
    """

    number: int
    ranges_max: int = 1
    legs: int = 0
    wire_bytes: int = 0
    items: int = 0
    unread: bool = False

    def leg(self, ranges: tuple[Range, ...]) -> None:
        """Count one frame."""
        self.legs += 1
        self.wire_bytes += sum(range_bytes(each) for each in ranges)


@dataclass(slots=True)
class Sessions:
    """The sessions of the peer `me`; numbers start somewhere random, so that no two boots are taken for one."""

    me: str
    rng: Random
    _own: dict[str, Session] = field(default_factory=dict)
    _theirs: dict[str, Session] = field(default_factory=dict)
    _last: int = -1

    def begin(self, peer: str) -> Session:
        """A new session of one's own with a neighbour."""
        self._last = (self.rng.randrange(_NUMBERS) if self._last < 0 else self._last + 2) % _NUMBERS
        number = self._last & ~1 | self._parity(peer)
        self._own[peer] = Session(number, ranges_max=BRANCH)
        return self._own[peer]

    def of_frame(self, peer: str, number: int) -> Session | None:
        """The session that a frame belongs to; None for a stale one."""
        if number % 2 == self._parity(peer):
            own = self._own.get(peer)
            return own if own is not None and own.number == number else None
        theirs = self._theirs.get(peer)
        if theirs is None or theirs.number != number:
            theirs = self._theirs[peer] = Session(number)
        return theirs

    def end(self, peer: str, session: Session) -> None:
        """A session is over."""
        for sessions in (self._own, self._theirs):
            if sessions.get(peer) is session:
                del sessions[peer]

    def lost(self, peer: str) -> None:
        """The link with a neighbour is gone."""
        self._own.pop(peer, None)
        self._theirs.pop(peer, None)

    def _parity(self, peer: str) -> int:
        return 0 if self.me < peer else 1
