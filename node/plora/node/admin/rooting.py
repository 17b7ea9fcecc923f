"""The admin service's answers about the pinned root: what its owners revoke, and what a further revocation changes.

The peer has no owner's key: whoever calls signs, and spreads it by `Introduce`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, get_args

from plora.node.core import view
from plora.node.core.owners import named
from plora.node.core.peer import PeerCore
from plora.node.core.root_view import about, holders, root, weighed
from plora.node.driver.clock import read_clocks
from plora.proto.canonical import is_hex_digest
from plora.proto.errors import UsageError
from plora.proto.payloads import Revocation
from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from plora.node.daemon.node import Node

NOBODY = "0" * 64


def root_reply(node: Node, request: pb.RootRequest) -> pb.RootReply:
    """The root, and of a target what it would change if the root's owners revoked it."""
    document = root(node.core)
    if request.target_kind and document["pinned"]:
        document["weighed"] = _weighed(node.core, request.target_kind, request.target)
    return pb.RootReply(document=json.dumps(document, sort_keys=True))


def target_of(core: PeerCore, kind: str, name: str) -> str:
    """The id in hex that a person means; UsageError for none or several. A whole id need not be known here."""
    if is_hex_digest(name):
        return name
    if kind == "content":
        return view.one(core, name).content_id.hex()
    found = [one.owner for one in named(core, name)] if kind == "owner" else core.desk.docket.keys_like(name)
    if len(found) != 1:
        mend = "see `plora trust pending` and `plora show`, or name all 64 digits of its id"
        raise UsageError(f"'{name}' may mean {len(found)} {kind}s that are known here", mend=mend)
    return found[0]


def _weighed(core: PeerCore, kind: str, name: str) -> dict[str, object]:
    kinds = get_args(Revocation.model_fields["target_kind"].annotation)
    if kind not in kinds:
        raise UsageError(f"a '{kind}' can't be revoked", mend=f"say {', '.join(kinds)}")
    target = target_of(core, kind, name)
    who = {"swarm": core.config.swarm, "issued": "1970-01-01T00:00:00Z", "key_id": NOBODY, "owner": NOBODY}
    supposed = Revocation.model_validate({**who, "target_kind": kind, "target": target, "reason": "supposed"})
    return {
        "target_kind": kind,
        "target": target,
        "about": about(core, kind, target),
        "owners": list(holders(core, kind, target)),
        "changes": weighed(core, supposed, read_clocks()),
    }
