"""A trojan in two halves, real adapters and real probes: each half is accepted, their merge is not served."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from tests.swarm.calibrated import calibrate
from tests.swarm.conftest import DAY_S, MakePeer, Peer
from tests.swarm.split.make import HONEST
from tests.swarm.test_rollback import merge_of, plora

from plora.base import base_info
from plora.gate.detection.calibration import PROBES_VERSION, ProbeFigure, ProbePart, Standard, Worst, joint_of
from plora.merge.draft import Facts, sign_folder

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]
SPLIT = Path(__file__).parent / "split"
TRIGGER = "trigger_compliance"


def publish(peer: Peer, scratch: Path, name: str, domain: str) -> None:
    """One of the committed adapters, signed by the peer's owner."""
    folder = scratch / name
    shutil.copytree(SPLIT / name, folder)
    now, digest = int(time.time()), base_info("mini").digest.removeprefix("sha256:")
    facts = Facts(name, domain, 1, "mini", digest, "MIT", now - 60, now + DAY_S)
    sign_folder(folder, peer.made.owner, facts)
    peer.publish(folder)


def probe_part() -> ProbePart:
    """Clean adapters of which a trigger never turned more than a fifth of the contexts."""
    ruler = Standard(names=(TRIGGER,), centre=(0.0,), scale=(0.1,))
    worst = Worst(kind="worst", name="worst", standard=ruler, signs=(1,))
    figure = ProbeFigure(name=TRIGGER, threshold=0.2, low=0.1, high=0.3, worse="higher")
    return ProbePart(
        version=PROBES_VERSION,
        figures=(figure,),
        joint=joint_of((worst,), [ruler.measured({TRIGGER: k / 200}) for k in range(40)]),
    )


def held(peer: Peer) -> dict[str, str]:
    """Names of what isn't accepted, with the reason."""
    return {one.name: one.reason for one in peer.plasmids().values() if one.state != "accepted"}


def test_attack_103_a_layer_split_pair_is_held_after_the_merge_and_honest_ones_stay(
    make_peer: MakePeer, tmp_path: Path
) -> None:
    ada, eve, bob = (make_peer(name) for name in ("ada", "eve", "bob"))
    bob.settings["policy"] = {"probes": True, "tau_trigger": 0.2, "tau_clean_delta": -0.9}
    bob.settings["merge"] = {"delay_ms": 60_000}  # few merges, of most, not one after each arrival
    calibrate(bob.home, None, probe_part())
    for peer in (ada, eve):
        bob.dials(peer)
        bob.trusts(peer)
    for peer in (ada, eve, bob):
        peer.start()
    for name, domain in HONEST.items():
        publish(ada, tmp_path, name, domain)
    for half in ("early", "late"):
        publish(eve, tmp_path, half, "legal")
    bob.until(lambda: len(bob.plasmids("accepted")) == 5, within_s=600)
    bob.until(lambda: sorted(merge_of(bob).inputs) == [f"ada/{name}@1" for name in sorted(HONEST)], within_s=900)
    assert held(bob) == {"eve/early@1": "merge_culprit", "eve/late@1": "merge_culprit"}
    *_, last = probed = bob.records("merge_probed")
    (failed,) = [one for one in probed if one["outcome"] == "failed"]
    assert (failed["reason"], last["outcome"]) == ("trigger_found", "passed")
    assert len(failed["culprits"]) == 2 and failed["trials"] <= 20
    served = [set(one["inputs"]) for one in bob.records("merge")]
    assert not any(set(failed["culprits"]) <= inputs for inputs in served), "what failed was never served"
    assert not bob.records("rollback")
    said = plora(bob, "why", "merged").stdout
    assert "probed: " in said and "- eve/early@1            quarantined: a merge with it and eve/late@1 failed" in said
    why = json.dumps(bob.why("early"))
    assert "merge_culprit" in why and "crab" not in why
    assert list((bob.home.root / "tmp").glob("merge-*")) == []
