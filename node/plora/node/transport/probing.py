"""Channels to a peer at an address, and trying one without making a link.

- A channel is pinned to the peer's id: nobody else can answer on it.
- Addresses are `host:port`, nothing else: grpc's other schemes never come from a peer's frame.
- A try asks the peer's health service, behind the same identity check as every other RPC, and hangs up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from plora.node.core.messages import DialTry
from plora.node.reach import BAD_ADDRESS, BAD_PEER, REACHED, outcome_of
from plora.node.transport.grpc_setup import grpc
from plora.node.transport.identity import Identity
from plora.node.transport.lookup import looked_up
from plora.node.transport.services import HEALTH_METHOD
from plora.node.transport.sockets import written
from plora.node.transport.tls import channel_credentials, channel_options
from plora.proto.errors import FormatError
from plora.proto.host_port import split

DIAL_WAIT_S = 5.0
NUMBERS_MAX = 4


def channel_to(identity: Identity, peer: str, address: str) -> Any:
    """A channel that only that peer can answer, or the outcome that says why there is none."""
    if split(address) is None:
        return BAD_ADDRESS
    try:
        credentials = channel_credentials(identity, peer)
    except FormatError:
        return BAD_PEER
    return grpc.aio.secure_channel(f"dns:///{address}", credentials, options=channel_options())


async def ways_to(addresses: Iterable[str]) -> AsyncIterator[tuple[str, str]]:
    """Each address with each number of its host, looked up when its turn comes."""
    for address in addresses:
        for number in await _numbers_of(address):
            yield address, number


async def _numbers_of(address: str) -> tuple[str, ...]:
    """`host:port` with each number of its host, as the system writes those; itself where none is found."""
    parts = split(address)
    if parts is None:
        return (address,)
    try:
        async with asyncio.timeout(DIAL_WAIT_S):
            found = await looked_up(*parts)
    except (OSError, UnicodeError, TimeoutError):
        return (address,)  # who dials it says what is wrong with it
    return tuple(dict.fromkeys(written(*one[4][:2]) for one in found))[:NUMBERS_MAX]


async def try_address(identity: Identity, peer: str, address: str) -> DialTry:
    """Whether that peer answers at that address, within `DIAL_WAIT_S`."""
    channel = channel_to(identity, peer, address)
    if isinstance(channel, str):
        return DialTry(address, channel)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    try:
        await channel.unary_unary(HEALTH_METHOD)(b"", timeout=DIAL_WAIT_S)
        outcome = REACHED
    except grpc.aio.AioRpcError as error:
        outcome = outcome_of(error.code().name.lower(), error.details() or "")
    finally:
        await channel.close()
    return DialTry(address, outcome, int((loop.time() - began_s) * 1000))
