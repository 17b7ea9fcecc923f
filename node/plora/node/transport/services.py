"""Which RPCs a peer answers, and the identity check in front of every one of them.

Rules:

- `Guard` is an interceptor, so no handler, health and reflection included, runs before the caller's identity was
  checked on this very RPC. A denied peer is refused there too.
- A guest, whom an invitation let through the handshake and no mark, is refused everything but Join.
- Session and Bulk are raw bytes here; the link's codec reads them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, aclosing
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from grpc_health.v1 import _async as health
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from plora.node.transport.grpc_setup import EOF, grpc
from plora.node.transport.tls import address_of, host_of, is_member, peer_id_of
from plora.node.transport.watch import IMPOSTOR
from plora.proto.errors import PloraError, ProtocolError, RefusedError
from plora.v1 import peer_pb2 as pb

SERVICE = "plora.v1.Peer"
SESSION_METHOD = f"/{SERVICE}/Session"
BULK_METHOD = f"/{SERVICE}/Bulk"
HEALTH_METHOD = "/grpc.health.v1.Health/Check"
JOIN_METHOD = f"/{SERVICE}/Join"
UNREAD = "doesn't read what it fetches"
REFUSAL_S = 0.1
"""So long a refused caller has to read why, before its connection ends."""

Handler = Any  # a grpc.RpcMethodHandler, which is generic in the stubs only
StreamHandler = Callable[[Any, Any], Awaitable[None]]
Checking = Callable[[Any], Awaitable[object]]
Reading = Callable[[Any], Awaitable[Any]]
Taking = Callable[[Any, Any], Awaitable[Any]]


class FetchEndedError(Exception):
    """A one-way Fetch that does not go on; `denied` where it never will."""

    def __init__(self, what: str, *, denied: bool) -> None:
        super().__init__(what)
        self.denied = denied


class Library(Protocol):
    """What the one-way calls read; implemented beside the core, and serves only what the gate lets serve."""

    def offer(self, request: pb.OfferRequest) -> pb.OfferReply:
        """Plasmids whose bytes are served here."""

    def get_statements(self, request: pb.GetStatementsRequest) -> pb.GetStatementsReply:
        """Statements by id, and those about others."""

    @property
    def read_wait_s(self) -> float:
        """How long a caller of Fetch may take to read one reply."""

    def fetch(self, request: pb.FetchRequest, peer: str, host: str) -> AsyncGenerator[pb.FetchReply, None]:
        """The chunk list, then the chunks, as the limits let them go to that peer.

        `KeyError` when these bytes are not served; `FetchEndedError` when the peer may not, or not now.
        """


class Invitations(Protocol):
    """The open invitations of this peer."""

    def roots_pem(self) -> bytes:
        """The trust anchors of those that are good right now."""

    async def join(self, peer: str, request: pb.JoinRequest) -> pb.JoinReply:
        """Use a ticket up, durably, and hand over the swarm; `RefusedError` where none is good."""


class NoInvitations:
    """A peer that invites nobody."""

    def roots_pem(self) -> bytes:
        """None."""
        return b""

    async def join(self, peer: str, request: pb.JoinRequest) -> pb.JoinReply:
        """Refused."""
        raise RefusedError("this peer invites nobody")


class Entrance(Protocol):
    """What the guard needs of the door."""

    def refusal(self, peer: str) -> str:
        """Why that peer is kept out; empty where it isn't."""

    def called(self, address: str) -> None:
        """A call from there reached its handler."""

    def reading(self, address: str, peer: str) -> AbstractContextManager[None]:
        """Around waiting for the one message of a call; an exception says that it was never whole."""

    def turn_away(self, address: str, reason: str) -> None:
        """End the connection of nobody known."""


class Guard(grpc.aio.ServerInterceptor):
    """Aborts every RPC whose caller's identity can't be verified, is kept out, or is a guest's where it isn't Join."""

    def __init__(self, entrance: Entrance, marks: Sequence[Ed25519PublicKey]) -> None:
        self._entrance = entrance
        self._marks = marks

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """The handler, with the check in front of it."""
        handler = await continuation(details)
        check = self._check if details.method == JOIN_METHOD else self._check_member
        return handler if handler is None else _guarded(handler, check, self._one_message)

    async def _one_message(self, context: Any) -> Any:
        """What a call with one message asks."""
        with self._entrance.reading(address_of(context), peer_id_of(context)):
            request = await context.read()
            if request is EOF:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call has no message")
        return request

    async def _check_member(self, context: Any) -> None:
        if not is_member(context, await self._check(context), self._marks):
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "an invitation opens Join and nothing else")

    async def _check(self, context: Any) -> str:
        address = address_of(context)
        self._entrance.called(address)
        try:
            peer = peer_id_of(context)
        except ProtocolError as error:
            asyncio.get_running_loop().call_later(REFUSAL_S, self._entrance.turn_away, address, IMPOSTOR)
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
        refusal = self._entrance.refusal(peer)
        if refusal:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, refusal)
        return peer


def peer_handlers(
    session: StreamHandler,
    bulk: StreamHandler,
    library: Library,
    invitations: Invitations,
    misbehaved: Callable[[str, str], None],
) -> grpc.GenericRpcHandler:
    """The handlers of service plora.v1.Peer; `misbehaved` hears which caller broke which rule."""
    calls = _OneWay(library, invitations, misbehaved)
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Session": grpc.stream_stream_rpc_method_handler(session),
            "Bulk": grpc.stream_stream_rpc_method_handler(bulk),
            "Join": _unary(calls.join, pb.JoinRequest),
            "Offer": _unary(calls.offer, pb.OfferRequest),
            "GetStatements": _unary(calls.get_statements, pb.GetStatementsRequest),
            "Fetch": grpc.unary_stream_rpc_method_handler(
                calls.fetch,
                request_deserializer=pb.FetchRequest.FromString,
                response_serializer=pb.FetchReply.SerializeToString,
            ),
        },
    )


def add_health_and_reflection(server: grpc.aio.Server) -> None:
    """The standard services that tools ask; behind the same guard."""
    servicer = health.HealthServicer()
    servicer._server_status[SERVICE] = health_pb2.HealthCheckResponse.SERVING  # `set` is a coroutine
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection((SERVICE, "grpc.health.v1.Health", reflection.SERVICE_NAME), server)


class _OneWay:
    def __init__(self, library: Library, invitations: Invitations, misbehaved: Callable[[str, str], None]) -> None:
        self._misbehaved = misbehaved
        self._library = library
        self._invitations = invitations

    async def join(self, request: pb.JoinRequest, context: Any) -> pb.JoinReply:
        try:
            return await self._invitations.join(peer_id_of(context), request)
        except RefusedError as error:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
        except PloraError as error:
            await context.abort(grpc.StatusCode.ABORTED, str(error))
        raise AssertionError("abort raises")

    async def offer(self, request: pb.OfferRequest, context: Any) -> pb.OfferReply:
        return self._library.offer(request)

    async def get_statements(self, request: pb.GetStatementsRequest, context: Any) -> pb.GetStatementsReply:
        if len(request.ids) > 64 or len(request.about) > 64:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "at most 64 ids")
        return self._library.get_statements(request)

    async def fetch(self, request: pb.FetchRequest, context: Any) -> None:
        peer = peer_id_of(context)
        try:
            async with aclosing(self._library.fetch(request, peer, host_of(context))) as replies:
                async for reply in replies:
                    async with asyncio.timeout(self._library.read_wait_s):
                        await context.write(reply)
        except TimeoutError:
            self._misbehaved(peer, UNREAD)  # who is cut off for it: a status would wait behind what isn't read
        except KeyError:
            await context.abort(grpc.StatusCode.NOT_FOUND, "these bytes are not served here")
        except FetchEndedError as error:
            code = grpc.StatusCode.PERMISSION_DENIED if error.denied else grpc.StatusCode.RESOURCE_EXHAUSTED
            await context.abort(code, str(error))


def _unary(call: Callable[[Any, Any], Awaitable[Any]], request: Any) -> Handler:
    return grpc.unary_unary_rpc_method_handler(
        call, request_deserializer=request.FromString, response_serializer=lambda reply: reply.SerializeToString()
    )


def _guarded(handler: Handler, check: Checking, read: Reading) -> Handler:
    """The same handler, whose behaviour runs `check` first.

    One for a single message becomes one for a stream, which `read` reads: so the caller is checked before it is read,
    and known where gRPC refuses what it sent.
    """
    kind = (
        ("stream" if handler.request_streaming else "unary")
        + "_"
        + ("stream" if handler.response_streaming else "unary")
    )
    inner = getattr(handler, kind)

    async def taken(stream: Any, context: Any) -> Any:
        await check(context)
        return stream if handler.request_streaming else await read(context)

    make = grpc.stream_stream_rpc_method_handler if handler.response_streaming else grpc.stream_unary_rpc_method_handler
    made: Handler = make(
        _generating(inner, taken) if inspect.isasyncgenfunction(inner) else _answering(inner, taken),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
    return made


def _answering(inner: Any, taken: Taking) -> Any:
    async def call(stream: Any, context: Any) -> Any:
        return await inner(await taken(stream, context), context)

    return call


def _generating(inner: Any, taken: Taking) -> Any:
    async def call(stream: Any, context: Any) -> AsyncIterator[Any]:
        async for reply in inner(await taken(stream, context), context):
            yield reply

    return call
