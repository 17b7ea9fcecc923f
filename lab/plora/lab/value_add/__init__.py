"""Do adapters help? Each cell is one way of answering a domain's questions; `docs/value-add.md` says how to read them.

- `cells`: which cells a plan has. `scoring`: what a cell's model answers, kept so that it is asked once.
- `rows`: a cell as a line of value_add.jsonl. `guards`: when a run must not go on. `summary`: cells over seeds.
- `page`: value_add.md. `checks`: what is wrong with a value_add.jsonl (`verify`). `study`: all of it, in order.

    python -m plora.lab.value_add --base mini --domains arithmetic,legal,medical --ranks 4 --seeds 41,42,43
"""

from __future__ import annotations

from plora.lab.value_add.cells import Cell, ValueAddPlan, cells_of
from plora.lab.value_add.checks import verify
from plora.lab.value_add.study import Outcome, run_value_add

__all__ = ["Cell", "Outcome", "ValueAddPlan", "cells_of", "run_value_add", "verify"]
