"""`plora lab value-add`: do adapters help, alone, routed, merged, beside placebos and one adapter of everything?

Not handled here: the work (`python -m plora.lab.value_add`, a process of its own), the report's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from plora.cli.lab_work import work
from plora.cli.options import Base, Json, Quiet
from plora.cli.output import Output

COLUMNS = ("domain", "cell", "rank", "scheme", "nats_a_token", "a_question_tells", "improves", "gain_kept")
SHOWN = ("adapter", "routed", "merged", "monolithic")


def value_add(
    base: Base = "mini",
    domains: Annotated[str, typer.Option("--domains", help="Comma-separated.")] = "arithmetic,legal,medical",
    ranks: Annotated[str, typer.Option("--ranks", help="Ranks of the adapters.")] = "4,8,16",
    schemes: Annotated[str, typer.Option("--schemes", help="Target modules.")] = "attention,mlp,all",
    seeds: Annotated[str, typer.Option("--seeds", help="Training seeds.")] = "41,42,43",
    samples: Annotated[int, typer.Option("--samples", min=0, help="Training pairs a domain; 0: all.")] = 512,
    dev_size: Annotated[int, typer.Option("--dev-size", min=2, help="Held-out pairs a domain.")] = 1024,
    close: Annotated[int, typer.Option("--close", min=0, help="Of how many answers are written out.")] = 64,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimiser steps for each domain.")] = 60,
    times: Annotated[str, typer.Option("--times", help="Scalings λ of the merges.")] = "0.5,1,2,3",
    skip_placebos: Annotated[bool, typer.Option("--skip-placebos", help="Leave both placebos out.")] = False,
    skip_cross: Annotated[bool, typer.Option("--skip-cross", help="Leave other domains' adapters out.")] = False,
    out: Annotated[Path, typer.Option("--out", help="Where the results go.")] = Path("results/value_add"),
    adapters: Annotated[Path, typer.Option("--adapters", help="Where the adapters lie.")] = Path("out/value_add"),
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure what adapters are worth, with placebos, seeds and tests.

    Stop it anywhere; the same command goes on. The table is of what adapters gain on the base, seeds together; the
    report has placebos, other domains' adapters and other λ too.
    """
    output = Output(json_, quiet)
    arguments = {
        "base": base,
        "domains": domains,
        "ranks": ranks,
        "schemes": schemes,
        "seeds": seeds,
        "samples": samples,
        "dev-size": dev_size,
        "close": close,
        "steps": steps,
        "times": times,
        "skip-placebos": skip_placebos or None,
        "skip-cross": skip_cross or None,
        "out": out,
        "adapters": adapters,
    }
    done = work(output, "plora.lab.value_add", arguments, "scoring", _told)
    shown = (entry for entry in done["entries"] if entry["cell"] in SHOWN and entry["lambda"] == 1)
    output.table(COLUMNS, map(_row, shown), done)
    output.hint(f"Every cell: {done['file']}; to read: {done['page']}")


def _told(record: Mapping[str, Any]) -> Mapping[str, Any]:
    if record["event"] == "start" and "rows" in record:
        return {"completed": record["kept"], "total": record["rows"]}
    if record["event"] == "row":
        return {"completed": record["done"], "total": record["of"], "description": record["name"]}
    return {"description": f"training {record['name']}"} if record["event"] == "making" else {}


def _row(entry: Mapping[str, Any]) -> dict[str, object]:
    made = {name: entry[name] for name in ("domain", "cell", "rank", "scheme")}
    found, improves = entry["difference"], all(entry["significant"].values())
    return made | {
        "nats_a_token": _bounds(found["nll"]),
        "a_question_tells": _bounds(found["question_information"]),
        "improves": "yes" if improves else "not shown",
        "gain_kept": _bounds(entry["kept"]),
    }


def _bounds(interval: Mapping[str, float] | None) -> str:
    """An estimate with its 95 % interval.

    >>> _bounds({"value": -2.81, "low": -3.04, "high": -2.59})
    '-2.81 (-3.04 to -2.59)'
    """
    return "-" if interval is None else "{value:.3g} ({low:.3g} to {high:.3g})".format(**interval)
