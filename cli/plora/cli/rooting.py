"""`plora root`: an organisation's root file, and what its owners revoke together.

- A root file is made from owners' `.owner` files, given to people, and pinned by each in peer.yaml.
- A revocation by the root is begun by one of its owners and signed by others, each with a key of theirs, through a
  running peer that has the root pinned. It counts once as many signed as the root says, everywhere and for ever.
- Before anything is signed, the peer judges what it knows as if the revocation counted, and the person is asked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from plora.cli.options import Home, Json, Key, OwnerFilePath, Quiet, Yes, confirm
from plora.cli.output import Output, safe
from plora.cli.running import running_peer
from plora.cli.usage import App
from plora.proto.canonical import begins
from plora.proto.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from plora.gate import RootMember
    from plora.node.admin.client import AdminClient
    from plora.proto.keys import PrivateKey
    from plora.proto.owner_chain import OwnerFile
    from plora.proto.statement import Statement

Document = dict[str, Any]
CHANGES_SHOWN = 20
app = App(help="An organisation's root: a new file, show, revoke together.", no_args_is_help=True)


@app.command()
def new(
    owners: Annotated[list[Path], typer.Argument(help="The owners' files (.owner).", metavar="FILE")],
    threshold: Annotated[int, typer.Option("--threshold", min=1, help="How many of them must speak.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Where to write.")] = Path("root.yaml"),
    version: Annotated[int, typer.Option("--version", min=1, help="Higher than that of the file it replaces.")] = 1,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the root file of an organisation, for `root:` in peer.yaml."""
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
    """Show the root that the running peer has pinned, and what its owners revoked or began to."""
    with running_peer(home) as client:
        document = _ask(client)
    columns = ("id", "revokes", "reason", "signed_by", "state")
    output = Output(json_, quiet)
    output.table(columns, [_row(document, one) for one in document["revocations"]], document)
    names = ", ".join(safe(one["name"]) for one in document["members"])
    output.hint(f"Version {document['version']} of the root: {document['threshold']} of {names} must sign.")


@app.command()
def revoke(
    kind: Annotated[Literal["key", "content", "owner"], typer.Argument(help="What to void.", metavar="KIND")],
    target: Annotated[
        str, typer.Argument(help="The plasmid, the owner, or the start of the key's id.", metavar="TARGET")
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why, for everybody to read.")],
    key: Key = None,
    owner: OwnerFilePath = None,
    home: Home = None,
    yes: Yes = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Begin to void a key, a content or an owner, as an owner of the pinned root: the others must sign."""
    from plora.proto.owner_chain import revocation

    private, file = _signer(key, owner, home)
    output = Output(json_, quiet)
    with running_peer(home) as client:
        document = _ask(client, kind, target)
        weighed = document["weighed"]
        _check_member(document, file, private)
        _refuse_needless(document, weighed, file)
        _question(output, document, weighed, ask=not yes, signed=[])
        made = revocation(file, (kind, weighed["target"]), reason, private, _now())
        _spread(output, client, file, made, made.id.hex())


@app.command()
def sign(
    revocation: Annotated[str, typer.Argument(help="The start of its id, as `root show` has it.", metavar="ID")],
    key: Key = None,
    owner: OwnerFilePath = None,
    home: Home = None,
    yes: Yes = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Sign a revocation that another owner of the pinned root began."""
    from plora.proto.owner_chain import attestation

    private, file = _signer(key, owner, home)
    output = Output(json_, quiet)
    with running_peer(home) as client:
        found = _named(_ask(client), revocation)
        document = _ask(client, found["target_kind"], found["target"])
        name = _check_member(document, file, private)
        if name in found["signed"]:
            raise RefusedError(f"{name} signed it already", where=found["about"], mend="another owner has to")
        _question(output, document, document["weighed"], ask=not yes, signed=found["signed"], reason=found["reason"])
        _spread(output, client, file, attestation(file, found["id"], private, _now()), found["id"])


def _signer(key: Path | None, owner: Path | None, home: Path | None) -> tuple[PrivateKey, OwnerFile]:
    from plora.cli.revoking import at_hand

    private, _, file = at_hand(key, owner, home)
    return private, file


def _ask(client: AdminClient, kind: str = "", target: str = "") -> Document:
    """What the peer says of its root, and of a target; UsageError where it has none."""
    from plora.v1 import admin_pb2 as pb

    document: Document = json.loads(client.call("Root", pb.RootRequest(target_kind=kind, target=target)).document)
    if not document["pinned"]:
        raise UsageError("this peer has no root", mend="pin one by `root:` in its peer.yaml")
    return document


def _named(document: Document, beginning: str) -> Document:
    found: list[Document] = [one for one in document["revocations"] if begins(beginning, one["id"])]
    if len(found) != 1:
        mend = "see `plora root show`, and give enough digits of the id"
        raise UsageError(f"{len(found)} revocations begin with '{beginning}'", mend=mend)
    return found[0]


def _check_member(document: Document, file: OwnerFile, private: PrivateKey) -> str:
    """What the root calls an owner; UsageError where it knows neither them nor the key."""
    member = next((one for one in document["members"] if one["owner"] == file.id), None)
    if member is None:
        raise UsageError(f"{file.first.name} is no owner of the pinned root", mend="see `plora root show`")
    if private.public.key_id not in member["keys"]:
        mend = "name one of those by --key, or make the root anew by `plora root new` with a higher --version"
        raise UsageError(f"the root lists other keys of {file.first.name}", mend=mend)
    return str(member["name"])


def _refuse_needless(document: Document, weighed: Document, file: OwnerFile) -> None:
    """What is the owner's own, or was begun by another, needs no further revocation."""
    if file.id in weighed["owners"]:
        mend = "take it back alone: `plora revoke`, `plora owner revoke-key` or `plora owner end`"
        raise RefusedError(f"is {file.first.name}'s own", where=weighed["about"], mend=mend)
    begun = (one for one in document["revocations"] if one["target"] == weighed["target"])
    twin = next((one for one in begun if one["target_kind"] == weighed["target_kind"]), None)
    if twin is not None and twin["counts"]:
        raise RefusedError("was revoked already", where=twin["about"])
    if twin is not None:
        mend = f"sign that by `plora root sign {twin['id'][:12]}`"
        raise RefusedError("another owner of the root began to revoke it", where=twin["about"], mend=mend)


def _question(
    output: Output, document: Document, weighed: Document, *, ask: bool, signed: list[str], reason: str = ""
) -> None:
    """Show what the revocation changes at this peer, and ask."""
    what = f"{weighed['target_kind']} {safe(weighed['about'])}"
    for line in _weighed_lines(document, weighed, signed, reason):
        output.hint(line)
    if ask:
        confirm(f"Sign the revocation of {what}? This can't be undone.")


def _weighed_lines(document: Document, weighed: Document, signed: list[str], reason: str) -> Iterator[str]:
    yield f"revokes    {weighed['target_kind']} {weighed['about']}   {weighed['target']}"
    if reason:
        yield f"reason     {reason}"
    needed = f"{document['threshold']} of {len(document['members'])} owners must"
    yield f"signed     {', '.join(signed) or 'by nobody yet'}; {needed}"
    changes = weighed["changes"]
    yield f"changes    {len(changes)} plasmids at this peer, {sum(one['used'] for one in changes)} of them in use"
    for one in changes[:CHANGES_SHOWN]:
        yield f"           {one['name']} ({one['content_id'][:12]}): {one['after']}"
    if len(changes) > CHANGES_SHOWN:
        yield f"           and {len(changes) - CHANGES_SHOWN} more"


def _spread(output: Output, client: AdminClient, file: OwnerFile, made: Statement, revocation: str) -> None:
    """Let the swarm know, and say how far the revocation is."""
    from plora.proto.wire import statement_to_pb
    from plora.v1 import admin_pb2 as pb

    client.call("Introduce", pb.IntroduceRequest(statements=[statement_to_pb(one) for one in (*file.statements, made)]))
    document = _ask(client)
    found = _named(document, revocation)
    state = "it counts" if found["counts"] else f"{len(found['signed'])} of {document['threshold']} owners signed"
    output.document(found, [f"{file.first.name} signed the revocation of {found['about']}: {state}"])
    if not found["counts"]:
        output.hint(f"Next, another owner of the root: plora root sign {revocation[:12]}")


def _row(document: Document, one: Document) -> dict[str, object]:
    missing = document["threshold"] - len(one["signed"])
    return {
        "id": one["id"][:12],
        "revokes": f"{one['target_kind']} {one['about']}",
        "reason": one["reason"],
        "signed_by": ", ".join(one["signed"]),
        "state": "counts" if one["counts"] else f"waits for {missing} more",
    }


def _member(file: OwnerFile, path: Path) -> RootMember:
    from plora.gate import RootMember

    at, (_, record) = file.authority, file.newest
    signing = tuple(key for key_id, key in at.current.items() if key_id not in at.void_keys)
    fresh = tuple(entry.key() for entry in record.keys if entry.purpose == "freshness")
    if not fresh:
        mend = "give it one: `plora keygen --only-key`, then `plora owner rotate --add-freshness`"
        raise UsageError(f"{file.first.name} has no freshness key", where=str(path), mend=mend)
    return RootMember(file.first.name, file.id, signing, at.threshold, fresh)


def _now() -> str:
    from plora.proto.fields import format_timestamp

    return format_timestamp(int(time.time()))
