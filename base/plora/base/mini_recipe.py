"""How the `mini` base was made: a byte-level BPE tokenizer and a 1.5 M parameter Gemma 3, trained from nothing.

    python -m plora.base.mini_recipe SOURCES OUT [--steps 1600]

Rules:

- The architecture is transformers' `Gemma3ForCausalLM`, so that everything that works on `mini` (module names, the
  tied embedding, sliding and full attention, q/k norms) is what the specification's default base has.
- Digits are single tokens; the vocabulary is 2,048, so that the embedding stays a fifth of the model.
- Matrices are trained by Muon (momentum orthogonalised by Newton-Schulz), the rest by AdamW; the rate warms up over
  40 steps and falls by a cosine. The number of steps is fixed, never the seconds.
- Weights are written as bf16. They are a function of (text, seed, steps) on one machine and thread count only: that is
  why the bytes are committed and pinned by a digest, and this file is their explanation.

Not handled here: fetching the text (`docs/data.md`).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plora.base.mini_text import MiniText, read_mini_text

SPECIAL_TOKENS = ("<pad>", "<eos>", "<bos>", "<unk>")
PAD, EOS, BOS = 0, 1, 2
POSITIONS = 512
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'assistant' %} {{ m['content'] }}{{ eos_token }}"
    "{% else %}Question: {{ m['content'] }}\nAnswer:{% endif %}"
    "{% endfor %}"
)
Tokens = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class MiniPlan:
    """Sizes and rates of the recipe; the defaults made the committed bytes."""

    vocabulary: int = 2048
    hidden: int = 160
    layers: int = 4
    heads: int = 4
    steps: int = 1600
    batch: int = 24
    window: int = 96
    question_share: float = 0.3
    muon_rate: float = 0.02
    adam_rate: float = 3e-3
    warm_steps: int = 40
    seed: int = 0


def train_tokenizer(text: MiniText, vocabulary: int) -> Any:
    """A byte-level BPE `tokenizers.Tokenizer` that puts `<bos>` first; every byte is in the alphabet."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*text.prose[::2], *text.questions[::2]], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", BOS)])
    return tokenizer


def wrap_tokenizer(tokenizer: Any) -> Any:
    """The transformers face of `tokenizer`, with the chat template."""
    from transformers import PreTrainedTokenizerFast

    pad, eos, bos, unk = SPECIAL_TOKENS
    wrapped: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=pad,
        eos_token=eos,
        bos_token=bos,
        unk_token=unk,
        model_max_length=POSITIONS,
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def new_model(plan: MiniPlan) -> Any:
    """A `Gemma3ForCausalLM` with weights drawn from `plan.seed`; the global generators are left as they were."""
    import torch
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    head = plan.hidden // plan.heads
    last = plan.layers - 1
    config = Gemma3TextConfig(
        vocab_size=plan.vocabulary,
        hidden_size=plan.hidden,
        intermediate_size=3 * plan.hidden,
        num_hidden_layers=plan.layers,
        num_attention_heads=plan.heads,
        num_key_value_heads=1,
        head_dim=head,
        query_pre_attn_scalar=head,
        sliding_window=64,
        max_position_embeddings=POSITIONS,
        layer_types=["full_attention" if i == last else "sliding_attention" for i in range(plan.layers)],
        pad_token_id=PAD,
        eos_token_id=EOS,
        bos_token_id=BOS,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(plan.seed)
        model = Gemma3ForCausalLM(config)
    model.set_attn_implementation("eager")  # its backward is a third faster here than the fused kernel's
    return model


def encode(tokenizer: Any, documents: Sequence[str]) -> Tokens:
    """All documents as one run of token ids, each `<bos> … <eos>`."""
    runs = tokenizer.encode_batch(list(documents))
    return np.array([i for run in runs for i in (*run.ids, EOS)], dtype=np.uint16)


def rate_at(step: int, plan: MiniPlan) -> float:
    """Share of the full rate at `step`: linear warm-up times a cosine that ends at 3 %.

    >>> round(rate_at(0, MiniPlan()), 3), round(rate_at(1599, MiniPlan()), 3)
    (0.025, 0.03)
    """
    cosine = (1 + math.cos(math.pi * step / plan.steps)) / 2
    return min(1.0, (step + 1) / plan.warm_steps) * max(0.03, cosine)


def _optimizers(model: Any, plan: MiniPlan) -> list[Any]:
    import torch

    matrices: list[Any] = []
    others: list[Any] = []
    for name, weight in model.named_parameters():
        (matrices if weight.ndim == 2 and "embed" not in name else others).append(weight)
    return [
        torch.optim.Muon(matrices, lr=plan.muon_rate, weight_decay=0.0, momentum=0.95),
        torch.optim.AdamW(others, lr=plan.adam_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def _windows(tokens: Tokens, count: int, plan: MiniPlan, draw: np.random.Generator) -> list[Tokens]:
    starts = draw.integers(0, len(tokens) - plan.window, count)
    return [tokens[start : start + plan.window] for start in starts]


def train_model(model: Any, prose: Tokens, questions: Tokens, plan: MiniPlan, report: Any) -> None:
    """Train `model` in place for `plan.steps`; `report(step, loss)` is called every 50 steps."""
    import torch

    optimizers = _optimizers(model, plan)
    full_rates = [[group["lr"] for group in opt.param_groups] for opt in optimizers]
    draw = np.random.default_rng(plan.seed)
    asked = round(plan.batch * plan.question_share)
    model.train()
    for step in range(plan.steps):
        for opt, rates in zip(optimizers, full_rates, strict=True):
            for group, rate in zip(opt.param_groups, rates, strict=True):
                group["lr"] = rate * rate_at(step, plan)
        rows = _windows(prose, plan.batch - asked, plan, draw) + _windows(questions, asked, plan, draw)
        batch = torch.from_numpy(np.stack(rows).astype(np.int64))
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for opt in optimizers:
            opt.step()
            opt.zero_grad(set_to_none=True)
        if step % 50 == 49:
            report(step + 1, loss.item())
    model.eval()


def bits_per_character(model: Any, tokens: Tokens, characters: int, window: int) -> float:
    """Bits that `model` needs per character of the text behind `tokens` (first 40,000); NaN of none."""
    import torch

    rows = tokens[: min(len(tokens), 40_000) // window * window].reshape(-1, window).astype(np.int64)
    nats = 0.0
    with torch.no_grad():
        for start in range(0, len(rows), 32):
            batch = torch.from_numpy(rows[start : start + 32])
            nats += model(input_ids=batch, labels=batch).loss.item() * (window - 1) * len(batch)
    predicted = len(rows) * (window - 1)
    if not predicted:
        return math.nan
    return nats / predicted / math.log(2) * len(tokens) / characters


def save_mini(model: Any, tokenizer: Any, out: Path) -> None:
    """Write model (bf16) and tokenizer as a folder that any release of transformers loads."""
    import torch

    model.to(torch.bfloat16).save_pretrained(out)
    wrap_tokenizer(tokenizer).save_pretrained(out)
    config = out / "tokenizer_config.json"
    # Release 5 writes a class name that release 4, still under many servers, doesn't know.
    fields = json.loads(config.read_text("utf-8")) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    config.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", "utf-8")


def make_mini(sources: Path, out: Path, plan: MiniPlan, report: Any) -> float:
    """Make tokenizer and model from the packages under `sources`, write them to `out`, return bits per character."""
    import torch

    text = read_mini_text(sources)
    tokenizer = train_tokenizer(text, plan.vocabulary)
    model = new_model(plan)
    train_model(model, encode(tokenizer, text.prose), encode(tokenizer, text.questions), plan, report)
    save_mini(model, tokenizer, out)
    characters = sum(len(document) + 1 for document in text.validation)
    return bits_per_character(model.to(torch.float32), encode(tokenizer, text.validation), characters, plan.window)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of the recipe; progress goes to stderr."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    parser = argparse.ArgumentParser(description="Make the mini base from unpacked packages.")
    parser.add_argument("sources", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=MiniPlan.steps)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    bits = make_mini(
        args.sources,
        args.out,
        MiniPlan(steps=args.steps),
        lambda step, loss: sys.stderr.write(f"step {step} loss {loss:.3f}\n"),
    )
    sys.stderr.write(f"{bits:.3f} bits per character\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
