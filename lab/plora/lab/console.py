"""The one output sink of the lab's commands, JSON lines on stdout, and how whoever started the command reads them.

Rules:

- One object a line, keys sorted, flushed at once.
- A PloraError becomes the line `{"event": "error", "what", "where", "mend", "code"}` and its exit code `code`; the
  reader raises it again. So does a module that is missing: only the extra `lab` brings torch and what goes with it.

Not handled here: people. `plora train` turns these lines into a progress bar.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from plora.proto.errors import PloraError, UsageError, WorkerError


def emit(record: Mapping[str, Any]) -> None:
    """Write one record."""
    sys.stdout.write(json.dumps(record, sort_keys=True) + "\n")
    sys.stdout.flush()


def run_command(work: Callable[[], None]) -> int:
    """Do `work`; returns the exit code."""
    try:
        work()
    except PloraError as error:
        emit(_told(error))
        return error.exit_code
    except ModuleNotFoundError as error:
        emit(_told(PloraError(str(error), mend="it comes with the extra `lab`: pip install 'plora[lab]'")))
        return PloraError.exit_code
    return 0


def read_record(line: str | bytes, where: str = "") -> dict[str, Any]:
    """One record of a command. Raises the error that it tells of: UsageError for a wrong call, else WorkerError.

    `where` names the work, for an error that names no place.
    """
    record: dict[str, Any] = json.loads(line)
    if record["event"] == "error":
        kind = UsageError if record["code"] == UsageError.exit_code else WorkerError
        raise kind(record["what"], where=record["where"] or where, mend=record["mend"])
    return record


def ended(returncode: int, where: str = "") -> WorkerError:
    """What it means that a command ended like this without its last record."""
    if returncode == -signal.SIGKILL:
        mend = "take a smaller base, free some memory, or add swap; a shell or container calls it exit code 137"
        return WorkerError("was killed, most likely for lack of memory", where=where, mend=mend)
    return WorkerError(f"ended with exit code {returncode}", where=where, mend="its last lines stand above")


def _told(error: PloraError) -> dict[str, Any]:
    told = {"what": error.what, "where": error.where, "mend": error.mend}
    return {"event": "error", "code": error.exit_code, **told}
