"""`plora figures`: the experiment's figures for print, from the artifacts that there are.

Not handled here: how they look (`plora.analysis.figures`).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from plora.cli.options import Json, Quiet
from plora.cli.output import Output
from plora.proto.errors import PloraError, UsageError


def figures(
    results: Annotated[Path, typer.Option("--results", help="Where the artifacts are.")] = Path("results"),
    out: Annotated[Path | None, typer.Option("--out", help="Where to write.", show_default="RESULTS/figures")] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw the experiment's figures from its results.

    Each as PDF and PNG; artifacts that are missing are named, with the target of make that makes them.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("matplotlib is not installed", mend="pip install 'plora[sim]'")
    from plora.analysis.figures import write_figures

    output = Output(json_, quiet)
    written, missing = write_figures(results, out or results / "figures")
    told = {"written": [str(path) for path in written], "missing": [str(one) for one in missing]}
    output.document(told, told["written"])
    for one in missing:
        output.hint(f"not drawn: {one}")
    if not written:
        raise PloraError("no figure can be drawn", where=str(results), mend="make calibrate-c, or make dry-run-lite")
