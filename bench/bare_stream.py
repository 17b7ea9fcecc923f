"""The peer that a transfer is compared with: one bare grpc.aio stream over the same TLS that does the same work.

- Two processes. The server reads the file and writes one message a chunk; the client takes SHA-256 of every chunk and
  of the whole, writes the bytes and syncs them to the disk. Nothing else: no lists, windows, frames, core or database.
- Both ends overlap work with the stream: the next chunk is read, and the last one hashed and written, in a thread.
- Messages are raw bytes (no protobuf); event loop, credentials and channel options are those of the daemon.
- Commands come as lines on stdin, answers go as lines to stdout: the server says `PEER PORT` once it listens; the
  client answers `SOURCE TARGET` by the seconds from its request until the bytes were safe, and the digest.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from plora.node.transport.grpc_setup import EOF, grpc
from plora.node.transport.identity import Identity
from plora.node.transport.tls import MESSAGE_OPTIONS, channel_credentials, channel_options, server_credentials
from plora.proto.swarm import open_swarm

CHUNK_BYTES = 1 << 20
METHOD = "/bench.Bare/Fetch"


def new_identity() -> Identity:
    """Somebody in an open swarm."""
    return Identity(Ed25519PrivateKey.generate(), open_swarm("bench"))


async def send_file(request: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    """The handler: chunks of the file that the first message names."""
    path = Path((await anext(request)).decode())
    with path.open("rb", buffering=0) as file:  # noqa: ASYNC230 - opening takes no time worth a thread
        ahead = asyncio.ensure_future(asyncio.to_thread(file.read, CHUNK_BYTES))
        while chunk := await ahead:
            ahead = asyncio.ensure_future(asyncio.to_thread(file.read, CHUNK_BYTES))
            yield chunk


async def serve() -> None:
    """Serve on a free port of loopback until stdin ends."""
    identity = new_identity()
    server = grpc.aio.server(options=MESSAGE_OPTIONS)
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {"Fetch": grpc.stream_stream_rpc_method_handler(send_file)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Bare", handlers),))
    port = server.add_secure_port("127.0.0.1:0", server_credentials(identity))
    await server.start()
    print(identity.peer_id, port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


async def fetch(peer_id: str, port: int) -> None:
    """Fetch a file for each line on stdin, all over one connection."""
    credentials = channel_credentials(new_identity(), peer_id)
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=channel_options()) as channel:
        await channel.channel_ready()
        while line := await asyncio.to_thread(sys.stdin.readline):
            source, target = line.split()
            started = time.perf_counter()
            digest = await fetch_one(channel, source, Path(target))
            print(time.perf_counter() - started, digest, flush=True)


async def fetch_one(channel: Any, source: str, target: Path) -> str:
    """One file: the digest of what was received and written."""
    call = channel.stream_stream(METHOD)()
    await call.write(source.encode())
    whole, hashes = hashlib.sha256(), []

    def keep(chunk: bytes) -> None:
        hashes.append(hashlib.sha256(chunk).digest())
        whole.update(chunk)
        file.write(chunk)

    with target.open("wb", buffering=0) as file:
        behind: asyncio.Future[None] | None = None
        while (chunk := await call.read()) is not EOF:
            if behind is not None:
                await behind
            behind = asyncio.ensure_future(asyncio.to_thread(keep, chunk))
        if behind is not None:
            await behind
        await asyncio.to_thread(os.fsync, file.fileno())
    return whole.hexdigest()


def main() -> None:
    """`serve`, or `fetch PEER PORT`."""
    role, *rest = sys.argv[1:]
    uvloop.run(serve() if role == "serve" else fetch(rest[0], int(rest[1])))


if __name__ == "__main__":
    main()
