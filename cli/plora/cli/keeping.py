"""What a person wants of single plasmids at their own peer: pinned, no longer pinned, gone from here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from plora.cli.options import Home, Json, PlasmidName, Quiet, confirm
from plora.cli.output import Output, safe
from plora.cli.running import running_peer


def pin(name: PlasmidName, home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Keep a plasmid's bytes whatever gives way, until `plora unpin`."""
    _pinned(name, home, Output(json_, quiet), pinned=True)


def unpin(name: PlasmidName, home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Let a plasmid's bytes give way to newer ones again."""
    _pinned(name, home, Output(json_, quiet), pinned=False)


def rm(
    name: PlasmidName,
    home: Home = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask, even if it is your own.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Delete a plasmid's bytes, unmerging it, until `plora fetch`."""
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        if not yes and (own := _own(client, name)):
            confirm(f"{own} is your own: others may not have it yet, and it stays published. Delete its bytes here?")
        reply = client.call("Remove", pb.RemoveRequest(name=name))
    output = Output(json_, quiet)
    document = {"name": reply.name, "content_id": reply.content_id}
    output.document(document, [f"removed {reply.name}; it is not fetched again unless `plora fetch` asks for it"])


def _pinned(name: str, home: Path | None, output: Output, *, pinned: bool) -> None:
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        reply = client.call("Pin", pb.PinRequest(name=name, pinned=pinned))
    document = {"name": reply.name, "content_id": reply.content_id, "pinned": pinned}
    output.document(document, [f"{'pinned' if pinned else 'unpinned'} {reply.name}"])


def _own(client: Any, name: str) -> str:
    """Its full name, if it was published here and is live."""
    from plora.v1 import admin_pb2 as pb

    found = client.call("List", pb.ListRequest()).plasmids
    mine = [one for one in found if one.own and (name in _names(one.name) or _begins(one, name))]
    return safe(mine[0].name) if mine else ""


def _names(name: str) -> tuple[str, ...]:
    """The ways to type a full name: owner/id@version, owner/id, id@version, id."""
    versioned, plain = name.partition("/")[2], name.partition("@")[0]
    return (name, plain, versioned, versioned.partition("@")[0])


def _begins(plasmid: Any, name: str) -> bool:
    return bool(plasmid.content_id.startswith(name) or plasmid.sha256.startswith(name))
