"""Attacks on what looks into adapters: junk that costs probes, banks that are to drift, submissions made to learn."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.attacks.conftest import Watched
from tests.node.core.conftest import ADA
from tests.node.core.conftest import LEGAL as HONEST
from tests.node.core.test_detectors import MAL, TROJAN, answer_all, ready, several
from tests.sim.assembly import LEGAL, MEMBERS, make, peers, publish, up, why
from tests.swarm.calibrated import measures, random_folder
from tests.swarm.conftest import MakePeer
from tests.swarm.test_detectors import pair, states

from plora.gate.detection.calibration import Calibration
from plora.gate.reasons import HELD
from plora.node.core import view
from plora.node.core.detectors import PROBES
from plora.node.core.events import Detector, DetectorsChanged
from plora.node.core.plasmid import subject_of
from plora.node.driver.probe_secret import ProbeSecret
from plora.node.web.routes import READS
from plora.proto.dsse import StatementKind
from plora.proto.payloads import Choice, Vote
from plora.proto.statement import open_statement
from plora.sim.shared import Shared
from plora.sim.swarm import Swarm, peer_id

ABLE = DetectorsChanged((Detector(PROBES, LEGAL.manifest.base_digest, "sim"),))


def test_attack_061_junk_that_forces_costly_probes(attack: Watched) -> None:
    """Whoever floods waits for their own hour; what an honest owner publishes meanwhile is probed next."""
    bench = ready(per_owner=4, per_hour=12)
    out = [effect for plasmid in several(MAL, 20) for effect in bench.accept(plasmid, MAL)]
    out += bench.accept(HONEST, ADA)
    order = answer_all(bench, out)
    assert order.index(HONEST.manifest.artifacts.sha256) == 1 and len(order) == 5
    assert bench.verdict(HONEST) == ("accept", "")
    attack.saw("H", "detection.probes_per_owner")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_attack_072_a_bank_seeded_by_the_attackers_own_clean_adapters(
    attack: Watched, make_peer: MakePeer, tmp_path: Path
) -> None:
    """A dozen accepted adapters, each a little larger than the one before, make the large one no more usual."""
    ada, bob = pair(make_peer, {"tensor_outliers": True})
    sketch = measures(bob, tmp_path)
    ada.start()
    bob.start()
    file = bob.home.calibration / "mini.json"
    before = file.read_bytes()
    ada.publish(random_folder(ada, tmp_path / "loud-0", sketch, seed=3000, loudness=3.0))
    for step in range(12):
        ada.publish(random_folder(ada, tmp_path / f"step-{step}", sketch, seed=2000 + step, loudness=1 + step / 100))
    bob.until(lambda: sum(state == "accepted" for state, _ in states(bob).values()) >= 6)
    ada.publish(random_folder(ada, tmp_path / "loud-1", sketch, seed=3001, loudness=3.0))
    bob.until(lambda: states(bob).get("loud-1", ("", ""))[0] == "quarantined")
    assert states(bob)["loud-0"] == states(bob)["loud-1"] == ("quarantined", "norm_outlier")
    assert file.read_bytes() == before and Calibration.model_validate_json(before).alpha == 0.05
    attack.saw("H", "norm_outlier")


def test_attack_105_submitted_again_and_again_to_learn_the_secret_probes(attack: Watched) -> None:
    """Four members probe, find a trigger, and vote against: all that leaves them is that it is held."""
    shared = Shared()
    shared.findings[PROBES, LEGAL.manifest.artifacts.sha256] = TROJAN
    swarm = up(make(shared=shared, probes=True))
    for peer in peers(swarm):
        peer.handle(ABLE)
    publish(swarm.peer(peer_id(4)))
    assert swarm.run_until(lambda: len(votes_at(swarm, 4)) == MEMBERS, 120)
    assert {(vote.choice, vote.reason) for vote in votes_at(swarm, 4)} == {(Choice.REJECT, HELD)}
    said = b"".join(one.payload for peer in peers(swarm) for one in peer.core.gossip.live())
    logged = "".join(line for peer in peers(swarm) for line in peer.log)
    for words in TROJAN.details.values():
        assert words.encode() not in said and words not in logged
    assert swarm.peer(peer_id(0)).core.desk.book.live[LEGAL.content_id].verdict.reason == "trigger_found"  # type: ignore[union-attr]
    attack.saw("H", "held")


def test_attack_105_each_submission_meets_other_probes_and_costs_of_its_owners_hour(attack: Watched) -> None:
    secret = ProbeSecret(bytes(range(32)), 0)
    bench = ready(per_owner=3, per_hour=60)
    tries = [effect for plasmid in several(MAL, 40) for effect in bench.accept(plasmid, MAL)]
    assert len(answer_all(bench, tries)) == 3, "forty submissions are three answers an hour"
    seeds = {secret.seed_for(subject_of(plasmid.manifest)) for plasmid in several(MAL, 40)}
    assert len(seeds) == 40
    attack.saw("H", "detection.probes_per_owner")


def test_attack_105_what_was_found_is_for_the_person_at_the_admin_socket_alone(attack: Watched) -> None:
    swarm = up(make(probes=True, shared=(shared := Shared())))
    shared.findings[PROBES, LEGAL.manifest.artifacts.sha256] = TROJAN
    peer = swarm.peer(peer_id(0))
    peer.handle(ABLE)
    publish(peer)
    assert swarm.run_until(lambda: why(swarm, 0)["reason"] == "trigger_found", 120)
    now, name = swarm.clock.now, LEGAL.content_id.hex()
    assert view.why(peer.core, name, now, found=True)["found"] == {"probes": dict(TROJAN.details)}
    page = READS["why"][1]({"name": name, "found": "true"})
    assert not page.found and "found" not in view.why(peer.core, name, now, found=page.found)
    attack.saw("H", "trigger_found")


def votes_at(swarm: Swarm, number: int) -> list[Vote]:
    """The votes that have come to a peer."""
    live = swarm.peer(peer_id(number)).core.gossip.live()
    found = (open_statement(one) for one in live if one.kind == StatementKind.VOTE)
    return [vote for vote in found if isinstance(vote, Vote)]
