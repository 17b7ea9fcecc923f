"""The links of one peer: greeting, signs of life, failure detection, redialing.

Rules (PROTOCOL "RPCs", "Membership"):

- A link begins with Hello both ways. A Hello that is understood is answered by Welcome; with both a link is ready.
  Another swarm, no common version, or epoch days more than one apart end it with a Goodbye.
- Hello is repeated with each beat until the link is ready, and when the epoch day changes; a repeated Hello is
  answered by Welcome and brings the day up to date. The days of both ends decide by which day they reconcile.
- The driver keeps one link with a peer: of two the one that the smaller peer id dialed, of two in one direction the
  newer. `LinkOpened` for a peer that has a link therefore replaces it.
- A link on which nothing was heard for `link_timeout_ms`, plus twice what this peer's own loop was late, is hung up.
- A peer that broke a rule is hung up and not let in again for `redial_ms_max`, doubled with each fault that is still
  held against it. Denied peers are never let in.
- At most `links_in` links that others dialed, `links_out` of one's own. A configured neighbour that dials is never kept
  out by strangers: the one that came last leaves for it. Else whoever has many names could part neighbours for good.

Not handled here: what is said on a ready link (`core`).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from plora.node.core.config import CoreConfig
from plora.node.core.effects import CancelTimer, CutOff, Emit, HangUp, Send, SetTimer
from plora.node.core.events import NeighboursChanged
from plora.node.core.messages import WIRE_VERSION, Goodbye, Heartbeat, Hello, Welcome
from plora.node.core.notices import LinkLost, LinkReady, Outputs
from plora.node.core.now import Now
from plora.node.core.reputations import Reputations
from plora.node.gossip.addresses import is_local
from plora.node.gossip.dialing import Dialing
from plora.node.gossip.exchange import Exchange
from plora.node.gossip.link import Link
from plora.proto.records import BoundHit, LinkDown, LinkUp, Neighbours, Penalty

BEAT_TIMER = "gossip:beat"
DIAL_TIMER = "gossip:dial"
HELLO_MS = 5_000
SHUNNED_MAX = 1024
FAREWELLS_MAX = 256


class Links:
    """All links of one peer, by peer id. `beat_of` makes the heartbeat for a link."""

    def __init__(
        self,
        config: CoreConfig,
        rng: Random,
        beat_of: Callable[[Link, Now], Heartbeat],
        exchange: Exchange,
        reputations: Reputations | None = None,
    ) -> None:
        self._config = config
        self._reputations = Reputations((), config.bounds.reputations) if reputations is None else reputations
        self._beat_of = beat_of
        self._links: dict[str, Link] = {}
        self._exchange = exchange
        self._dialing = Dialing(
            config.neighbours, config.bounds.links_out, config.redial_ms_max, rng, exchange.addresses_of
        )
        self._listens_wide = not all(map(is_local, config.addresses))
        self._denied: dict[str, None] = dict.fromkeys(config.denied)
        self._shunned: dict[str, int] = {}
        self._farewells: dict[str, str] = {}
        self._lag_ms = 0
        self._beat_due_ns = 0
        self._day = 0
        self._stopped = False

    def get(self, peer: str) -> Link | None:
        """The link with a peer, ready or not; None when there is none or it is being hung up."""
        link = self._links.get(peer)
        return None if link is None or link.closing else link

    def ready(self) -> list[Link]:
        """The ready links, by peer id."""
        return [self._links[peer] for peer in sorted(self._links) if self._links[peer].ready]

    @property
    def neighbours(self) -> tuple[str, ...]:
        """The configured neighbours."""
        return self._dialing.peers

    @property
    def lag_ms(self) -> int:
        """How late this peer's own loop was, at the last look."""
        return self._lag_ms

    def farewell(self, peer: str) -> str:
        """Why the newest link with a peer never got ready or was ended by one side; empty when it stands."""
        return self._farewells.get(peer, "")

    def start(self, now: Now) -> Outputs:
        """Dial, and start to beat."""
        self._day = now.epoch_day
        self._exchange.configure(self._config.neighbours, self._config.denied)
        self._beat_due_ns = now.after_ms(self._config.heartbeat_ms)
        return [Emit(Neighbours(self.neighbours)), SetTimer(BEAT_TIMER, self._beat_due_ns), *self.dial(now)]

    def stop(self, now: Now) -> Outputs:
        """Say goodbye to everybody."""
        self._stopped = True
        out: Outputs = [CancelTimer(BEAT_TIMER), CancelTimer(DIAL_TIMER)]
        for peer in sorted(self._links):
            out += self.part(peer, "stopping", now, self._config.redial_ms_max // 10)
        return out

    def opened(self, peer: str, dialed: bool, now: Now, address: str = "") -> Outputs:
        """A link is open: greet, or send away."""
        out: Outputs = self._gone(self._links.pop(peer), "replaced") if peer in self._links else []
        forwarded = not dialed and self._listens_wide and is_local(address)
        self._links[peer] = Link(peer, dialed, now.mono_ns, now.mono_ns, address, forwarded=forwarded)
        self._dialing.linked(peer)
        self._exchange.opened(peer)
        reason = self._unwelcome(peer, now)
        if reason:
            return [*out, *self.part(peer, reason, now, self._config.redial_ms_max)]
        supernumerary = self._supernumerary(peer)
        if supernumerary:
            limit = self._config.bounds.links_in
            out.append(Emit(BoundHit("discovery.links_in", limit, limit + 1)))
            out += self.part(supernumerary, "links_in", now, self._config.redial_ms_max)
        return out if supernumerary == peer else [*out, Send(peer, self._hello(now))]

    def closed(self, peer: str, reason: str, now: Now) -> Outputs:
        """A link is gone; dial again later when it is a neighbour's."""
        link = self._links.pop(peer, None)
        out = self._gone(link, reason) if link is not None else []
        if link is not None and link.closing:
            self._dialing.released(peer)
        elif link is not None:
            self._dialing.failed(peer, now)
            self._exchange.parted(peer, now, 0)
        return [*out, *self.dial(now)]

    def dial_failed(self, peer: str, now: Now) -> Outputs:
        """No address led to the peer: dial again later."""
        if peer not in self._links:
            self._dialing.failed(peer, now)
            self._exchange.failed(peer, now)
        return self.dial(now)

    def dial(self, now: Now) -> Outputs:
        """Dial who is due, and set the timer for who comes next."""
        if self._stopped:
            return []
        out: Outputs = [*self._dialing.due(now), *self._exchange.due(now, self._links)]
        nexts = (self._dialing.next_due_ns(), self._exchange.next_due_ns(self._links))
        due_ns = min((one for one in nexts if one is not None and one > now.mono_ns), default=None)
        return out if due_ns is None else [*out, SetTimer(DIAL_TIMER, due_ns)]

    def part(self, peer: str, reason: str, now: Now, retry_after_ms: int = 0) -> Outputs:
        """Leave a link in good order."""
        link = self._links.get(peer)
        if link is None or link.closing:
            return []
        link.closing = True
        self._note_farewell(peer, reason)
        self._dialing.failed(peer, now, retry_after_ms)
        self._dialing.linked(peer)  # until LinkClosed says that the old streams are gone
        return [Send(peer, Goodbye(reason, retry_after_ms)), HangUp(peer, reason), *self._gone(link, reason)]

    def punish(self, peer: str, reason: str, now: Now) -> Outputs:
        """Hang up on who broke a rule, and keep them out for a while, linked or not."""
        self._shunned.pop(peer, None)
        shun_ms = self._reputations.shun_ms(peer, self._config.redial_ms_max, now.wall_ms)
        self._shunned[peer] = until_ns = now.after_ms(shun_ms)
        while len(self._shunned) > SHUNNED_MAX:
            del self._shunned[next(iter(self._shunned))]
        parted = self.part(peer, reason, now, self._config.redial_ms_max)
        return [Emit(Penalty(peer, reason)), *parted, CutOff(peer, until_ns)]

    def pardon(self, peer: str, now: Now) -> Outputs:
        """Let in again who was sent away."""
        self._shunned.pop(peer, None)
        return [CutOff(peer, now.mono_ns)] if self.get(peer) is None else []

    def hello(self, link: Link, hello: Hello, now: Now) -> Outputs:
        """Answer a Hello, the first or a later one."""
        reason = self._misfit(hello, now)
        if reason:
            return self.part(link.peer, reason, now, self._config.redial_ms_max)
        link.hello = hello
        return [Send(link.peer, Welcome(WIRE_VERSION)), *self._perhaps_ready(link, now)]

    def welcome(self, link: Link, now: Now) -> Outputs:
        """The other side understood."""
        link.welcomed = True
        return self._perhaps_ready(link, now)

    def goodbye(self, link: Link, goodbye: Goodbye, now: Now) -> Outputs:
        """The other side leaves."""
        link.closing = True
        self._note_farewell(link.peer, goodbye.reason)
        self._dialing.failed(link.peer, now, goodbye.retry_after_ms)
        self._exchange.parted(link.peer, now, goodbye.retry_after_ms)
        self._dialing.linked(link.peer)
        reason = f"goodbye: {goodbye.reason}"
        return [HangUp(link.peer, reason), *self._gone(link, reason)]

    def beaten(self, link: Link, heartbeat: Heartbeat, now: Now) -> None:
        """A sign of life came."""
        link.heartbeat = heartbeat
        link.ahead_ms = heartbeat.wall_ms - now.wall_ms if heartbeat.wall_ms else None

    def late(self, lag_ms: int) -> None:
        """This peer's own loop was late."""
        self._lag_ms = lag_ms

    def beat(self, now: Now) -> Outputs:
        """Give signs of life, hang up on the silent, greet again whom the greeting didn't reach."""
        own_delay_ms = max(0, now.mono_ns - self._beat_due_ns) // 1_000_000
        patience_ms = self._config.link_timeout_ms + 2 * max(own_delay_ms, self._lag_ms)
        day_changed, self._day = self._day != now.epoch_day, now.epoch_day
        out: Outputs = []
        for peer in sorted(self._links):
            link = self._links[peer]
            if link.closing:
                continue
            limit_ms = patience_ms if link.ready else max(patience_ms, HELLO_MS)
            if now.mono_ns - (link.heard_ns if link.ready else link.opened_ns) > limit_ms * 1_000_000:
                out += self.part(peer, "silent", now)
                continue
            if day_changed or not link.ready:
                out.append(Send(peer, self._hello(now)))
            if link.ready:
                out.append(Send(peer, self._beat_of(link, now)))
        self._beat_due_ns = now.after_ms(self._config.heartbeat_ms)
        return [*out, SetTimer(BEAT_TIMER, self._beat_due_ns)]

    def changed(self, event: NeighboursChanged, now: Now) -> Outputs:
        """Take over the configured neighbours and who is denied."""
        self._denied = dict.fromkeys(event.denied)
        gone = self._dialing.replace(event.neighbours)
        self._exchange.configure(event.neighbours, event.denied)
        out: Outputs = [Emit(Neighbours(self.neighbours))]
        for peer in sorted(self._links):
            if peer in self._denied:
                out += self.part(peer, "denied", now)
            elif peer in gone and self._links[peer].dialed:
                out += self.part(peer, "no longer a neighbour", now)
            else:
                self._dialing.linked(peer)
        return [*out, *self.dial(now)]

    def day_with(self, link: Link, now: Now) -> int:
        """The epoch day by which the pair reconciles: the earlier of both."""
        return min(now.epoch_day, link.hello.epoch_day) if link.hello else now.epoch_day

    def _hello(self, now: Now) -> Hello:
        config = self._config
        return Hello(
            versions=(WIRE_VERSION,),
            features=(),
            swarm=config.swarm,
            boot=config.boot,
            epoch_day=now.epoch_day,
            addresses=config.addresses,
            dialable=config.dialable,
            nickname=config.name,
        )

    def _unwelcome(self, peer: str, now: Now) -> str:
        if self._stopped:
            return "stopping"
        if peer in self._denied or peer == self._config.peer:
            return "denied"
        if self._shunned.get(peer, 0) > now.mono_ns:
            return "shunned"
        return ""

    def _supernumerary(self, peer: str) -> str:
        """Who leaves so that `links_in` is kept, now that `peer` is linked: the newest stranger, else `peer`."""
        inbound = [one.peer for one in self._links.values() if not one.dialed and not one.closing]
        if len(inbound) <= self._config.bounds.links_in or self._links[peer].dialed:
            return ""
        return next((one for one in reversed(inbound) if one not in self._dialing), peer)

    def _misfit(self, hello: Hello, now: Now) -> str:
        if hello.swarm != self._config.swarm:
            return "wrong_swarm"
        if WIRE_VERSION not in hello.versions:
            return "no_common_version"
        return "clocks_apart" if abs(hello.epoch_day - now.epoch_day) > 1 else ""

    def _perhaps_ready(self, link: Link, now: Now) -> Outputs:
        if link.ready or link.closing or not link.welcomed or link.hello is None:
            return []
        link.ready = True
        self._farewells.pop(link.peer, None)
        self._dialing.succeeded(link.peer)
        up = Emit(LinkUp(link.peer, outbound=link.dialed))
        return [up, Send(link.peer, self._beat_of(link, now)), LinkReady(link.peer)]

    def _note_farewell(self, peer: str, reason: str) -> None:
        self._farewells.pop(peer, None)
        self._farewells[peer] = reason
        while len(self._farewells) > FAREWELLS_MAX:
            del self._farewells[next(iter(self._farewells))]

    def _gone(self, link: Link, reason: str) -> Outputs:
        """A ready link stops being one, whether or not its streams still stand."""
        if not link.ready:
            return []
        link.ready = False
        return [Emit(LinkDown(link.peer, reason)), LinkLost(link.peer)]
