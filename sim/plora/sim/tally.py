"""Counts what the records of all peers say, live from their cores or again from their logs: both give the same figures.

- A record is taken in the order of its own peer's log; records of different peers may come in any order.
- Whoever accepts holds the bytes: no gate accepts what it hasn't examined. What a peer accepted stays accepted while it
  is down, and ends when it judges otherwise or the adapter is revoked, superseded or expired.
- Whose log a record is in counts, whatever its peer is called by then.
- A hop is counted along causes: whoever has a statement at first hand is 0 away, whoever got it from there is 1 away.

Not handled here: what of it was right (`plora.sim.truth`), frames and bytes on the wire (`links`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from plora.analysis.outcomes import OUTCOMES
from plora.proto.record_lines import CauseLike, Record, record_from_line
from plora.proto.records import (
    Body,
    Duplicate,
    Expired,
    FetchDone,
    Revoked,
    StatementSeen,
    Superseded,
    Suppressed,
    VerdictGiven,
)
from plora.sim.truth import Truth

UNJUDGED, ACCEPTED = -1, 0
_OUTCOME = {"accept": 0, "quarantine": 1, "pending": 2, "defer": 2, "reject": 3}

Name = tuple[str, str, int]
"""Peer, boot and number of a record."""


class Tally:
    """The figures of one simulation so far.

    `verdicts`: (peers, adapters) array of indices into `OUTCOMES`, -1 where there is none; `reasons` beside it.
    """

    def __init__(self, peers: Iterable[str], truth: Sequence[Truth]) -> None:
        self._row = {peer: row for row, peer in enumerate(peers)}
        self._column = {one.content: column for column, one in enumerate(truth)}
        self.verdicts = np.full((len(self._row), len(truth)), UNJUDGED, dtype=np.int8)
        self.reasons: dict[tuple[int, int], str] = {}
        self.heard = self.useless = self.fetched_bytes = 0
        self._causes: dict[Name, Name | None] = {}
        self._take: dict[type[Body], Callable[[int, Any], None]] = {
            VerdictGiven: self._judged,
            Revoked: lambda row, body: self._gone(row, body.target),
            Superseded: lambda row, body: self._gone(row, body.id),
            Expired: lambda row, body: self._gone(row, body.id),
            Duplicate: lambda row, body: self._known(1),
            Suppressed: lambda row, body: self._known(body.count if body.suppressed_kind == Duplicate.kind else 0),
            FetchDone: self._fetched,
        }

    @property
    def accepted(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Who accepted what: (peers, adapters)."""
        found: np.ndarray[Any, np.dtype[np.bool_]] = self.verdicts == ACCEPTED
        return found

    def see(self, name: Name, body: Body, cause: CauseLike | None = None, log: str = "") -> None:
        """Take a record, from the log of the peer that was called `log` at the start if it has another name since.

        Those of peers that were not named at the start count for nothing.
        """
        row = self._row.get(log or name[0])
        if row is None:
            return
        if isinstance(body, StatementSeen):
            self._seen(name, body, cause)
        elif (take := self._take.get(type(body))) is not None:
            take(row, body)

    def hops(self) -> Counter[int]:
        """How many statements came how far from where they were published, over all peers."""
        known: dict[Name, int] = {}
        for name in self._causes:
            path = [name]
            while path[-1] not in known and (cause := self._causes.get(path[-1])) is not None:
                path.append(cause)
            hop = known.get(path[-1], 0)
            for far, one in enumerate(reversed(path)):
                known.setdefault(one, hop + far)
        return Counter(known[name] for name in self._causes)

    def _seen(self, name: Name, body: StatementSeen, cause: CauseLike | None) -> None:
        first = body.via == "publish" or cause is None
        self._causes[name] = None if first or cause is None else (cause.peer, cause.boot, cause.seq)
        self.heard += body.via != "publish"

    def _known(self, count: int) -> None:
        self.heard += count
        self.useless += count

    def _fetched(self, row: int, body: FetchDone) -> None:
        self.fetched_bytes += body.wire_bytes

    def _judged(self, row: int, body: VerdictGiven) -> None:
        column = self._column.get(body.id)
        if column is not None:
            self.verdicts[row, column] = _OUTCOME[body.outcome]
            self.reasons[row, column] = body.reason

    def _gone(self, row: int, content: str) -> None:
        column = self._column.get(content)
        if column is not None:
            self.verdicts[row, column] = UNJUDGED
            self.reasons.pop((row, column), None)


def take_lines(tally: Tally, lines: Iterable[str]) -> None:
    """Take the lines of event logs, those of each peer in their order."""
    for record in map(record_from_line, lines):
        take(tally, record)


def take(tally: Tally, record: Record, log: str = "") -> None:
    """Take one record of a log; `log` as in `Tally.see`."""
    tally.see((record.peer, record.boot, record.seq), record.body, record.cause, log)


def pairs(found: np.ndarray[Any, Any], truth: Sequence[Truth]) -> Mapping[str, Mapping[str, int]]:
    """Pairs of peer and adapter by outcome and by kind, of an array of verdicts."""
    trojan = np.array([one.trojan for one in truth], dtype=bool)
    return {
        outcome: {
            "clean": int((found[:, ~trojan] == index).sum()),
            "trojan": int((found[:, trojan] == index).sum()),
        }
        for index, outcome in enumerate(OUTCOMES)
    }
