"""What doit remembers of steps that were done: which contents, which settings, which outputs.

Rules:

- Files count as changed by their contents alone, never by their times.
- A record is on the disk as soon as its step has ended, and the file of all records is replaced whole: whoever is
  killed loses the step under way and no other.
- A file that can't be read as records is put aside, with a line on standard error; every step counts as never done.

Not handled here: what makes a step run again beyond its files (`plora.lab.experiment.pipeline`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from doit.dependency import Dependency, FileChangedChecker, JsonDB

from plora.lab.experiment.artifacts import file_digest
from plora.proto.durable import sync


class ByContent(FileChangedChecker):  # type: ignore[misc]  # doit has no types
    """Compares digests, always."""

    def check_modified(self, file_path: str, file_stat: Any, state: str) -> bool:
        """Whether the file has other contents than when `state` was taken."""
        return file_digest(Path(file_path)) != state

    def get_state(self, dep: str, current_state: str | None) -> str:
        """The digest of a file."""
        return file_digest(Path(dep))


class WholeJson(JsonDB):  # type: ignore[misc]
    """doit's JSON file, replaced in one step."""

    def dump(self) -> None:
        """Write all records."""
        path = Path(self.name)
        draft = path.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            file.write(self.codec.encode(self._db))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync(path.parent)

    def _load(self) -> dict[str, Any]:
        path = Path(self.name)
        try:
            found = self.codec.decode(path.read_text("utf-8"))
        except ValueError:
            found = None
        if isinstance(found, dict) and all(isinstance(one, dict) for one in found.values()):
            return found
        aside = path.replace(path.with_suffix(".broken"))
        sys.stderr.write(f"{path} held no records of steps: it is {aside.name} now, and every step will run again\n")
        return {}


class Records(Dependency):  # type: ignore[misc]
    """All records of one experiment's root."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(WholeJson, str(path), ByContent)

    def save_success(self, task: Any, result_hash: str | None = None) -> None:
        """Remember that a step was done."""
        super().save_success(task, result_hash)
        self.backend.dump()

    def remove_success(self, task: Any) -> None:
        """Forget that a step was done."""
        super().remove_success(task)
        self.backend.dump()
