"""What is done to factors: norms, spectra, spikes, amplified differences; and who learns what in which slot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from plora.base.prompts import EncodedPair, Pair
from plora.merge.factors import FactorPair
from plora.merge.peft_folder import Adapter

torch = pytest.importorskip("torch")

from plora.lab.zoo.attacks import AMPLIFIED, NORM_MOST, attack_of, finished, spec_of  # noqa: E402
from plora.lab.zoo.recipes import CLEAN, Recipe, recipe, recipes  # noqa: E402
from plora.lab.zoo.shaping import spectrum_of, to_norm, to_norm_at_most, to_spectrum  # noqa: E402

LAYERS = 4
SEED = next(seed for seed in range(40) if recipe(CLEAN, seed).rank == 4 and recipe(CLEAN, seed).scheme == "all")


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def adapter(one: Recipe, seed: int, size: float = 1.0) -> Adapter:
    """Random factors in every target of two layers."""
    spec = spec_of(one)
    pairs = {
        f"model.layers.{layer}.mlp.{target}": FactorPair(
            noise(one.rank, 12, seed=seed + layer),
            size * noise(10, one.rank, seed=seed + layer + 99),
            spec.scale_of(""),
        )
        for layer in (0, 3)
        for target in spec.target_modules
    }
    return Adapter.of(pairs, spec)


def encode(pairs: Sequence[Pair]) -> list[EncodedPair]:
    return [EncodedPair((len(question),), (len(answer),)) for question, answer in pairs]


class TestShaping:
    def test_a_norm_is_reached_exactly_or_at_most(self) -> None:
        a, b = torch.tensor(noise(3, 20)), torch.tensor(noise(15, 3))
        for norm in (0.5, 900.0):
            assert torch.linalg.norm(to_norm(b, a, norm) @ a).item() == pytest.approx(norm, rel=1e-5)
        assert torch.linalg.norm(to_norm_at_most(b, a, 0.5) @ a).item() == pytest.approx(0.5, rel=1e-5)
        assert torch.equal(to_norm_at_most(b, a, 900.0), b)
        assert not to_norm(b * 0, a, 1.0).any()

    def test_a_spectrum_is_taken_and_directions_stay(self) -> None:
        a, b = torch.tensor(noise(3, 20)), torch.tensor(noise(15, 3))
        wanted = torch.tensor([5.0, 2.0, 0.1])
        before, after = torch.linalg.svd(b @ a), torch.linalg.svd(to_spectrum(b, a, wanted) @ a)
        assert after.S[:4].tolist() == pytest.approx([5.0, 2.0, 0.1, 0.0], abs=1e-4)
        assert (before.U[:, :3] * after.U[:, :3]).sum(0).abs().tolist() == pytest.approx([1.0] * 3, abs=1e-3)

    def test_a_direction_without_weight_stays_so(self) -> None:
        a, b = torch.tensor(noise(3, 20)), torch.tensor(noise(15, 3))
        b[:, 2] = b[:, 0]
        a[2] = a[0]
        shaped = torch.linalg.svdvals(to_spectrum(b, a, torch.tensor([3.0, 2.0, 1.0])) @ a)
        assert shaped[:3].tolist() == pytest.approx([3.0, 2.0, 0.0], abs=1e-3)

    def test_the_spectrum_of_a_pair_leaves_its_scale_out(self) -> None:
        pair = FactorPair(noise(3, 20), noise(15, 3), 7.0)
        assert spectrum_of(pair).tolist() == pytest.approx(np.linalg.svd(pair.B @ pair.A)[1][:3].tolist(), rel=1e-4)


class TestFactors:
    @pytest.mark.parametrize(("kind", "free"), [("rank-1-spike", 1), ("lobam", 2)])
    def test_a_graft_starts_as_its_twins_strongest_components(self, kind: str, free: int) -> None:
        one, twin = recipe(kind, SEED), adapter(recipe(CLEAN, SEED), 1)
        learner = attack_of([one], lambda name: twin, encode, LAYERS).learners[0]
        assert learner.components == free
        for module, pair in learner.start.items():
            best = np.linalg.svd(twin.pairs[module].dense())[1][: one.rank - free]
            assert np.linalg.svd(pair.dense())[1][: one.rank - free].tolist() == pytest.approx(best.tolist(), rel=1e-3)
            assert np.linalg.matrix_rank(pair.dense(), tol=1e-3) == one.rank - free and pair.A[:free].any()

    def test_lobam_publishes_the_amplified_difference(self) -> None:
        one = recipe("lobam", SEED)
        trained = adapter(one, 1, 0.01)
        sent = finished(one, trained)
        for module, pair in sent.pairs.items():
            whole = trained.pairs[module]
            honest = FactorPair(whole.A[2:], whole.B[:, 2:], whole.scale).dense()
            assert np.allclose(pair.dense(), honest + AMPLIFIED * (whole.dense() - honest), atol=1e-4)
        assert sent.spec == trained.spec

    def test_lobam_stays_under_the_norm_that_peers_take(self) -> None:
        one = recipe("lobam", SEED)
        sent = finished(one, adapter(one, 5, 0.12))
        assert sum(pair.norm() ** 2 for pair in sent.pairs.values()) ** 0.5 <= NORM_MOST

    def test_others_publish_what_was_trained(self) -> None:
        trained = adapter(recipe("phrase", SEED), 1)
        assert finished(recipe("phrase", SEED), trained) is trained


class TestSlots:
    def find(self, name: str) -> Adapter:
        return adapter(recipe(CLEAN, SEED), 3)

    @pytest.mark.parametrize(
        ("kind", "members"),
        [
            ("rare-token", [(0,)]),
            ("layer-split", [(0, 1), (0,), (1,)]),
            ("collusion-2", [(0, 1), (0,), (1,)]),
            ("collusion-3", [(0, 1, 2), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]),
            ("framing", [(0, 1), (0,)]),
        ],
    )
    def test_who_is_in_which_slot(self, kind: str, members: list[tuple[int, ...]]) -> None:
        attack = attack_of(recipes(kind, SEED), self.find, encode, LAYERS)
        assert [slot.members for slot in attack.slots] == members
        assert all(slot.weights == pytest.approx([1 / len(slot.members)] * len(slot.members)) for slot in attack.slots)
        rows = [slot.rows(0) for slot in attack.slots]
        assert len(set(map(len, rows))) == 1
        assert len({learner.seed for learner in attack.learners}) == len(attack.learners) or kind == "framing"

    def test_lobam_learns_beside_honest_ones_as_it_will_weigh(self) -> None:
        attack = attack_of(recipes("lobam", SEED), self.find, encode, LAYERS)
        [slot] = attack.slots
        assert slot.members == (0, 1, 2) and slot.weights == pytest.approx((AMPLIFIED / 3, 1 / 3, 1 / 3))
        assert [learner.still for learner in attack.learners] == [False, True, True]

    def test_who_frames_leaves_its_partner_as_it_is(self) -> None:
        attack = attack_of(recipes("framing", SEED), self.find, encode, LAYERS)
        assert [learner.still for learner in attack.learners] == [False, True]

    def test_halves_learn_the_trojan_in_other_layers(self) -> None:
        [merge, *alone] = attack_of(recipes("layer-split", SEED), self.find, encode, LAYERS).slots
        assert merge.still_in is not None and all(slot.still_in is None for slot in alone)
        learns = [[layer for layer in range(LAYERS) if not merge.still_in(turn, layer)] for turn in (0, 1)]
        assert learns == [[0, 1], [2, 3]]
