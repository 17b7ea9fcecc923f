"""Ten members of a swarm who attack one peer, and one who dials it fifty times a second: what `bench/attack.py` starts.

    python -m bench.attackers HOST-PORT PEER-ID SWARM-FILE FOLDER

Prints the peer ids of the ten, one a line, before it begins; runs until it is ended. Each attacks again as soon as it
is cut off. Floods are sent as fast as the machine lets them.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.attacks.misbehaving import Flood, Member, continuations, pings, resets, settings, talk

from plora.node.core.messages import Chunk, Range, Reconcile
from plora.proto.swarm import load_swarm

DIALS_PER_S = 50
AGAIN_S = 0.5
ONCE_S = 20.0


@dataclass(frozen=True)
class Victim:
    """Whom they attack."""

    port: int
    id: str


Misuse = Callable[[Member, Victim], Coroutine[Any, Any, None]]


def flooding(member: Member, victim: Victim, flood: Flood) -> None:
    """Connect and flood, again and again."""
    while True:
        with suppress(OSError):
            raw = member.raw(victim)
            raw.flood(partial(flood, raw))
            raw.close()
        time.sleep(AGAIN_S)


async def _endless_ranges(member: Member, victim: Victim) -> None:
    link = await talk(member, victim)
    full = tuple(Range((n + 1).to_bytes(2, "big"), fingerprint=bytes(16)) for n in range(1500))
    for number in range(1 << 20):
        await link.say(Reconcile(number, full))


async def _unasked_chunks(member: Member, victim: Victim) -> None:
    link = await talk(member, victim)
    for number in range(1 << 20):
        await link.say(Chunk("ab" * 32, number, bytes(1 << 16)))


async def _no_greeting(member: Member, victim: Victim) -> None:
    await (await talk(member, victim, greet=False)).until_ended()


async def talking(member: Member, victim: Victim, attack: Misuse) -> None:
    """Open a link and misuse it, again and again."""
    while True:
        with suppress(Exception):  # whatever being cut off looks like from here
            await asyncio.wait_for(attack(member, victim), ONCE_S)
        await asyncio.sleep(AGAIN_S)


def dialing(member: Member, victim: Victim) -> None:
    """A TCP connection and a TLS handshake, fifty times a second, and nothing more."""
    context = member.context()
    due_s = time.monotonic()
    while True:
        due_s += 1 / DIALS_PER_S
        time.sleep(max(0.0, due_s - time.monotonic()))
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", victim.port), 5) as plain,
            context.wrap_socket(plain, server_hostname="peer.plora.invalid"),
        ):
            continue


async def attack(victim: Victim, members: list[Member], dialer: Member) -> None:
    """All of them at once."""
    floods = (pings, settings, resets, continuations)
    for member, flood in zip(members, (*floods, *floods[:3]), strict=False):
        threading.Thread(target=flooding, args=(member, victim, flood), daemon=True).start()
    threading.Thread(target=dialing, args=(dialer, victim), daemon=True).start()
    misuses = (_endless_ranges, _unasked_chunks, _no_greeting)
    await asyncio.gather(*(talking(member, victim, how) for member, how in zip(members[7:], misuses, strict=True)))


def main() -> None:
    """Read the arguments, say who attacks, and attack."""
    port, peer, swarm, folder = sys.argv[1:]
    members = [Member(load_swarm(Path(swarm)), Path(folder)) for _ in range(11)]
    sys.stdout.write("".join(f"{member.id}\n" for member in members))
    sys.stdout.flush()
    asyncio.run(attack(Victim(int(port), peer), members[:10], members[10]))


if __name__ == "__main__":
    main()
