"""`plora consensus`: who votes on what the swarm accepts, and the key by which this peer does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from plora.cli.options import Home, Json, Quiet
from plora.cli.output import Output
from plora.cli.running import home_of, running_peer
from plora.cli.usage import App

app = App(help="Show who votes on what the swarm accepts; this peer's vote key.", invoke_without_command=True)


@app.callback()
def consensus(ctx: typer.Context, home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Show the members, what they decided, and what waits for them."""
    if ctx.invoked_subcommand is not None:
        return
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        document = json.loads(client.call("Consensus", pb.ConsensusRequest()).document)
    output = Output(json_, quiet)
    output.document(document, list(_lines(document)))
    if not document["on"]:
        output.hint("Members stand under `consensus` in peer.yaml; each prints its line by `plora consensus key`.")


@app.command()
def key(ctx: typer.Context, home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Print the line by which others list this peer as a member; makes its vote key the first time."""
    from plora.proto.keys import generate_private_key, load_private_key

    paths = home_of(_home(ctx, home))
    made = not paths.vote_key.exists()
    if made:
        generate_private_key().save(paths.vote_key)
    public = load_private_key(paths.vote_key).public
    entry = {"name": _name(paths.config), "key": public.to_text(), "peer": paths.peer_id.read_text("ascii").strip()}
    output = Output(json_, quiet)
    line = f"- {{name: {entry['name']}, key: {entry['key']}, peer: {entry['peer']}}}"
    output.document({**entry, "made": made, "path": str(paths.vote_key)}, [line])
    output.hint("Put the lines of all members under consensus.members of every peer.yaml, then restart the peers.")
    if made:
        output.hint(f"The key is in {paths.vote_key}: whoever has it votes as this peer. Never run two peers with it.")


def _name(config: Path) -> str:
    from plora.node.daemon.config import load_config

    return load_config(config).peer.name


def _home(ctx: typer.Context, home: Path | None) -> Path | None:
    """The option may stand before the subcommand or after it."""
    before = ctx.parent.params.get("home") if ctx.parent else None
    return home or before


def _lines(document: dict[str, Any]) -> list[str]:
    if not document["on"]:
        return ["no members: nothing is voted on here"]
    wanted = "wanted for all that is accepted" if document["required"] else "shown, not wanted (policy.consensus)"
    lines = [
        f"epoch {document['epoch'][:12]} (number {document['number']}): {document['needed']} of "
        f"{len(document['members'])} members make a certificate, {document['faults']} may lie",
        f"certificates: {document['certificates']}, {wanted}",
        *(f"  {_member(one)}" for one in document["members"]),
    ]
    if document["compromised"]:
        lines.insert(0, "COMPROMISED: two certificates of one slot; nothing is accepted until a new epoch")
    if document["to_read"]:
        lines.append(f"this member doesn't vote before it has read from {document['to_read']} more members")
    return [*lines, *(f"waits for a certificate: {name}" for name in document["waiting"])]


def _member(member: dict[str, Any]) -> str:
    here = ", this peer" if member["here"] else ", linked" if member["linked"] else ""
    guilty = ", voted twice: its votes no longer count" if member["guilty"] else ""
    diverged = ", votes under another configuration" if member["diverged"] else ""
    return f"{member['name']} {member['peer'][:12] or '(peer not named)'}{here}{guilty}{diverged}"
