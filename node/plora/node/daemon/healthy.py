"""`python -m plora.node.daemon.healthy peer.yaml`: whether the peer that runs by that file answers, as others ask it.

- It asks the health service by mutual TLS with the peer's own identity, at `listen`; so the door, the event loop and
  the certificates are all tried, and nobody without the home's keys can ask.
- Exit code 0 if it answers; else 1, or 2 for a wrong configuration, and one line on standard error.
- Not handled here: what the peer would say is wrong with it (`plora status`, `plora doctor`).

>>> asked_at("0.0.0.0:4700"), asked_at("[::]:4700")
('127.0.0.1:4700', '[::1]:4700')
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from plora.node.daemon.config import load_config
from plora.node.reach import OUTCOMES, REACHED
from plora.node.transport.identity import Identity, load_identity_key
from plora.node.transport.probing import try_address
from plora.proto.errors import ConfigError, PloraError
from plora.proto.host_port import join, near, split
from plora.proto.swarm import load_swarm


def asked_at(listen: str) -> str:
    """Where this machine reaches a peer that listens there. Raises ConfigError for port 0, which is any."""
    parts = split(listen)
    if parts is None:
        mend = "give `listen` a port, or ask the peer by `plora status`"
        raise ConfigError(f"nobody can be asked at {listen}", where="listen", mend=mend)
    return join(near(parts[0]), parts[1])


def outcome_of(config: Path) -> str:
    """How asking came out: `REACHED`, or another key of `OUTCOMES`. Raises PloraError for a home that can't ask."""
    loaded = load_config(config)
    home = loaded.home
    key = load_identity_key(home.identity_key)
    identity = Identity(key, load_swarm(home.swarm))
    return asyncio.run(try_address(identity, identity.peer_id, asked_at(loaded.peer.listen))).outcome


def main(arguments: list[str]) -> int:
    """Ask; the exit code."""
    try:
        outcome = outcome_of(Path(*arguments))
    except PloraError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if outcome == REACHED:
        return 0
    sys.stderr.write(f"the peer doesn't answer: {OUTCOMES[outcome].what}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
