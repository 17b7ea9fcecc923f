"""From an exception to one sentence, with a command that mends it, and an exit code.

Our own errors carry sentence and mend already; this table speaks for those that come from below.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from traceback import walk_tb

import typer

from plora.proto.errors import DiskFullError, PloraError

INTERRUPTED = 130
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Failure:
    """What is printed, and the exit code: 1 failed, 2 usage, 3 refused or held, 4 peer not running."""

    sentence: str
    exit_code: int


_FOREIGN: tuple[tuple[type[BaseException], str, int], ...] = (
    (KeyboardInterrupt, "interrupted", INTERRUPTED),
    (typer.Abort, "nothing was done", 1),
    (BrokenPipeError, "nobody reads the output any more", 1),
    (PermissionError, "{error}; check the owner and mode of that path", 1),
    (FileNotFoundError, "{error}; check the path", 1),
    (FileExistsError, "{error}; name another path", 1),
    (IsADirectoryError, "{error}; a file was expected", 2),
    (NotADirectoryError, "{error}; a folder was expected", 2),
    (ModuleNotFoundError, "{error}; this command needs the extra `{extra}`: pip install 'plora[{extra}]'", 1),
    (OSError, "{error}", 1),
)


def explain(error: BaseException) -> Failure | None:
    """The failure to print, or None for a defect of Plora itself (its traceback should be seen)."""
    if isinstance(error, OSError) and error.errno in _FULL:
        error = DiskFullError("the disk is full", where=str(error.filename or ""), mend="free some space")
    if isinstance(error, PloraError):
        return Failure(str(error), error.exit_code)
    for kind, sentence, code in _FOREIGN:
        if isinstance(error, kind):
            return Failure(sentence.format(error=_said(error), extra=_extra(error)), code)
    return None


def _extra(error: BaseException) -> str:
    """What brings the libraries of the room in which one was missed."""
    names = [str(frame.f_globals.get("__name__")) for frame, _ in walk_tb(error.__traceback__)]
    simulates = any(name.startswith(("plora.sim", "plora.analysis")) for name in names)
    return "sim" if simulates and not any(name.startswith("plora.lab") for name in names) else "lab"


def _said(error: BaseException) -> str:
    """The system's words for a path without its number, which tells nobody anything."""
    named = isinstance(error, OSError) and error.filename and error.strerror
    return f"{error.filename}: {error.strerror}" if named else str(error)  # type: ignore[attr-defined]
