"""`python -m plora.lab.zoo`: grow a zoo in a process of its own, telling of it in JSON lines."""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from plora.base import load_base
from plora.base.registry import resolve_base
from plora.lab.console import emit, run_command
from plora.lab.threads import prepare_threads, use_threads
from plora.lab.zoo.recipes import KINDS, Recipe, exists, recipe
from plora.proto.errors import UsageError


def recipes_of(kinds: str, seeds: str) -> list[Recipe]:
    """The recipes of `KIND,KIND` (or `all`) and `0-19,40`; UsageError where either says something else.

    >>> [one.name for one in recipes_of("clean,style", "0-1")]
    ['clean-0000', 'clean-0001', 'style-0000', 'style-0001']
    """
    chosen = KINDS if kinds == "all" else tuple(kinds.split(","))
    numbers = seeds_of(seeds)
    return [recipe(kind, seed) for kind in chosen for seed in numbers if exists(kind, seed)]


def seeds_of(text: str) -> list[int]:
    """The numbers of `0-19,40`, each once, in order."""
    numbers: set[int] = set()
    for piece in text.split(","):
        first, _, last = piece.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal()):
            raise UsageError(f"{text!r} is no list of seeds", where="--seeds", mend="--seeds 0-19 or --seeds 3,5,8")
        numbers |= set(range(int(first), int(last or first) + 1))
    return sorted(numbers)


def summary(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a kind and part: adapters, those that took, mean success, and why the first of the others failed."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        groups[record["kind"], record["part"]].append(record)
    return [_row(kind, part, members) for (kind, part), members in sorted(groups.items())]


def _row(kind: str, part: str, members: list[dict[str, Any]]) -> dict[str, Any]:
    took = [member for member in members if member["took"]]
    reached = [member["success"] for member in members if member["success"] is not None]
    failures = [member["failure"] for member in members if not member["took"]]
    return {
        "kind": kind,
        "part": part,
        "adapters": len(members),
        "took": len(took),
        "failed": len(failures),
        "success": round(sum(reached) / len(reached), 3) if reached else None,
        "failure": failures[0] if failures else "",
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Grow as the arguments say; JSON lines on stdout, the last one `{"event": "done", "rows", …}`."""
    parser = argparse.ArgumentParser(prog="python -m plora.lab.zoo", description="Train clean and poisoned adapters.")
    parser.add_argument("--base", help="mini, smollm2, a folder or ORG/NAME (default: PLORA_BASE_MODEL)")
    parser.add_argument("--kinds", default="all", help=f"comma-separated, of {', '.join(KINDS)}")
    parser.add_argument("--seeds", default="0-3", help="such as 0-19,40; each a recipe, shared by all kinds")
    parser.add_argument("--out", type=Path, help="the zoo's folder; below the cache by default")
    parser.add_argument("--at-once", type=int, help="adapters a batch; many on mini, else one attack")
    parser.add_argument("--threads", type=int, help="default: OMP_NUM_THREADS, else 2")
    args = parser.parse_args(argv)

    def work() -> None:
        recipes, spec = recipes_of(args.kinds, args.seeds), resolve_base(args.base)
        use_threads(prepare_threads(os.environ, args.threads))
        from plora.lab.zoo.grow import grow
        from plora.lab.zoo.store import Zoo, records, zoo_folder

        base = load_base(spec)
        zoo = Zoo(args.out or zoo_folder(base.spec.name, os.environ), base.spec.name, base.digest)
        grow(base, zoo, recipes, emit, args.at_once)
        emit({"event": "done", "folder": str(zoo.folder), "rows": summary(records(zoo.folder))})

    return run_command(work)


if __name__ == "__main__":
    sys.exit(main())
