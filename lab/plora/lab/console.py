"""The one output sink of the lab's commands: JSON lines on stdout, which the command line and the demo read.

Rules:

- One object a line, keys sorted, flushed at once.
- A PloraError becomes the line `{"event": "error", "what", "where", "mend"}` and its exit code.

Not handled here: people. `plora train` turns these lines into a progress bar.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from plora.proto.errors import PloraError


def emit(record: Mapping[str, Any]) -> None:
    """Write one record."""
    sys.stdout.write(json.dumps(record, sort_keys=True) + "\n")
    sys.stdout.flush()


def run_command(work: Callable[[], None]) -> int:
    """Do `work`; returns the exit code."""
    try:
        work()
    except PloraError as error:
        emit({"event": "error", "what": error.what, "where": error.where, "mend": error.mend})
        return error.exit_code
    return 0
