"""The numbers of a host's name, from the system's resolver, which nobody can interrupt.

A resolver that hears nothing asks again for ten seconds and more, and the event loop's own lookups hold up its end that
long: whoever waits for a stopping peer would kill it. So each lookup has a thread that the process doesn't wait for.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import Future
from typing import Any

Found = list[tuple[Any, ...]]


async def looked_up(host: str, port: int) -> Found:
    """What `socket.getaddrinfo` says of a host for streams; raises as it does (OSError, UnicodeError)."""
    answer: Future[Found] = Future()
    answer.set_running_or_notify_cancel()  # from here on who asked can go, and the thread still has where to answer

    def look() -> None:
        try:
            answer.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.set_exception(error)

    threading.Thread(target=look, name="lookup", daemon=True).start()
    return await asyncio.wrap_future(answer)
