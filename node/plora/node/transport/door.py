"""The door: who is kept out, and the look at every open connection, twice a second or ten times when somebody came.

Rules:

- Kept out are peers that a person denied, and for a while those that the core cut off. Their calls are refused with a
  status that says which; `GRACE_S` later their connections are ended, whatever still runs on them. Who comes back while
  cut off is ended within two quick looks, enough to hear why; who sends more than `KEPT_OUT_BYTES_MAX`, at once.
- What `watch` finds, while `watching`, ends at once: the connections are cut, and the listener hears who misbehaved.
  Where nobody's identity is known, it hears from which host how many connections were repelled.
- A connection that carried a link stays one that did: what is still under way to it when it ends is no offence.
- A link ends whole, with its connection. Where the caller or gRPC broke off one of its streams and the connection still
  stands `BROKEN_S` later, gRPC refused what came: a message beyond the limit, or compressed.
- A connection that ended before any call came of it is repelled too: no TLS 1.3, no member's certificate, or nothing
  asked in time. The look at the sockets with which each handshake begins knows where it came from.

Not handled here: the rules (`watch`), what an offence costs (the core).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from plora.node.memory import give_back
from plora.node.transport import channelz, sockets
from plora.node.transport.link import Link
from plora.node.transport.tls import peer_id_of_pem
from plora.node.transport.watch import CALL_FLOOD, Offence, Seen, Watch
from plora.proto.errors import ProtocolError
from plora.proto.host_port import split

LOOK_S = 0.5
QUICK_LOOK_S = 0.1
BRISK_S = 2.0
"""So long after somebody came, looks are quick: most who attack begin at once."""
NEWS_BYTES = 64 << 10
RESETS_MAX = 32
"""Calls without a message on one connection between two looks: each costs a handler its beginning."""
KEPT_OUT_BYTES_MAX = 16 << 10
"""A handshake and some refused calls take less."""
GRACE_S = 2.0
BEGUN_MAX = 1024
BEGUN_LOOK_S = 0.1
BROKEN_S = 1.0
NO_CALL = "no_call"
BROKEN_OFF = "broke off one stream of a link"

DENIED = "this peer is denied here"
CUT_OFF = "this peer broke a rule and is cut off for now"


class Bell(Protocol):
    """Who hears of what happens at the door."""

    def misbehaved(self, peer: str, reason: str) -> None:
        """The peer broke a rule of the protocol."""

    def repelled(self, host: str, reason: str, count: int) -> None:
        """So many connections of nobody known were ended."""


class Door:
    """Guards the connections to one listening port; `links` gives the links that are open."""

    def __init__(self, bell: Bell, links: Callable[[], Iterable[Link]]) -> None:
        self._bell = bell
        self._links = links
        self._watch = Watch()
        self.watching = True
        self._port = 0
        self._servers: tuple[int, ...] = ()
        self._denied: frozenset[str] = frozenset()
        self._cut: dict[str, float] = {}
        self._cut_since: dict[str, float] = {}
        self._unwelcome: dict[str, tuple[float, int]] = {}
        self._handled: Counter[str] = Counter()
        self._reset: Counter[str] = Counter()
        self._known: dict[int, tuple[channelz.Accepted, int]] = {}
        self._carried: dict[str, Link] = {}
        self._broken: dict[str, tuple[str, float]] = {}
        self._begun: dict[str, None] = {}
        self._begun_s = 0.0
        self._knocked_s = -BRISK_S
        self._looked_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.TimerHandle | None = None
        self._giving_back: asyncio.TimerHandle | None = None

    def open(self, port: int) -> None:
        """Look from now on; the server that listens there has started."""
        self._port, self._servers = port, channelz.servers()
        self._next = self._loop.call_later(LOOK_S, self._tick)

    def close(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()

    def deny(self, peers: Iterable[str]) -> None:
        """These, and no others, are denied."""
        self._denied = frozenset(peers)

    def cut_off(self, peer: str, seconds: float) -> None:
        """Keep a peer out for so long."""
        self._cut_since.setdefault(peer, self._loop.time())
        self._cut[peer] = self._loop.time() + seconds

    def refusal(self, peer: str) -> str:
        """Why a peer is kept out, as a sentence; empty where it isn't."""
        if peer in self._denied:
            return DENIED
        return CUT_OFF if self._cut.get(peer, 0.0) > self._loop.time() else ""

    def called(self, address: str) -> None:
        """A call from there reached its handler."""
        self._handled[address] += 1

    @contextmanager
    def reading(self, address: str, peer: str) -> Iterator[None]:
        """Around waiting for the one message of a call, which is taken for handled once that is whole.

        An exception says that it never is: it was too large, compressed, or reset.
        """
        self._handled[address] -= 1
        try:
            yield
        except BaseException:
            self._reset[address] += 1
            if self.watching and self._reset[address] == RESETS_MAX + 1:
                self._end(Offence(peer, CALL_FLOOD, (address,)))
            raise
        self._handled[address] += 1

    def turn_away(self, address: str, reason: str) -> None:
        """End a connection of nobody known."""
        sockets.cut(address)
        self._begun.pop(address, None)
        self._bell.repelled(_host(address), reason, 1)

    @contextmanager
    def broken_off(self, link: Link) -> Iterator[None]:
        """Around what waits for one of a link's streams: it is cancelled when that stream is broken off."""
        self._carried[link.far_end] = link
        try:
            yield
        except asyncio.CancelledError:
            if not link.closing:
                self._broken[link.far_end] = (link.peer, self._loop.time())
            raise

    def knocked(self) -> None:
        """A handshake begins; called on a thread of gRPC's."""
        before_s, self._knocked_s = self._knocked_s, self._loop.time()
        now_s = self._knocked_s
        if now_s > before_s + BRISK_S:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._look_soon)
        if now_s < self._begun_s + BEGUN_LOOK_S or len(self._begun) >= BEGUN_MAX:
            return
        self._begun_s = now_s
        for one in sockets.connections():
            if one.port == self._port and one.address not in self._handled:
                self._begun.setdefault(one.address)

    def _tick(self) -> None:
        now_s = self._loop.time()
        brisk = now_s < self._knocked_s + BRISK_S
        self._next = self._loop.call_later(QUICK_LOOK_S if brisk else LOOK_S, self._tick)
        whole = not brisk or now_s >= self._looked_s + LOOK_S
        self._look(now_s, whole=whole)

    def _look_soon(self) -> None:
        if self._next is not None and not self._next.cancelled():
            self._next.cancel()
            self._next = self._loop.call_later(QUICK_LOOK_S, self._tick)

    def _accepted(self, open_now: Mapping[str, sockets.Connection], *, whole: bool) -> list[channelz.Accepted]:
        """The connections to this port. gRPC is asked anew about one on which much came, at a whole look anything."""
        before, self._known = self._known, {}
        for number in channelz.numbers(self._servers):
            one, had_bytes = before.get(number, (None, 0))
            received = open_now[one.address].received_bytes if one is not None and one.address in open_now else 0
            news = received - had_bytes
            if one is None or (whole and news) or news > NEWS_BYTES:
                one = channelz.connection(number)
            else:
                received = had_bytes
            if one is not None:
                self._known[number] = (one, received)
        return [one for one, _ in self._known.values() if one.port == self._port]

    def _look(self, now_s: float, *, whole: bool) -> None:
        if whole:
            self._looked_s = now_s
        self._reset.clear()
        open_now = {one.address: one for one in sockets.connections()}
        seen = self._seen(open_now, whole=whole)
        if self.watching:
            for offence in (*self._watch.look(seen, now_s), *self._half_links(seen, now_s)):
                self._end(offence)
        self._see_off(seen, now_s)
        self._forget(open_now, seen, now_s)

    def _seen(self, open_now: Mapping[str, sockets.Connection], *, whole: bool) -> list[Seen]:
        self._carried |= {link.far_end: link for link in self._links()}
        found = []
        for one in self._accepted(open_now, whole=whole):
            received = open_now[one.address].received_bytes if one.address in open_now else 0
            link = self._carried.get(one.address)
            told_bytes, bulky = (link.told_bytes, link.bulky) if link else (0, False)
            handled = self._handled[one.address]
            calls = (max(one.calls, handled), handled)
            peer = _named(one.leaf_pem)
            found.append(Seen(one.address, peer, received, told_bytes, *calls, bulky, linked=link is not None))
        dialed = [link for link in self._carried.values() if link.dialed and link.far_end in open_now]
        return found + [_seen_dialed(link, open_now[link.far_end].received_bytes) for link in dialed]

    def _end(self, offence: Offence) -> None:
        sockets.cut(*offence.addresses)
        if self._giving_back is None:  # one for all that end meanwhile
            self._giving_back = self._loop.call_later(GRACE_S, self._give_back)
        if offence.peer:
            self._bell.misbehaved(offence.peer, offence.reason)
            return
        for host, count in Counter(map(_host, offence.addresses)).items():
            self._bell.repelled(host, offence.reason, count)

    def _give_back(self) -> None:
        self._giving_back = None
        self._loop.run_in_executor(None, give_back)

    def _half_links(self, seen: Iterable[Seen], now_s: float) -> list[Offence]:
        """Connections that outlived one stream of their link."""
        standing = {one.address for one in seen}
        self._broken = {one: found for one, found in self._broken.items() if one in standing}
        late = [one for one, (_, since_s) in self._broken.items() if now_s - since_s >= BROKEN_S]
        return [Offence(self._broken.pop(one)[0], BROKEN_OFF, (one,)) for one in late]

    def _see_off(self, seen: Sequence[Seen], now_s: float) -> None:
        """End what is left of those who are kept out."""
        unwelcome = [one for one in seen if self.refusal(one.peer)]
        before = self._unwelcome
        self._unwelcome = {one.address: before.get(one.address, (now_s, one.received_bytes)) for one in unwelcome}
        sockets.cut(*(one.address for one in unwelcome if self._had_enough(one, now_s)))

    def _had_enough(self, one: Seen, now_s: float) -> bool:
        """Whether somebody who is kept out heard why, or goes on regardless."""
        since_s, had_bytes = self._unwelcome[one.address]
        came_back = since_s > self._cut_since.get(one.peer, since_s) + LOOK_S
        sent_bytes = one.received_bytes - (0 if came_back else had_bytes)
        patience_s = QUICK_LOOK_S / 2 if came_back else GRACE_S
        return now_s - since_s >= patience_s or sent_bytes > KEPT_OUT_BYTES_MAX

    def _forget(self, open_now: Mapping[str, object], seen: Iterable[Seen], now_s: float) -> None:
        """Let go of connections that are gone, and tell of those that came to nothing."""
        known = {one.address for one in seen}
        gone = [one for one in tuple(self._begun) if one not in open_now and one not in known]
        for host, count in Counter(_host(one) for one in gone if one not in self._handled).items():
            self._bell.repelled(host, NO_CALL, count)
        for one in gone:
            self._begun.pop(one, None)
        self._handled = Counter({one: n for one, n in self._handled.items() if one in open_now or one in known})
        self._carried = {one: link for one, link in self._carried.items() if one in open_now}
        self._cut = {peer: until_s for peer, until_s in self._cut.items() if until_s > now_s}
        self._cut_since = {peer: since_s for peer, since_s in self._cut_since.items() if peer in self._cut}


def _seen_dialed(link: Link, received_bytes: int) -> Seen:
    return Seen(link.far_end, link.peer, received_bytes, link.told_bytes, 2, 2, link.bulky, linked=True, dialed=True)


def _named(leaf_pem: bytes) -> str:
    """The peer that a leaf proves, or nobody."""
    try:
        return peer_id_of_pem(leaf_pem)
    except ProtocolError:
        return ""


def _host(address: str) -> str:
    return (split(address) or ("", 0))[0]
