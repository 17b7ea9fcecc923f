"""`plora gate` and `plora sign` with detectors, without a peer: figures, reasons, the score that a manifest claims."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import Run, runner
from tests.gate.detection.adapters import random_adapter, write
from tests.swarm.calibrated import LORA, mini_sketch, probe_part, save_calibration, weight_part

from plora.gate.detection.sketch import BaseSketch
from plora.gate.findings import Findings, poisoning_score
from plora.merge.peft_folder import adapter_config_bytes
from plora.node.home import init_home
from plora.proto.home import Home
from plora.proto.swarm import new_swarm
from plora.proto.yaml_view import read_plora_yml

pytestmark = pytest.mark.slow


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where sketches and calibrations of this person lie."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "plora"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return init_home(
        tmp_path / "h", name="ada", swarm=new_swarm("s", bytes(64)), listen="127.0.0.1:0", now_s=int(time.time())
    ).home


def folder_of(path: Path, sketch: BaseSketch, loudness: float = 1.0) -> Path:
    path.mkdir()
    pairs = random_adapter(sketch, 4, 4711, ("q_proj",))
    louder = {name: type(pair)(pair.A, pair.B * np.float32(loudness), pair.scale) for name, pair in pairs.items()}
    write(path / "adapter_model.safetensors", louder)
    (path / "adapter_config.json").write_bytes(adapter_config_bytes(LORA, "mini"))
    return path


def signed(plora: Run, folder: Path, home: Home) -> float:
    """Sign it; the poisoning score that its manifest claims."""
    assert plora("sign", folder, "--home", home.root, "--domain", "legal", "--base", "mini").code == 0
    return read_plora_yml(folder / "plora.yml").manifest.safety.poisoning_score


def test_weights_are_measured_where_a_person_asks_and_the_manifest_claims_the_score(
    cache: Path, home: Home, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plora, sketch = runner(capfd), mini_sketch(cache)
    save_calibration(cache / "calibration", weight_part(tmp_path, sketch))
    quiet, loud = folder_of(tmp_path / "quiet", sketch), folder_of(tmp_path / "loud", sketch, 3.0)
    assert signed(plora, quiet, home) < 0.95 < signed(plora, loud, home)
    assert "off" in plora("gate", quiet, "--home", home.root).out
    passed = plora("gate", quiet, "--weights", "--home", home.root)
    assert passed.code == 0 and "norm_z" in passed.out
    held = plora("gate", loud, "--weights", "--json", "--home", home.root)
    assert held.code == 3 and held.document["reason"] == "norm_outlier"
    figures = {one["name"]: one for one in held.document["findings"]["weights"]["figures"]}
    assert figures["norm_z"]["flagged"] and figures["norm_z"]["threshold"] == 3.0


def test_without_a_calibration_it_is_held_and_no_score_is_claimed(
    cache: Path, home: Home, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plora, sketch = runner(capfd), mini_sketch(cache)
    (cache / "calibration").mkdir()
    (cache / "calibration" / "mini.json").write_text("{}")
    folder = folder_of(tmp_path / "quiet", sketch)
    assert signed(plora, folder, home) == 0.0
    held = plora("gate", folder, "--weights", "--home", home.root)
    assert held.code == 3 and "mini.json" in held.out


def test_probes_that_are_asked_for_and_cant_be_had_are_no_silent_claim(
    cache: Path, home: Home, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plora, sketch = runner(capfd), mini_sketch(cache)
    save_calibration(cache / "calibration", weight_part(tmp_path, sketch))
    folder = folder_of(tmp_path / "quiet", sketch)
    sign = ("sign", folder, "--home", home.root, "--domain", "legal", "--base", "mini")
    refused = plora(*sign, "--probes")
    assert refused.code != 0 and "says nothing of probes" in refused.err and not (folder / "plora.yml").exists()
    assert plora(*sign).code == 0


def test_a_peers_secret_is_used_and_never_rotated_by_the_command_line(
    cache: Path, home: Home, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plora, sketch = runner(capfd), mini_sketch(cache)
    save_calibration(home.calibration, None, probe_part())
    home.probe_secret.write_text(json.dumps({"secret": "ab" * 32, "made_ms": 1, "generation": 3}))
    home.probe_secret.chmod(0o600)
    with home.config.open("a") as config:
        config.write("\ndetection:\n  probe_s: 1\n")
    before, folder = home.probe_secret.read_bytes(), folder_of(tmp_path / "quiet", sketch)
    signed(plora, folder, home)
    shown = plora("gate", folder, "--probes", "--json", "--home", home.root)
    assert "within 1 s of CPU time" in shown.document["findings"]["probes"]["failure"]
    assert "found" not in shown.document and home.probe_secret.read_bytes() == before


def test_figures_of_a_strangers_adapter_are_shown_though_the_verdict_ends_before(
    cache: Path, home: Home, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plora, sketch = runner(capfd), mini_sketch(cache)
    save_calibration(cache / "calibration", weight_part(tmp_path, sketch))
    folder = folder_of(tmp_path / "quiet", sketch)
    signed(plora, folder, home)
    other = init_home(
        tmp_path / "o", name="bob", swarm=new_swarm("s", bytes(64)), listen="127.0.0.1:0", now_s=int(time.time())
    )
    said = plora("gate", folder, "--weights", "--home", other.home.root)
    assert said.code == 3 and "unknown_owner" not in said.out
    assert "weights, which the verdict didn't come to: mini/q_proj/4" in said.out and "norm_z" in said.out


def test_the_score_of_several_detectors_pays_for_looking_more_often() -> None:
    one = Findings("a", p_value=0.01, alpha=0.02)
    assert poisoning_score([one]) == 0.99
    assert poisoning_score([one, Findings("b", p_value=0.9, alpha=0.02)]) == 0.98
    assert poisoning_score([one, Findings("", failure="killed")]) == 0.99
    assert poisoning_score([Findings("a", p_value=0.9), Findings("b", p_value=0.8)]) == 0.0
