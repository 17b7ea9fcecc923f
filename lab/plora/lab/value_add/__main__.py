"""`python -m plora.lab.value_add`: JSON lines on stdout, the last one `{"event": "done", …}`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from plora.base import load_base
from plora.base.registry import resolve_base
from plora.lab.console import emit, run_command
from plora.lab.threads import prepare_threads, use_threads
from plora.lab.value_add.arguments import listed, plan_of, plan_parser
from plora.lab.value_add.cells import TIMES
from plora.lab.value_add.study import PAGE, RESULTS, ROWS, run_value_add


def main(argv: Sequence[str] | None = None) -> int:
    """Compare as the arguments say; returns the exit code."""
    parser = plan_parser("plora.lab.value_add", "Do adapters help?")
    parser.add_argument("--times", type=listed(float), default=TIMES, help="λ of the merges, comma-separated")
    parser.add_argument("--skip-placebos", action="store_true", help="leave both placebos out")
    parser.add_argument("--skip-cross", action="store_true", help="leave other domains' adapters out")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results go")
    args = parser.parse_args(argv)

    def work() -> None:
        plan = plan_of(args, placebos=not args.skip_placebos, cross=not args.skip_cross, times=args.times)
        base = resolve_base(args.base)  # a wrong word is told before torch's seconds
        use_threads(prepare_threads(os.environ, args.threads))
        outcome = run_value_add(load_base(base), plan, args.out, args.adapters, emit)
        files = {"file": str(args.out / ROWS), "page": str(args.out / PAGE)}
        emit({"event": "done", "entries": outcome.entries, "kept": outcome.kept, **files})

    return run_command(work)


if __name__ == "__main__":
    sys.exit(main())
