"""What a model answers, and how sure it is: figures by document from one pass over a base that is loaded once.

Rules:

- A document is one question and answer pair. Log-likelihoods and perplexity are of the answer's tokens given the
  question, in nats, as in `plora.base.scoring`.
- *Exact* is an answer all of whose tokens, the end among them, the model ranks first: that is what greedy decoding
  would write, seen without decoding. A right answer in other tokens doesn't count.
- chrF (Popović 2015, by sacrebleu, from 0 to 1) compares answers that were written by greedy decoding, over the corpus.
- Question information is log p(answer | its question) − log p(answer | another question of the same lot), in nats a
  document. Knowing which answers are frequent raises both alike, so an adapter that was trained on shuffled answers
  gains perplexity and none of this.
- Expected calibration error (Guo et al. 2017) is of answers' tokens: confidence is the largest probability, a token is
  right where that is the answer's.
- KL(with ‖ without) and Jensen-Shannon divergence (at most ln 2) are of next-token distributions with an adapter on and
  off, mean nats a token; the adapter is switched, nothing is loaded again.

Not handled here: intervals and tests (`plora.lab.statistics`), which documents (`plora.lab.corpora`).

>>> exact_match(["42", " New  York"], ["42", "Boston"]).tolist()
[True, False]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, rel_entr  # type: ignore[import-untyped]

from plora.base import AnswerScores
from plora.base.prompts import Pair, encode_question
from plora.base.scoring import AnswerBatch, answer_batches
from plora.merge.injection import Injection

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
BINS = 15
GENERATED_DEFAULT = 64
NEW_TOKENS_MAX = 48
BATCH_WRITTEN = 32


@dataclass(frozen=True)
class AnswerReadings:
    """Of n documents: `scores` and `exact`, (n,); of all their answers' tokens: `confidence` and `right`."""

    scores: AnswerScores
    exact: Flags
    confidence: Floats
    right: Flags

    @property
    def calibration_error(self) -> float:
        """Expected calibration error, from 0 to 1."""
        return expected_calibration_error(self.confidence, self.right)


@dataclass(frozen=True)
class Divergences:
    """Of n documents, mean nats a token, shape (n,): KL(with ‖ without) and Jensen-Shannon divergence."""

    kl: Floats
    js: Floats


def read_answers(
    model: Any, tokenizer: Any, pairs: Sequence[Pair], *, batch: int = 16, tokens_max: int = 128
) -> AnswerReadings:
    """Read the answers of `pairs` (question, answer) in one pass; arguments as in `plora.base.answer_nll`."""
    nll, tokens = np.zeros(len(pairs)), np.zeros(len(pairs), dtype=np.int64)
    exact = np.zeros(len(pairs), dtype=np.bool_)
    confidence, right = [], []
    for seen in answer_batches(model, tokenizer, pairs, batch=batch, tokens_max=tokens_max):
        surest, chosen = seen.logits.softmax(dim=-1).max(dim=-1)
        hits = chosen == seen.labels
        nll[seen.places] = seen.nll()
        tokens[seen.places] = _counts(seen)
        exact[seen.places] = seen.sums(hits.float()) == tokens[seen.places]
        confidence.append(surest.double().cpu().numpy())
        right.append(hits.cpu().numpy())
    return AnswerReadings(AnswerScores(nll, tokens), exact, np.concatenate(confidence), np.concatenate(right))


def question_information(scores: AnswerScores, strange: AnswerScores) -> Floats:
    """Nats that each question tells of its answer, (n,): see the module.

    `scores`: of pairs; `strange`: of the same pairs `with_strange_questions`, under the same model.
    """
    return strange.nll - scores.nll


def with_strange_questions(pairs: Sequence[Pair]) -> list[Pair]:
    """Every answer with the question of the pair half the list further.

    >>> with_strange_questions([("a", "1"), ("b", "2"), ("c", "3")])
    [('b', '1'), ('c', '2'), ('a', '3')]
    """
    half = len(pairs) // 2
    return [(pairs[(place + half) % len(pairs)][0], answer) for place, (_, answer) in enumerate(pairs)]


def write_answers(
    model: Any, tokenizer: Any, questions: Sequence[str], *, tokens_max: int = NEW_TOKENS_MAX
) -> list[str]:
    """The answers that greedy decoding writes, without blanks around them; at most `tokens_max` tokens each."""
    import torch

    answers: list[str] = [""] * len(questions)
    encoded = [encode_question(tokenizer, question) for question in questions]
    order = sorted(range(len(encoded)), key=lambda i: (len(encoded[i]), i))
    model.eval()
    for start in range(0, len(order), BATCH_WRITTEN):
        places = order[start : start + BATCH_WRITTEN]
        inputs = _padded_left([encoded[i] for i in places], tokenizer.pad_token_id, model.device)
        with torch.inference_mode():
            ids = model.generate(**inputs, generation_config=_greedy(tokenizer, tokens_max))
        written = tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for place, text in zip(places, written, strict=True):
            answers[place] = text.strip()
    return answers


def divergences(
    model: Any, tokenizer: Any, pairs: Sequence[Pair], injection: Injection, *, batch: int = 8
) -> Divergences:
    """How far an adapter that is on `model` moves the answers' next-token distributions; it is left as it was."""
    kl, js = np.zeros(len(pairs)), np.zeros(len(pairs))
    for worn, bare in _on_and_off(model, tokenizer, pairs, injection, batch):
        log_p, log_q = (log_softmax(one.logits.double().cpu().numpy(), axis=-1) for one in (worn, bare))
        for found, values in ((kl, kl_divergence(log_p, log_q)), (js, js_divergence(log_p, log_q))):
            found[worn.places] = worn.sums(_like(worn, values)) / _counts(worn)
    return Divergences(kl, js)


def exact_match(answers: Sequence[str], references: Sequence[str]) -> Flags:
    """Whether each answer is its reference, blanks aside, (n,)."""
    return np.array([a.split() == b.split() for a, b in zip(answers, references, strict=True)], dtype=np.bool_)


def chrf(answers: Sequence[str], references: Sequence[str]) -> float:
    """Corpus chrF from 0 to 1: character n-grams up to 6, recall weighs twice (Popović 2015; sacrebleu's signature)."""
    from sacrebleu.metrics.chrf import CHRF

    return float(CHRF().corpus_score(list(answers), [list(references)]).score) / 100


def kl_divergence(log_p: Floats, log_q: Floats) -> Floats:
    """KL(p ‖ q) in nats over the last axis of log-probabilities (…, outcomes)."""
    found: Floats = rel_entr(np.exp(log_p), np.exp(log_q)).sum(axis=-1)
    return found


def js_divergence(log_p: Floats, log_q: Floats) -> Floats:
    """Jensen-Shannon divergence in nats (Lin 1991), at most ln 2, over the last axis of log-probabilities."""
    log_mean = np.logaddexp(log_p, log_q) - np.log(2)
    return (kl_divergence(log_p, log_mean) + kl_divergence(log_q, log_mean)) / 2


def expected_calibration_error(confidence: Floats, right: Flags, bins: int = BINS) -> float:
    """Mean |accuracy − confidence| over `bins` equal intervals of confidence, by share (Guo et al. 2017, eq. 3)."""
    place = np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1).astype(int)
    gaps = np.bincount(place, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def _on_and_off(
    model: Any, tokenizer: Any, pairs: Sequence[Pair], injection: Injection, batch: int
) -> Iterator[tuple[AnswerBatch, AnswerBatch]]:
    """Each batch with the adapter, and without it."""
    as_it_was = injection.times
    worn, bare = (answer_batches(model, tokenizer, pairs, batch=batch) for _ in range(2))
    try:
        while (one := next(worn, None)) is not None:
            injection.times = 0.0
            yield one, next(bare)
            injection.times = as_it_was
    finally:
        injection.times = as_it_was


def _counts(seen: AnswerBatch) -> npt.NDArray[np.int64]:
    counts: npt.NDArray[np.int64] = seen.scored.sum(dim=1).cpu().numpy()
    return counts


def _like(seen: AnswerBatch, values: Floats) -> Any:
    import torch

    return torch.from_numpy(values).to(seen.logits)


def _padded_left(encoded: Sequence[Sequence[int]], pad_id: int, device: Any) -> dict[str, Any]:
    import torch

    longest = max(map(len, encoded))
    gaps = [longest - len(ids) for ids in encoded]
    ids = torch.tensor([[pad_id] * gap + list(ids) for gap, ids in zip(gaps, encoded, strict=True)])
    mask = torch.tensor([[0] * gap + [1] * (longest - gap) for gap in gaps])
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}


def _greedy(tokenizer: Any, tokens_max: int) -> Any:
    from transformers import GenerationConfig

    return GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=tokens_max,
        do_sample=False,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
