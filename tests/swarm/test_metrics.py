"""The metrics of real processes: a scrape holds the names of docs/metrics.md and no other, and what they say is so."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.ports import free_port
from tests.swarm.conftest import MakePeer, Peer

from plora.node.metrics.table import METRICS

pytestmark = pytest.mark.slow
WEEK_S = 7 * 86_400


def scrape(peer: Peer) -> str:
    with urllib.request.urlopen(f"http://{peer.settings['metrics']}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def numbers(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """By series and the values of its labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_a_scrape_holds_exactly_the_documented_names(make_peer: MakePeer, tmp_path: Path) -> None:
    ada, bob = make_peer("ada"), make_peer("bob")
    ada.settings["metrics"] = f"127.0.0.1:{free_port()}"
    ada.settings["limits"] = {"disk_free_min": 0, "store_max": 1 << 30}
    ada.trusts(bob)
    ada.dials(bob)
    bob.start()
    ada.start()
    plasmid = bob.signed_folder(tmp_path / "legal", seed=1)
    bob.publish(tmp_path / "legal")
    ada.until(lambda: "plora_merges_total" in numbers(scrape(ada)))

    text = scrape(ada)
    told = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert told == {one.name: one.kind for one in METRICS}
    if promtool := shutil.which("promtool"):
        linted = subprocess.run([promtool, "check", "metrics"], input=text, text=True, capture_output=True, check=False)
        assert (linted.returncode, linted.stderr) == (0, "")
    assert_of_the_swarm(numbers(text), ada, plasmid.manifest.artifacts.size_bytes)
    assert_of_the_daemon(numbers(text))

    bob.stop()
    ada.until(lambda: numbers(scrape(ada))["plora_neighbours_unlinked"][()] == 1)
    assert numbers(scrape(ada))["plora_links_down_total"][()] == 1


def assert_of_the_swarm(found: dict[str, dict[tuple[str, ...], float]], ada: Peer, size_bytes: int) -> None:
    status = ada.status
    assert found["plora_plasmids"] == {("accepted",): 1.0}
    assert found["plora_two_contents"][()] == 0
    assert found["plora_links"][()] == found["plora_neighbours"][()] == 1
    assert found["plora_neighbours_unlinked"][()] == found["plora_statements_behind"][()] == 0
    assert int(found["plora_statements_root"][()]) == int(status.root[:12], 16)
    assert found["plora_fetches_total"] == {("done",): 1.0}
    assert found["plora_fetched_bytes_total"][()] == found["plora_held_bytes"][()] == size_bytes
    assert sum(count for labels, count in found["plora_verdicts_total"].items() if "accept" in labels) == 1
    assert found["plora_acceptance_seconds_count"][()] == found["plora_examination_cpu_seconds_count"][()] == 1
    assert 0 < found["plora_examination_cpu_seconds_sum"][()] < 60
    assert (found["plora_merge_generation"][("mini",)], found["plora_merge_inputs"][("mini",)]) == (1, 1)
    assert (ada.id, "ada", status.version) in found["plora_peer_info"]


def assert_of_the_daemon(found: dict[str, dict[tuple[str, ...], float]]) -> None:
    now_s = time.time()
    assert found["plora_store_limit_bytes"][()] == 1 << 30
    assert found["plora_certificate_expiry_timestamp_seconds"][()] > now_s + WEEK_S
    assert abs(found["plora_merge_timestamp_seconds"][("mini",)] - now_s) < 60
    assert abs(found["process_start_time_seconds"][()] - now_s) < 120
    assert found["plora_loop_lag_seconds_count"][()] > 0
    assert found["plora_disk_free_bytes"][()] > 0 < found["process_resident_memory_bytes"][()]
    assert found["plora_errors_total"][()] == found["plora_isolation_missing"][()]
    assert "plora_stale" not in found and "plora_consensus_guilty" not in found
