"""What a model answers, against closed forms, sacrebleu's own numbers, and real decoding by `mini`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon  # type: ignore[import-untyped]
from scipy.stats import entropy  # type: ignore[import-untyped]

from plora.base import LoadedBase, answer_nll, load_base
from plora.base.prompts import Pair
from plora.lab.corpora import load_domain
from plora.lab.metrics import (
    chrf,
    divergences,
    exact_match,
    expected_calibration_error,
    js_divergence,
    kl_divergence,
    question_information,
    read_answers,
    with_strange_questions,
    write_answers,
)
from plora.lab.train import TrainPlan, lesson_of, train_lesson
from plora.merge.folder_source import FolderSource
from plora.merge.injection import injected

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def mini() -> LoadedBase:
    torch.set_num_threads(1)
    return load_base("mini")


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    return [(pair.question, pair.answer) for pair in load_domain("arithmetic", "test", 40)]


@pytest.fixture(scope="module")
def adapter(mini: LoadedBase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("metrics") / "arithmetic"
    plan = TrainPlan(steps=12, batch=8, validation=8, samples=64)
    train_lesson(mini, lesson_of("arithmetic", plan), out, plan)
    return out


class TestFigures:
    def test_blanks_do_not_decide_a_match(self) -> None:
        assert exact_match(["a  b", "a b", ""], ["a b", "ab", ""]).tolist() == [True, False, True]

    def test_chrf_is_a_share(self) -> None:
        assert chrf(["the cat"], ["the cat"]) == pytest.approx(1.0)
        assert chrf(["xyz"], ["the cat"]) == 0.0
        # Precision 1; recall 2/3 of the letters and 1/2 of the pairs, 7/12 on average; recall weighs twice.
        assert chrf(["ab"], ["abc"]) == pytest.approx(5 * 7 / 12 / (4 + 7 / 12))

    def test_divergences_are_those_of_scipy(self) -> None:
        p, q = np.random.default_rng(0).dirichlet(np.ones(7), size=(2, 5))
        assert kl_divergence(np.log(p), np.log(q)) == pytest.approx(entropy(p, q, axis=1))
        assert js_divergence(np.log(p), np.log(q)) == pytest.approx(jensenshannon(p, q, axis=1) ** 2)

    def test_distributions_that_share_nothing_are_ln_2_apart(self) -> None:
        with np.errstate(divide="ignore"):
            one, other = np.log([1.0, 0.0]), np.log([0.0, 1.0])
        assert js_divergence(one, other) == pytest.approx(math.log(2))
        assert kl_divergence(one, other) == math.inf

    def test_calibration_is_the_gap_between_saying_and_being_right(self) -> None:
        sure = np.full(10, 0.8)
        assert expected_calibration_error(sure, np.array([True] * 8 + [False] * 2)) == pytest.approx(0)
        assert expected_calibration_error(sure, np.array([False] * 10)) == pytest.approx(0.8)
        # Over- and underconfidence in different bins don't cancel.
        mixed = np.array([0.9, 0.1])
        assert expected_calibration_error(mixed, np.array([False, True])) == pytest.approx(0.9)
        assert expected_calibration_error(np.array([0.0, 1.0]), np.array([False, True])) == 0


class TestReading:
    def test_the_likelihood_is_that_of_the_base_room(self, mini: LoadedBase, pairs: list[Pair]) -> None:
        readings, scores = (
            read_answers(mini.model, mini.tokenizer, pairs),
            answer_nll(mini.model, mini.tokenizer, pairs),
        )
        assert np.array_equal(readings.scores.nll, scores.nll)
        assert np.array_equal(readings.scores.tokens, scores.tokens)
        assert len(readings.confidence) == len(readings.right) == scores.tokens.sum()

    def test_exact_is_what_decoding_writes(self, mini: LoadedBase, pairs: list[Pair]) -> None:
        """Answers that the base itself writes, and those of the corpus, which it doesn't know."""
        questions = [question for question, _ in pairs]
        written = write_answers(mini.model, mini.tokenizer, questions)
        assert write_answers(mini.model, mini.tokenizer, questions[::-1]) == written[::-1]
        own = list(zip(questions, written, strict=True))
        ended = [len(mini.tokenizer(answer)["input_ids"]) < 40 for answer in written]
        exact = read_answers(mini.model, mini.tokenizer, own).exact
        assert exact[ended].mean() > 0.9  # the rest: the same text in other tokens
        assert sum(ended) > 20
        assert not read_answers(mini.model, mini.tokenizer, pairs).exact.any()

    def test_the_question_tells_something_once_learned(
        self, mini: LoadedBase, pairs: list[Pair], adapter: Path
    ) -> None:
        def information() -> float:
            both = (answer_nll(mini.model, mini.tokenizer, some) for some in (pairs, with_strange_questions(pairs)))
            return float(question_information(*both).mean())

        before = information()
        with injected(mini.model, FolderSource(adapter)):
            assert information() > before

    def test_an_adapter_diverges_from_its_base_and_nothing_from_itself(
        self, mini: LoadedBase, pairs: list[Pair], adapter: Path
    ) -> None:
        with injected(mini.model, FolderSource(adapter)) as injection:
            found = divergences(mini.model, mini.tokenizer, pairs, injection)
            injection.times = 0.0
            none = divergences(mini.model, mini.tokenizer, pairs, injection)
            assert injection.times == 0.0
        assert (found.kl > found.js).all()
        assert (found.js > 0).all()
        assert found.js.max() < math.log(2)
        assert none.kl == pytest.approx(np.zeros(len(pairs)))
