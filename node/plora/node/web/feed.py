"""The event log as server-sent events: what happened lately, then what happens, with a beat while nothing does.

- Records come from the log's own lines; what is quiet (rounds, traffic, passed stages) is left out.
- A stream begins with `hello` (the boot), then the newest `KEPT` records after the one that the reader names, then each
  record as it is written. A `beat` at least every `BEAT_S` tells the reader that the peer lives.
- A reader that doesn't keep up is let go of when `BEHIND_MAX` records wait for it; it comes back and asks for what it
  missed. At most `STREAMS_MAX` read at a time.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

from plora.proto.records import is_quiet

KEPT = 500
BEAT_S = 1.0
RETRY_MS = 500
BEHIND_MAX = 1000
STREAMS_MAX = 16


@dataclass(frozen=True, slots=True)
class _Told:
    seq: int
    line: str


class Feed:
    """The streams of one boot. `follow` subscribes to the log's lines; `past` are those that it has already."""

    def __init__(self, boot: str, past: Iterable[str], follow: Callable[[Callable[[str], None]], object]) -> None:
        self._boot = boot
        self._recent: deque[_Told] = deque(maxlen=KEPT)
        self._readers: list[asyncio.Queue[_Told | None]] = []
        for line in past:
            self._take(line)
        follow(self._take)

    @property
    def full(self) -> bool:
        """Whether as many read as may."""
        return len(self._readers) >= STREAMS_MAX

    def close(self) -> None:
        """End all streams."""
        for queue in tuple(self._readers):
            self._let_go(queue)

    async def stream(self, last_id: str = "") -> AsyncIterator[str]:
        """Server-sent events after the record whose id the reader saw last, until it leaves or is let go of."""
        queue: asyncio.Queue[_Told | None] = asyncio.Queue()
        self._readers.append(queue)
        missed = [one for one in self._recent if one.seq > self._seen(last_id)]
        try:
            yield f"retry: {RETRY_MS}\n" + _event("hello", json.dumps({"boot": self._boot}))
            for told in missed:
                yield self._record(told)
            while (news := await _next(queue)) is not None:
                yield news if isinstance(news, str) else self._record(news)
        finally:
            if queue in self._readers:
                self._readers.remove(queue)

    def _take(self, line: str) -> None:
        record = json.loads(line)
        if is_quiet(record) or (self._recent and record["seq"] <= self._recent[-1].seq):
            return
        told = _Told(record["seq"], line.rstrip("\n"))
        self._recent.append(told)
        for queue in tuple(self._readers):
            if queue.qsize() < BEHIND_MAX:
                queue.put_nowait(told)
            else:
                self._let_go(queue)

    def _let_go(self, queue: asyncio.Queue[_Told | None]) -> None:
        self._readers.remove(queue)
        queue.put_nowait(None)

    def _seen(self, last_id: str) -> int:
        boot, _, seq = last_id.partition("-")
        return int(seq) if boot == self._boot and seq.isdecimal() else -1

    def _record(self, told: _Told) -> str:
        return _event("record", told.line, f"{self._boot}-{told.seq}")


async def _next(queue: asyncio.Queue[_Told | None]) -> _Told | str | None:
    try:
        async with asyncio.timeout(BEAT_S):
            return await queue.get()
    except TimeoutError:
        return _event("beat", "{}")


def _event(name: str, data: str, id_: str = "") -> str:
    """One event; `data` is one line of JSON, so it holds no line feed."""
    return f"{f'id: {id_}' + chr(10) if id_ else ''}event: {name}\ndata: {data}\n\n"
