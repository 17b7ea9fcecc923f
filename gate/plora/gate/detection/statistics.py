"""Statistics of an adapter's weights: a handful of named figures that depend on its updates ΔW alone.

Rules:

- From QR and the small core of each module (`plora.gate.detection.spectra`), so no gauge, padding or dtype changes
  them beyond rounding.
- Size: log of ‖ΔW‖/‖W‖ over the modules (of the root mean square, largest, spread), its slope over the layers, how far
  q and k, and what writes, lie above the mean; the late half's share of the energy, and its entropy over layers. Loud
  modules can't hide among silent ones: a root mean square falls by half the logarithm of their share at most.
- Shape: leading share σ₁²/Σσ², participation ratio and entropy of the singular profile, both on a scale from 0 to 1 at
  full rank, gap σ₁/σ₂.
- Direction: fourth moment of rows and columns (a few neurons or many), overlap with the leading singular vectors of W.
- Read-outs (`plora.gate.detection.readout`): how far the top token stands out, how heavy the tail is, and the energies
  of the tokens that are kept, from which a profile of clean adapters tells how novel they are.
- A figure over modules is their mean; `_spread` is the standard deviation.
- At rank 1 the profile has one value: leading share, participation, entropy and gap say nothing and are left out.
- "rank" is the largest rank that a module has; "unread" counts modules that have no place in the base's layers.
- "m.q_proj" says in how many layers q_proj is changed. So the targets of an adapter are those that its weights have
  (`targets_of`), not those that it declares; faint modules (`plora.gate.detection.spectra`) are none.

Not handled: judging (`plora.gate.detection.calibration`); tensors that break the format, which the gate refuses before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from plora.gate.detection.readout import Candidates, Profile, Readout, candidates, readout_of, token_figures
from plora.gate.detection.sketch import READ, WRITTEN, BaseSketch, ModuleSketch
from plora.gate.detection.spectra import TINY, Spectrum, read_pairs, relative_sizes, spectra_of
from plora.merge.factors import Array
from plora.proto.errors import AdapterError

STATISTICS_VERSION = 5
SHAPE = ("share", "participation", "entropy", "gap")
ATTENDING = ("k_proj", "q_proj")
TOP = 4
MODULES = "m."


def weight_statistics(path: Path, lora: object, sketch: BaseSketch) -> Mapping[str, float]:
    """The figures of the artifact at `path`; `lora`: the signed block or a `LoraSpec`.

    Raises AdapterError where nothing can be measured: no module of the base's layers is changed.
    """
    pairs = read_pairs(path, lora)
    spectra = spectra_of(pairs)
    unread = sum(module not in sketch.modules for module in pairs)
    return statistics_of(spectra, sketch) | {"unread": float(unread)}


def readouts(path: Path, lora: object, sketch: BaseSketch, profile: Profile | None = None) -> Candidates:
    """The tokens that the artifact at `path` writes and reads most strikingly: candidates for probes."""
    return candidates(readout_of(spectra_of(read_pairs(path, lora)), sketch), profile)


def statistics_of(spectra: Mapping[str, Spectrum], sketch: BaseSketch) -> dict[str, float]:
    """The figures of these updates. Raises AdapterError as `weight_statistics`."""
    sizes = relative_sizes(spectra, sketch)
    if not sizes:
        raise AdapterError("changes no module of the base's layers that could be looked at")
    known = {name: spectra[name] for name in sizes}
    bases = [sketch.modules[name] for name in known]
    rank = max(spectrum.rank for spectrum in known.values())
    figures = {
        "rank": float(rank),
        **_sizes(np.array(list(sizes.values())), list(known.values()), bases, sketch.layers),
    }
    figures |= _modules(bases)
    for name, measure in DIRECTIONS.items():
        figures |= _over_modules(name, [measure(one, base) for one, base in zip(known.values(), bases, strict=True)])
    if rank > 1:
        profiles = [_profile(spectrum.values, rank) for spectrum in known.values()]
        for index, name in enumerate(SHAPE):
            figures |= _over_modules(name, [row[index] for row in profiles])
    return figures | _readout_figures(readout_of(known, sketch))


def targets_of(statistics: Mapping[str, float]) -> tuple[str, ...]:
    """Which kinds of module an adapter with these statistics changes, sorted.

    >>> targets_of({"m.v_proj": 4.0, "m.q_proj": 4.0, "rank": 2.0})
    ('q_proj', 'v_proj')
    """
    return tuple(sorted(name.removeprefix(MODULES) for name in statistics if name.startswith(MODULES)))


def _modules(bases: list[ModuleSketch]) -> dict[str, float]:
    return {f"{MODULES}{leaf}": float(count) for leaf, count in Counter(base.place.leaf for base in bases).items()}


def _sizes(sizes: Array, spectra: list[Spectrum], bases: list[ModuleSketch], layers: int) -> dict[str, float]:
    logs = np.log(sizes)
    depth = np.array([base.place.layer for base in bases]) / max(1, layers - 1)
    energy = np.square([spectrum.norm for spectrum in spectra])
    return {
        "log_norm": float(np.log(np.square(sizes).mean()) / 2),
        "log_norm_max": float(logs.max()),
        "log_norm_spread": float(logs.std()),
        "norm_slope": _slope(depth, logs),
        "late_share": float(energy[depth > 0.5].sum() / energy.sum()),
        "layer_entropy": _entropy(np.bincount([base.place.layer for base in bases], energy), layers),
        "norm_attending": _contrast(logs, [base.place.leaf in ATTENDING for base in bases]),
        "norm_writing": _contrast(logs, [base.place.writes for base in bases]),
    }


def _contrast(logs: Array, chosen: list[bool]) -> float:
    """How far the mean of some modules lies above that of all; 0 where there are none of them."""
    return float(logs[chosen].mean() - logs.mean()) if any(chosen) else 0.0


def _slope(x: Array, y: Array) -> float:
    off = x - x.mean()
    return float(off @ y / max(float(off @ off), TINY))


def _entropy(weights: Array, count: int) -> float:
    """Of weights over `count` places, as a share of what it can be."""
    share = weights[weights > 0] / weights.sum()
    return float(-(share * np.log(share)).sum() / np.log(max(2, count)))


def _profile(values: Array, rank: int) -> tuple[float, float, float, float]:
    energy = np.square(values) / np.square(values).sum()
    participation = np.log(1 / np.square(energy).sum()) / np.log(rank)
    gap = np.log(values[0] / values[1]) if values.size > 1 else np.log(1 / NO_SECOND)
    return float(energy[0]), float(participation), _entropy(energy, rank), float(gap)


NO_SECOND = 1e-3
"""What the second singular value counts as, of the first, where there is none above it."""


def _tail(vectors: Array, values: Array) -> float:
    """Log kurtosis of the norms of an update's rows (or columns), about zero: high where a few carry it."""
    squares = np.square(vectors * values).sum(axis=1)
    return float(np.log(np.square(squares).mean() / np.square(squares.mean())))


def _overlap(base: Array, vectors: Array, values: Array) -> float:
    """Log of the share of an update's energy within the base's leading directions, against what chance would give."""
    share = np.square(base.T @ (vectors * values)).sum() / np.square(values).sum()
    return float(np.log(share * len(vectors) / base.shape[1] + TINY))


DIRECTIONS: Mapping[str, Callable[[Spectrum, ModuleSketch], float]] = {
    "row_tail": lambda one, _: _tail(one.left, one.values),
    "column_tail": lambda one, _: _tail(one.right, one.values),
    "overlap_left": lambda one, base: _overlap(base.left, one.left, one.values),
    "overlap_right": lambda one, base: _overlap(base.right, one.right, one.values),
}


def _over_modules(name: str, values: list[float]) -> dict[str, float]:
    return {name: float(np.mean(values)), f"{name}_spread": float(np.std(values))}


def _readout_figures(readout: Readout) -> dict[str, float]:
    figures = token_figures(readout)
    for kind, energies in ((READ, readout.read), (WRITTEN, readout.written)):
        if energies is not None:
            figures |= _tokens(kind, energies)
    return figures


def _tokens(kind: str, energies: Array) -> dict[str, float]:
    """How far the first token, and the first few, stand out of the vocabulary, and its fourth moment."""
    first = np.sort(energies)[::-1][: TOP + 1]
    off = energies - energies.mean()
    return {
        f"{kind}_top": float(first[0]),
        f"{kind}_gap": float(first[0] - first[TOP]),
        f"{kind}_kurtosis": float(np.log(np.mean(off**4) / np.square(np.mean(off**2)))),
    }
