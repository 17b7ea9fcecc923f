"""The corpora, counted: what `make prepare-data` and step 2 of the experiment leave.

    python -m plora.lab.prepare_data --domains arithmetic,legal,medical --out results/data.json

Rules:

- Each domain has its splits with sizes and the digest of their pairs, the packages that they come from with their
  versions, or a dataset of the hub with its commit, and how many questions are in two splits (none, or something is
  wrong). Rows of a dataset that make no pair are counted (`rows_left_out`).
- Everything comes from packages that are installed, and nothing is fetched, but datasets that `PLORA_DATASETS` names:
  those are in the cache afterwards.

Not handled here: other corpora than `plora.lab.corpora` has.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import Any, get_args

from plora.lab.artifacts import write_json
from plora.lab.console import emit, run_command
from plora.lab.corpora import DOMAINS, QAPair, Split, left_out_of, load_domain
from plora.lab.hub_data import revision_of, source_of


def prepare_data(domains: Sequence[str], out: Path) -> dict[str, Any]:
    """Write the document about these domains and return it; raises UsageError for a domain that isn't there."""
    told = {"domains": {name: described(name) for name in domains}}
    write_json(out, told)
    return told


def described(domain: str) -> dict[str, Any]:
    """What there is of a domain.

    >>> found = described("arithmetic")
    >>> found["questions_in_two_splits"], sorted(found["splits"])
    (0, ['test', 'train', 'validation'])
    """
    whole = {name: value for name, value in os.environ.items() if name != "PLORA_SAMPLES"}
    splits: dict[str, list[QAPair]] = {name: load_domain(domain, name, environ=whole) for name in get_args(Split)}
    asked = Counter(chain.from_iterable({pair.question for pair in pairs} for pairs in splits.values()))
    sources = sorted({pair.source for pairs in splits.values() for pair in pairs})
    dataset = source_of(domain, whole)
    versions = {name: revision_of(dataset, whole) if dataset else _version(name) for name in sources}
    left_out = {"rows_left_out": left_out_of(domain, whole)} if dataset else {}
    return left_out | {
        "splits": {name: {"pairs": len(pairs), "sha256": _digest(pairs)} for name, pairs in splits.items()},
        "questions_in_two_splits": sum(count > 1 for count in asked.values()),
        "sources": versions,
    }


def _digest(pairs: Sequence[QAPair]) -> str:
    lines = (json.dumps([pair.question, pair.answer]) for pair in pairs)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _version(package: str) -> str:
    """Of a package; of Plora for what it generates."""
    try:
        return version(package)
    except PackageNotFoundError:
        return version("plora") if package.startswith("generated: ") else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare as the arguments say; JSON lines on stdout, the last one `{"event": "done", …}`."""
    parser = argparse.ArgumentParser(prog="python -m plora.lab.prepare_data", description="Count the corpora.")
    parser.add_argument("--domains", default=",".join(DOMAINS), help="comma-separated")
    parser.add_argument("--out", type=Path, default=Path("results/data.json"))
    args = parser.parse_args(argv)

    def work() -> None:
        told = prepare_data(args.domains.split(","), args.out)
        sizes = {
            name: {split: one["pairs"] for split, one in told["splits"].items()}
            for name, told in told["domains"].items()
        }
        emit({"event": "done", "path": str(args.out), "pairs": sizes})

    return run_command(work)


if __name__ == "__main__":
    sys.exit(main())
