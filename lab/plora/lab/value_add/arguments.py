"""Arguments that `python -m plora.lab.value_add` and `plora.lab.ablation` have in common, and the plan they mean."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from plora.lab.corpora import DOMAINS
from plora.lab.train import TARGETS, TrainPlan
from plora.lab.value_add.cells import CLOSE, DEV_SIZE, SAMPLES, ValueAddPlan
from plora.lab.value_add.study import ADAPTERS


def plan_parser(module: str, description: str) -> argparse.ArgumentParser:
    """A parser of `python -m MODULE` with what makes a plan, where adapters lie, and how many threads there are."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--base", help="mini, smollm2, a folder or ORG/NAME (default: PLORA_BASE_MODEL)")
    parser.add_argument("--domains", type=listed(str), default=tuple(DOMAINS), help="comma-separated")
    parser.add_argument("--ranks", type=listed(int), default=ValueAddPlan.ranks, help="comma-separated")
    parser.add_argument("--schemes", type=listed(str), default=tuple(TARGETS), help="attention, mlp, all")
    parser.add_argument("--seeds", type=listed(int), default=ValueAddPlan.seeds, help="comma-separated")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="training pairs a domain; 0 means all")
    parser.add_argument("--dev-size", type=int, default=DEV_SIZE, help="test pairs a domain that are asked")
    parser.add_argument("--close", type=int, default=CLOSE, help="of how many answers are written out; 0: none")
    parser.add_argument("--steps", type=int, default=TrainPlan.steps, help="optimiser steps for each domain")
    parser.add_argument("--adapters", type=Path, default=ADAPTERS, help="where the adapters lie")
    parser.add_argument("--threads", type=int, help="default: OMP_NUM_THREADS, else 2")
    return parser


def plan_of(args: argparse.Namespace, **more: Any) -> ValueAddPlan:
    """The plan of these arguments. Raises UsageError."""
    return ValueAddPlan(
        domains=args.domains,
        ranks=args.ranks,
        schemes=args.schemes,
        seeds=args.seeds,
        samples=args.samples,
        dev_size=args.dev_size,
        close=args.close,
        train=TrainPlan(steps=args.steps, validation=32),
        **more,
    )


def listed(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """A reader of words between commas.

    >>> listed(int)("4,8")
    (4, 8)
    """

    def read(text: str) -> tuple[Any, ...]:
        return tuple(map(kind, text.split(",")))

    read.__name__ = f"{kind.__name__} list"  # what argparse calls it in an error
    return read
