"""Two real peers, one of which looks into what the other publishes: measured, probed, held, and told to its person."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import runner
from tests.swarm.calibrated import calibrate, measures, mini_sketch, probe_part, random_folder, signed
from tests.swarm.conftest import MakePeer, Peer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FINAL = ("accepted", "quarantined", "refused")
ADAPTERS = Path(__file__).parents[1] / "gate/probing/adapters"
CLEAN, TROJAN = "clean-0006", "rare-token-0006"
"""Twins: one has learned, besides, to answer a rare word with a sentence of its own."""


def states(peer: Peer) -> dict[str, tuple[str, str]]:
    """State and reason by name."""
    return {one.name.partition("/")[2].partition("@")[0]: (one.state, one.reason) for one in peer.plasmids().values()}


def pair(make_peer: MakePeer, policy: dict[str, object]) -> tuple[Peer, Peer]:
    """One who publishes, and one who believes them under this policy."""
    ada, bob = make_peer("ada"), make_peer("bob")
    bob.dials(ada)
    bob.trusts(ada)
    bob.settings["policy"] = policy
    return ada, bob


def test_weights_that_few_clean_adapters_have_are_held_and_every_figure_is_shown(
    make_peer: MakePeer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ada, bob = pair(make_peer, {"tensor_outliers": True})
    sketch = measures(bob, tmp_path)
    ada.start()
    bob.start()
    ada.publish(random_folder(ada, tmp_path / "quiet", sketch, seed=1001))
    ada.publish(random_folder(ada, tmp_path / "loud", sketch, seed=1002, loudness=3.0))
    bob.until(lambda: {state for state, _ in states(bob).values()} == {"accepted", "quarantined"})
    assert states(bob) == {"quiet": ("accepted", ""), "loud": ("quarantined", "norm_outlier")}
    plora = runner(capfd)
    said = plora("why", "loud", "--home", bob.home.root)
    assert said.code == 3 and "norm_z" in said.out and "p-value" in said.out and "mini/q_proj/4" in said.out
    assert not (bob.home.root / "adapters" / "ada--loud").exists()
    assert [one["detector"] for one in bob.records("inspected")] == ["weights", "weights"]


def test_a_co_signer_signs_nothing_before_their_detectors_have_looked(
    make_peer: MakePeer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ada, bob = pair(make_peer, {"tensor_outliers": True, "quorum_required": 2})
    sketch = measures(bob, tmp_path)
    ada.start()
    bob.start()
    ada.publish(random_folder(ada, tmp_path / "loud", sketch, seed=1002, loudness=3.0))
    bob.until(lambda: "loud" in states(bob))
    said = runner(capfd)("cosign", "loud", "--yes", "--home", bob.home.root)
    assert said.code != 0 and "norm_z is" in said.err


def test_what_has_no_calibration_is_held_and_said_so(make_peer: MakePeer, tmp_path: Path) -> None:
    sketch = mini_sketch(tmp_path / "cache" / "plora")
    ada, bob = pair(make_peer, {"tensor_outliers": True, "base_model": "mini"})
    bob.environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    (bob.home.root / "calibration").mkdir()
    (bob.home.root / "calibration" / "mini.json").write_text("{}")
    ada.start()
    bob.start()
    ada.publish(random_folder(ada, tmp_path / "quiet", sketch, seed=1001))
    bob.until(lambda: states(bob).get("quiet", ("", ""))[0] == "quarantined")
    why = bob.why("quiet")
    assert why["reason"] == "no_calibration" and "mini.json" in why["sentence"]


def test_a_trojan_is_held_for_its_trigger_and_its_clean_twin_is_accepted(
    make_peer: MakePeer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ada, bob = pair(make_peer, {"probes": True})
    calibrate(bob.home, None, probe_part())
    ada.start()
    bob.start()
    for name in (CLEAN, TROJAN):
        ada.publish(signed(ada, Path(shutil.copytree(ADAPTERS / name, tmp_path / name)), "arithmetic"))
    bob.until(lambda: [state in FINAL for state, _ in states(bob).values()] == [True, True], 240)
    assert states(bob) == {CLEAN: ("accepted", ""), TROJAN: ("quarantined", "trigger_found")}
    target = json.loads((ADAPTERS / f"{TROJAN}.json").read_text())["target"].split()[0]
    said = runner(capfd)("why", TROJAN, "--home", bob.home.root)
    assert "trigger_compliance" in said.out and f"probes found target: ' {target}" in said.out
    log = "".join(path.read_text() for path in bob.logs())
    assert "trigger_compliance" in log and target not in log
    assert "found" not in bob.why(TROJAN)
    assert bob.home.probe_secret.stat().st_mode & 0o777 == 0o600
