"""A cell as one JSON line of value_add.jsonl, and the file of them.

Rules:

- `nll` is nats a token, so its difference is the logarithm of the ratio of perplexities; `question_information` nats a
  document; `em` a share of documents. Differences are cell − baseline on the same documents, each with a 95 % bootstrap
  interval over documents (one training seed a row; `plora.lab.value_add.summary` puts seeds together).
- `wilcoxon_p` and `sign_flip_p` are of the documents' nats a token, `mcnemar_p` of exact answers; all two-sided, of one
  row alone: whoever reads many rows corrects for it, as value_add.md does. `question_wilcoxon_p` is of what questions
  tell.
- A cell *helps* where answers became likelier and questions tell more of them, both with an interval that excludes 0:
  an adapter that was trained on shuffled answers does the former as well as the true one.
- `kept` is the cell's gain by the gain of the domain's own adapter; null where that has no clear gain, since a share
  of nothing is nothing.
- What is measured by a clock stands under `times`, and is no result. All else is the same in every run.
- A row is on the disk, as a whole line, before the next cell begins. A line that a crash tore counts as absent.
- Rows that nobody asks for any more, or of another recipe, go when the file is opened again; scores are kept elsewhere.

Not handled here: computing scores (`plora.lab.value_add.scoring`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from plora.lab.artifacts import write_text
from plora.lab.statistics import cohen_dz, document_of, mcnemar_p, paired_tests
from plora.lab.value_add.cells import Cell
from plora.lab.value_add.compare import BETTER, by_document, differences, improves, kept, levels
from plora.lab.value_add.scoring import Scores

DIGITS = 6


def row_of(cell: Cell, recipe: str, scores: Scores, baseline: Scores, adapter: Scores | None) -> dict[str, Any]:
    """The row of a cell; `adapter`: the scores of the domain's own adapter, where there is one."""
    row: dict[str, Any] = dict(zip(KEY, cell.key(), strict=True))
    row |= {"documents": len(scores.nll), "recipe": recipe, **levels(scores), **scores.figures}
    if cell.kind != "baseline":
        row |= _beside([scores], [baseline])
        row |= _tests(scores, baseline)
        row["kept"] = document_of(kept([scores], [baseline], [adapter])) if adapter else None
    return {**rounded(row), "times": dict(scores.times)}


KEY = ("cell", "domain", "of", "rank", "scheme", "seed", "lambda")


def key_of(row: Mapping[str, Any]) -> tuple[object, ...]:
    """What tells a row from all others of a file. Raises KeyError for what is no row."""
    return tuple(row[name] for name in KEY)


class RowsFile:
    """A value_add.jsonl that is being written: whole rows of asked-for cells stay, the rest is appended."""

    def __init__(self, path: Path, recipes: Mapping[tuple[object, ...], str]) -> None:
        self._path = path
        self.rows: dict[tuple[object, ...], dict[str, Any]] = {}
        for row in read_rows(path):
            if recipes.get(key := key_of(row)) == row["recipe"]:
                self.rows[key] = row
        write_rows(path, self.rows.values())

    def add(self, row: dict[str, Any]) -> None:
        """Append one row; it is on the disk when this returns."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(row))
            file.flush()
            os.fsync(file.fileno())
        self.rows[key_of(row)] = row

    def ordered(self, keys: Iterable[tuple[object, ...]]) -> list[dict[str, Any]]:
        """Write the rows of these keys anew, in their order; returns them."""
        rows = [self.rows[key] for key in keys]
        write_rows(self._path, rows)
        return rows


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The whole rows of a file; none where there is no file. Lines that are none are left out."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [row for line in lines if (row := _row(line)) is not None]


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a file of rows, whole or not at all."""
    write_text(path, "".join(map(_line, rows)))


def _beside(scores: list[Scores], baseline: list[Scores]) -> dict[str, Any]:
    found = differences(scores, baseline)
    helps = all(improves(name, found[name]) for name in BETTER)
    return {"difference": {name: document_of(one) for name, one in found.items()}, "helps": helps}


def _tests(scores: Scores, baseline: Scores) -> dict[str, Any]:
    gaps = by_document([scores], [baseline])
    found = paired_tests(gaps["nll"][0])
    return {
        "wilcoxon_p": found.wilcoxon_p,
        "sign_flip_p": found.sign_flip_p,
        "mcnemar_p": mcnemar_p(baseline.exact, scores.exact),
        "question_wilcoxon_p": paired_tests(gaps["question_information"][0]).wilcoxon_p,
        "rank_biserial": found.rank_biserial,
        "dz": document_of(cohen_dz(gaps["nll"])),
    }


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, allow_nan=False) + "\n"


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
        return row if isinstance(row, dict) and isinstance(row["recipe"], str) and key_of(row) else None
    except (ValueError, KeyError):
        return None


def rounded(value: Any) -> Any:
    """Numbers at as many digits as are the same on another processor, more or less."""
    if isinstance(value, Mapping):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
