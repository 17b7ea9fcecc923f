"""One adapter for all domains at once: what a swarm of adapters has to compare with.

    python -m plora.lab.monolithic --base mini --rank 4 --out out/monolithic_r4

Rules:

- It is trained as `plora.lab.train` trains, on the pairs of all domains mixed, with as many pairs of each: those that
  an adapter of its own would see. Its steps are those of one domain times the number of domains, so that both have
  taken as many steps a domain.
- Its rank is that of one adapter, not of all together: it is one adapter to fetch and to wear.

Not handled here: comparing (`plora.lab.value_add`).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import get_args

from plora.base import LoadedBase, load_base
from plora.base.registry import resolve_base
from plora.lab.console import emit, run_command
from plora.lab.corpora import DOMAINS
from plora.lab.threads import prepare_threads, use_threads
from plora.lab.train import Lesson, Progress, Scheme, TrainPlan, TrainReport, checked, lesson_of, train_lesson

NAME = "monolithic"


def train_monolithic(
    base: LoadedBase | str,
    domains: Sequence[str],
    out_dir: Path,
    plan: TrainPlan | None = None,
    progress: Progress = lambda record: None,
) -> TrainReport:
    """Train one adapter on several domains; `plan` is that of one domain. Errors as in `plora.lab.train`."""
    plan = checked(plan or TrainPlan())
    return train_lesson(base, mixed_lesson(domains, plan), out_dir, longer(plan, len(domains)), progress)


def mixed_lesson(domains: Sequence[str], plan: TrainPlan) -> Lesson:
    """The pairs of all domains, as many of each as the smallest has."""
    lessons = [lesson_of(domain, plan) for domain in domains]
    count = min(len(lesson.train) for lesson in lessons)
    held_out = min(len(lesson.held_out) for lesson in lessons)
    return Lesson(
        NAME,
        [pair for lesson in lessons for pair in lesson.train[:count]],
        [pair for lesson in lessons for pair in lesson.held_out[:held_out]],
    )


def longer(plan: TrainPlan, domains: int) -> TrainPlan:
    """The plan with as many steps as so many adapters take together."""
    return replace(plan, steps=plan.steps * domains)


def main(argv: Sequence[str] | None = None) -> int:
    """Train as the arguments say; JSON lines on stdout, the last one `{"event": "done", …}`."""
    parser = argparse.ArgumentParser(prog="python -m plora.lab.monolithic", description="One adapter of all domains.")
    parser.add_argument("--base", help="mini, smollm2, a folder or ORG/NAME (default: PLORA_BASE_MODEL)")
    parser.add_argument("--domains", default=",".join(DOMAINS), help="comma-separated")
    parser.add_argument("--out", type=Path, help="the folder to write (default: out/monolithic_rRANK)")
    parser.add_argument("--rank", type=int, default=TrainPlan.rank)
    parser.add_argument("--scheme", choices=get_args(Scheme), default=TrainPlan.scheme)
    parser.add_argument("--steps", type=int, default=TrainPlan.steps, help="optimiser steps for each domain")
    parser.add_argument("--seed", type=int, default=TrainPlan.seed)
    parser.add_argument("--samples", type=int, default=TrainPlan.samples, help="training pairs a domain; 0 means all")
    parser.add_argument("--validation", type=int, default=TrainPlan.validation)
    parser.add_argument("--threads", type=int, help="default: OMP_NUM_THREADS, else 2")
    args = parser.parse_args(argv)

    def work() -> None:
        plan = checked(_plan(args))
        domains, base = args.domains.split(","), resolve_base(args.base)
        mixed_lesson(domains, plan)  # a wrong word is told before torch's seconds
        out = args.out or Path("out") / f"monolithic_r{plan.rank}"
        use_threads(prepare_threads(os.environ, args.threads))
        report = train_monolithic(load_base(base), domains, out, plan, emit)
        emit({"event": "done", "out": str(out), **asdict(report)})

    return run_command(work)


def _plan(args: argparse.Namespace) -> TrainPlan:
    return TrainPlan(
        rank=args.rank,
        scheme=args.scheme,
        steps=args.steps,
        seed=args.seed,
        samples=args.samples,
        validation=args.validation,
    )


if __name__ == "__main__":
    sys.exit(main())
