"""What every command that talks to a running peer needs: the home, a client of its admin socket, plain fields."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plora.proto.errors import PeerNotRunningError
from plora.proto.home import Home, default_home

if TYPE_CHECKING:
    from plora.node.admin.client import AdminClient


@contextmanager
def running_peer(home: Path | None) -> Iterator[AdminClient]:
    """A client of the peer whose home this is, or of the default home."""
    from plora.node.admin.client import AdminClient

    with AdminClient(home_of(home)) as client:
        yield client


def home_of(home: Path | None) -> Home:
    """The home that was named, else the default one; PeerNotRunningError where none was ever made."""
    paths = Home(root_of(home))
    if not paths.config.exists():
        mend = f"make one by `plora init --name NAME --home {paths.root}`, or name yours by --home"
        raise PeerNotRunningError("no peer's home is here", where=str(paths.root), mend=mend)
    return paths


def root_of(home: Path | None) -> Path:
    """The home folder: the one that was named, else the default one."""
    return home or default_home()


def fields_of(message: Any) -> dict[str, Any]:
    """A protobuf message as plain data, defaults included."""
    from plora.node.admin.plain import plain

    return plain(message)
