"""The scenarios that come along, by name: TOML files beside this one, each with what must be so at its end.

>>> "replay" in names(), find("replay").name
(True, 'replay')
>>> find("repaly")
Traceback (most recent call last):
    ...
plora.proto.errors.UsageError: repaly: no such scenario; did you mean replay?
"""

from __future__ import annotations

import difflib
from pathlib import Path

from plora.proto.errors import UsageError
from plora.sim.scenario import Scenario

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The names, in order of the alphabet."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find(name: str) -> Scenario:
    """The scenario of that name; `UsageError` names the nearest where there is none."""
    return Scenario.read(_named(name))


def path_of(said: str, beside: Path = Path()) -> Path:
    """The file that is meant: the path of one, from that folder, or a name that comes along; `UsageError` for neither.

    >>> path_of("eclipse.toml")
    Traceback (most recent call last):
        ...
    plora.proto.errors.UsageError: eclipse.toml: no such file; did you mean eclipse, which comes along?
    """
    path = beside / said
    if path.exists():
        return path
    if Path(said).name == said and not path.suffix:
        return _named(said)
    if path.stem in names():
        raise UsageError("no such file", where=said, mend=f"did you mean {path.stem}, which comes along?")
    return path


def _named(name: str) -> Path:
    known = names()
    if name in known:
        return FOLDER / f"{name}.toml"
    near = difflib.get_close_matches(name, known, n=1)
    mend = f"did you mean {near[0]}?" if near else f"use {', '.join(known)}, or the path of a file"
    raise UsageError("no such scenario", where=name, mend=mend)
