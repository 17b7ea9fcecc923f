"""What a peer fetches, keeps and gives way to, on real processes: each case with the sentence that its person reads."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from tests.swarm.conftest import MakePeer, Peer

pytestmark = pytest.mark.timeout(120)

MIB = 1 << 20


def test_the_disk_floor_keeps_a_plasmid_out_until_there_is_room(
    make_peer: MakePeer, small_disk: Callable[[int], Path], tmp_path: Path
) -> None:
    place = small_disk(8192)
    ballast = place / "ballast"
    ballast.write_bytes(bytes(_free_bytes(place) - 2 * MIB - 600_000))  # too little for the large one
    ada, bob = make_peer("ada"), make_peer("bob", root=place / "bob")
    bob.dials(ada)
    bob.trusts(ada)
    bob.settings["limits"]["disk_free_min"] = "2MiB"
    for peer in (ada, bob):
        peer.start()
    before = _publish(ada, tmp_path / "before", 32)
    bob.until(lambda: before in bob.plasmids("accepted"))
    large = _publish(ada, tmp_path / "large", 20_000)
    bob.until(lambda: large in bob.plasmids() and bob.plasmids()[large].reason == "limits.disk_free_min")
    why = bob.why("ada/large")
    assert (why["state"], why["limit"]) == ("pending", "2 MiB")
    assert "limits.disk_free_min keeps 2 MiB of the disk free" in why["sentence"]
    (hit,) = bob.records("bound_hit")
    assert (hit["setting"], hit["limit"]) == ("limits.disk_free_min", 2 * MIB)
    assert any("limits.disk_free_min is 2 MiB" in warning for warning in bob.status.warnings)
    assert not bob.records("fetch_failed", "error")

    ballast.unlink()
    bob.until(lambda: large in bob.plasmids("accepted"))


def test_in_asking_mode_a_plasmid_waits_for_its_person(make_peer: MakePeer, tmp_path: Path) -> None:
    ada, bob = _pair(make_peer)
    bob.settings["subscribe"] = {"mode": "ask"}
    for peer in (ada, bob):
        peer.start()
    asked, other = (_publish(ada, tmp_path / name, width) for name, width in (("asked", 64), ("other", 32)))
    bob.until(lambda: {asked, other} <= set(bob.plasmids("offered")))
    row = bob.plasmids()[asked]
    assert (row.reason, row.limit) == ("subscribe.mode", "ask")
    assert row.sentence.startswith("it waits for you: `plora fetch` gets its 2.")
    bob.call("Fetch", pb.FetchPlasmidRequest(name="ada/asked"))
    assert asked in bob.plasmids("accepted") and other in bob.plasmids("offered")
    assert len(bob.records("fetch_started")) == 1


def test_pins_and_removals_outlast_a_restart(make_peer: MakePeer, tmp_path: Path) -> None:
    ada, bob = _pair(make_peer)
    for peer in (ada, bob):
        peer.start()
    kept, gone = (_publish(ada, tmp_path / name, 32, seed) for name, seed in (("kept", 1), ("gone", 2)))
    bob.until(lambda: len(bob.plasmids("accepted")) == 2 and len(_merged(bob)) == 2)
    bob.call("Pin", pb.PinRequest(name="ada/kept", pinned=True))
    bob.call("Remove", pb.RemoveRequest(name="ada/gone"))
    bob.until(lambda: _merged(bob) == {"ada/kept@1"} and not _blob(bob, bob.plasmids()[gone].sha256).exists())
    assert not (bob.home.adapters / "ada--gone").exists()
    bob.stop()
    bob.settings["limits"]["store_max"] = 64  # less than either: nothing fits, and the pinned one stays all the same
    bob.start()
    bob.until(lambda: bob.status.links == 1)
    row = bob.plasmids()[kept]
    assert row.pinned and row.state == "accepted" and _blob(bob, row.sha256).exists()
    assert bob.plasmids()[gone].state == "removed"
    assert "you removed it from here" in bob.why("ada/gone")["sentence"]

    bob.settings["limits"]["store_max"] = "1MiB"
    bob.reload()
    bob.call("Pin", pb.PinRequest(name="ada/kept", pinned=False))
    bob.call("Fetch", pb.FetchPlasmidRequest(name="ada/gone"))
    bob.until(lambda: len(bob.plasmids("accepted")) == 2)
    assert not bob.plasmids()[kept].pinned


def test_who_only_carries_passes_on_and_uses_nothing(make_peer: MakePeer, tmp_path: Path) -> None:
    ada, carrier, cyd = (make_peer(name) for name in ("ada", "carrier", "cyd"))
    carrier.dials(ada)
    cyd.dials(carrier)
    for peer in (carrier, cyd):
        peer.trusts(ada)
    carrier.settings["subscribe"] = {"carry": True, "domains": ["none-of-these"]}
    for peer in (ada, carrier, cyd):
        peer.start()
    content = _publish(ada, tmp_path / "legal", 64)
    cyd.until(lambda: content in cyd.plasmids("accepted") and _merged(cyd))
    row = carrier.plasmids()[content]
    assert (row.state, row.folder) == ("carried", "") and "not used here (subscribe.carry)" in row.sentence
    assert not list(carrier.home.adapters.glob("*")) and not _merged(carrier)

    carrier.settings["subscribe"] = {}
    carrier.reload()
    carrier.until(lambda: (carrier.home.adapters / "ada--legal").exists() and _merged(carrier))
    carrier.settings["subscribe"] = {"carry": True}
    carrier.reload()
    carrier.until(lambda: not list(carrier.home.adapters.glob("ada--*")) and not _merged(carrier))


def test_the_download_rate_names_itself_and_changes_without_a_restart(make_peer: MakePeer, tmp_path: Path) -> None:
    ada, bob = _pair(make_peer)
    bob.settings["limits"] |= {"download_rate": "32KiB", "lan_exempt": False}
    for peer in (ada, bob):
        peer.start()
    content = _publish(ada, tmp_path / "large", 20_000, layers=4)  # at 32 KiB/s longer than anybody waits
    bob.until(lambda: content in bob.plasmids() and bob.plasmids()[content].reason == "limits.download_rate")
    bob.until(lambda: "at most 32 KiB/s (limits.download_rate)" in bob.why("ada/large")["sentence"])
    bob.until(lambda: bob.records("bound_hit"))
    assert {hit["setting"] for hit in bob.records("bound_hit")} == {"limits.download_rate"}
    bob.settings["limits"]["lan_exempt"] = True
    bob.reload()
    bob.until(lambda: content in bob.plasmids("accepted"))


def test_the_upload_rate_names_itself_where_it_holds_back(make_peer: MakePeer, tmp_path: Path) -> None:
    ada, bob = _pair(make_peer)
    ada.settings["limits"] |= {"upload_rate": "32KiB", "lan_exempt": False}
    for peer in (ada, bob):
        peer.start()
    content = _publish(ada, tmp_path / "large", 20_000, layers=4)  # at 32 KiB/s longer than anybody waits
    assert "limits.upload_rate is 32 KiB/s" in ada.until(lambda: ada.why("ada/large")["asked_by_others"])
    ada.until(lambda: any("limits.upload_rate (32 KiB/s) was reached" in one for one in ada.status.warnings))
    assert {hit["setting"] for hit in ada.records("bound_hit")} == {"limits.upload_rate"}
    ada.settings["limits"]["upload_rate"] = 0
    ada.reload()
    bob.until(lambda: content in bob.plasmids("accepted"))


def test_the_oldest_gives_way_to_ones_own(make_peer: MakePeer, tmp_path: Path) -> None:
    ada, bob = _pair(make_peer)
    bob.settings["limits"]["store_max"] = 2700
    for peer in (ada, bob):
        peer.start()
    first = _publish(ada, tmp_path / "first", 32, 1)
    bob.until(lambda: first in bob.plasmids("accepted"))
    second = _publish(ada, tmp_path / "second", 32, 2)
    bob.until(lambda: second in bob.plasmids("accepted"))
    mine = _publish(bob, tmp_path / "mine", 32, 3)
    bob.until(lambda: mine in bob.plasmids("own") and bob.plasmids()[mine].outcome == "ACCEPT")
    assert bob.plasmids()[first].reason == "limits.store_max" and second in bob.plasmids("accepted")
    assert not (bob.home.adapters / "ada--first").exists()
    (evicted,) = bob.records("evicted")
    assert (evicted["digest"], evicted["reason"]) == (bob.plasmids()[first].sha256, "limits.store_max")


@pytest.mark.nightly
def test_the_event_log_keeps_to_its_limit(make_peer: MakePeer) -> None:
    ada, bob = _pair(make_peer)
    ada.settings["limits"]["events_max"] = "64KiB"
    ada.settings["gossip"]["round_ms"] = 5
    for peer in (ada, bob):
        peer.start()
    ada.until(lambda: any(hit["setting"] == "limits.events_max" for hit in ada.records("bound_hit")))
    assert sum(log.stat().st_size for log in ada.logs()) <= 64 << 10
    lines = [json.loads(reply.line) for reply in ada.stream("Events", pb.EventsRequest())]
    seqs = [line["seq"] for line in lines]
    assert len(seqs) > 100 and seqs[0] > 0
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def _pair(make_peer: MakePeer) -> tuple[Peer, Peer]:
    ada, bob = make_peer("ada"), make_peer("bob")
    bob.dials(ada)
    bob.trusts(ada)
    return ada, bob


def _publish(peer: Peer, folder: Path, width: int, seed: int = 0, layers: int = 1) -> str:
    plasmid = peer.signed_folder(folder, seed=seed or width, width=width, layers=layers)
    peer.publish(folder)
    return plasmid.content_id.hex()


def _merged(peer: Peer) -> set[str]:
    merges = peer.call("Merges", pb.MergesRequest()).merges
    return {name for merge in merges for name in merge.inputs}


def _blob(peer: Peer, sha256: str) -> Path:
    return peer.home.root / "blobs" / sha256[:2] / sha256


def _free_bytes(place: Path) -> int:
    system = os.statvfs(place)
    return system.f_bavail * system.f_frsize
