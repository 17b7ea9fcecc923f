"""`plora root` and `plora freshness`: an organisation's root file, and its owners' word that the swarm is no older.

- A root file is made from owners' `.owner` files, given to people, and pinned by each in peer.yaml.
- A freshness statement is signed by a key that signs nothing else, so that it may lie where a timer can use it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plora.cli.options import DAY_S, Home, Json, Quiet
from plora.cli.output import Output
from plora.cli.running import running_peer
from plora.cli.usage import App
from plora.proto.errors import UsageError

if TYPE_CHECKING:
    from plora.gate import RootMember
    from plora.proto.keys import PrivateKey
    from plora.proto.owner_chain import OwnerFile
    from plora.proto.payloads import Freshness

app = App(help="How new this peer may believe to be: show, issue.", no_args_is_help=True)


def root(
    owners: Annotated[list[Path], typer.Argument(help="The owners' files (.owner).", metavar="FILE")],
    threshold: Annotated[int, typer.Option("--threshold", min=1, help="How many of them must speak.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write.")] = Path("root.yaml"),
    version: Annotated[int, typer.Option("--version", min=1, help="Higher than that of the file it replaces.")] = 1,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make the root file of an organisation, for `root:` in peer.yaml."""
    from plora.gate import Root, root_text
    from plora.proto.keys import write_new_file
    from plora.proto.owner_chain import read_owner_file
    from plora.proto.words import fingerprint

    members = tuple(_member(read_owner_file(path), path) for path in owners)
    text = root_text(Root(version, threshold, members))
    write_new_file(out, text.encode("ascii"), mode=0o644)
    output = Output(json_, quiet)
    rows = [{"name": one.name, "owner": one.owner, "fingerprint": fingerprint(one.owner)} for one in members]
    shown = [{**row, "owner": row["owner"][:12]} for row in rows]
    output.table(("name", "owner", "fingerprint"), shown, {"root": str(out), "threshold": threshold, "owners": rows})
    output.hint(
        f"Next: compare the words with each owner, put {out} into a peer's home, and `root: {out.name}` into peer.yaml."
    )


@app.command()
def show(home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Show whether the running peer is fresh, by whose word, and until when."""
    from plora.proto.fields import format_timestamp
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        reply = client.call("Newness", pb.NewnessRequest())
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

    private, file = load_private_key(key), read_owner_file(owner)
    _check_key(file, private, owner)
    with running_peer(home) as client:
        seen = client.call("Newness", pb.NewnessRequest())
        if not seen.trust_version:
            mend = "pin the root by `root:` in its peer.yaml first"
            raise UsageError("this peer has no root, so there is nothing to be fresh about", mend=mend)
        statement = sign_statement(StatementKind.FRESHNESS, _payload(file, private, days, seen), private)
        sent = [statement_to_pb(one) for one in (*file.statements, statement)]
        client.call("Introduce", pb.IntroduceRequest(statements=sent))
        after = client.call("Newness", pb.NewnessRequest())
    document = {"statement_id": statement.id.hex(), "state": after.state, "signed": list(after.signed)}
    said = (
        f"{file.first.name} said it; this peer is {after.state}: {len(after.signed)} of {after.required} spoke lately"
    )
    Output(json_, quiet).document(document, [said])


def _member(file: OwnerFile, path: Path) -> RootMember:
    from plora.gate import RootMember

    at, (_, record) = file.authority, file.newest
    signing = tuple(key for key_id, key in at.current.items() if key_id not in at.void_keys)
    fresh = tuple(entry.key() for entry in record.keys if entry.purpose == "freshness")
    if not fresh:
        mend = "give it one: `plora keygen --only-key`, then `plora owner rotate --add-freshness`"
        raise UsageError(f"{file.first.name} has no freshness key", where=str(path), mend=mend)
    return RootMember(file.first.name, file.id, signing, at.threshold, fresh)


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
