"""`Ping`: both directions between this peer and a neighbour, tried at the same time.

- There: each address known of it is dialed anew, without touching the link.
- Back: it is asked over the link to dial what this peer named in its Hello; nothing of what it says is believed further
  than to be shown.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from plora.node.admin.neighbours import name_of, named
from plora.node.advice import Ends, judge
from plora.node.core.events import DialBackAsked
from plora.node.core.messages import TRIES_MAX, DialedBack, DialTry
from plora.node.gossip.addresses import told
from plora.node.gossip.link import Link
from plora.node.reach import sentence_of
from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from plora.node.daemon.node import Node

ANSWER_WAIT_S = 25.0


async def ping(node: Node, name: str) -> pb.PingReply:
    """Try both directions. Raises UsageError for a name that doesn't lead to exactly one neighbour."""
    peer = named(node, name)
    link = node.core.gossip.links.get(peer)
    linked = link is not None and link.ready
    there, back = await asyncio.gather(
        node.transport.tries(peer, _addresses(node, peer, link)), _dialed_back(node, peer, linked)
    )
    other = link.hello if link else None
    ends = Ends(
        name=name_of(node, peer),
        listen=f"{node.config.listen.rpartition(':')[0]}:{node.port}",
        dialable=node.config.dialable,
        other_dialable=other.dialable if other else True,
        linked=linked,
    )
    finding = judge(ends, there, back)
    return pb.PingReply(
        peer=peer,
        nickname=other.nickname if other else "",
        linked=linked,
        there=map(_dialed, there),
        back=map(_dialed, back.tries if back else ()),
        answered=back is not None,
        seen_host=back.seen_host if back else "",
        good=finding.good,
        mends=finding.mends,
    )


def _addresses(node: Node, peer: str, link: Link | None) -> tuple[str, ...]:
    """Where a peer may be: as configured, and as it says itself."""
    configured = [one.address for one in node.config.neighbours if one.peer == peer and one.address]
    said = told(link.hello.addresses, link.host) if link and link.hello and link.hello.dialable else ()
    return tuple(dict.fromkeys((*configured, *said)))[:TRIES_MAX]


async def _dialed_back(node: Node, peer: str, linked: bool) -> DialedBack | None:
    if not linked:
        return None
    backs = node.core.gossip.dial_backs
    node.driver.handle(DialBackAsked(peer))
    try:
        async with asyncio.timeout(ANSWER_WAIT_S):
            await node.driver.until(lambda: backs.answer(peer) is not None)
    except TimeoutError:
        return None
    return backs.answer(peer)


def _dialed(one: DialTry) -> pb.Dialed:
    return pb.Dialed(address=one.address, outcome=one.outcome, what=sentence_of(one.outcome), took_ms=one.took_ms)
