"""Encoding of pairs, likelihood of answers, intervals: closed forms, and `mini` where a real model is needed."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from plora.base import (
    AnswerScores,
    LoadedBase,
    answer_nll,
    load_base,
    perplexity,
    perplexity_difference,
    perplexity_interval,
)
from plora.base.prompts import IGNORED, encode_pair, pad_batch

torch = pytest.importorskip("torch")
PAIRS = [("What is 1 + 1?", "2"), ("Where does the Supreme Court of Kansas sit?", "Kansas"), ("Who?", "a short reply")]


@pytest.fixture(scope="module")
def mini() -> LoadedBase:
    torch.set_num_threads(1)
    return load_base("mini")


class Uniform:
    """A language model that finds every token equally likely."""

    device = torch.device("cpu")

    def eval(self) -> None:
        """Nothing to switch off."""

    def __call__(self, input_ids: Any, attention_mask: Any) -> Any:
        return SimpleNamespace(logits=torch.zeros(*input_ids.shape, 2048))


class TestEncoding:
    def test_labels_are_the_answer_and_the_end(self, mini: LoadedBase) -> None:
        pair = encode_pair(mini.tokenizer, "What is 2 + 2?", "4")
        assert mini.tokenizer.decode(pair.ids) == "<bos>Question: What is 2 + 2?\nAnswer: 4<eos>"
        labels = [label for label in pair.labels if label != IGNORED]
        assert mini.tokenizer.decode(labels) == " 4<eos>"
        assert len(pair.labels) == len(pair.ids)

    @pytest.mark.parametrize("tokens_max", [8, 16, 24])
    def test_a_long_question_loses_its_left_never_the_answer(self, mini: LoadedBase, tokens_max: int) -> None:
        pair = encode_pair(mini.tokenizer, "word " * 50, "4", tokens_max)
        assert len(pair.ids) == tokens_max
        text = mini.tokenizer.decode(pair.ids)
        assert text.startswith("<bos>")
        assert text.endswith("Answer: 4<eos>") or tokens_max == 8

    def test_an_endless_answer_is_cut(self, mini: LoadedBase) -> None:
        pair = encode_pair(mini.tokenizer, "Who?", "me " * 90, 16)
        assert len(pair.ids) == 16
        assert sum(label != IGNORED for label in pair.labels) == 15

    def test_padding_is_masked_and_unlabelled(self, mini: LoadedBase) -> None:
        pairs = [encode_pair(mini.tokenizer, *pair) for pair in PAIRS]
        batch = pad_batch(pairs, 0)
        for row, pair in enumerate(pairs):
            length = len(pair.ids)
            assert batch["input_ids"][row, :length].tolist() == list(pair.ids)
            assert batch["attention_mask"][row].sum() == length
            assert (batch["labels"][row, length:] == IGNORED).all()


class TestLikelihood:
    def test_a_uniform_model_needs_log_v_a_token(self, mini: LoadedBase) -> None:
        scores = answer_nll(Uniform(), mini.tokenizer, PAIRS)
        assert np.allclose(scores.nll, scores.tokens * math.log(2048))
        assert perplexity(scores) == pytest.approx(2048)
        assert scores.tokens[0] == 3  # blank, digit, end

    def test_is_the_models_own_loss(self, mini: LoadedBase) -> None:
        scores = answer_nll(mini.model, mini.tokenizer, PAIRS)
        for i, pair in enumerate(PAIRS):
            batch = pad_batch([encode_pair(mini.tokenizer, *pair)], 0)
            with torch.no_grad():
                loss = mini.model(**batch).loss.item()
            assert scores.nll[i] / scores.tokens[i] == pytest.approx(loss, rel=1e-4)

    def test_batches_and_order_do_not_matter(self, mini: LoadedBase) -> None:
        together = answer_nll(mini.model, mini.tokenizer, PAIRS, batch=3)
        apart = answer_nll(mini.model, mini.tokenizer, PAIRS[::-1], batch=1)
        assert np.allclose(together.nll, apart.nll[::-1], rtol=1e-4)
        assert (together.tokens == apart.tokens[::-1]).all()


def scores_of(nll: Any) -> AnswerScores:
    values = np.asarray(nll, dtype=np.float64)
    return AnswerScores(values, np.full(len(values), 2, dtype=np.int64))


class TestIntervals:
    def test_equal_documents_have_no_width(self) -> None:
        interval = perplexity_interval(scores_of([4.0] * 20))
        assert interval.value == interval.low == interval.high == pytest.approx(math.e**2)

    def test_covers_the_truth_about_as_often_as_it_says(self) -> None:
        draw = np.random.default_rng(3)
        truth = math.exp(1.0)
        hits = 0
        for seed in range(200):
            interval = perplexity_interval(scores_of(draw.gamma(4.0, 0.5, size=80)), draws=300, seed=seed)
            hits += interval.low <= truth <= interval.high
        assert 178 <= hits <= 199

    def test_same_seed_same_interval(self) -> None:
        scores = scores_of(np.arange(1.0, 30.0))
        assert perplexity_interval(scores, seed=1) == perplexity_interval(scores, seed=1)
        assert perplexity_interval(scores, seed=1) != perplexity_interval(scores, seed=2)

    @settings(max_examples=25, deadline=None)
    @given(hnp.arrays(np.float64, st.integers(2, 30), elements=st.floats(0.1, 8)), st.floats(0.05, 2))
    def test_a_gain_in_every_document_is_never_in_doubt(self, nll: Any, gain: float) -> None:
        change = perplexity_difference(scores_of(nll), scores_of(nll - gain * 0.05), draws=200)
        assert change.high < 0

    def test_pairing_takes_the_documents_own_spread_away(self) -> None:
        nll = np.random.default_rng(0).uniform(1, 9, size=60)
        change = perplexity_difference(scores_of(nll), scores_of(nll - 0.1))
        alone = perplexity_interval(scores_of(nll))
        assert change.high - change.low < 0.2 * (alone.high - alone.low)
        same = perplexity_difference(scores_of(nll), scores_of(nll))
        assert same.low <= 0 <= same.high

    def test_other_documents_are_refused(self) -> None:
        with pytest.raises(ValueError, match="same documents"):
            perplexity_difference(scores_of([1.0, 2.0]), scores_of([1.0]))
