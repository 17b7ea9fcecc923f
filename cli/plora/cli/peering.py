"""`plora peers`: who is linked, who is near, whether two peers can dial one another; neighbours come and go.

Neighbours that commands add stand in joined.json; those of peer.yaml belong to its human.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from plora.cli.options import Home, Json, Quiet
from plora.cli.output import Output, safe
from plora.cli.running import fields_of, home_of, running_peer
from plora.cli.usage import App
from plora.proto.errors import UsageError

PING_TIMEOUT_S = 60.0
CLOCK_MS_SHOWN = 1_000

app = App(
    help="List neighbours, try whether they can be dialed, add and remove them.",
    invoke_without_command=True,
)


@app.callback()
def peers(ctx: typer.Context, home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """List neighbours, and whether they are connected."""
    if ctx.invoked_subcommand is not None:
        return
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        found = client.call("Peers", pb.ListPeersRequest()).peers
    rows = [_row(one) for one in found]
    clock = ("clock",) if any(row["clock"] for row in rows) else ()
    words = ("words",) if any(row["words"] for row in rows) else ()
    earned = ("reputation",) if any(one.reputation.bad for one in found) else ()
    columns = ("name", "peer", "address", "state", "statements", *clock, *words, *earned, "last_error")
    output = Output(json_, quiet)
    output.table(columns, rows, [fields_of(one) for one in found])
    if not found:
        output.hint(
            "No neighbours: `plora invite NAME` brings somebody in; or add them to peer.yaml, then `plora reload`."
        )


@app.command()
def ping(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(help="What it calls itself, the start of its peer id, or its address.", metavar="NAME")
    ],
    home: Home = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Try both directions to a neighbour: which fails, and what to set."""
    from plora.v1 import admin_pb2 as pb

    with running_peer(_home(ctx, home)) as client:
        reply = client.call("Ping", pb.PingRequest(name=name), timeout_s=PING_TIMEOUT_S)
    Output(json_, quiet).document(fields_of(reply), _ping_lines(reply))
    if not reply.good:
        raise typer.Exit(1)


@app.command()
def lan(ctx: typer.Context, home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Show who else is on the local network; nobody is trusted for that."""
    from plora.v1 import admin_pb2 as pb

    with running_peer(_home(ctx, home)) as client:
        reply = client.call("Lan", pb.LanRequest())
    if not reply.on:
        mend = "set `discovery: {lan: true}` in peer.yaml and restart the peer"
        raise UsageError("the local network isn't searched", where="discovery.lan", mend=mend)
    rows = [{"peer": one.peer[:12], "address": ", ".join(one.addresses), "state": one.state} for one in reply.peers]
    output = Output(json_, quiet)
    output.table(("peer", "address", "state"), rows, [fields_of(one) for one in reply.peers])
    for line in _lan_hints(reply.peers):
        output.hint(line)


def _lan_hints(found: Any) -> list[str]:
    if not found:
        return ["Nobody says so far that they are here; they need `discovery: {lan: true}` too."]
    strangers = [one for one in found if one.state == "new"]
    if not strangers:
        return []
    return [
        "Anybody can say that they are here. Who is of your swarm, you make a neighbour by:",
        *(f"  plora peers add {one.peer} {one.addresses[0]}" for one in strangers),
        "Who isn't yet needs an invitation: `plora invite NAME`.",
    ]


@app.command()
def add(
    ctx: typer.Context,
    peer: Annotated[str, typer.Argument(help="Its peer id, 64 hexadecimal digits.", metavar="PEER")],
    address: Annotated[str, typer.Argument(help="Where it listens, HOST:PORT.", metavar="ADDRESS")],
    home: Home = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a peer a neighbour: it is dialed from now on."""
    from plora.cli.neighbours import add_neighbour, told_peer

    root = home_of(_home(ctx, home)).root
    entry = add_neighbour(root, peer, address)
    now = told_peer(root)
    output = Output(json_, quiet)
    document = {"peer": entry.peer, "addresses": list(entry.addresses), "reloaded": now}
    output.document(document, [f"{entry.peer[:12]} at {', '.join(entry.addresses)} is a neighbour"])
    output.hint(f"Next: plora peers ping {entry.peer[:12]}" if now else "It is dialed when the peer runs: plora up")


@app.command()
def rm(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(help="The start of its peer id, its address, or the name it had then.", metavar="NAME")
    ],
    home: Home = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take a neighbour away: it is never dialed again unless it is added."""
    from plora.cli.neighbours import remove_neighbour, told_peer

    root = home_of(_home(ctx, home)).root
    peer = remove_neighbour(root, name)
    document = {"peer": peer, "reloaded": told_peer(root)}
    output = Output(json_, quiet)
    output.document(document, [f"{peer[:12]} is no neighbour any more"])
    output.hint("It may still dial this peer; to cut it off, put it on `deny` in peer.yaml.")


def _home(ctx: typer.Context, home: Path | None) -> Path | None:
    """`--home` of the command, else the one that was given to `plora peers`."""
    return home or (ctx.parent.params.get("home") if ctx.parent else None)


def place_of(one: Any) -> str:
    """Where a peer is: its address, else the host that it came from."""
    return one.address or (f"from {one.host}" if one.host else "")


def _row(one: Any) -> dict[str, Any]:
    from plora.cli.reputing import reputation_text

    ahead = one.ahead_ms if one.HasField("ahead_ms") and abs(one.ahead_ms) >= CLOCK_MS_SHOWN else None
    return {
        **fields_of(one),
        "name": one.nickname,
        "peer": one.peer[:12],
        "address": place_of(one),
        "statements": one.statements or "",
        "reputation": reputation_text(one.reputation),
        "clock": "" if ahead is None else f"{ahead / 1000:+.0f} s",
    }


def _ping_lines(reply: Any) -> list[str]:
    name = safe(reply.nickname) or reply.peer[:12]
    lines = [f"{name}  {reply.peer}"]
    lines += _direction(f"you -> {name}", reply.there)
    lines += _direction(f"{name} -> you", reply.back)
    return [*lines, *reply.mends]


def _direction(arrow: str, dialed: Any) -> list[str]:
    width = max((len(one.address) for one in dialed), default=0)
    return [
        f"  {arrow}  {one.address:<{width}}  {one.what}{f', {one.took_ms} ms' if one.outcome == 'reached' else ''}"
        for one in dialed
    ]
