"""`plora analyze`: event logs of real or simulated peers, read afterwards, into one page and one JSON summary.

Not handled here: what is read (`plora.analysis.logs`), figures (`log_summary` beside it), the page (`analysis_page`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from plora.cli.options import Json, Quiet
from plora.cli.output import Output
from plora.proto.amounts import counted, size_text
from plora.proto.errors import UsageError

PAGE, SUMMARY = "analysis.html", "analysis.json"
LEFT_OUT_SHOWN = 5


def analyze(
    logs: Annotated[
        Path, typer.Argument(metavar="LOGDIR", help="A folder with event logs anywhere below it.", show_default=False)
    ],
    out: Annotated[Path | None, typer.Option("--out", help="Where to write.", show_default="LOGDIR")] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read event logs afterwards, into one page and one summary.

    Logs are those of peers' homes or of `plora sim --report_dir`; analysis.html and analysis.json are written.
    Lines that are torn, doubled, or of another file are left out, and told.
    """
    from plora.analysis.log_information import spread_information
    from plora.analysis.log_summary import summary
    from plora.analysis.logs import gather
    from plora.cli.analysis_page import page_of

    output = Output(json_, quiet)
    if not logs.is_dir():
        raise UsageError(
            "no such folder", where=str(logs), mend="name a peer's home, or the folder of a simulation's report"
        )
    gathered = gather(logs)
    if not gathered.lines.used:
        raise UsageError(
            "no event log in this folder",
            where=str(logs),
            mend="logs are *.jsonl: HOME/events of a peer, logs of a simulation",
        )
    found, folder = {**summary(gathered), "information": spread_information(gathered)}, out or logs
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SUMMARY).write_text(json.dumps(found, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    (folder / PAGE).write_text(page_of(gathered, found, f"Event logs of {logs.resolve().name}"), encoding="utf-8")
    output.document(found, _told(found))
    for hint in _hints(found):
        output.hint(hint)
    output.hint(f"wrote {folder / SUMMARY} and {folder / PAGE}: open it in a browser")


def _told(found: Mapping[str, Any]) -> Iterator[str]:
    read, peers = found["read"], counted(found["peers"]["logs"], "peer")
    size, adapters = size_text(read["bytes"]), counted(len(found["plasmids"]), "adapter")
    yield f"{counted(read['records'], 'record')} ({size}) of {peers}, {adapters}, {found['span']['seconds']:.1f} s"
    for domain, series in found["coverage"].items():
        yield f"{domain}: {series[-1]:.0%} of peers"
    for outcome, kinds in found["gate"]["pairs"].items():
        if any(kinds.values()):
            yield f"{outcome}: {', '.join(f'{count:,} {kind}' for kind, count in kinds.items() if count)}"
    yield f"transfer entropy of neighbours: {_information(found['information'])}"


def _information(found: Mapping[str, Any]) -> str:
    """What was found of neighbours, or why nothing was."""
    one = found.get("neighbours", found)
    if "refused" in one:
        return f"not told, {one['refused']}"
    interval = f"{one['bits']:.3g} bits ({one['low']:.3g} to {one['high']:.3g})"
    return f"{interval} a step of {found['step_ms']:,} ms, p = {one['p']:.2g}"


def _hints(found: Mapping[str, Any]) -> Iterator[str]:
    """What wasn't read."""
    read = found["read"]
    for one in read["left_out"][:LEFT_OUT_SHOWN]:
        yield f"left out: {one}"
    if len(read["left_out"]) > LEFT_OUT_SHOWN:
        yield f"and {len(read['left_out']) - LEFT_OUT_SHOWN} more: see {SUMMARY}"
    if read["missing"]:
        yield f"{counted(read['missing'], 'record')} that numbers tell of weren't in the logs"
    yield from read["notes"]
