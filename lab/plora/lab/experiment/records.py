"""What doit remembers of steps that were done: which contents, which settings, which outputs.

Rules:

- Files count as changed by their contents alone, never by their times.
- A record is on the disk as soon as its step has ended, and the file of all records is replaced whole: whoever is
  killed loses the step under way and no other.

Not handled here: what makes a step run again beyond its files (`plora.lab.experiment.pipeline`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from doit.dependency import Dependency, FileChangedChecker, JsonDB

from plora.lab.experiment.artifacts import file_digest


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
        draft.write_text(self.codec.encode(self._db), "utf-8")
        draft.replace(path)


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
