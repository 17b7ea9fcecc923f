"""Who misuses connections below the frames that links read: floods, reconnecting, silence, false leaves. Pure.

gRPC answers what HTTP/2 demands before anything of this program hears of it. So each `look` compares, for every
connection, what the system and gRPC counted with what the frames that were read account for.

- *Control flood*: bytes that belong to no message and no call: pings, settings, window updates, endless headers. Over
  `UNTOLD_BYTES_MAX` on two looks in a row, or without a link over four times as many at once. What came on a link may
  wait in gRPC to be read: while its frames are being read, or chunks came (which wait for the store), it is
  `BACKLOG_BYTES_MAX`, more than gRPC takes in ahead.
- *Call flood*: more than `CALLS_MAX` calls on a connection within `SPAN_S`, however they ended.
- *Lost calls*: more than `LOST_CALLS_MAX` calls that no handler ever saw, on two looks in a row: reset at once, larger
  than a message may be, or compressed.
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

CONTROL_FLOOD, CALL_FLOOD, LOST_CALLS = "control_flood", "call_flood", "lost_calls"
CROWD, IMPOSTOR, SILENT = "too_many_connections", "impostor", "silent"


@dataclass(frozen=True, slots=True)
class Seen:
    """One connection at one look. `peer` is empty where its leaf names nobody.

    `received_bytes`: all that came. `told_bytes`: of frames that were read. `calls` were begun, `handled` of them
    reached a handler. `bulky`: chunks came. `linked`: it carries a link. `dialed`: this peer began it.
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

    received_bytes: int
    changed_s: float
    suspicion: str = ""
    told_bytes: int = -1
    calls: deque[tuple[float, int]] = field(default_factory=deque)

    def suspect(self, one: Seen) -> str:
        """What would be an offence if it stayed so: what is on its way through gRPC isn't read yet."""
        being_read, self.told_bytes = one.told_bytes != self.told_bytes, one.told_bytes
        waits = one.linked and (one.bulky or being_read)
        if _untold_bytes(one) > (BACKLOG_BYTES_MAX if waits else UNTOLD_BYTES_MAX):
            return CONTROL_FLOOD
        return LOST_CALLS if one.calls - one.handled > LOST_CALLS_MAX else ""


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
                record = _Record(one.received_bytes, now_s)
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
        if self._calls_lately(record, one.calls, now_s) > CALLS_MAX:
            return CALL_FLOOD
        before, record.suspicion = record.suspicion, record.suspect(one)
        if record.suspicion and (record.suspicion == before or _is_far_too_much(one)):
            return record.suspicion
        return SILENT if not one.handled and now_s - record.changed_s > SILENT_S else ""

    def _calls_lately(self, record: _Record, calls: int, now_s: float) -> int:
        record.calls.append((now_s, calls))
        while len(record.calls) > 1 and record.calls[1][0] <= now_s - SPAN_S:
            record.calls.popleft()
        return calls - record.calls[0][1] if len(record.calls) > 1 else calls

    def _crowds(self, seen: Sequence[Seen]) -> list[Offence]:
        count = Counter(one.peer for one in seen if one.peer and not one.dialed)
        peers = [peer for peer, at_once in count.items() if at_once > CONNECTIONS_MAX or self._comes_often(peer)]
        return [Offence(peer, CROWD, tuple(one.address for one in seen if one.peer == peer)) for peer in peers]

    def _comes_often(self, peer: str) -> bool:
        return len(self._came.get(peer, ())) > COMERS_MAX


def _untold_bytes(one: Seen) -> int:
    return one.received_bytes - one.told_bytes - one.calls * CALL_BYTES


def _is_far_too_much(one: Seen) -> bool:
    return not one.linked and _untold_bytes(one) > 4 * UNTOLD_BYTES_MAX


def _blamed(one: Seen, reason: str) -> str:
    return "" if reason == SILENT else one.peer
