"""Links between simulated peers: they open late, delay, drop, double and reorder frames, and can be cut.

What is drawn for each frame is what the scenario's `Links` say.

- A pair has at most one link. Of two, the one that the smaller id dialed stays, of two in one direction the newer, as
  in the daemon: what goes is closed before its successor opens; a dial that loses is answered by DialFailed.
- Frames keep their order on a link unless `reorder` is drawn. What is under way when a link ends is lost.
- With a `bandwidth`, a frame's delay begins when its last byte has left (`uplink`). A link has one lane for session
  frames and one for bulk frames, as the daemon's has a stream for each.
- A broken path (`cut`, `part`, `isolate`, `down`) lets its link stay open and swallows every frame; dials fail.
- Where peers have `addresses`, a dial or probe finds a peer only at its own, as in the world.
- `traffic`, where there is one, counts what is sent: the daemon's bytes of each frame, without those of gRPC and TLS.
- Real streams lose nothing while they live: loss, doubling and reordering are harsher than the daemon's world.

Not handled here: what frames mean, and time-outs on silence (the core).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Protocol, get_args

from plora.node.core.events import DialFailed, Event, LinkClosed, LinkOpened, Probed, Received
from plora.node.core.messages import FRAME_BYTES_MAX, BulkMessage, DialTry, Message
from plora.node.reach import NO_ANSWER, REACHED
from plora.node.transport.codec import encode
from plora.node.transport.traffic import Traffic
from plora.proto.errors import ProtocolError
from plora.proto.host_port import split
from plora.sim.clock import MS, VirtualClock
from plora.sim.scenario import Links
from plora.sim.uplink import Uplink

DIAL_TIMEOUT_NS = 2_000 * MS

_BULK = frozenset(get_args(BulkMessage))


class Endpoint(Protocol):
    """A peer as the network sees it."""

    @property
    def up(self) -> bool:
        """Whether it runs and accepts links."""

    def handle(self, event: Event) -> None:
        """Take an event now."""


@dataclass(slots=True, eq=False)
class _Link:
    dialer: str
    listener: str
    closing: bool = False
    closed: bool = False
    ready_ns: list[int] = field(default_factory=lambda: [0, 0])

    def other(self, peer: str) -> str:
        return self.listener if peer == self.dialer else self.dialer


@dataclass(frozen=True, slots=True)
class _Parting:
    """Sides that can't reach each other; `rest` is the side of all who aren't named, None if they reach everybody."""

    sides: dict[str, int]
    rest: int | None

    def parts(self, a: str, b: str) -> bool:
        one, other = self.sides.get(a, self.rest), self.sides.get(b, self.rest)
        return one is not None and other is not None and one != other


class Network:
    """All links of a swarm. `endpoints` is asked at the time of delivery, so restarted peers get no old frames.

    `down` holds pairs, sender and receiver, whose path is broken now; no event tells of it.
    """

    def __init__(self, clock: VirtualClock, links: Links, draws: Random) -> None:
        self.endpoints: dict[str, Endpoint] = {}
        self.addresses: dict[str, str] = {}
        self.tried: list[tuple[str, str]] = []
        self.traffic: Traffic | None = None
        self.down: set[tuple[str, str]] = set()
        self._clock = clock
        self._draws = draws
        self._open_links: dict[str, dict[str, _Link]] = {}
        self._uplinks: dict[str, Uplink] = {}
        self._cuts: dict[tuple[str, str], None] = {}
        self._partings: list[_Parting] = []
        self.links = links

    @property
    def links(self) -> Links:
        """How bad the network is from now on."""
        return self._conditions

    @links.setter
    def links(self, links: Links) -> None:
        self._conditions = links
        self._delay_ms = delays(links, self._draws)

    def cut(self, a: str, b: str, *, back: bool = True) -> None:
        """Break the path from one peer to another, and unless told otherwise the way back."""
        self._cuts[a, b] = None
        if back:
            self._cuts[b, a] = None

    def heal(self, a: str, b: str) -> None:
        """Mend what was cut between two peers."""
        self._cuts.pop((a, b), None)
        self._cuts.pop((b, a), None)

    def part(self, *groups: Iterable[str]) -> None:
        """Break every path between peers of different groups; who is in none reaches all."""
        self._partings.append(_Parting({name: side for side, group in enumerate(groups) for name in group}, None))

    def isolate(self, group: Iterable[str]) -> None:
        """Break every path between these peers and all others, also those who come later."""
        self._partings.append(_Parting(dict.fromkeys(group, 0), 1))

    def heal_all(self) -> None:
        """Mend every path that was cut or parted."""
        self._cuts.clear()
        self._partings.clear()

    def rename(self, name: str, new: str) -> None:
        """A peer without links has another id; who dials the old one finds nobody. Paths are broken as they were."""
        self.endpoints[new] = self.endpoints.pop(name)
        if name in self.addresses:
            self.addresses[new] = self.addresses.pop(name)
        for parting in self._partings:
            if name in parting.sides:
                parting.sides[new] = parting.sides[name]
        for a, b in [pair for pair in self._cuts if name in pair]:
            self._cuts[new if a == name else a, new if b == name else b] = None
        self.down |= {(new if a == name else a, new if b == name else b) for a, b in self.down if name in (a, b)}
        self._open_links.pop(name, None)

    def linked(self, a: str, b: str) -> bool:
        """Whether the two have an open link."""
        return self._between(a, b) is not None

    def dial(self, dialer: str, target: str, addresses: tuple[str, ...] = ()) -> None:
        """Try to open a link; both ends hear of it, or the dialer of its failure."""
        self._clock.after(2 * self._delay_ns(), lambda: self._connect(dialer, target, addresses))

    def probe(self, dialer: str, target: str, addresses: tuple[str, ...], purpose: str) -> None:
        """See at which addresses a peer answers; the dialer hears of it."""

        def answer() -> None:
            tries = [
                DialTry(address, REACHED if self._reachable(dialer, target, (address,)) else NO_ANSWER)
                for address in addresses
            ]
            self._tell(dialer, Probed(target, tuple(tries), purpose))

        self._clock.after(2 * self._delay_ns(), answer)

    def hang_up(self, peer: str, other: str, reason: str) -> None:
        """Close the link after what is under way has arrived; of bulk frames, only those that have left."""
        link = self._between(peer, other)
        if link is None:
            return
        link.closing = True

        def left() -> None:
            arrival = max(self._clock.mono_ns + self._delay_ns(), *link.ready_ns)
            self._clock.at(arrival, lambda: self._close(link, reason))

        self._leave(link, peer, None, left)

    def drop_peer(self, peer: str) -> None:
        """The process is gone: its links end for the others, without a word."""
        if peer in self._uplinks:
            self._uplinks.pop(peer).clear()
        for other, link in list(self._open_links.get(peer, {}).items()):
            self._forget(link)
            self._clock.after(self._delay_ns(), self._teller(other, LinkClosed(peer, "connection lost")))

    def send(self, sender: str, receiver: str, message: Message, left: Callable[[], object] | None = None) -> bool:
        """Put a frame under way; False if there is no link to put it on. `left` is called when it is on its way."""
        link = self._between(sender, receiver)
        if link is None:
            return False
        if self.traffic is not None:
            self.traffic.sent(message, frame_bytes(message))
        if self._conditions.bandwidth or self._uplinks:
            self._leave(link, sender, message, lambda: self._left(link, sender, message, left))
        else:
            self._left(link, sender, message, left)
        return True

    def _leave(self, link: _Link, sender: str, message: Message | None, left: Callable[[], object]) -> None:
        """Wait for the sender's uplink, where there is one; no message is a frame without bytes."""
        if sender not in self._uplinks:
            if not self._conditions.bandwidth:
                left()
                return
            self._uplinks[sender] = Uplink(self._clock, lambda: self._conditions.bandwidth)
        size = 0 if message is None else frame_bytes(message)
        self._uplinks[sender].put((link, type(message) in _BULK), size, left)

    def _left(self, link: _Link, sender: str, message: Message, left: Callable[[], object] | None) -> None:
        for _ in range(self._copies(message)):
            self._clock.at(self._arrival_ns(link, sender), lambda: self._deliver(link, sender, message))
        if left is not None:
            left()

    def _between(self, a: str, b: str) -> _Link | None:
        links = self._open_links.get(a)
        return None if links is None else links.get(b)

    def _place(self, peer: str) -> tuple[str, int] | tuple[()]:
        return split(self.addresses.get(peer, "")) or ()

    def _reachable(self, dialer: str, target: str, addresses: tuple[str, ...]) -> bool:
        self.tried.append((dialer, target))
        there, own = self.endpoints.get(target), self.addresses.get(target)
        if there is None or not there.up or (own is not None and own not in addresses):
            return False
        return self._whole(dialer, target) and self._whole(target, dialer)

    def _whole(self, sender: str, receiver: str) -> bool:
        """Whether the path from one to the other is not broken."""
        if not (self._cuts or self._partings or self.down):
            return True
        if (sender, receiver) in self.down or (sender, receiver) in self._cuts:
            return False
        return not any(parting.parts(sender, receiver) for parting in self._partings)

    def _connect(self, dialer: str, target: str, addresses: tuple[str, ...]) -> None:
        there, here = self.endpoints.get(target), self.endpoints.get(dialer)
        if here is None or not here.up:
            return
        if there is None or not self._reachable(dialer, target, addresses):
            self._unreachable(dialer, target)
            return
        standing = self._between(dialer, target)
        if standing is not None:
            if dialer > target and standing.dialer != dialer and not standing.closing:
                here.handle(DialFailed(target, "linked already"))
                return
            self._close(standing, "replaced by another link")
            if not (here.up and there.up):  # hearing of it may have ended one of them
                self._unreachable(dialer, target)
                return
        link = _Link(dialer, target)
        self._open_links.setdefault(dialer, {})[target] = self._open_links.setdefault(target, {})[dialer] = link
        here.handle(LinkOpened(target, True, *self._place(target)))
        if not link.closed:
            there.handle(LinkOpened(dialer, False, *self._place(dialer)))

    def _unreachable(self, dialer: str, target: str) -> None:
        self._clock.after(DIAL_TIMEOUT_NS, self._teller(dialer, DialFailed(target, "unreachable")))

    def _close(self, link: _Link, reason: str) -> None:
        if link.closed:
            return
        self._forget(link)
        self._tell(link.dialer, LinkClosed(link.listener, reason))
        self._tell(link.listener, LinkClosed(link.dialer, reason))

    def _forget(self, link: _Link) -> None:
        link.closed = True
        for peer in (link.dialer, link.listener):
            del self._open_links[peer][link.other(peer)]
            if peer in self._uplinks:
                self._uplinks[peer].forget((link, False))
                self._uplinks[peer].forget((link, True))

    def _deliver(self, link: _Link, sender: str, message: Message) -> None:
        receiver = link.other(sender)
        if not link.closed and self._whole(sender, receiver):
            self._tell(receiver, Received(sender, message))

    def _copies(self, message: Message) -> int:
        conditions = self._conditions
        loss = conditions.bulk_loss if type(message) in _BULK else conditions.loss
        if loss and self._draws.random() < loss:
            return 0
        return 2 if conditions.duplication and self._draws.random() < conditions.duplication else 1

    def _arrival_ns(self, link: _Link, sender: str) -> int:
        arrival = self._clock.mono_ns + self._delay_ns()
        if self._conditions.reorder and self._draws.random() < self._conditions.reorder:
            return arrival
        way = int(sender != link.dialer)
        link.ready_ns[way] = arrival = max(arrival, link.ready_ns[way])
        return arrival

    def _delay_ns(self) -> int:
        return int(self._delay_ms() * MS)

    def _tell(self, peer: str, event: Event) -> None:
        endpoint = self.endpoints.get(peer)
        if endpoint is not None and endpoint.up:
            endpoint.handle(event)

    def _teller(self, peer: str, event: Event) -> Callable[[], None]:
        return lambda: self._tell(peer, event)


def delays(links: Links, draws: Random) -> Callable[[], float]:
    """What draws the delay of one frame after another, in milliseconds."""
    least, typical = links.delay_ms
    spread = typical - least
    if links.delay == "constant":
        return lambda: least
    if links.delay == "exponential":
        return lambda: least + spread * draws.expovariate(1.0)
    if links.delay == "lognormal":
        return lambda: least + spread * draws.lognormvariate(0.0, 1.0)
    return lambda: least + spread * draws.random()


def frame_bytes(message: Message) -> int:
    """What a frame takes on the wire; one that the codec refuses counts as the largest that it lets pass."""
    try:
        return len(encode(message))
    except ProtocolError:
        return FRAME_BYTES_MAX
