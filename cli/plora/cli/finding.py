"""`plora lab findings`: do adapters spread without a hub, are peers safe, does it help? By a rule fixed beforehand.

Not handled here: the work (`python -m plora.lab.findings`, a process of its own), the page (`docs/findings.md`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from plora.cli.lab_work import work
from plora.cli.options import Json, Quiet
from plora.cli.output import Output


def findings(
    config: Annotated[Path, typer.Option("--config", help="What is simulated, and by which rule.")] = Path(
        "config/findings.yml"
    ),
    results: Annotated[Path, typer.Option("--results", help="Where artifacts lie.")] = Path("results"),
    page: Annotated[Path | None, typer.Option("--page", help="A page whose tables are made anew.")] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Simulations at once.", show_default="all cores")
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Decide whether adapters spread, peers are safe, and it helps.

    Simulates what isn't there yet; stop it anywhere, the same command goes on. What else it needs it names with the
    step that makes it. Every number goes to findings.json among the results.
    """
    output = Output(json_, quiet)
    arguments = {"config": config, "results": results, "page": page, "jobs": jobs}
    done = work(output, "plora.lab.findings", arguments, "simulating", _told)
    lines = [f"{'holds' if part['holds'] else 'fails'}  {part['sentence']}" for part in done["parts"]]
    output.document(done, [f"{done['answer']}:", *lines])
    output.hint(f"Every number: {done['file']}")


def _told(record: Mapping[str, Any]) -> Mapping[str, Any]:
    if record["event"] != "run":
        return {}
    return {"completed": record["done"], "total": record["of"], "description": f"simulating {record['sweep']}"}
