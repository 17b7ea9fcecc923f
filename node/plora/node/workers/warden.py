"""`python -P -m plora.node.workers.warden MODULE`: has every request answered by a child of its own, in a cage.

One JSON line in, one JSON line out, in order, until standard input ends:

- `{"request": …, "read": [path], "write": [folder], "memory_bytes", "cpu_s", "file_bytes"}` gives what `MODULE.answer`
  says to the request, one line of JSON;
- where the child ended without an answer, `{"error": {"what": …, "where": ""}}`, which says of what.

This process has loaded the module, holds nothing of the peer's, and looks at no foreign byte. Its children share
nothing but what was loaded: none sees another's artifact, and what one allocates or spoils ends with it.

>>> death(signal.SIGXCPU, 30)
'was killed: it computed for more than 30 s'
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from plora.node.workers.cage import close_cage, end_with_parent
from plora.node.workers.limits import REPLY_BYTES_MAX, Limits

_READ_BYTES = 1 << 16

Answer = Callable[[str], str]


def reply_to(answer: Answer, order: Mapping[str, Any]) -> str:
    """The reply of a child to one order, or of what it died."""
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(source)
        _work(answer, order, sink)
    os.close(sink)
    reply = _all_of(source)
    os.close(source)
    if len(reply) > REPLY_BYTES_MAX:
        os.kill(child, signal.SIGKILL)
        reply = b""
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return _error(death(os.WTERMSIG(status), int(order["cpu_s"])))
    line = reply.partition(b"\n")[0].decode("utf-8", "replace")
    return line or _error("ended without an answer")


def death(signal_number: int, cpu_s: int) -> str:
    """Of what a worker died, in words."""
    if signal_number == signal.SIGSYS:
        return "was killed: it tried to start a process, to open a socket, or to take hold of another process"
    if signal_number == signal.SIGXCPU:
        return f"was killed: it computed for more than {cpu_s} s"
    return f"was killed by {signal.Signals(signal_number).name}"


def _work(answer: Answer, order: Mapping[str, Any], sink: int) -> None:
    """The child: never returns, and answers whatever goes wrong."""
    try:
        end_with_parent()
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)  # an answer to a later request can't be put in from here
        close_cage(Limits(order["memory_bytes"], order["cpu_s"], order["file_bytes"]), order["read"], order["write"])
        reply = answer(json.dumps(order["request"]))
    except BaseException as error:
        reply = _error(f"{type(error).__name__}: {error}"[:200])
    with open(sink, "wb") as file:
        file.write(reply.encode() + b"\n")
    os._exit(0)


def _all_of(source: int) -> bytes:
    """What comes until the end, or until it is too much."""
    reply = bytearray()
    while len(reply) <= REPLY_BYTES_MAX and (part := os.read(source, _READ_BYTES)):
        reply += part
    return bytes(reply)


def _error(what: str) -> str:
    return json.dumps({"error": {"what": what, "where": ""}})


def main() -> None:
    """Answer until standard input ends."""
    answer: Answer = importlib.import_module(sys.argv[1]).answer
    for line in sys.stdin:
        sys.stdout.write(reply_to(answer, json.loads(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
