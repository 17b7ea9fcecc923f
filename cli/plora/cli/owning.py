"""`plora owner`: an owner's keys over their life, on files, with a running peer only to make it known.

- The `.owner` file travels: whoever holds a key signs what is pending in it and passes it on.
- Every command shows what the owner is and what they will be, and asks.
- Nothing is known to others before `plora owner publish`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plora.cli.options import Home, Json, Key, OwnerFilePath, Quiet, Yes, confirm
from plora.cli.output import Output
from plora.cli.running import root_of, running_peer
from plora.cli.usage import App
from plora.proto.errors import UsageError

if TYPE_CHECKING:
    from plora.proto.owner_chain import Change, OwnerFile
    from plora.proto.payloads import OwnerKey
    from plora.proto.statement import Statement

app = App(help="Your keys over time: rotate them, sign in turn, revoke.", no_args_is_help=True)

Named = Annotated[Path | None, typer.Argument(help="An owner's file; the home's own otherwise.", metavar="FILE")]
NAMES_SHOWN = 12


@app.command()
def show(
    file: Named = None,
    home: Home = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show an owner's keys, how many must sign, and what still lacks signatures."""
    from plora.proto.owner_chain import read_owner_file

    owner = read_owner_file(file or _own_key(home).with_suffix(".owner"))
    Output(json_, quiet).document(_document(owner), [*_lines(owner), *_pending_lines(owner)])


@app.command()
def rotate(
    add: Annotated[
        list[Path] | None, typer.Option("--add", help="A public key (.pub) that may sign; may be repeated.")
    ] = None,
    add_freshness: Annotated[
        list[Path] | None, typer.Option("--add-freshness", help="A public key that signs freshness only.")
    ] = None,
    add_export: Annotated[
        Path | None, typer.Option("--add-export", help="A P-256 public key for OpenSSF bundles only.")
    ] = None,
    drop: Annotated[list[str] | None, typer.Option("--drop", help="Start of the id of a key that goes.")] = None,
    threshold: Annotated[int, typer.Option("--threshold", min=0, help="How many keys must sign; as it was.")] = 0,
    new_lineage: Annotated[
        bool, typer.Option("--new-lineage", help="Begin versions anew; done anyway after a revocation.")
    ] = False,
    key: Key = None,
    owner: OwnerFilePath = None,
    home: Home = None,
    yes: Yes = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make the owner's next record: other keys, another threshold. Old and new keys must sign it."""
    from plora.cli.revoking import at_hand
    from plora.proto.owner_chain import Change, next_record

    private, path, file = at_hand(key, owner, home)
    entries = [*_entries(add, "sign"), *_entries(add_freshness, "freshness"), *_exporting(add_export)]
    change = Change(tuple(entries), tuple(drop or ()), threshold, True if new_lineage else None)
    _refuse_nothing(change)
    made = next_record(file, change, private, _now())
    _write(Output(json_, quiet), path, file, (made,), yes)


@app.command()
def sign(
    key: Key = None,
    owner: OwnerFilePath = None,
    home: Home = None,
    yes: Yes = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Sign what lacks signatures in an owner's file, and pass the file on."""
    from plora.cli.revoking import at_hand
    from plora.proto.owner_chain import signatures

    private, path, file = at_hand(key, owner, home)
    made = signatures(file, private, _now())
    if not made:
        raise UsageError("nothing here waits for this key", where=str(path), mend="see `plora owner show`")
    _write(Output(json_, quiet), path, file, tuple(made), yes)


@app.command("revoke-key")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="Start of the id of the key.", metavar="KEYID")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for everybody to read.")],
    key: Key = None,
    owner: OwnerFilePath = None,
    home: Home = None,
    yes: Yes = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Void a key and all that it signed, for ever. Another key of the owner completes it by `owner sign`."""
    from plora.cli.revoking import at_hand
    from plora.proto.owner_chain import key_named, key_revocation

    private, path, file = at_hand(key, owner, home)
    made = key_revocation(file, key_named(file, key_id), reason, private, _now())
    _write(Output(json_, quiet), path, file, (made,), yes)


@app.command()
def end(
    reason: Annotated[str, typer.Option("--reason", help="Why, for everybody to read.")],
    key: Key = None,
    owner: OwnerFilePath = None,
    home: Home = None,
    yes: Yes = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Revoke an owner as a whole, for ever: everything that any of their keys ever signed, or will."""
    from plora.cli.revoking import at_hand
    from plora.proto.owner_chain import owner_revocation

    private, path, file = at_hand(key, owner, home)
    made = owner_revocation(file, reason, private, _now())
    _write(Output(json_, quiet), path, file, (made,), yes)


@app.command()
def publish(
    file: Named = None,
    home: Home = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Let the swarm know an owner's file, through the running peer."""
    from plora.proto.owner_chain import read_owner_file
    from plora.proto.wire import statement_to_pb
    from plora.v1 import admin_pb2 as pb

    owner = read_owner_file(file or _own_key(home).with_suffix(".owner"))
    with running_peer(home) as client:
        request = pb.IntroduceRequest(statements=[statement_to_pb(one) for one in owner.statements])
        reply = client.call("Introduce", request)
    said = f"; this peer doesn't go by it: {reply.note}" if reply.note else ""
    document = {"owner": reply.owner, "record": reply.record, "note": reply.note}
    Output(json_, quiet).document(document, [f"published {owner.first.name}, version {owner.newest[1].version}{said}"])


def _write(output: Output, path: Path, file: OwnerFile, made: tuple[Statement, ...], yes: bool) -> None:
    """Show what becomes of the owner, ask, and put the new file in the old one's place."""
    from plora.proto.owner_chain import write_owner_file

    after = file.extended(*made)
    for line in _change_lines(file, after):
        output.hint(line)
    if not yes:
        confirm(f"Write this into {path}?")
    write_owner_file(path, after)
    output.document(_document(after), [f"wrote {path}", *_pending_lines(after)])
    output.hint(
        f"Next: pass {path} to who must still sign (plora owner sign --owner)"
        if after.pending
        else "Next: plora owner publish   ·   put this file beside each of the owner's keys"
    )


def _change_lines(before: OwnerFile, after: OwnerFile) -> Iterator[str]:
    yield from _lines(before)
    news = [line for line in _lines(after) if line not in list(_lines(before))]
    yield "then:" if news else "nothing changes yet, since signatures are missing:"
    yield from news
    yield from _pending_lines(after)
    if not [key_id for key_id in after.authority.current if key_id not in after.authority.void_keys]:
        yield "! no key is left that may sign: nothing can ever be signed for this owner again"


def _lines(file: OwnerFile) -> Iterator[str]:
    from plora.proto.words import fingerprint

    at, (_, record) = file.authority, file.newest
    yield f"owner      {file.first.name}   {file.id}"
    yield f"words      {fingerprint(file.id)}"
    needs = f"{at.threshold} of {len(at.current)} keys must sign"
    yield f"record     version {record.version}, {needs}, lineage {at.lineages[-1][:12]}"
    for entry in record.keys:
        void = f"   REVOKED: {at.void_keys[entry.key_id]}" if entry.key_id in at.void_keys else ""
        yield f"key        {entry.key_id[:16]}  {entry.algorithm}, {entry.purpose}{void}"
    for key_id, reason in at.void_keys.items():
        if key_id not in at.current:
            yield f"revoked    {key_id[:16]}: {reason}"
    if file.ended:
        yield f"! revoked as a whole: {file.ended}; nothing of this owner is accepted any more"
    if at.forked:
        yield "! two records follow this one, so neither counts"


def _pending_lines(file: OwnerFile) -> Iterator[str]:
    from plora.proto.payloads import OwnerRecord

    for one in file.pending:
        if isinstance(one.payload, OwnerRecord):
            ids = ", ".join(f"{entry.key_id[:16]} ({entry.purpose})" for entry in one.payload.keys)
            lineage = "" if one.payload.lineage else ", in a new lineage"
            yield f"pending    version {one.payload.version}: {one.payload.threshold} of {ids}{lineage}"
        else:
            yield f"pending    revocation of {one.payload.target_kind} {one.payload.target[:16]}: {one.payload.reason}"
        yield f"           signed by {', '.join(key_id[:16] for key_id in one.signed)}; lacks {one.lacks}"


def _document(file: OwnerFile) -> dict[str, Any]:
    at, (_, record) = file.authority, file.newest
    pending = [
        {"id": one.statement.id.hex(), "kind": one.payload.kind.short, "signed": list(one.signed), "lacks": one.lacks}
        for one in file.pending
    ]
    keys = [{"key_id": one.key_id, "algorithm": one.algorithm, "purpose": one.purpose} for one in record.keys]
    return {
        "owner": file.id,
        "name": file.first.name,
        "record": at.record,
        "version": record.version,
        "threshold": at.threshold,
        "keys": keys,
        "lineage": at.lineages[-1],
        "revoked": dict(at.void_keys),
        "pending": pending,
        "forked": list(at.forked),
        "ended": file.ended,
    }


def _refuse_nothing(change: Change) -> None:
    if not (change.add or change.drop or change.threshold or change.new_lineage):
        what = "the next record would say what this one says"
        raise UsageError(what, where="plora owner rotate", mend="name --add, --drop, --threshold or --new-lineage")


def _entries(paths: list[Path] | None, purpose: str) -> Iterator[OwnerKey]:
    from plora.proto.keys import load_public_key
    from plora.proto.payloads import OwnerKey

    for path in paths or ():
        yield OwnerKey.of(load_public_key(path), purpose)


def _exporting(path: Path | None) -> Iterator[OwnerKey]:
    from plora.proto.openssf import load_export_public
    from plora.proto.payloads import OwnerKey

    if path is not None:
        yield OwnerKey.exporting(load_export_public(path))


def _own_key(home: Path | None) -> Path:
    from plora.cli.revoking import own_key

    return own_key(root_of(home))


def _now() -> str:
    from plora.proto.fields import format_timestamp

    return format_timestamp(int(time.time()))
