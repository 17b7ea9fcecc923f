"""A receiver, and now and then the publisher, killed at random moments: nothing lost, half accepted or fetched twice.

Between two boots the dead peer's home is read from the outside: rows of a copy of `state.db`, files, event logs. What
was asked of the publisher comes from the publisher's own recording of what it received.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plora.gate import Outcome
from plora.merge import read_adapter
from plora.node.core.effects import Merge
from plora.node.core.rows import VERDICTS, decode_verdict
from plora.node.driver.shelf import Shelf
from plora.node.gossip.rows import STATEMENTS
from plora.node.store.rows import HELD
from plora.node.store.store import blob_path, partial_path
from plora.proto.chunks import describe_artifact
from plora.sim.material import CHUNK_BYTES, Plasmid

if TYPE_CHECKING:
    from tests.swarm.conftest import Json, MakePeer, Peer

UPLOAD_RATE = 160 * 1024
WIDTH = 5000  # 160 KB: ten chunks, a second
PLASMIDS = 6
EVENTS = ("fetch_done", "verdict")
MOMENTS = ("spawn", "ready", *EVENTS)

Chunks = dict[str, frozenset[int]]  # by digest


@dataclass
class Watch:
    """What must outlive every kill of one peer. `boots`: the log of each boot, with the chunks stored before it."""

    peer: Peer
    plasmids: dict[str, Plasmid] = field(default_factory=dict)  # by content id
    boots: list[tuple[Path, Chunks]] = field(default_factory=list)
    _before: Chunks = field(default_factory=dict)

    def spawn(self) -> None:
        self._before = {_digest(one): self.stored(one) for one in self.plasmids.values()}
        self.peer.spawn()

    def ended(self) -> None:
        """The boot is over: everything that it acknowledged is still there."""
        known = [log for log, _ in self.boots]
        self.boots += [(log, self._before) for log in self.peer.logs() if log not in known]
        rows = dict(self._rows())
        self._nothing_lost(rows)
        for link in self.peer.home.adapters.glob("*--plasmid-*"):
            self._whole(link, rows)
        current = self.peer.home.merged / "mini" / "current"
        if current.exists() or current.is_symlink():
            assert read_adapter(current).pairs.keys() == {"model.layers.0.self_attn.q_proj"}

    def accepted_at_once(self) -> None:
        """Right after a start, what was accepted before it is accepted."""
        found = self.peer.plasmids()
        assert {found[one].state for one in self.accepted()} <= {"accepted", "own"}

    def unfinished(self) -> bool:
        """Whether this boot began without all chunks of all plasmids."""
        return any(len(self._before[_digest(one)]) < len(_all_chunks(one)) for one in self.plasmids.values())

    def stored(self, plasmid: Plasmid) -> frozenset[int]:
        """The chunks of a plasmid that lie on this peer's disk."""
        digest = _digest(plasmid)
        paths = (self.peer.home.root / place(digest) for place in (blob_path, partial_path))
        data = next((path.read_bytes() for path in paths if path.exists()), b"")
        hashes = describe_artifact(plasmid.data, CHUNK_BYTES).hashes
        pieces = (data[at : at + CHUNK_BYTES] for at in range(0, len(plasmid.data), CHUNK_BYTES))
        found = (hashlib.sha256(piece).digest() for piece in pieces)
        return frozenset(index for index, pair in enumerate(zip(found, hashes, strict=True)) if pair[0] == pair[1])

    def _nothing_lost(self, rows: dict[tuple[str, str], bytes]) -> None:
        for record in self.peer.records("statement_seen"):
            assert (STATEMENTS, record["id"]) in rows, "a statement that was seen is gone"
        for content_id in self.accepted():
            assert decode_verdict(rows[VERDICTS, content_id]).usable, "a verdict is gone"
            assert len(self.stored(self.plasmids[content_id])) == len(_all_chunks(self.plasmids[content_id]))
            assert (HELD, _digest(self.plasmids[content_id])) in rows, "a held blob is gone"

    def _whole(self, link: Path, rows: dict[tuple[str, str], bytes]) -> None:
        """An adapter's folder is one of a plasmid whose verdict and verified bytes are durable."""
        content_id = link.readlink().name
        plasmid = self.plasmids[content_id]
        digest = _digest(plasmid)
        assert decode_verdict(rows[VERDICTS, content_id]).usable
        assert (HELD, digest) in rows
        assert (link / "adapter_model.safetensors").read_bytes() == plasmid.data
        assert (self.peer.home.root / blob_path(digest)).read_bytes() == plasmid.data
        assert read_adapter(link).spec.r == plasmid.manifest.lora.r

    def accepted(self) -> list[str]:
        """The content ids of which the log says so."""
        return [record["id"] for record in self.peer.records("verdict") if record["outcome"] == Outcome.ACCEPT]

    def _rows(self) -> Iterator[tuple[tuple[str, str], bytes]]:
        """The rows of the dead peer by table and key, from a copy, for opening the database would mend it."""
        copy = self.peer.home.root.with_name("copy")
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for path in self.peer.home.root.glob("state.db*"):
            shutil.copy(path, copy)
        if not (copy / "state.db").exists():
            return
        database = sqlite3.connect(copy / "state.db")
        try:
            if database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'rows'").fetchone() == (1,):
                for table, key, value in database.execute("SELECT tab, key, value FROM rows"):
                    yield (table, key.hex()), value
        finally:
            database.close()


def _digest(plasmid: Plasmid) -> str:
    return plasmid.manifest.artifacts.sha256


def _all_chunks(plasmid: Plasmid) -> range:
    return range(plasmid.manifest.artifacts.chunk_count)


@pytest.mark.slow
@pytest.mark.timeout(110)
def test_a_few_kills_lose_nothing_and_fetch_nothing_twice(make_peer: MakePeer, tmp_path: Path) -> None:
    _killed(make_peer, tmp_path, kills=6, seed=1)


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [2, 3])
def test_fifty_kills_lose_nothing_and_fetch_nothing_twice(make_peer: MakePeer, tmp_path: Path, seed: int) -> None:
    _killed(make_peer, tmp_path, kills=50, seed=seed)


def _killed(make_peer: MakePeer, tmp_path: Path, *, kills: int, seed: int) -> None:
    draw = random.Random(seed)
    ada, bob = Watch(make_peer("ada")), Watch(make_peer("bob"))
    bob.peer.dials(ada.peer)
    bob.peer.trusts(ada.peer)
    ada.peer.settings["limits"] |= {"upload_rate": UPLOAD_RATE, "lan_exempt": False}
    ada.peer.settings["record"] = True
    ada.spawn()
    ada.peer.ready()
    publish_at = sorted(draw.sample(range(kills), PLASMIDS))
    moments = draw.sample(MOMENTS, kills, counts=[kills] * len(MOMENTS))
    for kill in range(kills):
        if kill in publish_at:
            _publish(ada, bob, tmp_path / f"plasmid-{kill}", seed=kill)
        _one_kill(draw, moments[kill], ada, bob, with_publisher=kill % 4 == 3)

    bob.spawn()
    bob.peer.ready()
    bob.peer.until(lambda: len(bob.peer.plasmids("accepted")) == PLASMIDS)
    accepted = {name for name, one in bob.peer.plasmids().items() if one.state == "accepted"}
    bob.peer.until(lambda: _merged_inputs(bob.peer) == {*bob.plasmids})
    assert sorted(link.readlink().name for link in bob.peer.home.adapters.glob("*--plasmid-*")) == sorted(bob.plasmids)
    for watch in (bob, ada):
        watch.peer.stop()
        watch.ended()
    assert accepted == {*bob.plasmids} == {*ada.plasmids}
    assert {*bob.accepted()} == {*bob.plasmids} == {*ada.accepted()}
    assert [record["id"] for record in ada.peer.records("published")] == list(ada.plasmids)
    assert not bob.peer.records("error", "penalty", "fetch_failed", "repair")
    _nothing_fetched_twice(bob)
    assert _asked_again(ada, bob) == []


def _publish(ada: Watch, bob: Watch, folder: Path, seed: int) -> None:
    plasmid = ada.peer.signed_folder(folder, seed=seed, width=WIDTH)
    for watch in (ada, bob):
        watch.plasmids[plasmid.content_id.hex()] = plasmid
    ada.peer.publish(folder)


def _one_kill(draw: random.Random, moment: str, ada: Watch, bob: Watch, *, with_publisher: bool) -> None:
    """Start the receiver, and kill it a moment after it began to start, answered, or wrote a record of something."""
    bob.spawn()
    if moment != "spawn":
        bob.peer.ready()
        bob.accepted_at_once()
    if moment in EVENTS and bob.unfinished():
        bob.peer.until(lambda: any(_new(record) for record in _of_kind(bob.peer.logs()[-1], moment)))
    bob.peer.kill_after(draw.uniform(0.0, 0.3 if moment == "verdict" else 0.8))
    bob.ended()
    if with_publisher:
        ada.peer.kill()
        ada.ended()
        ada.spawn()
        ada.peer.ready()
        assert {one.state for one in ada.peer.plasmids().values()} <= {"own"}
        assert ada.peer.plasmids().keys() == ada.plasmids.keys()


def _new(record: Json) -> bool:
    """A fetch that is done, or a good verdict: not the first ones, on a plasmid that is yet to be fetched."""
    return bool(record.get("outcome", Outcome.ACCEPT) == Outcome.ACCEPT)


def _merged_inputs(peer: Peer) -> set[str]:
    merges = peer.records("merge")
    return set(merges[-1]["inputs"]) if merges else set()


def _nothing_fetched_twice(bob: Watch) -> None:
    """What a boot found on its disk counts as resumed; the rest, and only that, came over the wire."""
    whole = {_digest(one): one for one in bob.plasmids.values()}
    done = bob.peer.records("fetch_done")
    assert len({record["digest"] for record in done}) == len(done)
    for record in done:
        assert record["resumed_bytes"] + record["wire_bytes"] == len(whole[record["digest"]].data)
        assert record["wasted_bytes"] == 0
    resumed = 0
    for log, before in bob.boots:
        for record in _of_kind(log, "fetch_started"):
            stored = before.get(record["digest"], frozenset())
            spans = (whole[record["digest"]].data[index * CHUNK_BYTES :][:CHUNK_BYTES] for index in stored)
            assert record["resumed_bytes"] == sum(map(len, spans))
            resumed += len(stored)
    assert resumed > 0, "no kill met a transfer under way"


def _asked_again(ada: Watch, bob: Watch) -> list[tuple[str, int]]:
    """Chunks that the receiver asked for although they lay on its disk when that boot began."""
    boots = {record["boot"]: before for log, before in bob.boots for record in _of_kind(log, "boot")}
    again: list[tuple[str, int]] = []
    wants = 0
    before: Chunks = {}
    for message in _received(ada.peer, bob.peer.id):
        if "Hello" in message:
            before = boots[message["Hello"]["boot"]]
        elif "Want" in message:
            want = message["Want"]
            wants += len(want["chunks"])
            again += [(want["digest"], index) for index in want["chunks"] if index in before.get(want["digest"], ())]
    assert wants >= PLASMIDS
    return again


def _received(peer: Peer, sender: str) -> Iterator[Json]:
    """What a peer recorded of another's frames, over all boots. A kill may cut a recording's last line."""
    for recording in sorted(peer.home.events.glob("*.inputs")):
        for line in recording.read_text().splitlines(keepends=True):
            event = json.loads(line).get("event", {}) if line.endswith("\n") else {}
            if event.get("Received", {}).get("peer") == sender:
                yield event["Received"]["message"]


def _of_kind(log: Path, kind: str) -> list[Json]:
    return [record for record in map(json.loads, log.read_text().splitlines()) if record["kind"] == kind]


def test_a_merge_of_a_killed_peer_never_meets_the_next_one(tmp_path: Path) -> None:
    """Its worker may go on for a while, and writes where nobody looks; the next start sweeps it."""
    shelf, effect = Shelf(tmp_path, {}), Merge("mini", 1, ())
    before = Path(shelf.merge_request(effect)["out"])
    shelf.sweep()
    assert not before.exists()
    assert Path(shelf.merge_request(effect)["out"]) != before
