"""What others have earned here, and letting one of them begin again: the admin service's answers.

Names are those of this peer: nicknames of trusted owners, else what owners and linked peers call themselves, which is
shown and never believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plora.node.admin.neighbours import nickname
from plora.node.core import view
from plora.node.core.events import ForgiveAsked
from plora.node.core.reputations import OWNER
from plora.node.driver.clock import read_clocks
from plora.proto.canonical import begins
from plora.proto.errors import UsageError
from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from plora.node.daemon.node import Node


def reputations_reply(node: Node, name: str) -> pb.ReputationsReply:
    """Everybody of whom something is known, or those whom a name may mean."""
    found = [_named(node, one) for one in view.reputations(node.core, read_clocks())]
    policy = node.core.desk.policy
    return pb.ReputationsReply(
        reputations=[one for one in found if not name or name == one.name or begins(name, one.subject)],
        obeyed=policy.reputation,
        min_reputation=policy.reputation_floor,
    )


def reputation_of(node: Node, subject: str) -> pb.ReputationInfo:
    """One peer's or owner's."""
    return _named(node, view.reputation(node.core, subject, read_clocks()))


def forgive(node: Node, subject: str) -> pb.ForgiveReply:
    """Let a peer or an owner begin again. Raises UsageError where nothing is known of them."""
    if not node.core.reputations.kind(subject):
        raise UsageError("nothing is known of them", where=subject[:12], mend="see `plora trust reputation`")
    node.driver.handle(ForgiveAsked(subject))
    return pb.ForgiveReply(reputation=reputation_of(node, subject))


def _named(node: Node, fields: view.Json) -> pb.ReputationInfo:
    subject = fields["subject"]
    name = _owner_name(node, subject) if fields["kind"] == OWNER else nickname(node, subject)
    return pb.ReputationInfo(**fields, name=name)


def _owner_name(node: Node, owner: str) -> str:
    entry = node.core.desk.trust.owner(owner)
    record = node.core.desk.docket.first_record(owner)
    return entry.nickname if entry else record.name if record else ""
