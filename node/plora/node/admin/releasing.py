"""Out of quarantine: the admin service's answer to a person who lets a plasmid out.

- Only what is quarantined can be released, and only if its bytes could be examined: nobody can vouch for a file that
  the worker couldn't read.
- It is durable and recorded (`wished`), and holds for that content alone; `plora quarantine rm` ends it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from plora.gate import Outcome
from plora.node.core import view
from plora.node.core.events import ReleaseAsked
from plora.node.driver.clock import read_clocks
from plora.proto.errors import RefusedError
from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from plora.node.daemon.node import Node


async def release(node: Node, name: str) -> pb.ReleaseReply:
    """Let a plasmid out. Raises RefusedError where it isn't in quarantine, or for a reason that nobody can waive."""
    plasmid = view.one(node.core, name)
    title, verdict = view.name_of(node.core, plasmid), plasmid.verdict
    if verdict is None or verdict.outcome is not Outcome.QUARANTINE:
        raise RefusedError("is not in quarantine", where=title, mend="see `plora quarantine ls`")
    if verdict.reason == "examination_failed":
        what = "its bytes could not be examined, so there is nothing to release"
        raise RefusedError(what, where=title, mend=f"ask for them again by `plora fetch {title}`")
    node.driver.handle(ReleaseAsked(plasmid.content_id))
    await node.driver.shelved()
    document = json.dumps(view.why(node.core, plasmid.content_id.hex(), read_clocks()), sort_keys=True)
    return pb.ReleaseReply(content_id=plasmid.content_id.hex(), name=title, document=document)
