"""Who misuses connections below the frames that links read: floods, reconnecting, silence, false leaves. Pure.

gRPC answers what HTTP/2 demands before anything of this program hears of it. So each `look` compares, for every
connection, what the system and gRPC counted with what the frames that were read account for.

- *Control flood*: bytes that belong to no message and no call: pings, settings, window updates, endless headers, beyond
  the `UNTOLD_BYTES_A_S` that whoever reads much needs. Without a link over `STRANGE_BYTES_MAX` at once, on one over
  `UNTOLD_BYTES_MAX` for `SUSPECTED_S`. What came on a link may wait in gRPC to be read: while its frames are being
  read, or chunks came (which wait for the store), it is `BACKLOG_BYTES_MAX`, more than gRPC takes in ahead.
- *Call flood*: more than `CALLS_MAX` calls on a connection within `SPAN_S`, however they ended.
- *Lost calls*: for `SUSPECTED_S` more than `LOST_CALLS_MAX` calls of that span that no handler ever saw, or whose
  message it never got: reset at once, larger than a message may be, or compressed.
- *Oversized call*: a single one of these, and over `UNTAKEN_BYTES_MAX` that came for nothing. Several at once are a
  flood by their bytes.
- *Crowd*: more than `CONNECTIONS_MAX` connections of one peer at once, or `COMERS_MAX` within `COMERS_S`.
- *Impostor*: the leaf isn't signed by the identity that it names. Nobody is blamed but the host.
- *Silent*: a connection of which no call reached a handler, and on which nothing came for `SILENT_S`. Nobody is blamed.
- Everything kept is of connections that are open, and of peers that came lately.

Not handled here: the counting (`sockets`, `channelz`), the frames themselves (`link`), what an offence costs.

>>> watch = Watch()
>>> seen = Seen("192.0.2.1:9", "ab" * 32, received_bytes=9 << 20, calls=2, handled=2)
>>> watch.look([seen], now_s=0.0)[0].reason
'control_flood'
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

UNTOLD_BYTES_MAX = 1 << 20
UNTOLD_BYTES_A_S = 32 << 10
STRANGE_BYTES_MAX = 256 << 10
UNTAKEN_BYTES_MAX = 32 << 10
SUSPECTED_S = 0.4
BACKLOG_BYTES_MAX = 32 << 20
CALL_BYTES = 4096
"""What beginning a call may take beside its message."""
CALLS_MAX = 1000
LOST_CALLS_MAX = 16
SPAN_S = 10.0
CONNECTIONS_MAX = 16
COMERS_MAX = 300
COMERS_S = 60.0
SILENT_S = 60.0

CONTROL_FLOOD, CALL_FLOOD, LOST_CALLS, OVERSIZED = "control_flood", "call_flood", "lost_calls", "oversized_call"
CROWD, IMPOSTOR, SILENT = "too_many_connections", "impostor", "silent"


@dataclass(frozen=True, slots=True)
class Seen:
    """One connection at one look. `peer` is empty where its leaf names nobody.

    `received_bytes`: all that came. `told_bytes`: of frames that were read. Of the `calls` that were begun,
    `handled` had a whole message and a handler. `bulky`: chunks came. `linked`: it carries a link, or did. `dialed`:
    this peer began it.
    """

    address: str
    peer: str
    received_bytes: int
    told_bytes: int = 0
    calls: int = 0
    handled: int = 0
    bulky: bool = False
    linked: bool = False
    dialed: bool = False


@dataclass(frozen=True, slots=True)
class Offence:
    """Connections to cut at once, and whom to blame (nobody: empty) for what."""

    peer: str
    reason: str
    addresses: tuple[str, ...]


@dataclass(slots=True)
class _Record:
    """What is remembered of an open connection."""

    looked_s: float
    received_bytes: int
    changed_s: float
    suspicion: str = ""
    suspected_s: float = 0.0
    told_bytes: int = -1
    untold_bytes: int = 0
    level_bytes: int = 0
    calls: deque[tuple[float, int, int]] = field(kw_only=True)

    def _lately(self, one: Seen, now_s: float) -> tuple[int, int]:
        """Calls that began within the span, and those of them that were lost."""
        self.calls.append((now_s, one.calls, one.calls - one.handled))
        while self.calls[1][0] <= now_s - SPAN_S:
            self.calls.popleft()
        (_, *first), (_, *last) = self.calls[0], self.calls[-1]
        return last[0] - first[0], last[1] - first[1]

    def offence(self, one: Seen, now_s: float) -> str:
        """What is wrong, once it has stayed so: what is on its way through gRPC isn't read yet."""
        self._fill(_untold_bytes(one), now_s)
        calls, lost = self._lately(one, now_s)
        if calls > CALLS_MAX:
            return CALL_FLOOD
        if not one.linked and self.level_bytes > STRANGE_BYTES_MAX:
            return CONTROL_FLOOD
        before, self.suspicion = self.suspicion, self._suspect(one, lost)
        if self.suspicion != before:
            self.suspected_s = now_s
        return self.suspicion if now_s - self.suspected_s >= SUSPECTED_S else ""

    def _fill(self, untold_bytes: int, now_s: float) -> None:
        """What came for nothing and hasn't been forgiven yet."""
        forgiven = int((now_s - self.looked_s) * UNTOLD_BYTES_A_S)
        self.level_bytes = max(0, self.level_bytes + untold_bytes - self.untold_bytes - forgiven)
        self.untold_bytes, self.looked_s = untold_bytes, now_s

    def _suspect(self, one: Seen, lost: int) -> str:
        being_read, self.told_bytes = one.told_bytes != self.told_bytes, one.told_bytes
        waits = one.linked and (one.bulky or being_read)
        if self.level_bytes > (BACKLOG_BYTES_MAX if waits else UNTOLD_BYTES_MAX):
            return CONTROL_FLOOD
        if lost > LOST_CALLS_MAX:
            return LOST_CALLS
        return OVERSIZED if lost == 1 and self.level_bytes > UNTAKEN_BYTES_MAX else ""


class Watch:
    """Remembers the open connections from one look to the next."""

    def __init__(self) -> None:
        self._open: dict[str, _Record] = {}
        self._came: dict[str, deque[float]] = {}

    def look(self, seen: Iterable[Seen], now_s: float) -> list[Offence]:
        """What is wrong now."""
        now_open = list(seen)
        self._welcome(now_open, now_s)
        faults = [(one, self._fault(one, now_s)) for one in now_open]
        single = [Offence(_blamed(one, reason), reason, (one.address,)) for one, reason in faults if reason]
        return [*single, *self._crowds(now_open)]

    def _welcome(self, seen: Sequence[Seen], now_s: float) -> None:
        """Take in who is new, and forget who is gone."""
        before, self._open = self._open, {}
        for one in seen:
            record = before.get(one.address)
            if record is None:
                record = _Record(now_s, one.received_bytes, now_s, calls=deque([(now_s, 0, 0)]))
                if one.peer and not one.dialed:
                    self._came.setdefault(one.peer, deque(maxlen=COMERS_MAX + 1)).append(now_s)
            self._open[one.address] = record
        for peer in list(self._came):
            times = self._came[peer]
            while times and times[0] <= now_s - COMERS_S:
                times.popleft()
            if not times:
                del self._came[peer]

    def _fault(self, one: Seen, now_s: float) -> str:
        record = self._open[one.address]
        if one.received_bytes != record.received_bytes:
            record.received_bytes, record.changed_s = one.received_bytes, now_s
        if not one.peer:
            return IMPOSTOR
        offence = record.offence(one, now_s)
        if offence:
            return offence
        return SILENT if not one.handled and now_s - record.changed_s > SILENT_S else ""

    def _crowds(self, seen: Sequence[Seen]) -> list[Offence]:
        count = Counter(one.peer for one in seen if one.peer and not one.dialed)
        peers = [peer for peer, at_once in count.items() if at_once > CONNECTIONS_MAX or self._comes_often(peer)]
        return [Offence(peer, CROWD, tuple(one.address for one in seen if one.peer == peer)) for peer in peers]

    def _comes_often(self, peer: str) -> bool:
        return len(self._came.get(peer, ())) > COMERS_MAX


def _untold_bytes(one: Seen) -> int:
    return one.received_bytes - one.told_bytes - one.calls * CALL_BYTES


def _blamed(one: Seen, reason: str) -> str:
    return "" if reason == SILENT else one.peer
