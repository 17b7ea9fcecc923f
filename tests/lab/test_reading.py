"""Measuring a zoo: real statistics and probes in processes of their own, kept, resumed; one adapter stops nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from plora.lab.reading import Job, Listed, _Probes, _Process, measure_zoo
from plora.merge.factors import FactorPair
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter, write_adapter
from plora.proto.errors import PloraError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def adapter(root: Path, name: str, module: str, seed: int) -> Listed:
    """A small random adapter of one module."""
    rng = np.random.default_rng(seed)
    a, b = (rng.standard_normal((2, 160)).astype(np.float32), rng.standard_normal((160, 2)).astype(np.float32))
    pairs = {module: FactorPair(a, b, 0.001)}
    write_adapter(root / name, Adapter.of(pairs, LoraSpec(r=2, alpha=0.002, target_modules=("q_proj",))))
    return Listed(root / name, {"name": name, "kind": "clean", "part": "train", "domain": "legal"})


def test_a_zoo_is_measured_once_and_what_cannot_be_measured_is_told(tmp_path: Path) -> None:
    good = adapter(tmp_path, "good", "model.layers.1.self_attn.q_proj", 1)
    strange = adapter(tmp_path, "strange", "model.layers.77.self_attn.q_proj", 2)
    told: list[tuple[int, int, str]] = []
    kept = tmp_path / "kept"
    failed, reading = measure_zoo([strange, good], "mini", kept, workers=1, progress=lambda *one: told.append(one))
    assert [failed.name, reading.name] == ["strange", "good"]
    assert set(failed.failures) == {"weights", "probes"} and not (failed.statistics or failed.probes)
    assert not reading.failures
    assert (reading.rank, tuple(reading.targets)) == (2, ("q_proj",))
    assert {"log_norm", "rank"} <= reading.statistics.keys()
    assert {"trigger_compliance", "clean_delta"} <= reading.probes.keys()
    assert set(reading.seconds) == {"weights", "probes"} and min(reading.seconds.values()) > 0
    assert [one[:2] for one in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert any("strange" in failure for _, _, failure in told)

    again: list[tuple[int, int, str]] = []
    assert measure_zoo([good], "mini", kept, workers=1, progress=lambda *one: again.append(one)) == [reading]
    assert again == []


class Broken:
    """A detector that fails as numpy would, on a matrix without a decomposition."""

    version = 1

    def measure(self, folder: Path, recipe: object, digest: str) -> dict[str, float]:
        raise np.linalg.LinAlgError("SVD did not converge")


def test_what_no_detector_foresaw_stops_nothing(tmp_path: Path) -> None:
    process = _Process("mini", tmp_path, {"weights": lambda base: Broken()})
    job = Job("weights", "sha256:0", adapter(tmp_path, "odd", "model.layers.1.self_attn.q_proj", 3))
    assert process.work(job) == "LinAlgError: SVD did not converge"


def test_an_unfinished_probe_is_no_reading(tmp_path: Path) -> None:
    listed = adapter(tmp_path, "slow", "model.layers.1.self_attn.q_proj", 4)
    with pytest.raises(PloraError, match="not done within 0 s of CPU time"):
        _Probes("mini", budget_s=0).measure(listed.folder, listed.recipe, "sha256:0")
