"""A merge tuned on pairs: `mini`, adapters that really learned something, real losses and gradients."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from plora.base import LoadedBase, load_base
from plora.lab.corpora import Split, load_domain
from plora.lab.train import TrainPlan, train_adapter
from plora.merge.api import merge_plasmids
from plora.merge.dev_set import DevSet
from plora.merge.engine import merge_sources
from plora.merge.folder_source import FolderSource
from plora.merge.injection import Budget, fingerprint
from plora.merge.plan import MergePlan, Method, Override, TrustRegion
from plora.merge.tuning import Bench, Trial, held_out, learn_weights, line_search
from plora.proto.errors import LatencyError, UsageError

Pairs = list[tuple[str, str]]
DOMAINS = ("arithmetic", "legal")
WEAK = MergePlan(Method(scaling=0.2))


def pairs_of(domain: str, split: Split, count: int) -> Pairs:
    return [(pair.question, pair.answer) for pair in load_domain(domain, split, count)]


@pytest.fixture(scope="module")
def mini() -> LoadedBase:
    torch.set_num_threads(1)
    return load_base("mini")


@pytest.fixture(scope="module")
def folders(mini: LoadedBase, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    made = [tmp_path_factory.mktemp("tuning") / domain for domain in DOMAINS]
    for domain, folder in zip(DOMAINS, made, strict=True):
        train_adapter(mini, domain, folder, TrainPlan(steps=12, batch=8, validation=1))
    return made


@pytest.fixture
def bench(mini: LoadedBase, folders: list[Path]) -> Bench:
    """The adapter of arithmetic alone, on eight pairs of its domain."""
    return Bench(
        DevSet(mini.model, mini.tokenizer, pairs_of("arithmetic", "validation", 8)), [FolderSource(folders[0])]
    )


@pytest.fixture
def both(mini: LoadedBase, folders: list[Path]) -> Bench:
    """Both adapters, on eight pairs of arithmetic."""
    dev = DevSet(mini.model, mini.tokenizer, pairs_of("arithmetic", "validation", 8))
    return Bench(dev, [FolderSource(folder) for folder in folders])


class TestLineSearch:
    def test_the_slope_is_that_of_the_loss(self, bench: Bench) -> None:
        near = [bench.loss(MergePlan(Method(scaling=0.2 * times))) for times in (0.99, 1.01)]
        assert bench.slope(WEAK) == pytest.approx((near[1] - near[0]) / 0.02, rel=0.02)
        assert all(weight.grad is None for weight in bench.dev.model.parameters())

    @pytest.mark.parametrize("scaling", [0.2, 6.0])
    def test_it_goes_up_from_too_little_and_down_from_too_much(self, bench: Bench, scaling: float) -> None:
        before = fingerprint(bench.dev.model)
        tuned = line_search(bench, MergePlan(Method(scaling=scaling)))
        assert tuned.best.loss < tuned.history[0].loss
        assert (tuned.best.times > 1) == (scaling < 1)
        assert tuned.plan.method.scaling == pytest.approx(scaling * tuned.best.times)
        assert fingerprint(bench.dev.model) == before

    def test_what_it_measured_is_what_it_gives(self, bench: Bench) -> None:
        tuned = line_search(bench, WEAK)
        assert bench.loss(tuned.plan) == tuned.best.loss == min(trial.loss for trial in tuned.history)
        assert tuned.history[0].plan == WEAK

    def test_the_trust_region_holds(self, bench: Bench) -> None:
        norm = merge_sources(bench.sources, WEAK).report.norm
        bounded = MergePlan(Method(scaling=0.2), trust=TrustRegion(max_total_fro=norm * 1.05))
        tuned = line_search(bench, bounded)
        assert merge_sources(bench.sources, tuned.plan).report.norm <= norm * 1.0501
        assert tuned.best.loss <= tuned.history[0].loss

    def test_overrides_are_scaled_with_the_rest(self, bench: Bench) -> None:
        plan = MergePlan(Method(scaling=0.2), overrides=(Override("up_proj", Method(scaling=0.1)), Override("q_proj")))
        tuned = line_search(bench, plan)
        first, second = tuned.plan.overrides
        assert first.method is not None and first.method.scaling == pytest.approx(0.1 * tuned.best.times)
        assert tuned.best.times != 1 and second == plan.overrides[1]


def test_learned_weights_prefer_the_adapter_of_the_domain(both: Bench) -> None:
    before = fingerprint(both.dev.model)
    tuned = learn_weights(both, MergePlan(), trials_max=12)
    assert tuned.history[0].plan.weights == (0.5, 0.5)
    assert tuned.best.loss < tuned.history[0].loss
    first, second = tuned.plan.weights or ()
    assert first > second
    assert len(tuned.history) <= 14
    assert fingerprint(both.dev.model) == before


class Fewest(Bench):
    """Wants small weights, and bears none of 0: as robust rules do, which then have too few adapters."""

    def loss(self, plan: MergePlan, times: float = 1.0) -> float:
        weights = plan.weights or ()
        if 0.0 in weights:
            raise UsageError("krum bears 1 bad ones of at least 5 adapters, not of 4")
        self.history.append(Trial(plan, times, sum(weights)))
        return self.history[-1].loss


def test_a_trial_that_can_not_be_is_none(mini: LoadedBase, folders: list[Path]) -> None:
    def fewest() -> Fewest:
        dev = DevSet(mini.model, mini.tokenizer, pairs_of("arithmetic", "validation", 1))
        return Fewest(dev, [FolderSource(folder) for folder in folders])

    tuned = learn_weights(fewest(), MergePlan(), trials_max=30)
    assert 0 < tuned.best.loss < tuned.history[0].loss == 1.0
    with pytest.raises(UsageError, match="krum bears"):
        learn_weights(fewest(), MergePlan(weights=(1.0, 0.0)), trials_max=30)


def test_held_out_pairs_judge_what_was_found(bench: Bench) -> None:
    tuned = line_search(bench, WEAK)
    change = held_out(bench, WEAK, tuned.plan, pairs_of("arithmetic", "test", 24))
    assert change.low < change.value < change.high < 0
    with pytest.raises(UsageError, match="1 held-out pairs were tuned on"):
        held_out(bench, WEAK, tuned.plan, [*pairs_of("arithmetic", "test", 2), bench.dev.pairs[0]])
    with pytest.raises(UsageError, match="no held-out pairs"):
        held_out(bench, WEAK, tuned.plan, [])


def test_over_the_budget_the_search_ends_and_the_base_is_as_it_was(bench: Bench) -> None:
    before = fingerprint(bench.dev.model)
    slow = Bench(bench.dev, bench.sources, budget=Budget(1e-6, time.perf_counter))
    with pytest.raises(LatencyError):
        line_search(slow, WEAK)
    assert fingerprint(bench.dev.model) == before


def test_no_pairs_are_refused(mini: LoadedBase) -> None:
    with pytest.raises(UsageError, match="no question and answer pairs"):
        DevSet(mini.model, mini.tokenizer, [])


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_merge_plasmids_searches_on_its_pairs(mini: LoadedBase, folders: list[Path]) -> None:
    pairs = pairs_of("arithmetic", "validation", 8)
    losses = [
        DevSet(merge_plasmids("mini", folders, weights=[0.1, 0.1], ls_dataset=given), mini.tokenizer, pairs).loss()
        for given in (None, pairs)
    ]
    assert losses[1] < 0.98 * losses[0]
