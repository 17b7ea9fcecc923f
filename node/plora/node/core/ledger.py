"""The one way from an emitted body to a line of the event log: daemon, simulator and replay all use it.

`seq` counts from 0 without gaps within a boot, as `plora.node.core.causes` does in advance. `round` is the number of
rounds this peer has begun, counted by its own `round` records. Equal bodies at equal times give equal lines.

>>> from plora.node.core.now import Now
>>> from plora.proto.records import Stop
>>> Ledger("ab" * 32, "b1").line(Stop("done"), Now(5, 7))[:30]
'{"boot":"b1","cause":null,"kin'
"""

from __future__ import annotations

from plora.node.core.now import Now
from plora.proto.record_lines import CauseLike, Record, record_to_line, stamp
from plora.proto.records import Body, Round


class Ledger:
    """The header's counters of one boot."""

    def __init__(self, peer: str, boot: str) -> None:
        self.seq = 0
        self.round_number = 0
        self._peer = peer
        self._boot = boot

    def line(self, body: Body, now: Now, cause: CauseLike | None = None) -> str:
        """The next line of the log, with its line feed."""
        return record_to_line(self.record(body, now, cause))

    def record(self, body: Body, now: Now, cause: CauseLike | None = None) -> Record:
        """The next record of the log."""
        if isinstance(body, Round):
            self.round_number += 1
        record = stamp(
            body, peer=self._peer, boot=self._boot, seq=self.seq, now=now, round_number=self.round_number, cause=cause
        )
        self.seq += 1
        return record
