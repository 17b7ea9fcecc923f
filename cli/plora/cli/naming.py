"""Names of plasmids by content id and digest, asked of the running peer when an unknown one turns up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from plora.node.admin.client import AdminClient

ASK_EVERY_S = 1.0


class PlasmidNames:
    """`names(id)`: the name of a content id or artifact digest, empty for one that the peer doesn't know.

    The peer is asked at most once a second, so that ids that are no plasmid's cost nothing.
    """

    def __init__(self, client: AdminClient) -> None:
        self._client = client
        self._names: dict[str, str] = {}
        self._asked_s = float("-inf")

    def __call__(self, identity: str) -> str:
        """The name of an id."""
        if identity not in self._names and time.monotonic() - self._asked_s >= ASK_EVERY_S:
            self._asked_s = time.monotonic()
            self.take(self._client.call("List", pb.ListRequest()))
        return self._names.get(identity, "")

    def take(self, reply: pb.ListReply) -> None:
        """Learn the names of a list."""
        for one in reply.plasmids:
            self._names[one.content_id] = self._names[one.sha256] = one.name
