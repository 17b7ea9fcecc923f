"""What the web page answers: the admin service's replies as JSON, its stream of events, its actions, static files.

- `GET /api/NAME` calls the RPC of that name in `READS` and gives its reply; nothing is computed here, so the page, the
  command line and `--json` say the same. Unknown names are 404.
- `GET /api/session` says whether the request shows the token, and what the gate's reason codes mean.
- `GET /api/events` is `plora.node.web.feed`.
- `POST /api/actions/NAME` calls an RPC in `ACTIONS` with one argument, a name. Trust, policy, keys, paths, addresses
  and hooks are in neither table, whoever asks.
- An error of the admin service is its sentence as {"error": …}; a defect is an `error` record and status 500.

Who may ask is decided before by `plora.node.web.guard`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from plora.gate import sentence
from plora.gate.reasons import HEADER_PREFIX, REASONS
from plora.node.admin.plain import plain
from plora.node.admin.service import AdminService
from plora.node.transport.grpc_setup import grpc
from plora.node.web.feed import STREAMS_MAX, Feed
from plora.node.web.guard import BODY_BYTES_MAX, holds_token, refusal
from plora.proto.amounts import BYTE_BOUNDS
from plora.v1 import admin_pb2 as pb

STATIC = Path(__file__).with_name("static")
ACTION_WAIT_S = 20.0

Query = Mapping[str, str]
READS: Mapping[str, tuple[str, Callable[[Query], Any]]] = {
    "status": ("Status", lambda query: pb.StatusRequest()),
    "plasmids": ("List", lambda query: pb.ListRequest()),
    "show": ("Show", lambda query: pb.ShowRequest(name=query.get("name", ""))),
    "why": ("Why", lambda query: pb.WhyRequest(name=query.get("name", ""))),
    "peers": ("Peers", lambda query: pb.ListPeersRequest()),
    "transfers": ("Transfers", lambda query: pb.TransfersRequest()),
    "reputations": ("Reputations", lambda query: pb.ReputationsRequest()),
    "merges": ("Merges", lambda query: pb.MergesRequest()),
    "consensus": ("Consensus", lambda query: pb.ConsensusRequest()),
    "beliefs": ("Beliefs", lambda query: pb.BeliefsRequest()),
    "audit": ("VerifyAudit", lambda query: pb.VerifyAuditRequest(last=True)),
}
ACTIONS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "fetch": ("Fetch", lambda name: pb.FetchPlasmidRequest(name=name)),
    "pin": ("Pin", lambda name: pb.PinRequest(name=name, pinned=True)),
    "unpin": ("Pin", lambda name: pb.PinRequest(name=name, pinned=False)),
    "rm": ("Remove", lambda name: pb.RemoveRequest(name=name)),
    "rollback": ("Rollback", lambda name: pb.RollbackRequest(base_model=name)),
    "forward": ("Rollback", lambda name: pb.RollbackRequest(base_model=name, forward=True)),
}
_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


class Caller:
    """What the admin service sees of whoever called it: a place to refuse."""

    async def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """Refuse with a sentence."""
        raise HTTPException(_STATUS.get(code, 500), details)


class Guarded:
    """The page behind its guard. `defect` takes what no answer could be made of."""

    def __init__(self, app: ASGIApp, token: str, defect: Callable[[Exception], None]) -> None:
        self._app = app
        self._token = token
        self._defect = defect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        request = Request(scope)
        refused = refusal(request.method, scope["path"], request.headers, token=self._token)
        if refused is not None:
            await JSONResponse({"error": refused.sentence}, refused.status)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # a request must not be able to disturb the peer
            self._defect(error)


def web_app(service: AdminService, feed: Feed, token: str, defect: Callable[[Exception], None]) -> ASGIApp:
    """The whole page as an ASGI application."""
    routes = [
        Route("/api/session", _session(token)),
        Route("/api/events", _events(feed)),
        Route("/api/actions/{name}", _action(service), methods=["POST"]),
        Route("/api/{name}", _read(service)),
        Mount("/", StaticFiles(directory=STATIC, html=True)),
    ]
    handlers: Mapping[Any, Any] = {HTTPException: _told, Exception: _failed}
    return Guarded(Starlette(routes=routes, exception_handlers=handlers), token, defect)


Endpoint = Callable[[Request], Any]


def _session(token: str) -> Endpoint:
    reasons = {code: sentence(code) for code in (*REASONS, HEADER_PREFIX)}

    async def session(request: Request) -> Response:
        writable = holds_token(request.headers, token)
        return JSONResponse(
            {"writable": writable, "actions": sorted(ACTIONS), "reasons": reasons, "byte_bounds": sorted(BYTE_BOUNDS)}
        )

    return session


def _events(feed: Feed) -> Endpoint:
    async def events(request: Request) -> Response:
        if feed.full:
            raise HTTPException(503, f"{STREAMS_MAX} pages are open already (STREAMS_MAX): close one")
        last_id = request.headers.get("last-event-id", "")
        return StreamingResponse(feed.stream(last_id), media_type="text/event-stream")

    return events


def _read(service: AdminService) -> Endpoint:
    async def read(request: Request) -> Response:
        if request.path_params["name"] not in READS:
            raise HTTPException(404, "there is nothing of that name")
        method, ask = READS[request.path_params["name"]]
        return JSONResponse(plain(await getattr(service, method)(ask(request.query_params), Caller())))

    return read


def _action(service: AdminService) -> Endpoint:
    async def action(request: Request) -> Response:
        if request.path_params["name"] not in ACTIONS:
            raise HTTPException(404, "there is no such action")
        method, ask = ACTIONS[request.path_params["name"]]
        call = getattr(service, method)(ask(_name_in(await request.body())), Caller())
        try:
            async with asyncio.timeout(ACTION_WAIT_S):
                return JSONResponse(plain(await call))
        except TimeoutError:
            return JSONResponse({"running": "it takes a while and goes on; the page shows when it is done"}, 202)

    return action


def _name_in(body: bytes) -> str:
    try:
        document = json.loads(body[:BODY_BYTES_MAX])
    except ValueError as error:
        raise HTTPException(400, "the body is not JSON") from error
    if not isinstance(document, dict) or document.keys() != {"name"} or not isinstance(document["name"], str):
        raise HTTPException(400, 'the body is {"name": …}')
    return str(document["name"])


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "the peer failed to answer; see `plora events --kind error`"}, 500)


async def _told(request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": error.detail}, error.status_code)
