"""How well a model expects answers: negative log-likelihood per pair, perplexity, and intervals over documents.

Rules:

- A document is one question and answer pair; only the answer's tokens are scored, given the question.
- Perplexity = exp(sum of nll / sum of tokens) over documents, in nats, as in the specification's `val_ppl`.
- Intervals are percentile bootstraps over *documents* (tokens of one answer are not independent); differences are
  paired: both models are resampled by the same draws. The generator's seed is an argument.

Not handled here: variation between training seeds, which no interval over documents shows.

>>> import numpy as np
>>> scores = AnswerScores(nll=np.array([2.0, 4.0]), tokens=np.array([2, 2]))
>>> round(perplexity(scores), 4) == round(float(np.exp(6 / 4)), 4)
True
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plora.base.prompts import IGNORED, EncodedPair, Pair, encode_pair, pad_batch

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AnswerScores:
    """Per document: summed nll of its answer in nats, shape (n,), and how many tokens that were, shape (n,)."""

    nll: Floats
    tokens: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """A point estimate with its 95 % bounds."""

    value: float
    low: float
    high: float


def answer_nll(
    model: Any, tokenizer: Any, pairs: Sequence[Pair], *, batch: int = 16, tokens_max: int = 128
) -> AnswerScores:
    """Score the answers of `pairs` (question, answer) under `model`, which is left in evaluation mode.

    Args:
        model: a transformers or PEFT causal language model.
        tokenizer: its tokenizer.
        batch: pairs a forward pass; the scores don't depend on it beyond rounding.
        tokens_max: longer pairs are cut, see `plora.base.prompts`.
    """
    encoded = [encode_pair(tokenizer, question, answer, tokens_max) for question, answer in pairs]
    # Pairs of like length share a batch: less padding, and the order is a function of the pairs alone.
    order = sorted(range(len(encoded)), key=lambda i: (len(encoded[i].ids), i))
    nll = np.zeros(len(encoded))
    tokens = np.array([sum(label != IGNORED for label in pair.labels) for pair in encoded], dtype=np.int64)
    model.eval()
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        nll[chosen] = _batch_nll(model, [encoded[i] for i in chosen], tokenizer.pad_token_id)
    return AnswerScores(nll, tokens)


def _batch_nll(model: Any, encoded: Sequence[EncodedPair], pad_id: int) -> Floats:
    import torch

    inputs = {key: value.to(model.device) for key, value in pad_batch(encoded, pad_id).items()}
    labels = inputs.pop("labels")[:, 1:]
    with torch.inference_mode():
        logits = model(**inputs).logits[:, :-1]
        scored = labels != IGNORED
        losses = torch.zeros(labels.shape, dtype=torch.float32, device=labels.device)
        losses[scored] = torch.nn.functional.cross_entropy(logits[scored].float(), labels[scored], reduction="none")
        sums: Floats = losses.double().sum(dim=1).cpu().numpy()
    return sums


def perplexity(scores: AnswerScores) -> float:
    """exp of the mean nll a token."""
    return math.exp(float(scores.nll.sum()) / float(scores.tokens.sum()))


def perplexity_interval(scores: AnswerScores, *, draws: int = 2000, seed: int = 0) -> Interval:
    """Perplexity with its 95 % percentile bootstrap interval over documents."""
    resampled = _resampled(scores, draws, seed)
    return _interval(perplexity(scores), resampled)


def perplexity_difference(before: AnswerScores, after: AnswerScores, *, draws: int = 2000, seed: int = 0) -> Interval:
    """Perplexity of `after` minus that of `before` on the same documents, paired; negative is better.

    Raises:
        ValueError: the two don't score the same documents (their token counts differ).
    """
    if not np.array_equal(before.tokens, after.tokens):
        raise ValueError("paired scores need the same documents in the same order")
    resampled = _resampled(after, draws, seed) - _resampled(before, draws, seed)
    return _interval(perplexity(after) - perplexity(before), resampled)


def _resampled(scores: AnswerScores, draws: int, seed: int) -> Floats:
    count = len(scores.nll)
    picks = np.random.default_rng(seed).integers(0, count, size=(draws, count))
    mean: Floats = scores.nll[picks].sum(axis=1) / scores.tokens[picks].sum(axis=1)
    return np.asarray(np.exp(mean), dtype=np.float64)


def _interval(value: float, resampled: Floats) -> Interval:
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(value, float(low), float(high))
