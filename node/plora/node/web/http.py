"""uvicorn as a part of the daemon: without signal handlers, log, lifespan or trust in forwarded headers of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from plora.node.web.guard import HEADERS

CONNECTIONS_MAX = 64
LAST_ANSWERS_S = 1


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the daemon's."""
        yield


def quiet_server(app: ASGIApp) -> uvicorn.Server:
    """A server for an application; whoever calls it gives it a listening socket."""
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        headers=list(HEADERS.items()),
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=LAST_ANSWERS_S,
    )
    return _Server(config)
