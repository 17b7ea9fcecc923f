"""A worker taken over by the bytes that it examines: code for `plora.node.workers.warden`, in a real process.

`answer` does the deed that the request names ({"do": …}), or the one that `deeds.json` beside this file gives for the
digest at the end of the request's path; for any other path it examines, as `plora.gate.worker` does. A merge it reports
as the request `says`.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plora.gate import worker


def allocate() -> str:
    """All the memory there is, piece by piece."""
    kept = []
    while True:
        kept.append(bytearray(256 << 20))


def fork() -> str:
    """A second process, by the system call itself."""
    return f"started {os.fork()}"


def execute() -> str:
    """Another program in place of this one."""
    os.execv("/bin/true", ["true"])


def loop() -> str:
    """Compute for ever."""
    while True:
        pass


def sleep() -> str:
    """Compute nothing for ever."""
    while True:
        time.sleep(3600)


def open_socket() -> str:
    """A way out."""
    return f"opened {socket.socket().fileno()}"


def kill_the_peer() -> str:
    """Signals, to the warden and beyond."""
    os.kill(os.getppid(), signal.SIGKILL)
    return "killed its warden"


def ask_by_ring() -> str:
    """A socket without the call `socket`: io_uring could open one."""
    return f"ring {ctypes.CDLL(None).syscall(425, 8, None)}"


def answer_for_others() -> str:
    """An answer to somebody else's request, on the warden's standard output."""
    for descriptor in (1, *range(3, 64)):
        try:
            os.write(descriptor, b'{"features":{},"forged":true}\n' * 2)
        except OSError:
            continue
    return "wrote"


def look(path: str) -> str:
    """What a file holds."""
    return Path(path).read_text()[:80]


def write(path: str) -> str:
    """A file where none belongs."""
    Path(path).write_text("was here")
    return "written"


_ALL: tuple[Callable[..., str], ...] = (
    *(allocate, answer_for_others, ask_by_ring, execute, fork, kill_the_peer, look, loop, open_socket, sleep, write),
)
DEEDS = {deed.__name__: deed for deed in _ALL}


def answer(line: str) -> str:
    """Do what this request brings about."""
    request: dict[str, Any] = json.loads(line)
    if "says" in request:
        return json.dumps({"report": request["says"]})
    deed = request.get("do") or _deed_of(Path(request["path"]).name)
    if not deed:
        return worker.answer(line)
    return json.dumps({"did": DEEDS[deed](*([request["at"]] if "at" in request else []))})


def _deed_of(digest: str) -> str:
    deeds: dict[str, str] = json.loads(Path(__file__).with_name("deeds.json").read_text())
    return deeds.get(digest, "")
