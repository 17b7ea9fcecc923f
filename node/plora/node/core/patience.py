"""How many offences a link may bring before its peer is cut off: what it sends must not be able to fill the event log.

- Each penalty of a peer counts on its present link. With the last one that is allowed the link is hung up and the peer
  is kept out for what `shun_ms` gives for it; what still arrives until the link is closed is recorded no more.
- What nobody honest sends (`AT_ONCE`) is one too many.
- A closed link starts at zero. The oldest of more than `SUBJECTS_MAX` counts is forgotten.
- Not handled here: what an offence is (gossip and transfer say so), what is remembered of it over links
  (`reputations`).
"""

from __future__ import annotations

from collections.abc import Callable

from plora.node.core.effects import CutOff, Effect, Emit, HangUp
from plora.node.core.events import Event, LinkClosed
from plora.node.core.now import Now
from plora.proto.records import Penalty

PENALTIES_PER_LINK_MAX = 16
SUBJECTS_MAX = 1024
AT_ONCE = ("bad_chunk", "bad_chunk_list", "unrequested_chunk")


class Patience:
    """Counts penalties by peer, as long as its link lives."""

    def __init__(self, shun_ms: Callable[[str, Now], int]) -> None:
        self._shun_ms = shun_ms
        self._counts: dict[str, int] = {}

    def watch(self, event: Event, effects: list[Effect], now: Now) -> list[Effect]:
        """The effects of an event, without penalties beyond the bound, and with the cut of the peer that reached it."""
        kept: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Emit) and isinstance(effect.body, Penalty):
                kept += self._counted(effect, effect.body, now)
            else:
                kept.append(effect)
        if isinstance(event, LinkClosed):
            self._counts.pop(event.peer, None)
        return kept

    def _counted(self, effect: Emit, penalty: Penalty, now: Now) -> list[Effect]:
        subject, at_once = penalty.subject, penalty.reason in AT_ONCE
        before = self._counts.pop(subject, 0)
        count = self._counts[subject] = max(before + 1, PENALTIES_PER_LINK_MAX if at_once else 0)
        while len(self._counts) > SUBJECTS_MAX:
            del self._counts[next(iter(self._counts))]
        if before >= PENALTIES_PER_LINK_MAX:
            return []
        if count < PENALTIES_PER_LINK_MAX:
            return [effect]
        reason = penalty.reason if at_once else "too many offences"
        return [effect, HangUp(subject, reason), CutOff(subject, now.after_ms(self._shun_ms(subject, now)))]
