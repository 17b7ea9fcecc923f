"""What the desk has written: rows gathered while an event is handled, and what follows from each transaction. Pure.

- All rows of one event go out as one `Persist`; what must wait for it (verdicts to tell, merges to serve, conduct that
  was taken down) is given back with its answer.
- Tokens are the desk's own; `PeerCore` renumbers them.

Not handled: what follows from an answer (`desk`).

>>> from plora.node.store.disk import Delete
>>> transactions = Transactions()
>>> transactions.flush([]) is None
True
>>> transactions.rows.append(Delete("verdicts", b"id"))
>>> persist = transactions.flush([])
>>> transactions.answered(persist.token), len(persist.rows)
(Written(verdicts={}, merges=[], conduct=[]), 1)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from plora.gate import Verdict
from plora.node.core.effects import Persist
from plora.node.core.merge_rows import MergeRow, merge_row
from plora.node.store.disk import RowOp


@dataclass(frozen=True, slots=True)
class Written:
    """What waits for one transaction: verdicts by content id, merges, and whose conduct it holds."""

    verdicts: dict[bytes, Verdict] = field(default_factory=dict)
    merges: list[MergeRow] = field(default_factory=list)
    conduct: list[str] = field(default_factory=list)


class Transactions:
    """Rows that are to be written, and transactions that are on their way."""

    def __init__(self) -> None:
        self.rows: list[RowOp] = []
        self._next = Written()
        self._pending: dict[int, Written] = {}
        self._token = 0

    def judge(self, content_id: bytes, verdict: Verdict) -> None:
        """A verdict is told when what is written now is durable."""
        self._next.verdicts[content_id] = verdict

    def merge(self, row: MergeRow | None) -> None:
        """A merge is served when its row is durable."""
        if row is not None:
            self.rows.append(merge_row(row))
            self._next.merges.append(row)

    def flush(self, conduct: Sequence[RowOp]) -> Persist | None:
        """All that was gathered, with these rows of conduct; None if it is nothing."""
        self.rows += conduct
        if not self.rows:
            return None
        self._token += 1
        self._next.conduct.extend(row.key.hex() for row in conduct)
        self._pending[self._token], self._next = self._next, Written()
        written, self.rows = tuple(self.rows), []
        return Persist(self._token, written)

    def answered(self, token: int) -> Written:
        """What waited for a transaction, whose answer has come."""
        return self._pending.pop(token, None) or Written()

    def awaits(self, content_id: bytes) -> bool:
        """Whether a verdict on a content is on its way to the disk."""
        return any(content_id in later.verdicts for later in self._pending.values())
