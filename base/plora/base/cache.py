"""Where Plora keeps what can be made again: `$XDG_CACHE_HOME/plora`, else `~/.cache/plora`.

Rules:

- Nothing here is needed for correctness: deleting the folder costs time only.
- The environment is an argument; a relative `XDG_CACHE_HOME` is ignored, as the XDG specification demands.

>>> cache_folder({"XDG_CACHE_HOME": "/var/tmp/c"}).as_posix()
'/var/tmp/c/plora'
>>> cache_folder({"XDG_CACHE_HOME": "c", "HOME": "/home/ada"}).as_posix()
'/home/ada/.cache/plora'
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def cache_folder(environ: Mapping[str, str]) -> Path:
    """The cache folder that `environ` names; it is not created."""
    root = Path(environ.get("XDG_CACHE_HOME", ""))
    if not root.is_absolute():
        home = environ.get("HOME")
        root = (Path(home) if home else Path.home()) / ".cache"
    return root / "plora"
