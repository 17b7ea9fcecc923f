"""Transfer entropy against closed forms of coupled bits and of linear Gaussian series."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest
from numpy.typing import NDArray

from plora.analysis.information import TooFewSamples, transfer_entropy_discrete, transfer_entropy_gaussian

N = 20_000


def bits(error: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A fair coin, and one that says a step later what it was, wrongly at that rate."""
    drawn = np.random.default_rng(3)
    coin = drawn.integers(0, 2, N)
    return coin, np.roll(coin, 1) ^ (drawn.random(N) < error)


@pytest.mark.parametrize(("error", "said"), [(0.0, 1.0), (0.1, 0.531004), (0.3, 0.118709), (0.5, 0.0)])
def test_coupled_bits(error: float, said: float) -> None:
    a, b = bits(error)
    assert transfer_entropy_discrete(a, b, bins=2) == pytest.approx(said, abs=0.01)
    assert transfer_entropy_discrete(b, a, bins=2) < 0.001


def test_what_the_own_past_says_is_not_transferred() -> None:
    b = np.repeat(bits(0.0)[0][: N // 2], 2)  # its own past says each second value
    assert transfer_entropy_discrete(np.roll(b, 1), b, k=2, bins=2) < 0.001
    assert transfer_entropy_discrete(np.roll(b, 1), b, k=1, bins=2) > 0.1


def gaussian(memory: float, coupling: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, noise = np.random.default_rng(4).standard_normal((2, N))
    b = np.zeros(N)
    for step in range(1, N):
        b[step] = memory * b[step - 1] + coupling * a[step - 1] + noise[step]
    return a, b


@pytest.mark.parametrize(("memory", "coupling"), [(0.0, 1.0), (0.6, 0.5), (0.9, 0.0)])
def test_linear_gaussian_series(memory: float, coupling: float) -> None:
    a, b = gaussian(memory, coupling)
    said = log2(1 + coupling**2) / 2
    assert transfer_entropy_gaussian(a, b) == pytest.approx(said, abs=0.01)
    assert transfer_entropy_gaussian(b, a) == pytest.approx(0.0, abs=0.001)
    if memory == 0.0:  # bins only lose
        coarse, fine = (transfer_entropy_discrete(a, b, bins=bins) for bins in (2, 8))
        assert 0.1 < coarse < fine < said + 0.01


def test_what_cannot_be_carried_is_refused() -> None:
    a, b = np.random.default_rng(5).standard_normal((2, 15))
    with pytest.raises(TooFewSamples, match="it takes 5120"):
        transfer_entropy_discrete(a, b)
    with pytest.raises(TooFewSamples, match="ten for each"):
        transfer_entropy_gaussian(a, b)
    with pytest.raises(ValueError, match="one length"):
        transfer_entropy_discrete(a, b[1:])
    with pytest.raises(ValueError, match="finite"):
        transfer_entropy_discrete(a * np.nan, b)
    with pytest.raises(ValueError, match="two bins or more, not 1"):
        transfer_entropy_discrete(a, b, bins=1)


@pytest.mark.parametrize("target", [np.zeros(200), np.full(200, 0.1), np.full(200, 1e6 / 3), np.arange(200) * 0.3])
def test_a_target_without_noise_has_no_gaussian_entropy(target: NDArray[np.float64]) -> None:
    a = np.random.default_rng(6).standard_normal(200)
    for series in (target, np.roll(a, 1)):  # the second follows from the source
        with pytest.raises(ValueError, match="without any noise"):
            transfer_entropy_gaussian(a, series)
    noise = 1e-3 * np.random.default_rng(7).standard_normal(200)
    assert 0 <= transfer_entropy_gaussian(a, target + noise) < 0.1
