"""The web page's socket and token: opened on the peer's own event loop, at start or when `plora web` asks.

- It listens on loopback only (peer.yaml is checked for that), but where `web.forwarded` says that a container's
  runtime forwards a port of its host's loopback; `Host` must name loopback there, too. Where `web.listen` is empty,
  the system gives a port when the page is first opened.
- The token lies in the home with mode 0600, made once; whoever can read it may act on the page. Delete the file and
  restart the peer to have another.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from plora.node.admin.service import AdminService
from plora.node.eventlog import EventLog
from plora.node.web.feed import Feed
from plora.proto.errors import ConfigError, KeyFileError, TransportError
from plora.proto.host_port import checked, join, near
from plora.proto.keys import write_new_file
from plora.proto.records import Body, ErrorMet

ANY_PORT = "127.0.0.1:0"
TOKEN_BYTES = 32
PAST_BYTES = 1 << 20
DEFECTS_MAX = 100

Note = Callable[[Body], None]


class WebPage:
    """One peer's page: the answers of `service`, the stream of `log`; defects go to `note`."""

    def __init__(self, listen: str, token_file: Path, service: AdminService, log: EventLog, note: Note) -> None:
        self._listen = listen or ANY_PORT
        self._token_file = token_file
        self._service = service
        self._log = log
        self._note = note
        self._opening = asyncio.Lock()
        self._url = ""
        self._met: set[ErrorMet] = set()
        self._end: Callable[[], None] = lambda: None
        self._serving: asyncio.Task[None] | None = None

    async def open(self) -> str:
        """Listen, unless it does already; the URL. Raises ConfigError without the extra, TransportError for a port."""
        async with self._opening:
            if not self._url:
                self._url = await self._start()
        return self._url

    async def close(self) -> None:
        """End the streams and the socket."""
        self._end()
        if self._serving is not None:
            await self._serving

    async def _start(self) -> str:
        try:
            from plora.node.web.http import quiet_server
            from plora.node.web.routes import web_app
        except ModuleNotFoundError as error:
            mend = "pip install 'plora[web]', then restart the peer"
            raise ConfigError("the web page needs the extra `web`", where=error.name or "", mend=mend) from error
        token = await asyncio.to_thread(load_token, self._token_file)
        past = await asyncio.to_thread(last_lines, self._log.segments())
        listener = _bound(self._listen)
        feed = Feed(self._log.boot, past, self._log.follow)
        server = quiet_server(web_app(self._service, feed, token, self._defect))

        def end() -> None:
            feed.close()
            server.should_exit = True

        self._end = end
        self._serving = asyncio.create_task(server.serve(sockets=[listener]))
        host, _ = checked(self._listen, "web.listen", listening=True)
        return f"http://{join(near(host), listener.getsockname()[1])}/"

    def _defect(self, error: Exception) -> None:
        met = ErrorMet(f"{type(error).__name__}: {error}"[:500], where="web page")
        if met not in self._met and len(self._met) < DEFECTS_MAX:  # a page asks again and again
            self._met.add(met)
            self._note(met)


def last_lines(segments: Sequence[Path]) -> list[str]:
    """The whole lines among the last `PAST_BYTES` of each of the two newest segments of a log."""
    lines: list[str] = []
    for path in segments[-2:]:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - PAST_BYTES))
            lines += log.read().decode("utf-8", "replace").split("\n")
    return [line for line in lines if line.startswith("{") and line.endswith("}")]


def load_token(path: Path) -> str:
    """The token in a file that nobody else can read; made if there is none. Raises KeyFileError."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_new_file(path, f"{secrets.token_urlsafe(TOKEN_BYTES)}\n".encode("ascii"), mode=0o600)
    if path.stat().st_mode & 0o077:
        raise KeyFileError("others can read the web page's token", where=str(path), mend="delete it, or chmod 600")
    token = path.read_text("ascii").strip()
    if len(token) < TOKEN_BYTES:
        raise KeyFileError("is no token", where=str(path), mend="delete it; another is made")
    return token


def _bound(address: str) -> socket.socket:
    host, port = checked(address, "web.listen", listening=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        mend = "stop the program that uses it, or change `web.listen` in peer.yaml"
        raise TransportError(f"can't listen on {address} ({error})", mend=mend) from error
