"""Whether the rows of a value-add study are sound: step 15 of the experiment.

    python -m plora.lab.verify_value_add results/value_add/value_add.jsonl

Not handled here: what makes a row sound (`plora.lab.value_add.checks`).
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plora.lab.artifacts import write_json
from plora.lab.console import emit, run_command
from plora.lab.experiment.artifacts import read_document
from plora.lab.value_add.checks import verify

RESULT = Path("results/value_add_verified.json")


def verified(rows: Path) -> dict[str, Any]:
    """How many rows a file has, which file it is, and its faults."""
    faults = verify(rows)
    data = rows.read_bytes() if rows.is_file() else b""
    count = 0 if faults else len(read_document(rows))
    return {"rows": count, "sha256": hashlib.sha256(data).hexdigest(), "faults": faults}


def main(argv: Sequence[str] | None = None) -> int:
    """Verify as the arguments say; the exit code is 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m plora.lab.verify_value_add", description="Verify value-add rows.")
    parser.add_argument("rows", type=Path, nargs="?", default=Path("results/value_add/value_add.jsonl"))
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args(argv)
    faults: list[str] = []

    def work() -> None:
        found = verified(args.rows)
        faults.extend(found["faults"])
        write_json(args.out, found)
        emit({"event": "done", **found})

    return run_command(work) or int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
