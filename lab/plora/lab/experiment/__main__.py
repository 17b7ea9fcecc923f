"""The experiment's command line, which the make targets call.

    python -m plora.lab.experiment run --config config/plora.dry.yml
    python -m plora.lab.experiment run train-all --base smollm2
    python -m plora.lab.experiment status | reset | check | results

Rules:

- Exit codes: 0 every step's outputs are there and pass their checks, 1 one doesn't, 2 a wrong call or configuration.
- `run` with names does these steps and what they need; `reset` takes them back, and what depends on them.

Not handled here: what the steps are (`plora.lab.experiment.steps`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from plora.analysis.figures import FIGURES
from plora.lab.experiment.config import read_config, with_environment
from plora.lab.experiment.pipeline import missing, reset, results, run, status
from plora.lab.experiment.steps import chosen, depending
from plora.lab.experiment.view import Bar, show, span, table
from plora.lab.experiment.work import Site
from plora.proto.errors import PloraError

IN_USE = Path("config/plora.yml")
DRY = Path("config/plora.dry.yml")
FIGURES_FOLDER = "results/figures"


def do_run(site: Site, args: argparse.Namespace) -> int:
    """Do what has to be done, and say what came of it."""
    steps = chosen(args.steps, site.experiment)
    with Bar(status(site, steps)) as bar:
        came = run(site, steps, bar)
    show(table(came))
    wrong = [one for one in came if one.state not in ("done", "kept")]
    took = span(sum(one.seconds for one in came if one.state == "done"))
    show(f"{len(came) - len(wrong)} of {len(came)} steps have outputs that pass their checks; this run took {took}")
    return 1 if wrong else 0


def do_status(site: Site, args: argparse.Namespace) -> int:
    """Say where every step stands."""
    came = status(site, chosen(args.steps, site.experiment))
    show(table(came))
    return 0 if all(one.state == "kept" for one in came) else 1


def do_reset(site: Site, args: argparse.Namespace) -> int:
    """Start fresh."""
    steps = depending(args.steps, site.experiment)
    gone = reset(site, steps)
    who = ", ".join(step.name for step in steps) if args.steps else "every step"
    show("\n".join([*(f"removed {name}" for name in gone), f"To run again: {who}; keys were kept"]))
    return 0


def do_check(site: Site, args: argparse.Namespace) -> int:
    """Name the artifacts that are missing, with what makes each."""
    made = [
        (name, f"step {step.number} makes it: make experiment-{step.name}")
        for name, step in missing(site, chosen(args.steps, site.experiment))
    ]
    drawn = () if args.steps else (f"{FIGURES_FOLDER}/{figure.name}.pdf" for figure in FIGURES)
    made += [(name, "make figures draws it") for name in drawn if not (site.root / name).exists()]
    for name, how in made:
        show(f"{name} is missing; {how}")
    show(f"{len(made)} artifacts are missing" if made else "Every artifact is there")
    return 1 if made else 0


def do_results(site: Site, args: argparse.Namespace) -> int:
    """Print the digest of every result, times aside, as JSON."""
    sys.stdout.write(json.dumps(results(site, chosen(args.steps, site.experiment)), indent=1, sort_keys=True) + "\n")
    return 0


def do_use(site: Site, args: argparse.Namespace) -> int:
    """Make the configuration that was read the one in use."""
    shutil.copyfile(args.config, site.root / IN_USE)
    show(f"{IN_USE} is {args.config} now: targets of single steps read it, and you may change it")
    return 0


ACTIONS = {
    "run": do_run, "status": do_status, "reset": do_reset, "check": do_check, "results": do_results, "use": do_use,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments say; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m plora.lab.experiment", description="The experiment, step by step.")
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("steps", nargs="*", help="names or numbers; all by default")
    parser.add_argument("--config", type=Path, help=f"default: {IN_USE} where it is, else {DRY}")
    parser.add_argument("--base", default="", help="mini, smollm2, a folder or ORG/NAME; goes before PLORA_BASE_MODEL")
    parser.add_argument("--root", type=Path, default=Path(), help="where results/, out/ and keys/ are")
    args = parser.parse_intermixed_args(argv)
    args.config = args.config or (IN_USE if (args.root / IN_USE).is_file() else DRY)
    try:
        experiment = with_environment(read_config(args.root / args.config), os.environ, args.base)
        return ACTIONS[args.action](Site(args.root.absolute(), experiment, os.environ), args)
    except PloraError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; the same command goes on\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
