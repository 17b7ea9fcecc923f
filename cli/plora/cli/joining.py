"""`plora invite` and `plora join`: the two ends of a ticket."""

from __future__ import annotations

import io
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from plora.cli.options import Advertise, Home, Json, Listen, Quiet, checked_name, checked_places
from plora.cli.output import Output
from plora.cli.running import fields_of, root_of, running_peer
from plora.proto.errors import FormatError, RefusedError, UsageError

LOOK_S = 0.5
STDIN_CHARACTERS_MAX = 4096


def invite(
    name: Annotated[str, typer.Argument(help="Who is invited: a-z, 0-9, . _ -", metavar="NAME")] = "",
    home: Home = None,
    address: Annotated[
        list[str] | None, typer.Option("--address", help="HOST:PORT where they can dial this peer; may be repeated.")
    ] = None,
    hours: Annotated[int, typer.Option("--hours", min=1, max=168, help="How long the ticket is good.")] = 24,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until they have come, and show the three words.")] = False,
    qr: Annotated[bool, typer.Option("--qr/--no-qr", help="Show the ticket as a QR code too.")] = True,
    list_: Annotated[bool, typer.Option("--list", help="List tickets, and who came.")] = False,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take back what is open for NAME.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Invite somebody to the swarm by a ticket that is good once."""
    from plora.v1 import admin_pb2 as pb

    output = Output(json_, quiet)
    if list_:
        _list(output, home)
        return
    if not name:
        raise UsageError("nobody is named", where="plora invite", mend="say whom: plora invite bob")
    with running_peer(home) as client:
        if revoke:
            _revoke(output, client, name)
            return
        request = pb.InviteRequest(name=name, addresses=address or (), hours=hours)
        reply = client.call("Invite", request)
        _show(output, name, reply, qr)
        if wait:
            _wait(output, client, name, reply.expires_wall_ms)


def join(
    ticket: Annotated[
        str, typer.Argument(help="What `plora invite` printed; - reads it from standard input.", metavar="TICKET")
    ],
    home: Home = None,
    name: Annotated[str, typer.Option("--name", help="This peer's name, and its owner's; as invited.")] = "",
    listen: Listen = "127.0.0.1:4700",
    advertise: Advertise = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Join the swarm of whoever invited you: make a peer in it."""
    from plora.cli.schema import write_schema
    from plora.node import joining
    from plora.proto.ticket import read_ticket

    checked_places(listen, advertise)
    try:
        read = read_ticket(sys.stdin.read(STDIN_CHARACTERS_MAX) if ticket == "-" else ticket)
    except FormatError as error:
        raise UsageError(error.what, mend=error.mend) from error
    called = checked_name(name or read.name)
    made, welcome = joining.join(
        read, root_of(home), name=called, listen=listen, advertise=advertise or (), now_s=int(time.time())
    )
    write_schema(made.home)
    root = made.home.root
    document = {"home": str(root), "name": called, "peer": made.peer_id, "owner": made.owner.id}
    document |= {"swarm": welcome.swarm.name, "inviter": welcome.inviter, "words": welcome.words}
    output = Output(json_, quiet)
    output.document(document, (f"{field:<8} {value}" for field, value in document.items()))
    output.hint(
        f"{welcome.inviter or 'The inviter'} sees the same three words in `plora peers`, or you met somebody else."
    )
    output.hint(f"Next: plora up --home {root}")


def _show(output: Output, name: str, reply: Any, qr: bool) -> None:
    expires = datetime.fromtimestamp(reply.expires_wall_ms / 1000).strftime("%Y-%m-%d %H:%M")
    output.document(fields_of(reply), [reply.ticket])
    if qr:
        output.picture(_qr(reply.ticket))
    output.hint(f"Good once, until {expires}, at {', '.join(reply.addresses)}.")
    output.hint(f"Whoever has it can join: give it to {name} alone.")
    output.hint(
        f"On {name}'s host: plora join {reply.ticket[:12]}…   Then `plora peers` shows both of you three words."
    )


def _qr(ticket: str) -> str:
    """The ticket as blocks; upper-case letters make a smaller code, and read the same."""
    import segno

    picture = io.StringIO()
    segno.make(ticket.upper(), error="l", micro=False).terminal(picture, border=2, compact=True)
    return picture.getvalue()


def _wait(output: Output, client: Any, name: str, expires_ms: int) -> None:
    """Until the newest ticket of that name was used."""
    from plora.v1 import admin_pb2 as pb

    while time.time() * 1000 < expires_ms:
        found = client.call("Invitations", pb.InvitationsRequest()).invitations
        mine = next(
            (one for one in found if one.name == name and one.expires_wall_ms // 1000 == expires_ms // 1000), None
        )
        if mine is None:
            raise RefusedError("the ticket was taken back", where=name)
        if mine.state == "joined":
            output.document({"peer": mine.peer, "words": mine.words}, [f"{name} joined: {mine.words}"])
            return
        time.sleep(LOOK_S)
    raise RefusedError("the ticket has expired, and nobody came", where=name)


def _list(output: Output, home: Path | None) -> None:
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        found = client.call("Invitations", pb.InvitationsRequest()).invitations
    rows = [
        {
            "name": one.name,
            "state": one.state,
            "until": datetime.fromtimestamp(one.expires_wall_ms / 1000).strftime("%Y-%m-%d %H:%M"),
            "peer": one.peer[:12],
            "words": one.words,
        }
        for one in found
    ]
    output.table(("name", "state", "until", "peer", "words"), rows, [fields_of(one) for one in found])
    if not found:
        output.hint("No tickets: `plora invite NAME` makes one.")


def _revoke(output: Output, client: Any, name: str) -> None:
    from plora.v1 import admin_pb2 as pb

    revoked = client.call("RevokeInvitation", pb.RevokeInvitationRequest(name=name)).revoked
    if not revoked:
        raise UsageError("has no open ticket", where=name, mend="see `plora invite --list`")
    output.document({"revoked": revoked}, [f"took back {revoked} ticket{'s' if revoked > 1 else ''} for {name}"])
