"""`plora freshness`: the word of the pinned root's owners that the swarm is no older than they saw it.

A freshness statement is signed by a key that signs nothing else, so that it may lie where a timer can use it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plora.cli.options import DAY_S, Home, Json, Quiet, Yes, confirm
from plora.cli.output import Output
from plora.cli.running import running_peer
from plora.cli.usage import App
from plora.proto.errors import UsageError

if TYPE_CHECKING:
    from plora.proto.keys import PrivateKey
    from plora.proto.owner_chain import OwnerFile
    from plora.proto.payloads import Freshness

app = App(help="How new this peer may believe to be: show, issue.", no_args_is_help=True)


@app.command()
def show(home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Show whether the running peer is fresh, by whose word, and until when."""
    from plora.proto.fields import format_timestamp
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        reply = client.call("Freshness", pb.FreshnessRequest())
    document = {
        "state": reply.state,
        "signed": list(reply.signed),
        "required": reply.required,
        "until_wall_ms": reply.until_wall_ms,
        "trust_version": reply.trust_version,
        "revocation_root": reply.revocation_root,
        "audit_head": reply.audit_head,
        "signed_time_wall_ms": reply.signed_time_wall_ms,
    }
    until = f" until {format_timestamp(reply.until_wall_ms // 1000)}" if reply.until_wall_ms else ""
    who = (
        f", {len(reply.signed)} of {reply.required} spoke: {', '.join(reply.signed) or 'nobody'}"
        if reply.required
        else ""
    )
    Output(json_, quiet).document(document, [f"{reply.state}{until}{who}"])


@app.command()
def issue(
    key: Annotated[Path, typer.Option("--key", help="The owner's freshness key (PEM).")],
    owner: Annotated[Path, typer.Option("--owner", help="The owner's file (.owner).")],
    days: Annotated[int, typer.Option("--days", min=1, help="Good for so many days at most.")] = 7,
    home: Home = None,
    yes: Yes = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say, as an owner of the pinned root, what the running peer sees as newest, and spread it."""
    from plora.proto.dsse import StatementKind
    from plora.proto.keys import load_private_key
    from plora.proto.owner_chain import read_owner_file
    from plora.proto.statement import sign_statement
    from plora.proto.wire import statement_to_pb
    from plora.v1 import admin_pb2 as pb

    output = Output(json_, quiet)
    private, file = load_private_key(key), read_owner_file(owner)
    _check_key(file, private, owner)
    with running_peer(home) as client:
        seen = client.call("Freshness", pb.FreshnessRequest())
        if not seen.trust_version:
            mend = "pin the root by `root:` in its peer.yaml first"
            raise UsageError("this peer has no root, so there is nothing to be fresh about", mend=mend)
        payload = _payload(file, private, days, seen)
        for line in _said_lines(file, payload, seen):
            output.hint(line)
        if not yes:
            confirm(f"Say so as {file.first.name}?")
        statement = sign_statement(StatementKind.FRESHNESS, payload, private)
        sent = [statement_to_pb(one) for one in (*file.statements, statement)]
        client.call("Introduce", pb.IntroduceRequest(statements=sent))
        after = client.call("Freshness", pb.FreshnessRequest())
    document = {"statement_id": statement.id.hex(), "state": after.state, "signed": list(after.signed)}
    said = (
        f"{file.first.name} said it; this peer is {after.state}: {len(after.signed)} of {after.required} spoke lately"
    )
    output.document(document, [said])


def _said_lines(file: OwnerFile, payload: Freshness, seen: Any) -> Iterator[str]:
    """What a statement says, and what it may change at this peer."""
    yield f"says       {file.first.name}, of version {payload.trust_version} of the root: nothing newer was seen here"
    yield f"until      {payload.expires}"
    yield f"after      all revocations that are known here ({payload.revocation_root[:12]})"
    yield f"now        {seen.state}: {len(seen.signed)} of {seen.required} spoke lately"


def _check_key(file: OwnerFile, private: PrivateKey, path: Path) -> None:
    listed = [entry.key_id for entry in file.newest[1].keys if entry.purpose == "freshness"]
    if private.public.key_id not in listed:
        mend = "list it by `plora owner rotate --add-freshness`"
        raise UsageError("the owner's newest record has no such freshness key", where=str(path), mend=mend)


def _payload(file: OwnerFile, private: PrivateKey, days: int, seen: Any) -> Freshness:
    from plora.proto.fields import format_timestamp
    from plora.proto.payloads import Freshness

    now = int(time.time())
    return Freshness(
        swarm=file.first.swarm,
        issued=format_timestamp(now),
        key_id=private.public.key_id,
        owner=file.id,
        trust_version=seen.trust_version,
        revocation_root=seen.revocation_root,
        audit_head=seen.audit_head,
        expires=format_timestamp(now + days * DAY_S),
    )
