"""The invitations of one peer: which tickets are open, who came by which; a pure state machine.

Rules:

- An invitation is known by the public key that its ticket's token stands for. The token itself is nowhere in here.
- It is good until it was used, revoked or has expired. It is used by at most one peer: `use` takes it at once, and the
  caller makes that durable before anything is handed over, or gives it back by `restore`.
- At most `open_max` are open. Who came is remembered, the newest `JOINED_MAX`; expired ones are forgotten after a week.
- Every change gives the rows that make it durable.

| table | key | value |
|---|---|---|
| `invitations` | public key, 32 bytes | name, made, expires; peer and time when it was used; JSON |

Not handled here: tickets and keys (`plora.node.transport.invitation`), the reply (`plora.node.daemon.joins`).

>>> book = Invitations((), open_max=1)
>>> [row.table for row in book.invite(Invitation(bytes(32), "bob", made_ms=0, expires_ms=10), now_ms=0)]
['invitations']
>>> [one.name for one in book.open(now_ms=9)], book.open(now_ms=10)
(['bob'], [])
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from plora.node.store.disk import Delete, Put, RowOp
from plora.proto.errors import RefusedError, StoreError

INVITATIONS = "invitations"
JOINED_MAX = 1024
FORGOTTEN_AFTER_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Invitation:
    """One ticket as the inviter knows it. `peer` came by it at `joined_ms`; empty and 0 while nobody did."""

    key: bytes
    name: str
    made_ms: int
    expires_ms: int
    peer: str = ""
    joined_ms: int = 0

    def state(self, now_ms: int) -> str:
        """`open`, `expired` or `joined`."""
        if self.peer:
            return "joined"
        return "open" if now_ms < self.expires_ms else "expired"


class Invitations:
    """All that are open, and who came by those that were used."""

    def __init__(self, rows: Iterable[tuple[bytes, bytes]], open_max: int) -> None:
        self._known = {key: _decoded(key, value) for key, value in rows}
        self.open_max = open_max

    def all(self) -> list[Invitation]:
        """Every one that is remembered, the oldest first."""
        return sorted(self._known.values(), key=lambda one: (one.made_ms, one.key))

    def open(self, now_ms: int) -> list[Invitation]:
        """Those that are good now."""
        return [one for one in self.all() if one.state(now_ms) == "open"]

    def invite(self, invitation: Invitation, now_ms: int) -> list[RowOp]:
        """One more open ticket. `RefusedError` names the setting where there are too many."""
        if len(self.open(now_ms)) >= self.open_max:
            raise RefusedError(
                f"{self.open_max} tickets are open, which is the limit (limits.invitations_max)",
                mend="take some back by `plora invite NAME --revoke`, or wait until they expire",
            )
        gone = self._forgettable(now_ms)
        for key in gone:
            del self._known[key]
        self._known[invitation.key] = invitation
        return [*(Delete(INVITATIONS, key) for key in gone), _row(invitation)]

    def use(self, key: bytes, peer: str, now_ms: int) -> tuple[Invitation, list[RowOp]]:
        """A peer came with the ticket of that key; nobody else will. `RefusedError` where it isn't good (any more)."""
        found = self._known.get(key)
        if found is None:
            raise RefusedError("this ticket isn't known here", mend="ask for another one")
        if (state := found.state(now_ms)) != "open":
            said = "was used already" if state == "joined" else "has expired"
            raise RefusedError(f"this ticket {said}", mend="ask for another one")
        used = self._known[key] = replace(found, peer=peer, joined_ms=now_ms)
        return used, [_row(used)]

    def restore(self, used: Invitation) -> None:
        """What `use` or `revoke` took could not be made durable: it is open again."""
        self._known[used.key] = replace(used, peer="", joined_ms=0)

    def forget(self, key: bytes) -> None:
        """What `invite` took up was not made durable, and nobody has the ticket."""
        self._known.pop(key, None)

    def revoke(self, name: str, now_ms: int) -> list[RowOp]:
        """Take back every open ticket of that name; nothing where there is none."""
        gone = [one.key for one in self.open(now_ms) if one.name == name]
        for key in gone:
            del self._known[key]
        return [Delete(INVITATIONS, key) for key in gone]

    def _forgettable(self, now_ms: int) -> list[bytes]:
        """Long expired ones, and all but the newest of those who came."""
        joined = [one.key for one in self.all() if one.peer]
        over = joined[: max(0, len(joined) - JOINED_MAX + 1)]
        stale = (one for one in self.all() if not one.peer and now_ms >= one.expires_ms + FORGOTTEN_AFTER_MS)
        return [*over, *(one.key for one in stale)]


def _row(invitation: Invitation) -> Put:
    fields = asdict(invitation)
    del fields["key"]
    return Put(INVITATIONS, invitation.key, json.dumps(fields, sort_keys=True).encode())


def _decoded(key: bytes, value: bytes) -> Invitation:
    try:
        return Invitation(key, **json.loads(value))
    except (ValueError, TypeError) as error:
        raise StoreError("an invitation can't be read", where=f"state.db: {INVITATIONS}") from error
