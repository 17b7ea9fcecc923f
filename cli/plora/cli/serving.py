"""Commands that hand accepted adapters to whatever serves models: where they are, and which merge is served."""

from __future__ import annotations

from typing import Annotated

import typer

from plora.cli.options import Home, Json, Quiet
from plora.cli.output import Output
from plora.cli.running import running_peer

Served = Annotated[
    str, typer.Argument(help="A plasmid, `merged`, or `merged--BASE` where there are several.", metavar="NAME")
]


def path(name: Served, home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Print the folder of an accepted adapter, for others to load.

    The folder moves on with newer versions; --json also says which version it is now, and its own folder.
    """
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        reply = client.call("Locate", pb.LocateRequest(name=name))
    document = {"name": reply.name, "folder": reply.folder, "target": reply.target, "base_model": reply.base_model}
    Output(json_, quiet).document(document, [reply.folder])


def rollback(
    base: Annotated[str, typer.Argument(help="The base model, where there are merges of several.")] = "",
    home: Home = None,
    forward: Annotated[bool, typer.Option("--forward", help="Serve the newest merge again.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Serve the merge before, until accepted adapters change."""
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        reply = client.call("Rollback", pb.RollbackRequest(base_model=base, forward=forward))
    document = {"base_model": reply.base_model, "before": reply.before, "generation": reply.generation}
    line = f"merged/{reply.base_model}: serves generation {reply.generation}, no longer {reply.before or 'none'}"
    output = Output(json_, quiet)
    output.document({**document, "folder": reply.folder}, [line])
    if not forward:
        output.hint("It stays until accepted adapters change; `plora rollback --forward` serves the newest again.")
