"""The calibration of C on runs whose law is known."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from plora.analysis.calibration import Run, calibrated


def runs(*sizes: int, by_spectrum: bool, noise: float = 0.05, graphs: int = 8) -> list[Run]:
    """Rounds that follow λ₂ (C = 0.5), or the size alone (2 + 1.5 ln n), whatever λ₂ is: always the same ones."""
    made, draws = [], np.random.default_rng(sizes)
    for n in sizes:
        for seed in range(graphs):
            lambda2 = draws.uniform(0.1, 0.6)
            rounds = 0.5 * log(n) / lambda2 if by_spectrum else 2 + 1.5 * log(n)
            made.append(Run(n, seed, lambda2, rounds * (1 + noise * draws.standard_normal())))
    return made


def test_what_follows_the_spectrum_is_predicted_by_it() -> None:
    seen = runs(100, 200, 400, by_spectrum=True)
    found = calibrated(seen, runs(1600, by_spectrum=True))
    assert found["C"]["low"] < found["C"]["value"] < found["C"]["high"]
    assert found["C"]["value"] == pytest.approx(0.5, abs=0.02)
    assert found["held_out"]["better"] == "spectral" and found["drift"] < 0.1
    assert found["C_bound"] == max(run.rounds * run.lambda2 / log(run.n) for run in seen)


def test_what_follows_the_size_alone_is_predicted_by_the_null_model() -> None:
    seen = runs(100, 200, 400, by_spectrum=False, noise=0.01)
    found = calibrated(seen, runs(1600, by_spectrum=False))
    null, held_out = found["null"], found["held_out"]
    for name, true, off in (("a", 2.0, 1.0), ("b", 1.5, 0.2)):  # five standard errors
        assert null[name]["value"] == pytest.approx(true, abs=off)
        assert null[name]["low"] < null[name]["value"] < null[name]["high"]
    assert held_out["better"] == "null" and held_out["spectral_minus_null_rounds"]["low"] > 0


def test_one_graph_that_is_held_out_decides_nothing() -> None:
    seen, held_out = (runs(*sizes, by_spectrum=True) for sizes in ((100, 200, 400), (1600,)))
    assert calibrated(seen, held_out[:1])["held_out"]["better"] == "undecided"
    assert calibrated(seen, held_out[:2])["held_out"]["better"] == "spectral"


def test_runs_above_the_bound_are_counted() -> None:
    slow = [Run(1000, 1, 0.5, 100.0), Run(1000, 2, 0.5, 1.0)]
    assert calibrated(runs(100, 200, by_spectrum=True), slow)["held_out"]["above_bound"] == 1


def test_components_of_nearly_one_size_are_one_size() -> None:
    seen = [Run(n, seed, 0.5, 5.0) for seed, n in enumerate((99, 100, 97, 198, 200))]
    assert [(one["n"], one["graphs"]) for one in calibrated(seen, seen)["by_n"]] == [
        (pytest.approx(98.67, abs=0.01), 3),
        (199, 2),
    ]


@pytest.mark.parametrize("sizes", [(100,), (100, 110)])
def test_one_size_is_no_calibration(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="two sizes"):
        calibrated(runs(*sizes, by_spectrum=True), runs(1600, by_spectrum=True))
    with pytest.raises(ValueError, match="held out"):
        calibrated(runs(100, 200, by_spectrum=True), [])
