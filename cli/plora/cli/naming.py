"""Names of plasmids and peers by their ids, asked of the running peer when an unknown one turns up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from plora.node.admin.client import AdminClient

ASK_EVERY_S = 1.0


class Names:
    """`names(id)`: the name of a content id, artifact digest or peer id; empty for one that the peer doesn't know.

    The peer is asked at most once a second, so that ids that have no name cost nothing.
    """

    def __init__(self, client: AdminClient) -> None:
        self._client = client
        self._names: dict[str, str] = {}
        self._asked_s = float("-inf")

    def __call__(self, identity: str) -> str:
        """The name of an id."""
        if identity not in self._names and time.monotonic() - self._asked_s >= ASK_EVERY_S:
            self._asked_s = time.monotonic()
            self._learn()
        return self._names.get(identity, "")

    def _learn(self) -> None:
        for plasmid in self._client.call("List", pb.ListRequest()).plasmids:
            self._names[plasmid.content_id] = self._names[plasmid.sha256] = plasmid.name
        for peer in self._client.call("Peers", pb.ListPeersRequest()).peers:
            self._names[peer.peer] = peer.nickname
