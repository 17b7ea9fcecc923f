"""The command line's side of the admin service: one blocking call after another over the peer's Unix socket.

- Nothing answers: `PeerNotRunningError`, with the command that starts the peer.
- What the service refuses comes back as the error that it raised there: the status code says which kind, the details
  carry its sentence.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from plora.node.transport.grpc_setup import grpc
from plora.proto.errors import NoAnswerError, PeerNotRunningError, PloraError, RefusedError, UsageError
from plora.proto.home import Home
from plora.v1 import admin_pb2_grpc

ANSWER_TIMEOUT_S = 30.0
_ERRORS: dict[grpc.StatusCode, type[PloraError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: UsageError,
    grpc.StatusCode.NOT_FOUND: UsageError,
    grpc.StatusCode.FAILED_PRECONDITION: RefusedError,
    grpc.StatusCode.DEADLINE_EXCEEDED: NoAnswerError,
}


class AdminClient:
    """A connection to the admin service of the peer whose home this is; a context manager."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._channel = grpc.insecure_channel(f"unix:{home.admin_socket.resolve()}")
        self._stub = admin_pb2_grpc.AdminStub(self._channel)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; streams that are read elsewhere end."""
        self._channel.close()

    def call(self, method: str, request: Any, timeout_s: float = ANSWER_TIMEOUT_S) -> Any:
        """One RPC by name; the reply message."""
        return self._guarded(lambda: getattr(self._stub, method)(request, timeout=timeout_s))

    def wait(self, method: str, request: Any, tick: Callable[[float], None], every_s: float) -> Any:
        """One RPC that may take long: the reply, with `tick(seconds so far)` every so often until it is there.

        There is no limit of time: `tick` asks the peer something, and an error that it raises ends the wait.
        """
        future = getattr(self._stub, method).future(request)
        try:
            for turn in itertools.count(1):
                try:
                    return self._guarded(lambda: future.result(every_s))
                except grpc.FutureTimeoutError:
                    tick(turn * every_s)
        finally:
            future.cancel()  # of no effect where it is done

    def stream(self, method: str, request: Any) -> Iterator[Any]:
        """A server-streaming RPC by name, until the service or the caller ends it."""
        replies = getattr(self._stub, method)(request)
        while (reply := self._guarded(lambda: next(replies, None))) is not None:
            yield reply

    def _guarded(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except grpc.RpcError as error:
            raise self._told(error) from None

    def _told(self, error: Any) -> PloraError:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            where = str(self._home.root)
            return PeerNotRunningError(
                "no peer is running on this home", where=where, mend=_start_command(self._home.root)
            )
        kind = _ERRORS.get(error.code(), PloraError)
        return kind(error.details() or error.code().name.lower())


def _start_command(root: Path) -> str:
    return f"start it by `plora up --home {root}`"
