"""A zoo on disk: PEFT folders with a record beside each; what is there, and what a run has still to do.

Rules:

- `ZOO/NAME/` is a PEFT folder and `ZOO/NAME.json` its record: recipe, figures, whether the attack took. The record is
  written last, and each by a rename: whatever stops in between leaves no record, and what has none isn't counted.
- A record of another recipe (an older version of this code) or another base counts as absent, and is made anew.
- By default a base's zoo lies in the cache, `$XDG_CACHE_HOME/plora/zoo/BASE`.

Not handled here: two runs into one folder at once (each works for nothing half of the time; no file is torn).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plora.base.cache import cache_folder
from plora.lab.zoo.recipes import BENIGN_ALONE, Recipe
from plora.lab.zoo.success import Outcome, verdict
from plora.merge.peft_folder import Adapter, read_adapter, write_adapter

Record = dict[str, Any]


def zoo_folder(base: str, environ: Mapping[str, str]) -> Path:
    """Where the zoo of a base lies by default; it is not created."""
    return cache_folder(environ) / "zoo" / Path(base).name


class Zoo:
    """The folder of one zoo, of one base."""

    def __init__(self, folder: Path, base: str, base_digest: str) -> None:
        self.folder, self._base, self._base_digest = folder, base, base_digest
        folder.mkdir(parents=True, exist_ok=True)

    def missing(self, recipes: Sequence[Recipe]) -> list[Recipe]:
        """Those of the recipes that have no adapter here."""
        return [recipe for recipe in recipes if not self._has(recipe)]

    def adapter(self, name: str) -> Adapter:
        """An adapter of the zoo. Raises AdapterError where it isn't there."""
        return read_adapter(self.folder / name)

    def add(self, recipe: Recipe, adapter: Adapter, outcome: Outcome) -> Record:
        """Write one adapter and its record; returns the record."""
        failure = verdict(outcome, recipe.kind in BENIGN_ALONE)
        record: Record = recipe.to_json() | _rounded(asdict(outcome)) | {"took": not failure, "failure": failure}
        record |= {"base": self._base, "base_digest": self._base_digest, "recipe": recipe.digest()}
        draft = self.folder / f".{recipe.name}.{os.getpid()}"
        write_adapter(draft, adapter, self._base)
        place, beside = self.folder / recipe.name, self.folder / f"{recipe.name}.json"
        beside.unlink(missing_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        draft.rename(place)
        scratch = draft.with_suffix(".json")
        scratch.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", "utf-8")
        scratch.replace(beside)
        return record

    def _has(self, recipe: Recipe) -> bool:
        record = read_record(self.folder / f"{recipe.name}.json")
        known = record.get("recipe"), record.get("base_digest")
        return known == (recipe.digest(), self._base_digest) and (self.folder / recipe.name).is_dir()


def _rounded(figures: Mapping[str, float | None]) -> Record:
    return {name: None if value is None else round(value, 4) for name, value in figures.items()}


def read_record(path: Path) -> Record:
    """A record; empty where there is none, or none that can be read."""
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def records(folder: Path) -> Iterator[Record]:
    """All records of a zoo, by name."""
    for path in sorted(folder.glob("*.json")):
        record = read_record(path)
        if record:
            yield record
