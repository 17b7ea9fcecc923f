"""What a step is made of beside its settings and inputs: the project's own code, and files outside of the root.

Rules:

- A room is a package below `plora`; its digest is of the names and contents of its files, what Python has compiled
  aside. The experiment's own code counts in no room: it decides when steps run, not what comes of them.

Not handled here: which rooms a step has (`plora.lab.experiment.steps`), versions of packages (`provenance`).

>>> len(room_digest("analysis"))
64
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from plora.lab.experiment.artifacts import file_digest
from plora.lab.experiment.config import digest

COMPILED = "__pycache__"
OWN = Path(__file__).parent


@cache
def room_digest(room: str) -> str:
    """SHA-256 of the files of `plora.ROOM`, in hexadecimal. Raises ValueError where there is no such room."""
    spec = find_spec(f"plora.{room}")
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"there is no room plora.{room}")
    return folders_digest([Path(one) for one in spec.submodule_search_locations])


def folders_digest(folders: Sequence[Path]) -> str:
    """SHA-256 of names and contents of the files below some folders.

    >>> folders_digest([])[:8]
    '44136fa3'
    """
    return digest(
        {
            path.relative_to(folder).as_posix(): file_digest(path)
            for folder in folders
            for path in sorted(folder.rglob("*"))
            if path.is_file() and COMPILED not in path.parts and not path.is_relative_to(OWN)
        }
    )


def outside_digest(path: Path) -> str:
    """SHA-256 of a file that may not be there; "" if it isn't."""
    return file_digest(path) if path.is_file() else ""
