"""joined.json: what `plora join` was told when it came into the swarm, and by whom; and neighbours added since.

- Written by `plora join` and `plora peers add|rm`; the daemon reads it beside peer.yaml, which belongs to the human.
  Its neighbours are dialed and its denied peers cut off as if peer.yaml named them; where both name a peer, peer.yaml
  is right.
- `words` are the three that the inviter sees too.
- The inviter's owner record, and one's own, lie as `.owner` files in the folder `owners`: the daemon lets the swarm
  know both, so that `plora trust add NAME` finds them on either side. Known is not believed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plora.node.core.messages import PEERS_MAX
from plora.proto.errors import ConfigError
from plora.proto.fields import HexDigest, ListAsTuple
from plora.proto.home import Home
from plora.proto.host_port import HostPort
from plora.proto.keys import write_new_file
from plora.proto.owner_files import read_owner_record
from plora.proto.statement import Statement
from plora.proto.ticket import ADDRESSES_MAX

NEIGHBOURS_MAX = PEERS_MAX
DENIED_MAX = 1024
OWNERS_MAX = 4
"""So much is handed over to a newcomer at most; the owner records of both sides are introduced."""

KEPT_MAX = 64
"""Neighbours in the file."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Acquaintance(_Model):
    """A neighbour that was told of. `name` and `words` are there for the inviter, `when` it was."""

    peer: HexDigest
    addresses: Annotated[tuple[HostPort, ...], ListAsTuple, Field(min_length=1, max_length=ADDRESSES_MAX)]
    name: Annotated[str, Field(max_length=64)] = ""
    words: str = ""
    when: str = ""


class Told(_Model):
    """The whole file."""

    neighbours: Annotated[tuple[Acquaintance, ...], ListAsTuple, Field(max_length=KEPT_MAX)] = ()
    deny: Annotated[tuple[HexDigest, ...], ListAsTuple, Field(max_length=DENIED_MAX)] = ()


def load_told(path: Path) -> Told:
    """What a file says; nothing where there is none. Raises ConfigError naming file and field."""
    try:
        return Told.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Told()
    except OSError as error:
        raise ConfigError(f"can't be read ({error.strerror})", where=str(path)) from error
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"])
        mend = "correct it, or remove it and name neighbours in peer.yaml"
        raise ConfigError(f"{place}: {fault['msg'].lower()}".removeprefix(": "), where=str(path), mend=mend) from error


def save_told(path: Path, told: Told) -> None:
    """Write a new file, mode 0600."""
    write_new_file(path, told.model_dump_json(indent=1).encode() + b"\n", mode=0o600)


def change_told(path: Path, change: Callable[[Told], Told]) -> Told:
    """Change the file, or make it, in one step; what it says now. Raises ConfigError where that fails."""
    told = change(load_told(path))
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)
        save_told(fresh, told)
        fresh.replace(path)
    except OSError as error:
        raise ConfigError(f"can't be written ({error.strerror})", where=str(path)) from error
    return told


def introductions(home: Home) -> Sequence[Statement]:
    """The owner records in the folder `owners`, in the order of their file names; both sides' at most."""
    return [read_owner_record(path)[0] for path in sorted(home.owners.glob("*.owner"))[: 2 * OWNERS_MAX]]
