"""How many records of one kind a peer may cause: repetition must not be able to fill the event log. Pure.

- Duplicates count by the link that brought them, reached bounds by setting and by the peer whose frame reached it,
  repelled strangers all together: their hosts are theirs to choose.
- In a span of `SPAN_MS`, `PER_SPAN` of them are recorded; the others are counted, and told by one `suppressed` record
  when the span is over (looked at with every timer) or the link is closed.
- Not handled here: offences (`patience`), the size of the log (`plora.node.eventlog`).

>>> from plora.node.core.events import TimerDue
>>> throttle = Throttle()
>>> seen = Emit(Duplicate("ab" * 32, "bob", "push"))
>>> len(throttle.watch(TimerDue("gossip:beat"), [seen] * 1000, Now(0, 0)))
256
>>> throttle.watch(TimerDue("gossip:beat"), [], Now(SPAN_MS * 1_000_000, 0))
[Emit(body=Suppressed(suppressed_kind='duplicate', subject='bob', count=744), cause=None)]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plora.node.core.effects import Effect, Emit
from plora.node.core.events import Event, LinkClosed, TimerDue
from plora.node.core.now import Now
from plora.proto.records import BoundHit, Duplicate, Repelled, Suppressed

SPAN_MS = 60_000
PER_SPAN: Mapping[type, int] = {Duplicate: 256, BoundHit: 16, Repelled: 16}

_Key = tuple[str, str, str]


@dataclass(slots=True)
class _Span:
    until_ns: int
    recorded: int = 0
    left_out: int = 0


class Throttle:
    """Counts records by kind and cause."""

    def __init__(self) -> None:
        self._spans: dict[_Key, _Span] = {}

    def watch(self, event: Event, effects: list[Effect], now: Now) -> list[Effect]:
        """The effects of an event without records beyond the bound, and the counts of spans that are over."""
        over = self._over(event, now)
        peer = getattr(event, "peer", "")
        kept = [
            effect
            for effect in effects
            if not isinstance(effect, Emit)
            or (limit := PER_SPAN.get(type(effect.body))) is None
            or self._recorded(effect, limit, peer, now)
        ]
        return [*over, *kept]

    def _recorded(self, effect: Emit, limit: int, peer: str, now: Now) -> bool:
        key = _key_of(effect, peer)
        span = self._spans.setdefault(key, _Span(now.after_ms(SPAN_MS)))
        if span.recorded < limit:
            span.recorded += 1
            return True
        span.left_out += 1
        return False

    def _over(self, event: Event, now: Now) -> list[Effect]:
        closed = event.peer if isinstance(event, LinkClosed) else None
        if closed is None and not isinstance(event, TimerDue):
            return []
        over = [key for key, span in self._spans.items() if span.until_ns <= now.mono_ns or key[2] == closed]
        spans = [(key, self._spans.pop(key)) for key in over]
        return [Emit(Suppressed(key[0], key[1], span.left_out)) for key, span in spans if span.left_out]


def _key_of(record: Emit, peer: str) -> _Key:
    """Kind, subject and peer."""
    body = record.body
    if isinstance(body, Duplicate):
        return (body.kind, body.from_, body.from_)
    subject = "strangers" if isinstance(body, Repelled) else getattr(body, "setting", "")
    return (body.kind, subject, peer)
