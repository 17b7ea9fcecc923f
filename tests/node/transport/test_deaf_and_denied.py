"""A peer that asks and never reads costs no memory; a denied peer gets no link, whoever dials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from plora.node.core.messages import Carried, Have, Hello, Message, Refuse
from plora.node.reach import DENIED_HERE
from plora.node.transport.identity import Identity
from plora.node.transport.link import BULK_QUEUE_MAX, DEAF, SESSION_QUEUE_BYTES_MAX, SESSION_QUEUE_MAX, Link
from plora.node.transport.traffic import Traffic
from plora.proto.statement import Statement

pytestmark = pytest.mark.asyncio(loop_scope="session")
PEER = "ab" * 32
HELLO = Hello((1,), (), "ab" * 32, "cd" * 16, 1)
STATEMENT = Statement("application/x-test", bytes(16 << 10), PEER, "Ed25519", b"s")
FULL = Have((Carried(STATEMENT, 0),) * 3)


class _Nobody:
    """A stream and a listener that nobody asks anything: the link is never run."""

    async def read(self) -> Any:
        return None

    async def write(self, data: bytes) -> None:
        return

    def link_received(self, link: Link, message: Message) -> None:
        return

    def link_misbehaved(self, link: Link, reason: str) -> None:
        return

    def link_closed(self, link: Link, reason: str) -> None:
        return

    async def link_room(self, link: Link) -> None:
        return


def unread() -> Link:
    return Link(PEER, False, _Nobody(), _Nobody(), _Nobody(), Traffic())


async def test_refusals_that_nobody_reads_end_the_link() -> None:
    link, sent = unread(), [-1]
    for _ in range(BULK_QUEUE_MAX):
        link.send(Refuse(PEER, "not_here"))
    assert not link.closing
    link.send(Refuse(PEER, "not_here"), sent.append)
    assert link.closing and link.reason == DEAF
    assert sent == [-1, 0]


async def test_frames_that_nobody_reads_are_bounded_by_number_and_by_bytes() -> None:
    link = unread()
    for _ in range(SESSION_QUEUE_MAX):
        link.send(HELLO)
    assert not link.closing
    link.send(HELLO)
    assert link.closing
    link, fitting = unread(), SESSION_QUEUE_BYTES_MAX // (48 << 10)
    for _ in range(fitting - 20):
        link.send(FULL)
    assert not link.closing
    for _ in range(30):
        link.send(FULL)
    assert link.closing and link.reason == DEAF


async def test_what_was_written_makes_room(wire: Any, make_identity: Callable[[], Identity]) -> None:
    async with wire.peers_in(make_identity(), make_identity()) as (a, b):
        b.transport.dial(a.id, [a.address])
        await a.ears.until("opened")
        await b.ears.until("opened")
        link = b.transport.link(a.id)
        link.send(HELLO)
        rounds = SESSION_QUEUE_BYTES_MAX // (48 << 10) // 100 + 2
        for number in range(rounds):
            for _ in range(100):
                link.send(FULL)
            link.send(Hello((number + 2,), (), "ab" * 32, "cd" * 16, 1))
            await a.ears.until("received", b.id, Hello((number + 2,), (), "ab" * 32, "cd" * 16, 1))
        assert not link.closing


async def test_a_denied_peer_is_not_dialed(wire: Any, make_identity: Callable[[], Identity]) -> None:
    async with wire.peers_in(make_identity(), make_identity()) as (a, b):
        b.transport.deny([a.id])
        b.transport.dial(a.id, [a.address])
        assert await b.ears.until("failed") == ("failed", a.id, DENIED_HERE)
        assert not a.ears.all("opened")


async def test_who_is_denied_while_being_dialed_gets_no_link(wire: Any, make_identity: Callable[[], Identity]) -> None:
    async with wire.peers_in(make_identity(), make_identity()) as (a, b):
        b.transport.dial(a.id, [a.address])
        b.transport.deny([a.id])
        assert await b.ears.until("failed") == ("failed", a.id, DENIED_HERE)
        assert b.transport.link(a.id) is None
        assert not b.ears.all("opened")
