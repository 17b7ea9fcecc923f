"""The admin service's answers about invitations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plora.node.driver.clock import read_clocks
from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from plora.node.daemon.node import Node


async def invite(node: Node, request: pb.InviteRequest) -> pb.InviteReply:
    """A new ticket."""
    ticket = await node.joins.invite(request.name, request.addresses, request.hours)
    return pb.InviteReply(ticket=ticket.text(), addresses=ticket.addresses, expires_wall_ms=ticket.expires_s * 1000)


def invitations_reply(node: Node) -> pb.InvitationsReply:
    """Every invitation that is remembered, the oldest first."""
    now_ms = read_clocks().wall_ms
    return pb.InvitationsReply(
        invitations=[
            pb.InvitationInfo(
                name=one.name,
                state=one.state(now_ms),
                made_wall_ms=one.made_ms,
                expires_wall_ms=one.expires_ms,
                peer=one.peer,
                joined_wall_ms=one.joined_ms,
                words=node.joins.words_with(one),
            )
            for one in node.joins.book.all()
        ]
    )


def met(node: Node, peer: str) -> tuple[str, str]:
    """Name and three words of a peer that came by an invitation (its newest), or gave one; empty for others."""
    came = [one for one in node.joins.book.all() if one.peer == peer]
    if came:
        return came[-1].name, node.joins.words_with(came[-1])
    return next(((one.name, one.words) for one in node.told.neighbours if one.peer == peer and one.name), ("", ""))
