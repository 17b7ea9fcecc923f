"""Commands that watch a running peer: `status`, `top`, `events`. All they show are answers of the admin service."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from datetime import datetime
from typing import Annotated

import typer

from plora.cli.options import Home, Json, Quiet
from plora.cli.output import Output
from plora.cli.running import fields_of, home_of, running_peer

WIDTH_WITHOUT_TERMINAL = 160


def status(home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Say how the running peer is; what is wrong comes first."""
    from plora.cli.status_lines import status_lines
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        reply = client.call("Status", pb.StatusRequest())
        peers = client.call("Peers", pb.ListPeersRequest()).peers
        merges = client.call("Merges", pb.MergesRequest()).merges
    document = {**fields_of(reply), "merges": [fields_of(one) for one in merges]}
    Output(json_, quiet).document(document, status_lines(reply, peers, merges))


def top(home: Home = None) -> None:
    """Watch the running peer: who is linked, what comes, what happens.

    `q` or Ctrl-C leaves. Without a terminal one frame is printed.
    """
    from rich.console import Console

    from plora.cli.top import keys, show_live, show_once

    root = home_of(home).root
    if not sys.stdout.isatty():
        show_once(root, Console(highlight=False, width=WIDTH_WITHOUT_TERMINAL))
        return
    with suppress(KeyboardInterrupt), keys() as pressed:
        show_live(root, Console(highlight=False), pressed)


def events(
    home: Home = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as things happen.")] = False,
    kind: Annotated[list[str] | None, typer.Option("--kind", help="Only these kinds; may be repeated.")] = None,
    since: Annotated[str, typer.Option("--since", help="Only after 10m, 2h, 14:05 or a date and time.")] = "",
    all_: Annotated[bool, typer.Option("--all", help="Also rounds, traffic and stages that passed.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print the event log: what happened, a line a record."""
    from plora.cli.event_lines import event_line, is_quiet
    from plora.cli.naming import Names
    from plora.cli.since import since_ms
    from plora.gate import sentence
    from plora.v1 import admin_pb2 as pb

    output = Output(json_, quiet)
    begin_ms = since_ms(since, datetime.now().astimezone()) if since else 0
    everything = all_ or json_ or bool(kind)
    with running_peer(home) as client:
        names = Names(client)
        for number, reply in enumerate(
            client.stream("Events", pb.EventsRequest(follow=follow, kinds=_known(kind or [])))
        ):
            if not everything and number == 0:
                output.hint("Without rounds, traffic and stages that passed; --all or --kind shows them.")
            if begin_ms and json.loads(reply.line)["wall_ms"] < begin_ms:
                continue
            if json_:
                output.line(reply.line.rstrip("\n"))
            elif everything or not is_quiet(reply.line):
                output.line(event_line(reply.line, names, sentence))


def _known(kinds: list[str]) -> list[str]:
    """These kinds; UsageError for one that no record has."""
    import difflib

    from plora.proto.errors import UsageError
    from plora.proto.records import BODIES

    for kind in kinds:
        if kind not in BODIES:
            close = difflib.get_close_matches(kind, BODIES, n=1)
            mend = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(sorted(BODIES))}"
            raise UsageError(f"no record is of kind '{kind}'", where="--kind", mend=mend)
    return kinds
