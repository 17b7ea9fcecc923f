"""Peer exchange: how a peer comes to know, and to be linked with, more members than its configuration names.

Rules (PROTOCOL "Membership"):

- Told is only what this peer saw itself: a ready link's peer, at an address where this one reached exactly that peer,
  by dialing it or by a feeler (`Probe`) to what its Hello named. So nobody's invention travels further than one hop.
- Told to a new link at once, to all every `exchange_ms`; at most `PEERS_MAX` a frame; no address that reaches less far
  than the one who is told (`addresses`).
- At most `FEELERS_MAX` feelers at a time, `FEELERS_PER_SPAN` in `exchange_ms`, over reconnects too: nobody can have
  this peer scan others at speed. Who is left out is tried later.
- Dialed are acquaintances as long as this peer dials fewer than `links_out`, where each configured neighbour with an
  address has its place kept. One such dial at a time, at most one in `PACE_MS`.
- Never: this peer itself, who is denied, and who was a configured neighbour once and is no longer ("removed"). That is
  kept in rows, over restarts: only the configuration brings a removed peer back.
- `exchange: false` (experiments, whose topology is fixed) says, hears, dials and keeps nothing.

Rows: `neighbours`, key = peer id, value = `configured` or `removed`; `acquaintances`, value = the address that worked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

from plora.node.core.config import CoreConfig
from plora.node.core.effects import Dial, Emit, Probe, Send
from plora.node.core.messages import PEERS_MAX, DialTry, PeerAddress, Peers
from plora.node.core.notices import Outputs
from plora.node.core.now import Now
from plora.node.gossip.acquaintances import Acquaintances
from plora.node.gossip.addresses import plain, reaches, seen_scope, told
from plora.node.gossip.link import Link
from plora.node.reach import REACHED
from plora.node.store.disk import Delete, Put, RowOp
from plora.node.store.snapshot import Snapshot
from plora.proto.records import BoundHit

NEIGHBOURS = "neighbours"
ACQUAINTANCES = "acquaintances"
CONFIGURED, REMOVED = b"configured", b"removed"
FEELER = "feeler"
FEELERS_MAX = 4
FEELERS_PER_SPAN = 16
PACE_MS = 1_000


class Exchange:
    """What one peer knows of others, and whom of them it dials."""

    def __init__(self, config: CoreConfig, rng: Random, snapshot: Snapshot) -> None:
        self.on = config.exchange
        self.removed: dict[str, None] = {}
        self._peer = config.peer
        self._limits = config.bounds
        self._rng = rng
        self._known = Acquaintances(config.bounds.passive_max, rng)
        self._configured: dict[str, bool] = {}
        self._denied: tuple[str, ...] = ()
        self._dialing: str | None = None
        self._next_dial_ns = 0
        self._feelers: dict[str, None] = {}
        self._felt = 0
        self._rows: list[RowOp] = []
        self._stored: dict[str, str] = {}
        self._dirty = False
        self._hit = False
        if self.on:
            self._load(snapshot)

    def __len__(self) -> int:
        return len(self._known)

    def take_rows(self) -> list[RowOp]:
        """What is to be persisted since the last call."""
        rows, self._rows = self._rows, []
        if not self._dirty:
            return rows
        self._dirty = False
        before, self._stored = self._stored, self._known.addresses()
        rows += [Delete(ACQUAINTANCES, bytes.fromhex(peer)) for peer in before if peer not in self._stored]
        return rows + [
            Put(ACQUAINTANCES, bytes.fromhex(peer), address.encode())
            for peer, address in self._stored.items()
            if before.get(peer) != address
        ]

    # Who may be an acquaintance at all.

    def configure(self, neighbours: Iterable[PeerAddress], denied: Iterable[str]) -> None:
        """The configured neighbours, as they are now; who is missing was removed."""
        wanted = {one.peer: bool(one.addresses) for one in neighbours}
        self._denied = tuple(denied)
        if not self.on:
            return
        for peer in [peer for peer in self._configured if peer not in wanted]:
            self.removed[peer] = None
            self._known.forget(peer)
            self._rows.append(Put(NEIGHBOURS, bytes.fromhex(peer), REMOVED))
        for peer in [peer for peer in wanted if peer not in self._configured]:
            self.removed.pop(peer, None)
            self._rows.append(Put(NEIGHBOURS, bytes.fromhex(peer), CONFIGURED))
        self._configured = wanted
        for peer in self._denied:
            self._known.forget(peer)
        self._dirty = True

    def addresses_of(self, peer: str) -> tuple[str, ...]:
        """Where a configured neighbour may be, beside the addresses that the configuration gives."""
        return self._known.addresses_of(peer)

    def _barred(self, peer: str) -> bool:
        return peer == self._peer or peer in self.removed or peer in self._denied

    # Hearing and telling.

    def heard(self, link: Link, message: Peers) -> Outputs:
        """A neighbour tells."""
        if not self.on:
            return []
        entries = [
            PeerAddress(one.peer, told(one.addresses, link.host))
            for one in message.entries
            if not self._barred(one.peer) and one.peer != link.peer
        ]
        if not self._known.hear(link.peer, entries) or self._hit:
            return []
        self._hit = True
        limit = self._limits.passive_max
        return [Emit(BoundHit("discovery.passive_max", limit, limit + 1))]

    def ready(self, link: Link, links: Sequence[Link]) -> Outputs:
        """A link is ready: find out whether its peer can be dialed, and tell it of others."""
        if not self.on:
            return []
        at = plain(link.address) if link.dialed else None
        if at is not None and not self._barred(link.peer):  # removed or denied since it was dialed
            self._reached(link.peer, at)
        return [*self._feel(link), *self._tell(link, links)]

    def tick(self, links: Sequence[Link]) -> Outputs:
        """Every `exchange_ms`."""
        self._hit, self._felt = False, 0
        out: Outputs = []
        for link in links if self.on else ():
            out += [*self._feel(link), *self._tell(link, links)]
        return out

    def _tell(self, link: Link, links: Sequence[Link]) -> Outputs:
        nearest = seen_scope(link.host)
        entries = []
        for other in links:
            own = self._known.reached(other.peer)
            if own is not None and not own.failures and other.peer != link.peer and reaches(own.address, nearest):
                entries.append(PeerAddress(other.peer, (own.address,)))
        chosen = self._rng.sample(entries, min(PEERS_MAX, len(entries)))
        return [Send(link.peer, Peers(tuple(chosen)))] if chosen else []

    def _feel(self, link: Link) -> Outputs:
        """Try what a linked peer says of itself, unless this one knows already."""
        if self._barred(link.peer) or link.hello is None or not link.hello.dialable or link.felt:
            return []
        addresses = told(link.hello.addresses, link.host)
        if not addresses or self._known.reached(link.peer):
            return []
        if len(self._feelers) >= FEELERS_MAX or self._felt >= FEELERS_PER_SPAN:
            return []
        link.felt = True
        self._felt += 1
        self._feelers[link.peer] = None
        return [Probe(link.peer, addresses, FEELER)]

    def felt(self, peer: str, tries: tuple[DialTry, ...]) -> None:
        """A feeler is back."""
        self._feelers.pop(peer, None)
        found = next((plain(one.address) for one in tries if one.outcome == REACHED), None)
        if found is not None and not self._barred(peer):
            self._reached(peer, found)

    # Dialing.

    def due(self, now: Now, links: dict[str, Link]) -> list[Dial]:
        """The next acquaintance to dial, when it is time and there is room."""
        due_ns = self.next_due_ns(links)
        if due_ns is None or due_ns > now.mono_ns:
            return []
        found = self._known.pick(now, lambda peer: self._wanted(peer, links))
        self._next_dial_ns = now.after_ms(PACE_MS)
        if found is None:
            return []
        self._dialing = found.peer
        return [Dial(found.peer, found.addresses)]

    def next_due_ns(self, links: dict[str, Link]) -> int | None:
        """When to look again; None while nothing could come of it."""
        if not self._has_room(links) or not self._known.any(lambda peer: self._wanted(peer, links)):
            return None
        return self._next_dial_ns

    def _has_room(self, links: dict[str, Link]) -> bool:
        if not self.on or self._dialing is not None:
            return False
        kept = sum(self._configured.values())
        dialed = sum(link.dialed and link.peer not in self._configured for link in links.values())
        return kept + dialed < self._limits.links_out

    def _wanted(self, peer: str, links: dict[str, Link]) -> bool:
        return peer not in links and peer not in self._configured and not self._barred(peer)

    def opened(self, peer: str) -> None:
        """A link with the peer is open, whoever dialed."""
        if self._dialing == peer:
            self._dialing = None

    def failed(self, peer: str, now: Now) -> None:
        """No address led to the peer."""
        self.opened(peer)
        self._known.failed(peer, now)
        self._dirty = True

    def parted(self, peer: str, now: Now, retry_after_ms: int) -> None:
        """A link with the peer ended."""
        self._known.put_off(peer, now, retry_after_ms)

    # Rows.

    def _reached(self, peer: str, address: str) -> None:
        self._known.succeeded(peer, address)
        self._dirty = True

    def _load(self, snapshot: Snapshot) -> None:
        for key, value in snapshot.rows(NEIGHBOURS):
            if value == REMOVED:
                self.removed[key.hex()] = None
            else:
                self._configured[key.hex()] = True
        for key, value in snapshot.rows(ACQUAINTANCES):
            address = plain(value.decode("ascii", "replace"))
            if address is not None and key.hex() not in self.removed:
                self._known.succeeded(key.hex(), address)
        self._stored = self._known.addresses()
