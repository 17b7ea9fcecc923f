"""Members who come to a peer once, each with an identity of its own, say hello, offer something, and leave: what
`bench/attack.py` starts.

    python -m bench.newcomers HOST-PORT PEER-ID SWARM-FILE FOLDER COUNT

Prints how many have been so far, a line for every hundred whose greeting was answered; a few come at a time.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bench.attackers import Victim
from tests.attacks.misbehaving import Member, talk

from plora.node.core.messages import Goodbye, IHave
from plora.proto.swarm import load_swarm

AT_ONCE = 4
TOLD_EVERY = 100


async def visit(member: Member, victim: Victim) -> None:
    """One link, from greeting to goodbye; what is offered is as new as who offers it."""
    link = await talk(member, victim)
    await link.say(IHave((bytes.fromhex(member.id),)), Goodbye("leaving"))
    await link.until_ended()
    await link.leave()


async def come(victim: Victim, swarm: Path, folder: Path, count: int) -> None:
    """All of them."""
    numbers = iter(range(1, count + 1))

    async def some() -> None:
        for number in numbers:
            await visit(Member(load_swarm(swarm), folder), victim)
            if number % TOLD_EVERY == 0:
                sys.stdout.write(f"{number}\n")
                sys.stdout.flush()

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


def main() -> None:
    """Read the arguments and come."""
    port, peer, swarm, folder, count = sys.argv[1:]
    asyncio.run(come(Victim(int(port), peer), Path(swarm), Path(folder), int(count)))


if __name__ == "__main__":
    main()
