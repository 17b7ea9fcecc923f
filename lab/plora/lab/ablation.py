"""What rank and target modules change: adapters that differ in these alone, beside the first of them.

    python -m plora.lab.ablation --base mini --ranks 1,4 --schemes attention,mlp,all

Rules:

- One row of ablation.jsonl for each domain, rank and scheme, training seeds together: what the adapter gains on the
  base, what it costs (`parameters`, `artifact_bytes`), and `beside_reference`: nats a token less those of the first
  rank and scheme, on the same documents, with an interval over documents and seeds.
- Adapters and scores are those of `plora.lab.value_add`, kept in the same places: what was made there isn't made again.

Not handled here: other settings (steps, rates); change the plan and compare two files.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from plora.base import LoadedBase, load_base
from plora.base.registry import resolve_base
from plora.lab.console import emit, run_command
from plora.lab.statistics import document_of
from plora.lab.threads import prepare_threads, use_threads
from plora.lab.train import Progress
from plora.lab.value_add.arguments import plan_of, plan_parser
from plora.lab.value_add.cells import Cell, ValueAddPlan, cells_of
from plora.lab.value_add.compare import differences
from plora.lab.value_add.rows import rounded, write_rows
from plora.lab.value_add.scoring import Scorer, Scores
from plora.lab.value_add.study import ADAPTERS
from plora.lab.value_add.summary import Scored, summary
from plora.lab.workshop import Workshop
from plora.merge.folder_source import FolderSource
from plora.merge.injection import Budget
from plora.merge.peft_folder import TENSORS_NAME

ABLATION = Path("results/ablation.jsonl")


def run_ablation(
    base: LoadedBase | str,
    plan: ValueAddPlan,
    out: Path = ABLATION,
    adapters: Path = ADAPTERS,
    progress: Progress = lambda record: None,
    environ: Mapping[str, str] = os.environ,
) -> list[dict[str, Any]]:
    """Write ablation.jsonl of a plan's ranks and schemes; returns its rows. Errors as in `run_value_add`.

    `adapters`: where those of a value-add study are kept, with their scores. Its placebos and shared cells don't count.
    """
    base = load_base(base) if isinstance(base, str) else base
    workshop = Workshop(base, adapters, progress)
    scored = cache(Scorer(workshop, plan, Budget.of(environ, time.perf_counter)).scores)
    cells = [cell for cell in cells_of(replace(plan, placebos=False)) if cell.kind in ("baseline", "adapter")]
    for done, cell in enumerate(cells, start=1):
        scored(cell)
        progress({"event": "row", "done": done, "of": len(cells), "name": f"{cell.kind} {cell.domain}"})
    entries = [entry for entry in summary(cells, scored) if entry["cell"] == "adapter"]
    rows = [rounded({**entry, **_costs(entry, cells, workshop), **_beside(entry, cells, scored)}) for entry in entries]
    write_rows(out, rows)
    return rows


def _costs(entry: Mapping[str, Any], cells: Sequence[Cell], workshop: Workshop) -> dict[str, Any]:
    """Size of the adapter: numbers trained, bytes of its file."""
    folder = workshop.folder(_of(entry, cells)[0].order())
    source = FolderSource(folder)
    shapes = [source.shape(module) for module in source.modules()]
    parameters = sum(rank * (out_features + in_features) for out_features, in_features, rank in shapes)
    return {"parameters": parameters, "artifact_bytes": (folder / TENSORS_NAME).stat().st_size}


def _beside(entry: Mapping[str, Any], cells: Sequence[Cell], scored: Scored) -> dict[str, Any]:
    first = next(cell.plan for cell in cells if cell.plan)
    own = _of(entry, cells)
    reference = _of({**entry, "rank": first.rank, "scheme": first.scheme}, cells)
    two: list[list[Scores]] = [[scored(cell) for cell in some] for some in (own, reference)]
    return {
        "reference": {"rank": first.rank, "scheme": first.scheme},
        "beside_reference": document_of(differences(*two)["nll"]),
    }


def _of(entry: Mapping[str, Any], cells: Sequence[Cell]) -> list[Cell]:
    """The cells of an entry, one for each seed."""
    wanted = (entry["domain"], entry["rank"], entry["scheme"])
    return [cell for cell in cells if cell.plan and (cell.domain, cell.plan.rank, cell.plan.scheme) == wanted]


def main(argv: Sequence[str] | None = None) -> int:
    """Compare as the arguments say; JSON lines on stdout, the last one `{"event": "done", …}`."""
    parser = plan_parser("plora.lab.ablation", "What rank and target modules change.")
    parser.add_argument("--out", type=Path, default=ABLATION, help="the file to write")
    args = parser.parse_args(argv)

    def work() -> None:
        plan, base = plan_of(args), resolve_base(args.base)  # a wrong word is told before torch's seconds
        use_threads(prepare_threads(os.environ, args.threads))
        rows = run_ablation(load_base(base), plan, args.out, args.adapters, emit)
        emit({"event": "done", "rows": rows, "file": str(args.out)})

    return run_command(work)


if __name__ == "__main__":
    sys.exit(main())
