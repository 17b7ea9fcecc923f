"""The singular value decomposition of each module's update, from QR and the small core, never from the dense product.

Rules:

- ΔW = scale · B A = U diag(σ) Vᵀ by QR of B and Aᵀ and an SVD of the core, in float64. It depends on ΔW alone: not on
  the gauge (A -> G⁻¹A, B -> B G), not on padding to a larger rank, and on the dtype only as far as that rounds.
- Singular values under `NOTHING` of the largest are left out: padding, mixed by a gauge and rounded, is no rank. The
  rank that an adapter *has* is what is left.
- Modules of under `FAINT` of the largest relative size ‖ΔW‖/‖W‖ are left out, too: they change nothing beside the rest,
  and would only blur figures over modules. Of trained adapters of `mini` none has less than .19 of it.

Not handled: modules without a place in the base's layers (`plora.gate.detection.layout`); they are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plora.gate.detection.sketch import BaseSketch
from plora.merge.base_copies import without_copies
from plora.merge.factors import Array, FactorPair
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import pairs_of
from plora.merge.safetensors_io import read_tensors

NOTHING = 1e-3
FAINT = 1e-2
TINY = 1e-30


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Of one update: left singular vectors (out, r), singular values (r,) falling, right singular vectors (in, r)."""

    left: Array
    values: Array
    right: Array

    @property
    def rank(self) -> int:
        """How many singular values there are."""
        return int(self.values.size)

    @property
    def norm(self) -> float:
        """Frobenius norm of the update."""
        return float(np.linalg.norm(self.values))


def spectrum_of(pair: FactorPair) -> Spectrum:
    """The decomposition of one pair; rank 0 where the update is zero."""
    left, core_left = np.linalg.qr(pair.B.astype(np.float64))
    right, core_right = np.linalg.qr(pair.A.T.astype(np.float64))
    u, values, vt = np.linalg.svd(pair.scale * (core_left @ core_right.T))
    kept = int(np.count_nonzero(values > NOTHING * values[0])) if values[0] > 0 else 0
    return Spectrum(left @ u[:, :kept], values[:kept], right @ vt[:kept].T)


def read_pairs(path: Path, lora: object) -> dict[str, FactorPair]:
    """The factor pairs of an artifact by module; `lora` is a `LoraSpec` or a signed `lora` block. AdapterError."""
    spec = lora if isinstance(lora, LoraSpec) else LoraSpec.from_block(lora)
    tensors = without_copies(read_tensors(path), None)
    return pairs_of(tensors, spec.wears(tensors))


def spectra_of(pairs: Mapping[str, FactorPair]) -> dict[str, Spectrum]:
    """By module, those whose update isn't zero."""
    found = {module: spectrum_of(pair) for module, pair in pairs.items()}
    return {module: spectrum for module, spectrum in found.items() if spectrum.rank}


def relative_sizes(spectra: Mapping[str, Spectrum], sketch: BaseSketch) -> dict[str, float]:
    """‖ΔW‖/‖W‖ by module, sorted by name, of those in the base's layers that aren't faint beside the largest."""
    known = sorted(spectra.keys() & sketch.modules.keys())
    sizes = {name: spectra[name].norm / max(sketch.modules[name].norm, TINY) for name in known}
    least = FAINT * max(sizes.values(), default=0.0)
    return {name: size for name, size in sizes.items() if size >= least}
