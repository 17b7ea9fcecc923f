"""`plora lab zoo`: grow a zoo of adapters with a progress bar, and say which attacks took.

Not handled here: training (`python -m plora.lab.zoo`, a process of its own).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from plora.cli.lab_work import work
from plora.cli.options import Base, Json, Quiet
from plora.cli.output import Output

COLUMNS = ("kind", "part", "adapters", "took", "failed", "success", "failure")


def zoo(
    base: Base = "mini",
    kinds: Annotated[str, typer.Option("--kinds", help="Comma-separated kinds; see docs/detection.md.")] = "all",
    seeds: Annotated[str, typer.Option("--seeds", help="Such as 0-19,40; each a recipe that all kinds share.")] = "0-3",
    out: Annotated[Path | None, typer.Option("--out", help="The zoo's folder.", show_default="in the cache")] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Grow a zoo: train clean and poisoned adapters.

    Stop it anywhere; the same command goes on. An attack that doesn't take is listed as failed.
    """
    output = Output(json_, quiet)
    arguments = {"base": base, "kinds": kinds, "seeds": seeds, "out": out}
    done = work(output, "plora.lab.zoo", arguments, "growing the zoo", _told)
    output.table(COLUMNS, [_shown(row) for row in done["rows"]], done)
    output.hint(f"The zoo lies in {done['folder']}")


def _told(record: Mapping[str, Any]) -> Mapping[str, Any]:
    match record["event"]:
        case "start":
            return {"total": record["total"], "completed": record["done"]}
        case "step":
            return {"completed": record["done"]}
        case "adapter":
            return {"description": record["name"]}
        case _:
            return {}


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: "" if value is None else value for name, value in row.items()}
