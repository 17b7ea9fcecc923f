"""The demo's claims are counted from what peers say: each of them can turn out false."""

import json
from pathlib import Path
from typing import Any

import pytest

from plora.lab.demo.board import cell
from plora.lab.demo.makers import spoil
from plora.lab.demo.outcome import Crash, held, improved, perplexity_table, refused, resumed
from plora.lab.demo.peers import DemoPeer, settings
from plora.lab.demo.plan import CRASHED, GOOD, LINKS, MALLORY, PEERS, PIECES, TAMPERED, plan_for
from plora.lab.demo.story import run_demo
from plora.node.daemon.config import load_config
from plora.proto.errors import ConfigError, UsageError
from plora.v1 import admin_pb2

DIGEST = "ab" * 32
CHUNK = 16 << 10


def a_good_end() -> dict[str, dict[str, admin_pb2.Plasmid]]:
    known: dict[str, dict[str, admin_pb2.Plasmid]] = {}
    for peer in PEERS:
        known[peer] = {piece.plasmid_id: admin_pb2.Plasmid(state="accepted") for piece in GOOD}
        known[peer][f"arithmetic-{TAMPERED}"] = admin_pb2.Plasmid(state="refused", reason="hash_mismatch")
        known[peer][f"legal-{MALLORY}"] = admin_pb2.Plasmid(state="refused", reason="unknown_owner")
    return known


def test_a_good_end_makes_every_claim_true() -> None:
    known = a_good_end()
    assert (held(known).true, held(known).text) == (True, "15 of 15 good copies held")
    assert (refused(known).true, refused(known).text) == (True, "9 of 9 bad copies refused for the right reason")


def test_one_missing_copy_is_counted() -> None:
    known = a_good_end()
    known["bob"]["medical"].state = "fetching"
    assert (held(known).true, held(known).text[:8]) == (False, "14 of 15")


@pytest.mark.parametrize(
    ("state", "reason"), [("accepted", ""), ("refused", "too_large"), ("pending", "hash_mismatch")]
)
def test_a_bad_copy_must_be_refused_and_for_its_own_reason(state: str, reason: str) -> None:
    known = a_good_end()
    known["ada"][f"arithmetic-{TAMPERED}"] = admin_pb2.Plasmid(state=state, reason=reason)
    assert (refused(known).true, refused(known).text[:6]) == (False, "8 of 9")


def test_the_publisher_of_spoilt_bytes_is_not_counted() -> None:
    known = a_good_end()
    known[TAMPERED][f"arithmetic-{TAMPERED}"] = admin_pb2.Plasmid(state="own")
    assert refused(known).true


def crashed_peer(home: Path, done: dict[str, int] | None) -> DemoPeer:
    records: list[dict[str, Any]] = [{"kind": "fetch_started", "digest": DIGEST, "size_bytes": 10 * CHUNK}]
    if done is not None:
        records.append({"kind": "fetch_done", "digest": DIGEST, **done})
    (home / "events").mkdir(parents=True)
    (home / "events" / "1.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records) + '{"kind":"fetch_d')
    return DemoPeer(CRASHED, home, home / "log")


@pytest.mark.parametrize(
    ("done", "true"),
    [
        ({"resumed_bytes": 3 * CHUNK, "wire_bytes": 7 * CHUNK, "wasted_bytes": 0}, True),
        ({"resumed_bytes": 0, "wire_bytes": 10 * CHUNK, "wasted_bytes": 0}, False),
        ({"resumed_bytes": 3 * CHUNK, "wire_bytes": 8 * CHUNK, "wasted_bytes": 0}, False),
        ({"resumed_bytes": 3 * CHUNK, "wire_bytes": 7 * CHUNK, "wasted_bytes": CHUNK}, False),
        (None, False),
    ],
)
def test_resuming_means_that_nothing_stored_came_again(tmp_path: Path, done: dict[str, int] | None, true: bool) -> None:
    claim = resumed(crashed_peer(tmp_path, done), Crash("ada/arithmetic", DIGEST, 30.0), plan_for("mini"))
    assert claim.true is true


def test_without_a_crash_in_the_middle_the_claim_is_false(tmp_path: Path) -> None:
    assert not resumed(crashed_peer(tmp_path, None), Crash(), plan_for("mini")).true


def rows(helps: bool) -> list[dict[str, Any]]:
    interval = {"value": 3.0, "low": 2.0, "high": 4.0}
    merged = [{"adapter": "merged", "domain": one.domain, "helps": helps, "perplexity": interval} for one in GOOD]
    return [*merged, {"adapter": "base", "domain": "legal", "helps": False, "perplexity": interval}]


def test_domains_improve_only_with_an_interval_that_excludes_no_change() -> None:
    assert improved(rows(helps=True)).true
    assert not improved(rows(helps=False)).true
    assert not improved([]).true
    assert perplexity_table(rows(helps=True)).row_count == len(GOOD)


def test_cells_say_own_percent_seconds_or_the_reason() -> None:
    accepted = admin_pb2.Plasmid(state="accepted", seen_wall_ms=1000, accepted_wall_ms=3500)
    assert cell(accepted).plain == "✓ 2.5 s"
    assert cell(admin_pb2.Plasmid(state="fetching", percent=41.6)).plain == "42 %"
    assert cell(admin_pb2.Plasmid(state="refused", reason="hash_mismatch")).plain == "✗ hash mismatch"
    assert cell(admin_pb2.Plasmid(state="own")).plain == "own"


def test_spoiling_changes_every_chunk_and_nothing_else(tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / DIGEST[:2] / DIGEST
    blob.parent.mkdir(parents=True)
    blob.write_bytes(bytes(2 * CHUNK + 5))
    spoil(tmp_path, DIGEST, CHUNK)
    after = blob.read_bytes()
    assert [i for i, byte in enumerate(after) if byte] == [0, CHUNK, 2 * CHUNK]


def test_the_demo_needs_a_folder_and_a_base_that_it_knows(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(ConfigError, match="--dir"):
        run_demo("mini", tmp_path)
    assert (tmp_path / "mine").read_text() == "keep"
    with pytest.raises(UsageError, match="smollm2"):
        run_demo("nosuch", tmp_path / "new")


def test_settings_of_a_demo_peer_are_good_settings(tmp_path: Path) -> None:
    from plora.lab.demo.peers import Address

    near = [Address("cd" * 32, "127.0.0.1:4000")]
    path = tmp_path / "peer.yaml"
    path.write_text(settings("ada", "127.0.0.1:4001", near, base="mini", upload_rate=49152, merge=False))
    peer = load_config(path).peer
    assert (peer.policy.unknown_owner, peer.limits.upload_rate, peer.merge.enabled) == ("reject", 49152, False)
    assert peer.neighbours[0].peer == "cd" * 32


def test_everybody_is_linked_and_everything_is_published_somewhere() -> None:
    assert {one for link in LINKS for one in link} == set(PEERS) == {piece.peer for piece in PIECES}
