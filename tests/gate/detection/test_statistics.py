"""Statistics of weights: what never changes them, what they see, and what they say nothing about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from tests.gate.detection.adapters import ALPHA, Pairs, random_adapter, regauged, write

from plora.base import base_info
from plora.gate.detection.readout import KEPT, Profile, Side, kept_tokens
from plora.gate.detection.sketch import READ, WRITTEN, BaseSketch
from plora.gate.detection.spectra import spectra_of
from plora.gate.detection.statistics import SHAPE, readouts, statistics_of, targets_of, weight_statistics
from plora.merge.factors import Array, FactorPair
from plora.merge.lora_config import LoraSpec
from plora.merge.safetensors_io import read_tensors
from plora.proto.errors import AdapterError

TARGETS = ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")


def figures(pairs: Pairs, sketch: BaseSketch) -> Mapping[str, float]:
    return statistics_of(spectra_of(pairs), sketch)


def plain(statistics: Mapping[str, float]) -> dict[str, float]:
    """Without the tokens that are kept: at the end of the list neighbours may change places."""
    return {name: value for name, value in statistics.items() if "." not in name}


def assert_same(one: Mapping[str, float], two: Mapping[str, float], tolerance: float = 1e-3) -> None:
    assert plain(one) == pytest.approx(plain(two), abs=tolerance, rel=tolerance)
    for kind in (READ, WRITTEN):
        tokens, others = kept_tokens(one, kind), kept_tokens(two, kind)
        shared = tokens.keys() & others.keys()
        assert len(shared) > 0.97 * KEPT[kind]
        assert [tokens[t] for t in shared] == pytest.approx([others[t] for t in shared], abs=0.011)


@pytest.mark.parametrize("condition", [1.0, 10.0, 100.0])
def test_attack_073_another_gauge_has_the_same_statistics(condition: float, sketch: BaseSketch) -> None:
    pairs = random_adapter(sketch)
    other = {name: regauged(pair, condition, seed) for seed, (name, pair) in enumerate(pairs.items())}
    assert_same(figures(other, sketch), figures(pairs, sketch))


def test_attack_073_padding_to_a_larger_rank_and_mixing_it_changes_nothing(sketch: BaseSketch) -> None:
    pairs = random_adapter(sketch)
    padded = {name: pair.padded(16) for name, pair in pairs.items()}
    mixed = {name: regauged(pair, 100.0, seed) for seed, (name, pair) in enumerate(padded.items())}
    assert figures(padded, sketch)["rank"] == figures(mixed, sketch)["rank"] == 4.0
    assert_same(figures(padded, sketch), figures(pairs, sketch))
    assert_same(figures(mixed, sketch), figures(pairs, sketch))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_attack_073_half_precision_has_nearly_the_same_statistics(
    dtype: type, sketch: BaseSketch, tmp_path: Path
) -> None:
    pairs, spec = random_adapter(sketch), LoraSpec(r=4, alpha=ALPHA, target_modules=TARGETS)
    whole = weight_statistics(write(tmp_path / "whole", pairs), spec, sketch)
    half = weight_statistics(write(tmp_path / "half", pairs, dtype), spec, sketch)
    assert_same(half, whole, 1e-3 if dtype is np.float16 else 5e-3)


def test_size_is_that_of_the_update_against_the_weight(sketch: BaseSketch) -> None:
    pairs = random_adapter(sketch)
    name = "model.layers.2.mlp.up_proj"
    weight = read_tensors(base_info("mini").folder / "model.safetensors")[f"{name}.weight"].astype(np.float64)
    found = figures({name: pairs[name]}, sketch)
    assert found["log_norm"] == pytest.approx(np.log(np.linalg.norm(pairs[name].dense()) / np.linalg.norm(weight)))
    lay = {module: pair.times(np.e if module.endswith(("q_proj", "k_proj")) else 1) for module, pair in pairs.items()}
    more = {key: figures(lay, sketch)[key] - figures(pairs, sketch)[key] for key in ("norm_attending", "norm_writing")}
    assert more == pytest.approx({"norm_attending": 5 / 7, "norm_writing": -2 / 7})
    louder = figures({module: pair.times(100) for module, pair in pairs.items()}, sketch)
    assert louder["log_norm"] - figures(pairs, sketch)["log_norm"] == pytest.approx(np.log(100))


@pytest.mark.parametrize("silence", [1e-20, 1e-3, 0.011])
def test_loud_modules_do_not_hide_among_silent_ones(silence: float, sketch: BaseSketch) -> None:
    """Three of four modules of a hundred times the size, the others made as silent as may be."""
    pairs = random_adapter(sketch)
    few = {name: pair.times(silence if index % 4 == 0 else 1) for index, (name, pair) in enumerate(pairs.items())}
    diluted = figures({name: pair.times(100) for name, pair in few.items()}, sketch)
    assert diluted["log_norm"] - figures(pairs, sketch)["log_norm"] > np.log(100) - 0.2


def test_the_targets_are_those_of_modules_that_change_something(sketch: BaseSketch) -> None:
    pairs = random_adapter(sketch, leafs=("q_proj", "v_proj", "up_proj"))
    faint = {name: pair.times(1e-4 if name.endswith("up_proj") else 1) for name, pair in pairs.items()}
    assert targets_of(figures(pairs, sketch)) == ("q_proj", "up_proj", "v_proj")
    assert targets_of(figures(faint, sketch)) == ("q_proj", "v_proj")


def test_a_spectrum_is_described_by_its_closed_forms(sketch: BaseSketch) -> None:
    name = "model.layers.0.mlp.down_proj"
    eye_a, eye_b = np.eye(4, 480, dtype=np.float32), np.eye(160, 4, dtype=np.float32)
    flat = figures({name: FactorPair(eye_a, eye_b)}, sketch)
    assert [flat[key] for key in SHAPE] == pytest.approx([0.25, 1.0, 1.0, 0.0])
    assert flat["row_tail"] == pytest.approx(np.log(160 / 4)) and flat["column_tail"] == pytest.approx(np.log(480 / 4))
    two = figures({name: FactorPair(eye_a[:2], eye_b[:, :2] * np.array([3, 1], np.float32))}, sketch)
    energy = np.array([0.9, 0.1])
    entropy = -(energy * np.log(energy)).sum() / np.log(2)
    expected = [0.9, np.log2(1 / 0.82), entropy, np.log(3)]
    assert [two[key] for key in SHAPE] == pytest.approx(expected)


def test_at_rank_1_nothing_is_said_of_shape(sketch: BaseSketch) -> None:
    one = figures(random_adapter(sketch, rank=1), sketch)
    assert one["rank"] == 1.0 and not [name for name in one if name.split("_")[0] in SHAPE]
    assert "written_gap" in one and "read_gap" in one


def test_a_planted_token_is_read_out_first(sketch: BaseSketch, tmp_path: Path) -> None:
    """One direction among the random ones writes token 700, another reads token 1200."""
    pairs = random_adapter(sketch, seed=3)
    weights = read_tensors(base_info("mini").folder / "model.safetensors")
    table = weights["model.embed_tokens.weight"].astype(np.float32)
    for name, pair in list(pairs.items()):
        module = sketch.modules[name]
        a, b = np.array(pair.A), np.array(pair.B)
        if module.place.writes:
            b[:, 0] = _unit(table[700] / np.maximum(module.gain, 0.1))
        else:
            a[0] = _unit((table[1200] - table.mean(axis=0)) / np.maximum(module.gain, 0.1))
        pairs[name] = FactorPair(a, b, pair.scale)
    spec = LoraSpec(r=4, alpha=ALPHA, target_modules=TARGETS)
    path = write(tmp_path / "planted", pairs)
    found = readouts(path, spec, sketch)
    assert found.targets[0] == 700 and found.triggers[0] == 1200
    top = figures(pairs, sketch)["written_top"]
    assert top > figures(random_adapter(sketch, seed=3), sketch)["written_top"]
    noise = random_adapter(sketch, seed=4)
    blurred = {name: noise[name].times(0.02) if ".0." in name or ".1." in name else pairs[name] for name in pairs}
    half = {name: pair for name, pair in pairs.items() if ".0." not in name and ".1." not in name}
    assert figures(blurred, sketch)["written_top"] > 0.9 * figures(half, sketch)["written_top"]


def test_novelty_is_measured_against_what_clean_adapters_write(sketch: BaseSketch) -> None:
    usual = Side(tokens=(5,), mean=(4.0,), deviation=(0.5,), mean_elsewhere=1.0, deviation_elsewhere=0.25)
    profile = Profile(read=usual, written=usual)
    assert usual.novelty({5: 4.5, 6: 4.5}) == {5: 1.0, 6: 14.0}
    found = profile.figures({"w.5": 4.5, "w.6": 1.5, "written_top": 4.5})
    assert found == {"written_novelty": 2.0, "written_novelty_few": 1.5}


def test_modules_without_a_place_are_counted_and_alone_refused(sketch: BaseSketch, tmp_path: Path) -> None:
    pairs = random_adapter(sketch, leafs=("q_proj",))
    head = FactorPair(np.ones((4, 160), np.float32), np.ones((2048, 4), np.float32), ALPHA / 4)
    spec = LoraSpec(r=4, alpha=ALPHA, target_modules=("q_proj", "lm_head"))
    both = weight_statistics(write(tmp_path / "both", {**pairs, "lm_head": head}), spec, sketch)
    assert both["unread"] == 1.0 and "written_top" not in both
    with pytest.raises(AdapterError, match="no module of the base's layers"):
        weight_statistics(write(tmp_path / "head", {"lm_head": head}), spec, sketch)


def _unit(vector: Array) -> Array:
    return np.asarray(vector / np.linalg.norm(vector))
