"""Names are looked up by the system, and one that it can't tell holds nobody up."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import pytest
import uvloop

from plora.node.transport.lookup import looked_up
from plora.node.transport.transport import Transport

SOON_S = 2.0  # a dial may take 5, a link that ends 3
STRANGER = "ab" * 32


@pytest.fixture
def mute_resolver(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A resolver that says nothing until the test is over; yields the event that is set once it was asked."""
    asked, over = threading.Event(), threading.Event()

    def wait(*_: Any, **__: Any) -> Any:
        asked.set()
        over.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    yield asked
    over.set()


@pytest.mark.asyncio(loop_scope="session")
async def test_a_name_has_its_numbers_and_a_wrong_one_an_error() -> None:
    assert ("127.0.0.1", 4700) in [found[4] for found in await looked_up("localhost", 4700)]
    with pytest.raises(OSError, match=r"(?i)name|address"):
        await looked_up("nobody.invalid", 4700)
    with pytest.raises(UnicodeError):
        await looked_up("a" * 64 + ".example", 4700)


def test_a_peer_that_looks_for_somebody_still_stops_at_once(
    mute_resolver: threading.Event, wire: Any, make_identity: Any
) -> None:
    """As it was seen in containers: the others were gone, so was who knew their names, and SIGKILL came after 10 s."""
    ears = wire.Ears()

    async def live() -> float:
        transport = Transport(make_identity(), ears, wire.EmptyLibrary())
        transport.dial(STRANGER, ("bob:4700",))
        assert await asyncio.to_thread(mute_resolver.wait, 10)
        began_s = time.monotonic()
        await transport.stop()
        return began_s

    began_s = uvloop.run(live())
    assert time.monotonic() - began_s < SOON_S
    assert not ears.events
