"""Links between simulated peers: they open late, delay, drop, double and reorder frames, and can be cut.

- A pair has at most one link. Of two, the one that the smaller id dialed stays, of two in one direction the newer, as
  in the daemon: what goes is closed before its successor opens; a dial that loses is answered by DialFailed.
- Frames keep their order on a link unless `reorder` is drawn. What is under way when a link ends is lost.
- A cut between two peers lets their link stay open and swallows every frame, as a broken path does; dials fail.
- Where peers have `addresses`, a dial or probe finds a peer only at its own, as in the world.
- Real streams lose nothing while they live: loss, doubling and reordering are harsher than the daemon's world.

Not handled here: what frames mean, and time-outs on silence (the core).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from plora.node.core.events import DialFailed, Event, LinkClosed, LinkOpened, Probed, Received
from plora.node.core.messages import BulkMessage, DialTry, Message
from plora.node.reach import NO_ANSWER, REACHED
from plora.proto.host_port import split
from plora.sim.clock import MS, VirtualClock

DIAL_TIMEOUT_NS = 2_000 * MS


@dataclass(frozen=True, slots=True)
class Conditions:
    """How bad the network is. Delays in milliseconds, uniform; the others are probabilities for each frame.

    `loss` is that of session frames, `bulk_loss` that of bulk frames, whose time-outs are long.
    """

    delay_ms_min: float = 1.0
    delay_ms_max: float = 20.0
    loss: float = 0.0
    bulk_loss: float = 0.0
    duplication: float = 0.0
    reorder: float = 0.0


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
    ready_ns: tuple[int, int] = (0, 0)

    def other(self, peer: str) -> str:
        return self.listener if peer == self.dialer else self.dialer


class Network:
    """All links of a swarm. `endpoints` is asked at the time of delivery, so restarted peers get no old frames."""

    def __init__(self, clock: VirtualClock, conditions: Conditions, draws: Random) -> None:
        self.conditions = conditions
        self.endpoints: dict[str, Endpoint] = {}
        self.addresses: dict[str, str] = {}
        self.tried: list[tuple[str, str]] = []
        self.frames = 0
        self._clock = clock
        self._draws = draws
        self._links: dict[tuple[str, str], _Link] = {}
        self._cuts: dict[tuple[str, str], None] = {}

    def cut(self, a: str, b: str) -> None:
        """Break the path between two peers."""
        self._cuts[_pair(a, b)] = None

    def heal(self, a: str, b: str) -> None:
        """Mend the path between two peers."""
        self._cuts.pop(_pair(a, b), None)

    def heal_all(self) -> None:
        """Mend every path."""
        self._cuts.clear()

    def linked(self, a: str, b: str) -> bool:
        """Whether the two have an open link."""
        return _pair(a, b) in self._links

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
        """Close the link after what is under way has arrived."""
        link = self._links.get(_pair(peer, other))
        if link is not None:
            link.closing = True
            arrival = max(self._clock.mono_ns + self._delay_ns(), *link.ready_ns)
            self._clock.at(arrival, lambda: self._close(link, reason))

    def drop_peer(self, peer: str) -> None:
        """The process is gone: its links end for the others, without a word."""
        for link in [link for pair, link in self._links.items() if peer in pair]:
            link.closed = True
            del self._links[_pair(link.dialer, link.listener)]
            other = link.other(peer)
            self._clock.after(self._delay_ns(), self._teller(other, LinkClosed(peer, "connection lost")))

    def send(self, sender: str, receiver: str, message: Message) -> bool:
        """Put a frame under way; False if there is no link to put it on."""
        link = self._links.get(_pair(sender, receiver))
        if link is None:
            return False
        self.frames += 1
        for _ in range(self._copies(message)):
            self._clock.at(self._arrival_ns(link, sender), lambda: self._deliver(link, sender, message))
        return True

    def _place(self, peer: str) -> tuple[str, int] | tuple[()]:
        return split(self.addresses.get(peer, "")) or ()

    def _reachable(self, dialer: str, target: str, addresses: tuple[str, ...]) -> bool:
        self.tried.append((dialer, target))
        there, own = self.endpoints.get(target), self.addresses.get(target)
        if there is None or not there.up or (own is not None and own not in addresses):
            return False
        return _pair(dialer, target) not in self._cuts

    def _connect(self, dialer: str, target: str, addresses: tuple[str, ...]) -> None:
        pair = _pair(dialer, target)
        there, here = self.endpoints.get(target), self.endpoints[dialer]
        if not here.up:
            return
        if there is None or not self._reachable(dialer, target, addresses):
            self._clock.after(DIAL_TIMEOUT_NS, self._teller(dialer, DialFailed(target, "unreachable")))
            return
        standing = self._links.get(pair)
        if standing is not None:
            if dialer > target and standing.dialer != dialer and not standing.closing:
                here.handle(DialFailed(target, "linked already"))
                return
            self._close(standing, "replaced by another link")
        link = self._links[pair] = _Link(dialer, target)
        here.handle(LinkOpened(target, True, *self._place(target)))
        if not link.closed:
            there.handle(LinkOpened(dialer, False, *self._place(dialer)))

    def _close(self, link: _Link, reason: str) -> None:
        if link.closed:
            return
        link.closed = True
        del self._links[_pair(link.dialer, link.listener)]
        self._tell(link.dialer, LinkClosed(link.listener, reason))
        self._tell(link.listener, LinkClosed(link.dialer, reason))

    def _deliver(self, link: _Link, sender: str, message: Message) -> None:
        if not link.closed and _pair(link.dialer, link.listener) not in self._cuts:
            self._tell(link.other(sender), Received(sender, message))

    def _copies(self, message: Message) -> int:
        conditions = self.conditions
        loss = conditions.bulk_loss if isinstance(message, BulkMessage) else conditions.loss
        if loss and self._draws.random() < loss:
            return 0
        return 2 if conditions.duplication and self._draws.random() < conditions.duplication else 1

    def _arrival_ns(self, link: _Link, sender: str) -> int:
        arrival = self._clock.mono_ns + self._delay_ns()
        if self.conditions.reorder and self._draws.random() < self.conditions.reorder:
            return arrival
        way = int(sender != link.dialer)
        arrival = max(arrival, link.ready_ns[way])
        link.ready_ns = (arrival, link.ready_ns[1]) if way == 0 else (link.ready_ns[0], arrival)
        return arrival

    def _delay_ns(self) -> int:
        low, high = self.conditions.delay_ms_min, self.conditions.delay_ms_max
        return int((low + (high - low) * self._draws.random()) * MS)

    def _tell(self, peer: str, event: Event) -> None:
        endpoint = self.endpoints.get(peer)
        if endpoint is not None and endpoint.up:
            endpoint.handle(event)

    def _teller(self, peer: str, event: Event) -> Callable[[], None]:
        return lambda: self._tell(peer, event)


def _pair(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)
