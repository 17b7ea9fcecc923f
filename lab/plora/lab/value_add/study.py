"""A value-add study from beginning to end: adapters made, cells scored, rows, report; stop it anywhere and go on.

Rules:

- The model is loaded once. A cell is a row of value_add.jsonl as soon as it is scored; in the end the rows stand in the
  order of the plan, so a study that was stopped ends with the same file as one that wasn't, times aside.
- A placebo that wins and an adapter over the latency budget end the run with an error; the placebo's row is there.

Not handled here: which cells there are (`plora.lab.value_add.cells`), how many threads (the command).
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from plora.base import LoadedBase, load_base
from plora.lab.artifacts import write_json, write_text
from plora.lab.train import Progress
from plora.lab.value_add.cells import PLACEBOS, Cell, ValueAddPlan, cells_of
from plora.lab.value_add.guards import placebo_wins, planned_tests, refuse
from plora.lab.value_add.page import page
from plora.lab.value_add.rows import RowsFile, row_of
from plora.lab.value_add.scoring import Scorer, Scores
from plora.lab.value_add.summary import summary, value_kept
from plora.lab.workshop import Workshop, digest_of
from plora.merge.injection import Budget

RESULTS, ADAPTERS = Path("results/value_add"), Path("out/value_add")
ROWS, PAGE, SUMMARY = "value_add.jsonl", "value_add.md", "summary.json"


@dataclass(frozen=True)
class Outcome:
    """What a study left: its rows, one entry for each cell over seeds, and the share of the gain kept by each make."""

    rows: list[dict[str, Any]]
    entries: list[dict[str, Any]]
    kept: list[dict[str, Any]]


def run_value_add(
    base: LoadedBase | str,
    plan: ValueAddPlan,
    results: Path = RESULTS,
    adapters: Path = ADAPTERS,
    progress: Progress = lambda record: None,
    environ: Mapping[str, str] = os.environ,
) -> Outcome:
    """Score every cell of a plan into value_add.jsonl, value_add.md and summary.json under `results`.

    Args:
        base: a loaded base, or a name that `load_base` takes.
        plan: what is compared.
        adapters: where the adapters lie, with the scores.
        progress: called with `{"event": "start" | "making" | "row", …}`.
        environ: where `PLORA_LATENCY_BUDGET_MS` is looked up.

    Raises:
        PlaceboError: a placebo beats the base. LatencyError: an adapter is over the budget.
    """
    base = load_base(base) if isinstance(base, str) else base
    budget = Budget.of(environ, time.perf_counter)
    study = _Study(Workshop(base, adapters, progress), plan, results, budget, progress)
    study.score()
    return study.report()


class _Study:
    """A plan under way."""

    def __init__(
        self, workshop: Workshop, plan: ValueAddPlan, results: Path, budget: Budget, progress: Progress
    ) -> None:
        self._results, self._progress = results, progress
        self._scorer = Scorer(workshop, plan, budget)
        self._cells = cells_of(plan)
        self._recipes = {cell.key(): self._recipe(cell) for cell in self._cells}
        self._file = RowsFile(results / ROWS, self._recipes)
        self._scored = cache(self._scorer.scores)

    def score(self) -> None:
        """Append the rows that are missing."""
        missing = [cell for cell in self._cells if cell.key() not in self._file.rows]
        self._progress({"event": "start", "rows": len(self._cells), "kept": len(self._cells) - len(missing)})
        for cell in self._cells:
            if cell.key() not in self._file.rows:
                self._file.add(self._row(cell))
                done = len(self._file.rows)
                self._progress({"event": "row", "done": done, "of": len(self._cells), "name": _name(cell)})
            refuse(cell, self._file.rows[cell.key()].get("placebo_wins", ()))

    def report(self) -> Outcome:
        """Write the rows in their order, the summary and the page."""
        rows = self._file.ordered([cell.key() for cell in self._cells])
        entries, kept = summary(self._cells, self._scored), value_kept(self._cells, self._scored)
        write_json(self._results / SUMMARY, {"entries": entries, "kept": kept})
        write_text(self._results / PAGE, page(entries, kept))
        return Outcome(rows, entries, kept)

    def _recipe(self, cell: Cell) -> str:
        """What a row depends on: a placebo is judged beside all others of the plan."""
        recipe = self._scorer.recipe(cell)
        return digest_of([recipe, planned_tests(self._cells)]) if cell.kind in PLACEBOS else recipe

    def _row(self, cell: Cell) -> dict[str, Any]:
        scores, baseline = self._scored(cell), self._scored(cell.alike("baseline"))
        adapter = None if cell.plan is None else self._scored(cell.alike("adapter"))
        row = row_of(cell, self._recipes[cell.key()], scores, baseline, adapter)
        if cell.kind in PLACEBOS and adapter is not None:
            row["placebo_wins"] = self._wins(cell, scores, baseline, adapter)
        return row

    def _wins(self, cell: Cell, scores: Scores, baseline: Scores, adapter: Scores) -> list[str]:
        return placebo_wins(cell, scores, baseline, adapter, planned_tests(self._cells))


def _name(cell: Cell) -> str:
    """A cell for people."""
    made = "" if cell.plan is None else f", rank {cell.plan.rank}, {cell.plan.scheme}, seed {cell.plan.seed}"
    return f"{cell.kind} {cell.domain}{made}"
