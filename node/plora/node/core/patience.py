"""How many offences a link may bring before it is cut: what a peer sends must not be able to fill the event log.

- Each penalty of a peer counts on its present link. With the last one that is allowed the link is cut; what still
  arrives until it is closed is recorded no more.
- A closed link starts at zero. Dialing again costs the offender a handshake, and `redial` waits.
- Not handled here: what an offence is (gossip and transfer say so), and reputation over links.
"""

from __future__ import annotations

from plora.node.core.effects import Effect, Emit, HangUp
from plora.node.core.events import Event, LinkClosed
from plora.proto.records import Penalty

PENALTIES_PER_LINK_MAX = 16


class Patience:
    """Counts penalties by peer, as long as its link lives."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def watch(self, event: Event, effects: list[Effect]) -> list[Effect]:
        """The effects of an event, without penalties beyond the bound, and with the cut of the link that reached it."""
        kept: list[Effect] = []
        for effect in effects:
            if not (isinstance(effect, Emit) and isinstance(effect.body, Penalty)):
                kept.append(effect)
                continue
            subject = effect.body.subject
            count = self._counts[subject] = self._counts.get(subject, 0) + 1
            if count <= PENALTIES_PER_LINK_MAX:
                kept.append(effect)
            if count == PENALTIES_PER_LINK_MAX:
                kept.append(HangUp(subject, "too many offences"))
        if isinstance(event, LinkClosed):
            self._counts.pop(event.peer, None)
        return kept
