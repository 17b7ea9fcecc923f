"""`plora audit`: what a peer decided, whether anybody changed it since, and who knows of it; running or not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plora.cli.options import Home, Json, Quiet
from plora.cli.output import Output
from plora.cli.running import home_of, running_peer
from plora.cli.usage import App
from plora.proto.errors import PeerNotRunningError, UsageError

if TYPE_CHECKING:
    from plora.node.audit.chain import Entry

app = App(help="List, verify, acknowledge or export what a peer decided.", no_args_is_help=True)

SUBJECT_SHOWN = 40
VERIFY_WAIT_S = 600.0
_HASH_DIGITS = 64
_COLUMNS = ("entry", "when", "what", "subject", "says")

Heads = Annotated[
    list[str] | None,
    typer.Option("--head", help="A head that was noted elsewhere, NUMBER:HASH or HASH; may be repeated."),
]


@app.command("ls")
def list_entries(
    count: Annotated[int, typer.Option("--count", "-n", min=0, help="So many of the newest; 0 is all.")] = 50,
    what: Annotated[str, typer.Option("--what", help="Only entries of this kind, such as verdict or vote.")] = "",
    home: Home = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """List what the peer decided, the newest last."""
    from plora.node.audit.copies import read_copy
    from plora.node.audit.verify import entries_of

    audit = read_copy(_lines(home, 0 if what else count))
    found = [entry for entry in entries_of(audit) if what in ("", entry.fact.what)]
    rows = [_row(entry) for entry in (found[-count:] if count else found)]
    shown = [{**row, "subject": _short(str(row["subject"])), "says": _words(row["says"])} for row in rows]
    Output(json_, quiet).table(_COLUMNS, shown, rows)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="Where to write; it must not exist.", metavar="FILE")],
    home: Home = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the audit into a file that can be verified anywhere."""
    from plora.node.audit.copies import read_copy

    lines = list(_lines(home, 0))
    head = read_copy(lines).ends.head
    _write(out, lines)
    noted, count = f"{head.seq}:{head.head}", len(lines) - 1
    output = Output(json_, quiet)
    output.document({"path": str(out), "entries": count, "head": noted}, [f"{count} entries in {out}"])
    output.hint(f"Note the head where nobody can change it: {noted}")


@app.command()
def verify(
    file: Annotated[
        Path | None, typer.Argument(help="An exported audit; the peer's own otherwise.", metavar="FILE")
    ] = None,
    heads: Heads = None,
    home: Home = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say whether the audit, or the state that it tells of, was edited or cut, and where.

    A peer's own is compared with its state, with the heads in its event log, and with freshness statements that it
    helped to make. Who can rewrite all of these is found by a head that was noted elsewhere (--head). Exit code 1 where
    something is wrong that nobody acknowledged.
    """
    from plora.node.audit.copies import parse_head

    for text in heads or ():
        parse_head(text)
    reply = _verified(home, heads or []) if file is None else _verified_file(file, heads or [])
    document = {
        "first_entry": reply.start + 1,
        "last_entry": reply.end,
        "head": f"{reply.end}:{reply.head}",
        "compared_heads": reply.notes,
        "faults": [_fault(fault) for fault in reply.faults],
    }
    good = f"entries {reply.start + 1} to {reply.end} hold; {reply.notes} heads noted elsewhere agree"
    output = Output(json_, quiet)
    output.document(document, [*map(_fault_line, reply.faults)] or [good])
    open_ = [fault for fault in reply.faults if not fault.acknowledged_wall_ms]
    if open_:
        output.hint(f"If you know how it came about: plora audit acknowledge {open_[0].entry} --note WHY")
        raise typer.Exit(1)
    output.hint(f"The head is {reply.end}:{reply.head}")


@app.command()
def acknowledge(
    entry: Annotated[int, typer.Argument(min=0, help="The entry that `plora audit verify` names.", metavar="ENTRY")],
    note: Annotated[str, typer.Option("--note", help="How it came about; it stays in the audit.")],
    home: Home = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write into the audit that you know of what is wrong at an entry.

    Nothing is mended or hidden: `verify` goes on saying it, with your note, and no longer ends with exit code 1 for it.
    What is changed after that is a new fault. What a head from elsewhere shows can't be acknowledged.
    """
    reply = _acknowledged(home, entry, note)
    faults = [fault for fault in reply.faults if fault.entry == entry]
    output = Output(json_, quiet)
    output.document({"entry": entry, "faults": [*map(_fault, faults)]}, map(_fault_line, faults))
    output.hint(f"Note the head where nobody can change it: {reply.end}:{reply.head}")


def _lines(home: Path | None, newest: int) -> Iterator[str]:
    """An export's lines, by the running peer or from its store."""
    from plora.node.audit.copies import copy_lines
    from plora.node.audit.copies import newest as newest_of
    from plora.node.audit.stopped import stopped_store
    from plora.v1 import admin_pb2 as pb

    paths = home_of(home)
    try:
        with running_peer(home) as client:
            yield from [reply.line for reply in client.stream("Audit", pb.AuditRequest(newest=newest))]
            return
    except PeerNotRunningError:
        pass
    with stopped_store(paths) as store:
        yield from copy_lines(newest_of(store.audit(), newest), paths.peer_id.read_text("ascii").strip())


def _acknowledged(home: Path | None, entry: int, note: str) -> Any:
    from plora.node.admin.auditing import acknowledge_stopped
    from plora.node.audit.stopped import stopped_store
    from plora.v1 import admin_pb2 as pb

    paths, request = home_of(home), pb.AcknowledgeAuditRequest(entry=entry, note=note)
    try:
        with running_peer(home) as client:
            return client.call("AcknowledgeAudit", request, VERIFY_WAIT_S)
    except PeerNotRunningError:
        with stopped_store(paths) as store:
            return acknowledge_stopped(store, paths.events, request)


def _fault(fault: Any) -> dict[str, object]:
    said = {"note": fault.note, "acknowledged_wall_ms": fault.acknowledged_wall_ms}
    return {"entry": fault.entry, "what": fault.what, **(said if fault.acknowledged_wall_ms else {})}


def _fault_line(fault: Any) -> str:
    said = f"; acknowledged {_when(fault.acknowledged_wall_ms)}: {fault.note}" if fault.acknowledged_wall_ms else ""
    return f"entry {fault.entry}: {fault.what}{said}"


def _verified(home: Path | None, heads: list[str]) -> Any:
    from plora.node.admin.auditing import verified_message
    from plora.node.audit.copies import verify as verify_store
    from plora.node.audit.stopped import stopped_store
    from plora.v1 import admin_pb2 as pb

    paths = home_of(home)
    try:
        with running_peer(home) as client:
            return client.call("VerifyAudit", pb.VerifyAuditRequest(heads=heads), VERIFY_WAIT_S)
    except PeerNotRunningError:
        with stopped_store(paths) as store:
            return verified_message(verify_store(store, paths.events, heads))


def _verified_file(file: Path, heads: list[str]) -> Any:
    from plora.node.admin.auditing import verified_message
    from plora.node.audit.copies import verify_copy
    from plora.proto.errors import FormatError

    try:
        with file.open(encoding="utf-8", errors="surrogateescape") as lines:
            return verified_message(verify_copy(lines, heads))
    except OSError as error:
        raise FormatError(f"can't be read ({error.strerror})", where=str(file)) from error
    except FormatError as error:
        raise FormatError(error.what, where=str(file), mend=error.mend) from error


def _write(path: Path, lines: list[str]) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.writelines(lines)
    except OSError as error:
        raise UsageError(f"can't be written ({error.strerror})", where=str(path), mend="name another file") from error


def _row(entry: Entry) -> dict[str, object]:
    fact = entry.fact
    when = _when(fact.at_ms) if fact.at_ms else ""
    return {"entry": entry.seq, "when": when, "what": fact.what, "subject": fact.subject, "says": dict(fact.says)}


def _when(wall_ms: int) -> str:
    return datetime.fromtimestamp(wall_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _short(text: str) -> str:
    """Ids by their beginning, names whole."""
    ids = "/".join(part[:12] if len(part) == _HASH_DIGITS else part for part in text.split("/"))
    return ids[:SUBJECT_SHOWN]


def _words(says: Any) -> str:
    return ", ".join(f"{name} {_short(str(value))}" for name, value in says.items() if value not in ("", False))
