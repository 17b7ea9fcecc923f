"""`python -m plora.lab.findings`: JSON lines on stdout, the last one `{"event": "done", …}`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plora.lab.artifacts import write_json, write_text
from plora.lab.console import emit, run_command
from plora.lab.experiment.config import read_config
from plora.lab.findings.document import FOLDER, document, gathered, require
from plora.lab.findings.page import with_findings
from plora.lab.findings.runs import carry_out, cores
from plora.lab.findings.settings import Settings, measured, place, rule_of
from plora.proto.errors import UsageError

ROOT = Path()
NAME = "findings.json"
PARTS = ("all", "runs", "decide")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code. That the answer is no is no failure."""
    told = _parsed(arguments)

    def work() -> None:
        settings, model = Settings.read(told.config), measured()
        rule_of(settings, ROOT)
        if told.part == "all":
            require(told.results, settings, ROOT)
        if told.part != "decide":
            carry_out(settings, model, told.results / FOLDER / place(model), told.jobs, emit)
        if told.part != "runs":
            page = _page(told.page)
            full = read_config(ROOT / settings.rule)
            found = document(settings, full, model, gathered(settings, model, told.results, told.bench, ROOT))
            write_json(told.results / NAME, found)
            if told.page:
                _renew(told.page, page, found)
            parts = [{name: one[name] for name in ("name", "holds", "sentence")} for one in found["parts"]]
            file = str(told.results / NAME)
            emit({"event": "done", "answer": found["answer"], "parts": parts, "file": file})

    return run_command(work)


def _renew(path: Path, page: str, found: dict[str, Any]) -> None:
    """The page, and the numbers that it says beside it."""
    write_text(path, with_findings(page, found))
    write_json(path.with_suffix(".json"), found)


def _page(path: Path | None) -> str:
    try:
        return path.read_text(encoding="utf-8") if path else ""
    except OSError as error:
        raise UsageError(
            f"no page ({error.strerror})", where=str(path), mend="docs/findings.md has the places"
        ) from None


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m plora.lab.findings", description="Answer the experiment's question."
    )
    parser.add_argument("part", nargs="?", choices=PARTS, default="all", help="simulate, decide, or both")
    parser.add_argument("--config", type=Path, default=Path("config/findings.yml"))
    parser.add_argument("--results", type=Path, default=Path("results"), help="where artifacts lie and findings go")
    parser.add_argument(
        "--bench", type=Path, default=Path("bench/results/detection.json"), help="rows of bench-detection"
    )
    parser.add_argument("--page", type=Path, help="a page whose tables are made anew, with its numbers beside it")
    parser.add_argument("--jobs", type=int, default=cores(), help="simulations at once")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
