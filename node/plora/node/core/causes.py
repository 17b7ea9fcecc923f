"""Which record led to which: `cause` in the event log, and in the statements that leave. Pure.

- The core is the only source of records (what the driver has to say comes in as `Noted`), so the n-th `Emit` of a boot
  is the record of `seq` n: it can be named before it is written.
- A statement under way carries the name of its sender's `statement_seen` record, and the receiver's `statement_seen` or
  `duplicate` record gives that as its cause. So the tree of a statement's paths needs no clock.
- A statement that was seen in an earlier boot carries none: its `statement_seen` stands in that boot's log, and the
  receiver's record still says from whom it came.

>>> causes = Causes("ab" * 32, "01")
>>> seen = Emit(StatementSeen("cd" * 32, "manifest", "ab" * 32, "publish", 0))
>>> causes.number([seen]) == [seen]
True
>>> causes.of(b"\\xcd" * 32)
Cause(peer='abababababababababababababababababababababababababababababababab', boot='01', seq=0)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from plora.node.core.effects import Effect, Emit, Send
from plora.node.core.messages import Carried, Cause, Have, Push
from plora.proto.records import StatementSeen


class Causes:
    """The numbers of one boot's records, as far as others will ask for them."""

    def __init__(self, peer: str, boot: str) -> None:
        self._peer = peer
        self._boot = boot
        self._seq = 0
        self._seen: dict[bytes, int] = {}

    def number(self, effects: Iterable[Effect]) -> list[Effect]:
        """The effects in the order in which they are carried out, with causes in the statements that leave."""
        numbered: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Emit):
                if isinstance(effect.body, StatementSeen):
                    self._seen[bytes.fromhex(effect.body.id)] = self._seq
                self._seq += 1
                numbered.append(effect)
            else:
                numbered.append(self._told(effect) if isinstance(effect, Send) else effect)
        return numbered

    def of(self, statement_id: bytes) -> Cause | None:
        """The record by which a statement became known in this boot."""
        seq = self._seen.get(statement_id)
        return None if seq is None else Cause(self._peer, self._boot, seq)

    def forget(self, statement_ids: Iterable[bytes]) -> None:
        """These left the live set: nobody will be sent them."""
        for statement_id in statement_ids:
            self._seen.pop(statement_id, None)

    def _told(self, send: Send) -> Send:
        if not isinstance(send.message, (Push, Have)):
            return send
        items = tuple(self._caused(item) for item in send.message.items)
        return replace(send, message=replace(send.message, items=items))

    def _caused(self, item: Carried) -> Carried:
        return replace(item, cause=self.of(item.statement.id))
