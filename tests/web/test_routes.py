"""What becomes of a defect behind the page: an answer, a record, and a peer that goes on."""

from __future__ import annotations

import json
from typing import Any, cast

from plora.node.admin.service import AdminService
from plora.node.web.feed import Feed
from plora.node.web.routes import web_app


class Broken:
    """An admin service with a defect."""

    async def Status(self, request: object, context: object) -> object:  # noqa: N802 - the RPC's name
        raise ZeroDivisionError("a defect")


async def ask(app: Any, path: str) -> list[dict[str, Any]]:
    """The ASGI messages that answer a GET."""
    sent: list[dict[str, Any]] = []
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [(b"host", b"localhost")]}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


async def test_a_defect_is_said_and_kept() -> None:
    met: list[Exception] = []
    feed = Feed("ab", (), lambda follower: None)
    app = web_app(cast("AdminService", Broken()), feed, "t" * 40, met.append)
    start, body = await ask(app, "/api/status")
    assert start["status"] == 500
    assert "plora events --kind error" in json.loads(body["body"])["error"]
    assert [type(error) for error in met] == [ZeroDivisionError]
