"""Training a LoRA adapter of one domain on a base model, and the command that does it in a process of its own.

    python -m plora.lab.train --base mini --domain legal --out out/legal --json-progress

Rules:

- The adapter is an ordinary PEFT folder: `adapter_model.safetensors` and `adapter_config.json`, nothing else. Beside
  the folder `OUT` lies `OUT.metrics.json`: `val_ppl_before`, `val_ppl_after`, `delta_ppl`, `val_em`, `val_chrf` as
  `plora sign` puts them into the manifest (`plora.lab.metrics` says what they are), and how it was made.
- Steps are fixed, never seconds. AdamW without decay, five steps of warm-up, then a linear fall to a tenth.
- Loss is on the answers' tokens only, with the base's weights frozen; `alpha` is 2 × rank unless given.
- Deterministic: the same base, domain, seed, steps and thread count give the same bytes on one machine. Global random
  state is left as it was; the configuration file is written with sorted keys and targets.
- The base that is given is given back as it was, whatever happens.

Not handled here: signing and publishing (`plora sign`), other corpora (`plora.lab.corpora`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from plora.base import AnswerScores, LoadedBase, answer_nll, load_base, perplexity, perplexity_difference
from plora.base.prompts import EncodedPair, Pair, encode_pair, pad_batch
from plora.base.registry import resolve_base
from plora.lab.console import emit, run_command
from plora.lab.corpora import load_domain
from plora.lab.metrics import GENERATED_DEFAULT, chrf, read_answers, write_answers
from plora.lab.threads import prepare_threads, use_threads
from plora.lab.wearing import wearing, wearing_new
from plora.merge.draft import metrics_file
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import TENSORS_NAME, Adapter, pairs_of, write_adapter
from plora.proto.errors import UsageError

Scheme = Literal["attention", "mlp", "all"]
Progress = Callable[[dict[str, Any]], None]
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
TARGETS: dict[str, tuple[str, ...]] = {"attention": ATTENTION, "mlp": MLP, "all": ATTENTION + MLP}
WARM_STEPS = 5


@dataclass(frozen=True)
class TrainPlan:
    """How to train: sizes, rates, seed.

    Attributes:
        rank: LoRA rank. alpha: LoRA alpha, 0 for 2 × rank. scheme: which modules.
        steps: optimiser steps. batch: pairs a step. rate: peak learning rate; 0 for 0.01 on `mini`, 0.002 elsewhere.
        validation: how many validation pairs are scored before and after. samples: at most so many training pairs,
            0 for all.
    """

    rank: int = 4
    alpha: int = 0
    scheme: Scheme = "all"
    steps: int = 60
    rate: float = 0.0
    seed: int = 0
    batch: int = 16
    tokens_max: int = 96
    validation: int = 128
    samples: int = 0


@dataclass(frozen=True)
class Lesson:
    """What is learned: pairs (question, answer) to train on and held out ones, under the name of a domain."""

    domain: str
    train: Sequence[Pair]
    held_out: Sequence[Pair]


@dataclass(frozen=True)
class TrainReport:
    """What came of it; perplexities are of validation answers given their questions, `delta_ppl` = after − before.

    `val_em`, `val_chrf`: of the adapter's answers, from 0 to 1; `calibration_error` of their tokens.
    """

    domain: str
    base: str
    base_digest: str
    rank: int
    alpha: int
    scheme: str
    target_modules: tuple[str, ...]
    steps: int
    rate: float
    seed: int
    batch: int
    samples: int
    first_loss: float
    last_loss: float
    val_ppl_before: float
    val_ppl_after: float
    delta_ppl: float
    delta_ppl_95: tuple[float, float]
    val_em: float
    val_chrf: float
    calibration_error: float
    artifact_bytes: int


def train_adapter(
    base: LoadedBase | str,
    domain: str,
    out_dir: Path,
    plan: TrainPlan | None = None,
    progress: Progress = lambda record: None,
) -> TrainReport:
    """Train one adapter and write its folder.

    Args:
        base: a loaded base, or a name that `load_base` takes.
        domain: one of `plora.lab.corpora.DOMAINS`.
        out_dir: the folder to write; made when missing, its files of these names replaced.
        plan: sizes and rates; the default fits `mini`.
        progress: called with `{"event": "start" | "step", …}`.

    Raises:
        UsageError: a number of the plan is out of range, or the domain is unknown.
        BaseModelError: the base can't be loaded.
    """
    plan = checked(plan or TrainPlan())
    return train_lesson(base, lesson_of(domain, plan), out_dir, plan, progress)


def lesson_of(domain: str, plan: TrainPlan) -> Lesson:
    """A domain's own training and validation pairs, as many as the plan says."""
    train = load_domain(domain, "train", plan.samples or None)
    held_out = load_domain(domain, "validation", plan.validation)
    return Lesson(domain, *([(pair.question, pair.answer) for pair in pairs] for pairs in (train, held_out)))


def train_lesson(
    base: LoadedBase | str,
    lesson: Lesson,
    out_dir: Path,
    plan: TrainPlan,
    progress: Progress = lambda record: None,
    *,
    start: Path | None = None,
    rounds_before: int = 0,
) -> TrainReport:
    """Train one adapter on any pairs; arguments and errors as in `train_adapter`.

    `start`: the folder of an adapter to go on from, of the plan's rank and modules; a fresh one where None.
    `rounds_before`: how many trainings it comes from; each draws batches of its own.
    """
    plan = checked(plan)
    base = load_base(base) if isinstance(base, str) else base
    rate = plan.rate or (0.01 if base.spec.name == "mini" else 0.002)
    pairs = [encode_pair(base.tokenizer, *pair, plan.tokens_max) for pair in lesson.train]
    picks = batches(len(pairs), plan, rounds_before)
    told = {"domain": lesson.domain, "base": base.spec.name, "steps": plan.steps, "samples": len(pairs)}
    progress({"event": "start", **told})
    before = answer_nll(base.model, base.tokenizer, lesson.held_out)
    new = wearing_new(base.model, lora_config(plan), plan.seed)
    with new if start is None else wearing(base.model, start, base.spec.folder) as model:
        _let_learn(model)
        losses = _optimise(model, pairs, picks, plan.steps, rate, base.tokenizer.pad_token_id, progress)
        measured = _measured(model, base.tokenizer, lesson.held_out, before)
        artifact_bytes = save_adapter(model, out_dir, base.spec.name)
    report = TrainReport(
        domain=lesson.domain,
        base=base.spec.name,
        base_digest=base.digest,
        rank=plan.rank,
        alpha=alpha_of(plan),
        scheme=plan.scheme,
        target_modules=tuple(sorted(TARGETS[plan.scheme])),
        steps=plan.steps,
        rate=rate,
        seed=plan.seed,
        batch=plan.batch,
        samples=len(pairs),
        first_loss=losses[0],
        last_loss=sum(losses[-5:]) / len(losses[-5:]),
        artifact_bytes=artifact_bytes,
        **measured,
    )
    metrics_file(out_dir).write_text(json.dumps(asdict(report), indent=2, sort_keys=True) + "\n", "utf-8")
    return report


def _measured(model: Any, tokenizer: Any, held_out: Sequence[Pair], before: AnswerScores) -> dict[str, Any]:
    """The fields of a report that say what the adapter does to held-out answers."""
    after = read_answers(model, tokenizer, held_out)
    change = perplexity_difference(before, after.scores)
    asked = held_out[:GENERATED_DEFAULT]
    written = write_answers(model, tokenizer, [question for question, _ in asked])
    return {
        "val_ppl_before": perplexity(before),
        "val_ppl_after": perplexity(after.scores),
        "delta_ppl": change.value,
        "delta_ppl_95": (change.low, change.high),
        "val_em": float(after.exact.mean()),
        "val_chrf": chrf(written, [answer for _, answer in asked]),
        "calibration_error": after.calibration_error,
    }


def _let_learn(model: Any) -> None:
    """An adapter that was loaded is frozen like one that is only used."""
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.requires_grad_(True)


def lora_config(plan: TrainPlan) -> Any:
    """The peft configuration of a plan."""
    from peft import LoraConfig

    return LoraConfig(
        r=plan.rank,
        lora_alpha=alpha_of(plan),
        target_modules=list(TARGETS[plan.scheme]),
        lora_dropout=0.0,
        task_type="CAUSAL_LM",
    )


def save_adapter(model: Any, out_dir: Path, base_name: str) -> int:
    """Write the active adapter of a PEFT model as a PEFT folder; returns the bytes of its tensor file.

    peft's own writer asks the hub about the base and lists target modules in hash order: ours does neither, and the
    configuration has the bytes that a peer makes from the signed manifest.
    """
    from peft import get_peft_model_state_dict

    config = model.peft_config[model.active_adapter]
    spec = LoraSpec(r=config.r, alpha=config.lora_alpha, target_modules=tuple(sorted(config.target_modules)))
    tensors = get_peft_model_state_dict(model, adapter_name=model.active_adapter, save_embedding_layers=False)
    plain = {name: tensor.float().cpu().numpy() for name, tensor in tensors.items()}
    write_adapter(out_dir, Adapter.of(pairs_of(plain, spec), spec), base_name)
    return (out_dir / TENSORS_NAME).stat().st_size


def batches(count: int, plan: TrainPlan, rounds_before: int = 0) -> Iterator[npt.NDArray[np.int64]]:
    """Which of `count` pairs are learned in each step, without repetition in one step.

    A first round draws as the plan's seed alone does: numpy takes zeros at a seed's end for nothing.

    >>> [[*map(int, batch)] for batch in batches(9, TrainPlan(steps=2, batch=3))]
    [[7, 4, 5], [8, 7, 0]]
    """
    draw = np.random.default_rng([plan.seed, rounds_before])
    for _ in range(plan.steps):
        yield draw.choice(count, size=min(plan.batch, count), replace=False)


def _optimise(
    model: Any,
    pairs: Sequence[EncodedPair],
    picks: Iterator[npt.NDArray[np.int64]],
    steps: int,
    rate: float,
    pad_id: int,
    progress: Progress,
) -> list[float]:
    import torch

    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0)
    losses = []
    model.train()
    for step, picked in enumerate(picks):
        for group in optimizer.param_groups:
            group["lr"] = rate * rate_share(step, steps)
        chosen = pad_batch([pairs[i] for i in picked], pad_id)
        loss = model(**{name: tensor.to(model.device) for name, tensor in chosen.items()}).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.item()))
        progress({"event": "step", "step": step + 1, "steps": steps, "loss": round(losses[-1], 4)})
    return losses


def rate_share(step: int, steps: int) -> float:
    """The share of the peak learning rate in a step, counted from 0: `WARM_STEPS` up, then a linear fall to a tenth."""
    return min(1.0, (step + 1) / WARM_STEPS) * max(0.1, 1 - step / steps)


def alpha_of(plan: TrainPlan) -> int:
    """LoRA alpha of a plan: 2 × rank unless it says otherwise."""
    return plan.alpha or 2 * plan.rank


def checked(plan: TrainPlan) -> TrainPlan:
    """The plan; raises UsageError where one of its numbers is out of range."""
    for name in ("rank", "steps", "batch", "validation"):
        if getattr(plan, name) < 1:
            raise UsageError(f"{name} must be at least 1", mend=f"--{name} {getattr(TrainPlan, name)}")
    if plan.alpha < 0 or plan.rate < 0 or plan.samples < 0:
        raise UsageError("alpha, rate and samples can't be negative", mend="leave them out")
    if plan.scheme not in TARGETS:
        raise UsageError(f"unknown scheme {plan.scheme!r}", mend=f"one of {', '.join(get_args(Scheme))}")
    return plan


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m plora.lab.train", description="Train a LoRA adapter of a domain.")
    parser.add_argument("--base", help="mini, smollm2, a folder or ORG/NAME (default: PLORA_BASE_MODEL)")
    parser.add_argument("--domain", required=True, help="arithmetic, legal or medical")
    parser.add_argument("--out", required=True, type=Path, help="the folder to write")
    parser.add_argument("--rank", type=int, default=TrainPlan.rank)
    parser.add_argument("--alpha", type=int, default=TrainPlan.alpha, help="0 means 2 × rank")
    parser.add_argument("--scheme", choices=get_args(Scheme), default=TrainPlan.scheme)
    parser.add_argument("--steps", type=int, default=TrainPlan.steps)
    parser.add_argument("--lr", type=float, default=TrainPlan.rate, help="0 means 0.01 on mini, 0.002 elsewhere")
    parser.add_argument("--seed", type=int, default=TrainPlan.seed)
    parser.add_argument("--batch", type=int, default=TrainPlan.batch)
    parser.add_argument("--validation", type=int, default=TrainPlan.validation)
    parser.add_argument("--samples", type=int, default=TrainPlan.samples, help="training pairs; 0 means all")
    parser.add_argument("--threads", type=int, help="default: OMP_NUM_THREADS, else 2")
    parser.add_argument("--json-progress", action="store_true", help="a JSON line on stdout for every step")
    return parser


def _plan(args: argparse.Namespace) -> TrainPlan:
    return TrainPlan(
        rank=args.rank,
        alpha=args.alpha,
        scheme=args.scheme,
        steps=args.steps,
        rate=args.lr,
        seed=args.seed,
        batch=args.batch,
        validation=args.validation,
        samples=args.samples,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Train as the arguments say; JSON lines on stdout, the last one `{"event": "done", …}`."""
    args = _parser().parse_args(argv)

    def work() -> None:
        plan, base = checked(_plan(args)), resolve_base(args.base)
        load_domain(args.domain, "validation", plan.validation)  # a wrong word is told before torch's seconds
        use_threads(prepare_threads(os.environ, args.threads))
        progress: Progress = emit if args.json_progress else lambda record: None
        report = train_adapter(load_base(base), args.domain, args.out, plan, progress)
        emit({"event": "done", "out": str(args.out), **asdict(report)})

    return run_command(work)


if __name__ == "__main__":
    sys.exit(main())
