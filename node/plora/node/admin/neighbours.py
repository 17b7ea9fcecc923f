"""Neighbours as people name and see them: a nickname, the start of a peer id, or an address.

A nickname is what a peer calls itself: shown, never believed. Where two call themselves the same, the name is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plora.node.admin.inviting import met
from plora.node.core import view
from plora.node.driver.clock import read_clocks
from plora.node.reach import sentence_of
from plora.proto.canonical import begins
from plora.proto.errors import UsageError
from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from plora.node.daemon.node import Node


def everybody(node: Node) -> list[str]:
    """Configured neighbours in their order, then who else is linked, by peer id."""
    links = [link.peer for link in node.core.gossip.links.ready()]
    return list(dict.fromkeys((*(one.peer for one in node.config.neighbours), *links)))


def named(node: Node, name: str) -> str:
    """The peer id of a name. Raises UsageError where none or more than one fits."""
    configured = {one.peer: one.address for one in node.config.neighbours}
    found = [
        peer for peer in everybody(node) if name in (nickname(node, peer), configured.get(peer)) or begins(name, peer)
    ]
    if not found:
        raise UsageError(f"no neighbour {name!r} is known here", mend="list who is with `plora peers`")
    if len(found) > 1:
        raise UsageError(f"{name!r} may mean {', '.join(peer[:12] for peer in found)}", mend="name a peer id")
    return found[0]


def nickname(node: Node, peer: str) -> str:
    """What a linked peer calls itself, else the name by which it came or invited; empty for others."""
    link = node.core.gossip.links.get(peer)
    hello = link.hello.nickname if link and link.hello else ""
    return hello or met(node, peer)[0]


def name_of(node: Node, peer: str) -> str:
    """How a peer is called in a sentence."""
    return nickname(node, peer) or peer[:12]


def peers_reply(node: Node) -> pb.ListPeersReply:
    """Configured neighbours and whoever else is linked."""
    return pb.ListPeersReply(peers=[_peer(node, peer) for peer in everybody(node)])


def _peer(node: Node, peer: str) -> pb.PeerInfo:
    configured = {one.peer: " ".join(one.addresses) for one in node.config.peer_addresses()}
    wire, link = node.transport.link(peer), node.core.gossip.links.get(peer)
    hello = link.hello if link else None
    now = read_clocks()
    said = view.neighbour(node.core, peer, now)
    return pb.PeerInfo(
        peer=peer,
        nickname=nickname(node, peer),
        address=configured.get(peer, ""),
        state=_state(node, peer),
        outbound=wire is not None and wire.dialed,
        statements=said["statements"],
        last_seen_wall_ms=now.wall_ms - said["heard_ms"] if link else 0,
        configured=peer in configured,
        last_error=sentence_of(trouble_with(node, peer)),
        host=link.host if link else "",
        addresses=hello.addresses if hello else (),
        dialable=hello.dialable if hello else False,
        ahead_ms=link.ahead_ms if link else None,
        words=met(node, peer)[1],
        reputation=pb.ReputationInfo(**view.reputation(node.core, peer, now), name=nickname(node, peer)),
    )


def lan_reply(node: Node) -> pb.LanReply:
    """Who says on the local network that they are there."""
    if node.lan is None:
        return pb.LanReply()
    configured = [one.peer for one in node.config.neighbours]
    found = [
        pb.LanPeer(peer=one.peer, addresses=one.addresses, state=_lan_state(node, one.peer, configured))
        for one in sorted(node.lan.found.values(), key=lambda one: one.peer)
    ]
    return pb.LanReply(on=True, peers=found)


def _lan_state(node: Node, peer: str, configured: list[str]) -> str:
    link = node.core.gossip.links.get(peer)
    if peer in node.config.deny:
        return "denied"
    if link is not None and link.ready:
        return "linked"
    return "neighbour" if peer in configured else "new"


def trouble_with(node: Node, peer: str) -> str:
    """The code of why there is no link with a peer: of the newest dial, else what was said at the parting."""
    link = node.core.gossip.links.get(peer)
    if link is not None and link.ready:
        return ""
    return node.transport.last_error(peer) or node.core.gossip.links.farewell(peer)


def _state(node: Node, peer: str) -> str:
    link = node.core.gossip.links.get(peer)
    if peer in node.config.deny:
        return "denied"
    if link is not None and link.ready:
        return "up"
    return "dialing" if node.transport.link(peer) else "down"
