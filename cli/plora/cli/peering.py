"""`plora peers`: who is linked, and whether two peers can dial one another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from plora.cli.options import Home, Json, Quiet
from plora.cli.output import Output, safe
from plora.cli.running import fields_of, running_peer

PING_TIMEOUT_S = 60.0
CLOCK_MS_SHOWN = 1_000

app = typer.Typer(
    help="List neighbours, and find out whether they can be dialed.", invoke_without_command=True, rich_markup_mode=None
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
    columns = ("name", "peer", "address", "state", "statements", *clock, *words, "last_error")
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


def _home(ctx: typer.Context, home: Path | None) -> Path | None:
    """`--home` of the command, else the one that was given to `plora peers`."""
    return home or (ctx.parent.params.get("home") if ctx.parent else None)


def place_of(one: Any) -> str:
    """Where a peer is: its address, else the host that it came from."""
    return one.address or (f"from {one.host}" if one.host else "")


def _row(one: Any) -> dict[str, Any]:
    ahead = one.ahead_ms if one.HasField("ahead_ms") and abs(one.ahead_ms) >= CLOCK_MS_SHOWN else None
    return {
        **fields_of(one),
        "name": one.nickname,
        "peer": one.peer[:12],
        "address": place_of(one),
        "statements": one.statements or "",
        "words": one.words.replace("-", " "),
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
