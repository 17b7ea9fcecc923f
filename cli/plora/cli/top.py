"""The loop of `plora top`: look at the peer, draw a frame, wait for a key or the next look.

- Frames replace one another in place on the terminal's other screen, so that nothing flickers and nothing stays.
- `q` and Ctrl-C end it. A peer that stops answering is waited for, and said to be gone.
- Without a terminal one frame is printed, with the newest events.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import time
import tty
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.live import Live

from plora.cli.event_lines import event_line
from plora.cli.naming import Names
from plora.cli.picture import Sight, picture
from plora.gate import sentence
from plora.node.admin.client import AdminClient
from plora.proto.errors import PeerNotRunningError, PloraError
from plora.proto.home import Home
from plora.proto.records import BODIES, QUIET
from plora.v1 import admin_pb2 as pb

LOOK_S = 0.5
LINES_KEPT = 200
KEYS_MAX = 64
QUIT = "q"
LINES_WITHOUT_TERMINAL = 10
GONE = "the peer doesn't answer any more; waiting for it to come back"
KINDS = sorted(BODIES.keys() - QUIET - {"stage"})


class Watch:
    """A running peer under observation: its answers, and its event log from a thread of its own."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._follower: threading.Thread | None = None
        self._connect()

    def _connect(self) -> None:
        self._client = AdminClient(self._home)
        self._names = Names(self._client)
        self._arrived: deque[str] = deque(maxlen=LINES_KEPT)

    def close(self) -> None:
        """Hang up; this ends the thread too."""
        self._client.close()

    def reconnect(self) -> None:
        """Hang up and begin anew: a channel that failed would wait before it tries again."""
        self.close()
        self._connect()

    def read(self) -> None:
        """Take what was logged in this boot."""
        self._arrived.extend(reply.line for reply in self._client.stream("Events", pb.EventsRequest(kinds=KINDS)))

    def follow(self) -> None:
        """Take what was logged in this boot, and what is logged from now on; nothing if that is under way."""
        if self._follower is None or not self._follower.is_alive():
            self._lines.clear()
            self._follower = threading.Thread(target=self._follow, args=(self._client, self._arrived), daemon=True)
            self._follower.start()

    def look(self) -> Sight:
        """What is to be seen now. Raises PeerNotRunningError."""
        status = self._client.call("Status", pb.StatusRequest())
        peers = self._client.call("Peers", pb.ListPeersRequest()).peers
        transfers = self._client.call("Transfers", pb.TransfersRequest())
        while self._arrived:
            self._lines.append(event_line(self._arrived.popleft(), self._names, sentence))
        return Sight(status, peers, transfers, tuple(self._lines), int(time.time() * 1000))

    @staticmethod
    def _follow(client: AdminClient, arrived: deque[str]) -> None:
        try:
            for reply in client.stream("Events", pb.EventsRequest(follow=True, kinds=KINDS)):
                arrived.append(reply.line)
        except (PloraError, ValueError):
            return  # the peer is gone, or the channel was closed: `look` says so


def show_once(home: Path, console: Console) -> None:
    """Print one frame."""
    watch = Watch(Home(home))
    try:
        watch.read()
        sight = watch.look()
    finally:
        watch.close()
    console.print(picture(replace(sight, events=sight.events[-LINES_WITHOUT_TERMINAL:])))


def show_live(home: Path, console: Console, pressed: Callable[[float], str]) -> None:
    """Draw until `pressed(wait_s)`, the keys of the next while, has a q."""
    watch = Watch(Home(home))
    try:
        sight = watch.look()
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                shown = replace(sight, hint="q or Ctrl-C leaves")
                live.update(picture(shown, *console.size), refresh=True)
                if QUIT in pressed(LOOK_S).lower():
                    return
                sight = _next(watch, sight)
    finally:
        watch.close()


def _next(watch: Watch, before: Sight) -> Sight:
    """What is to be seen now, or the last sight with the word that the peer is gone."""
    try:
        sight = watch.look()
    except PeerNotRunningError:
        watch.reconnect()
        return replace(before, troubles=(GONE,))
    watch.follow()
    return sight


@contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """The keys of the terminal on standard input, unechoed; the terminal is given back as it was."""
    if not sys.stdin.isatty():
        yield _nothing
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield _typed
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _typed(wait_s: float) -> str:
    ready, _, _ = select.select([sys.stdin], [], [], wait_s)
    if not ready:
        return ""
    typed = os.read(sys.stdin.fileno(), KEYS_MAX)
    return typed.decode(errors="replace") if typed else QUIT  # the end of the input: the terminal is gone


def _nothing(wait_s: float) -> str:
    threading.Event().wait(wait_s)
    return ""
