"""The command that measures what a merge brings, and has the peer keep the figures."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from plora.cli.options import Home, Json, Quiet
from plora.cli.output import Output
from plora.cli.running import fields_of, running_peer

Base = Annotated[str, typer.Argument(help="The base model, where there are merges of several.", metavar="BASE")]
Documents = Annotated[int, typer.Option("--documents", min=2, help="Held-out answers a domain.")]


def measure(
    base: Base = "", documents: Documents = 200, home: Home = None, json_: Json = False, quiet: Quiet = False
) -> None:
    """Measure what a merge brings: perplexity before and after.

    By domain, on held-out answers, beside the base alone; the peer keeps the figures with the merge.
    It needs the extra `lab`, and the base model on this machine.
    """
    from plora.cli import scoring
    from plora.cli.measure_lines import COLUMNS, table_rows
    from plora.v1 import admin_pb2 as pb

    output = Output(json_, quiet)
    with running_peer(home) as client:
        located = client.call("Locate", pb.LocateRequest(name=f"merged/{base}" if base else "merged"))
        merge = scoring.merge_of(located.name, client.call("Merges", pb.MergesRequest()).merges)
        domains, left_out = scoring.domains_of(merge)
        if left_out:
            output.hint(f"Left out, since there are no held-out answers: {', '.join(left_out)}.")
        model = scoring.model_of(merge.base_model, located.base_model)
        output.hint(f"Scoring {documents} answers a domain ({', '.join(domains)}); that may take minutes.")
        rows = scoring.scored(model, scoring.folders_of(merge), domains, documents)
        found = scoring.measured(rows, merge, by=scoring.whoever(), wall_ms=time.time_ns() // 1_000_000)
        document = {"base_model": merge.base_model, **fields_of(found)}
        output.table(COLUMNS, table_rows(found), document)
        client.call("Measured", pb.MeasuredRequest(base_model=merge.base_model, measure=found))
    output.hint(f"Kept with generation {merge.generation}; `plora status` and the web page show it.")
