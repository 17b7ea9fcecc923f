"""Where calibrations lie: one file a base, a person's own before those that come with Plora.

Rules:

- A file is called after the base, `/` written as `--`: `mini.json`, `google--gemma-3-1b-it.json`.
- A base is what its digest says. A file of the right name for another digest is passed over, so that an own base of
  the same name is never judged by numbers that aren't its own.

Not handled: making them (`plora.lab`).

>>> file_name("google/gemma-3-1b-it")
'google--gemma-3-1b-it.json'
>>> own_folder({"XDG_CACHE_HOME": "/tmp"}).as_posix()
'/tmp/plora/calibration'
>>> find_calibration("nobody", "sha256:" + "0" * 64, ()) is None
True
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from plora.base.cache import cache_folder
from plora.gate.detection.calibration import Calibration, load_calibration

SHIPPED = Path(__file__).parent.parent / "assets" / "calibration"


def file_name(base: str) -> str:
    """What the calibration of a base is called."""
    return f"{base.replace('/', '--')}.json"


def own_folder(environ: Mapping[str, str]) -> Path:
    """Where a person keeps calibrations made at home, and where a peer looks first; it may be absent."""
    return cache_folder(environ) / "calibration"


def find_calibration(base: str, digest: str, folders: Iterable[Path]) -> tuple[Path, Calibration] | None:
    """The first calibration for this base in `folders`, then among those that come with Plora, else None.

    `digest`: the base's, `sha256:<hex>`. Raises ConfigError for a file of that name that is wrong.
    """
    for folder in (*folders, SHIPPED):
        path = folder / file_name(base)
        if path.is_file() and (found := load_calibration(path)).base_digest == digest:
            return path, found
    return None
