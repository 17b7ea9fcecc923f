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
from collections.abc import Iterator, Sequence
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


@dataclass(frozen=True)
class AnswerBatch:
    """What a model makes of the answers of one batch.

    Attributes:
        places: where the batch's pairs stand among those asked for.
        scored: bool tensor (pairs, tokens): which places hold an answer's tokens.
        logits: float32 tensor (answers' tokens, vocabulary), `labels`: (answers' tokens,); pair by pair.
    """

    places: Sequence[int]
    scored: Any
    logits: Any
    labels: Any

    def sums(self, values: Any) -> Floats:
        """Values of the answers' tokens summed for each pair, in float64."""
        import torch

        spread = torch.zeros(self.scored.shape, dtype=torch.float32, device=self.scored.device)
        spread[self.scored] = values
        sums: Floats = spread.double().sum(dim=1).cpu().numpy()
        return sums

    def nll(self) -> Floats:
        """Negative log-likelihood of each pair's answer in nats."""
        import torch

        return self.sums(torch.nn.functional.cross_entropy(self.logits, self.labels, reduction="none"))


def answer_batches(
    model: Any, tokenizer: Any, pairs: Sequence[Pair], *, batch: int = 16, tokens_max: int = 128
) -> Iterator[AnswerBatch]:
    """What `model`, which is left in evaluation mode, makes of the answers of `pairs` (question, answer).

    Pairs of like length share a batch: less padding, and the order is a function of the pairs alone.
    """
    encoded = [encode_pair(tokenizer, question, answer, tokens_max) for question, answer in pairs]
    order = sorted(range(len(encoded)), key=lambda i: (len(encoded[i].ids), i))
    model.eval()
    for start in range(0, len(order), batch):
        places = order[start : start + batch]
        yield _batch_of(model, places, [encoded[i] for i in places], tokenizer.pad_token_id)


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
    nll, tokens = np.zeros(len(pairs)), np.zeros(len(pairs), dtype=np.int64)
    for seen in answer_batches(model, tokenizer, pairs, batch=batch, tokens_max=tokens_max):
        nll[seen.places] = seen.nll()
        tokens[seen.places] = seen.scored.sum(dim=1).cpu().numpy()
    return AnswerScores(nll, tokens)


def _batch_of(model: Any, places: Sequence[int], encoded: Sequence[EncodedPair], pad_id: int) -> AnswerBatch:
    import torch

    inputs = {key: value.to(model.device) for key, value in pad_batch(encoded, pad_id).items()}
    labels = inputs.pop("labels")[:, 1:]
    scored = labels != IGNORED
    with torch.inference_mode():
        logits = model(**inputs).logits[:, :-1][scored].float()
    return AnswerBatch(places, scored, logits, labels[scored])


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
