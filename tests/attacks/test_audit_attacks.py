"""Attacks on what a peer remembers: its audit edited or cut, its disk taken back to an earlier day."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from plora.gate import Trust
from plora.node.audit.chain import AUDIT, AUDIT_STATE, Ends, Fact, Mark, chain_hash, ends_row, entry_key, read_ends
from plora.node.audit.facts import ACKNOWLEDGED
from plora.node.audit.verify import Note, faults_of
from plora.node.store.real_disk import RealDisk
from plora.node.store.store import Store
from plora.proto.canonical import INTEGER_MAX
from plora.proto.home import Home
from plora.proto.record_lines import record_from_line
from plora.sim.material import make_owner, make_plasmid, revoke, tiny_adapter
from plora.sim.peer import SimPeer
from plora.sim.swarm import SWARM_ID, Swarm
from plora.sim.topology import ring
from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from tests.attacks.conftest import Watched
    from tests.swarm.conftest import MakePeer, Peer

pytestmark = pytest.mark.timeout(120)

PLORA = Path(sys.executable).with_name("plora")
GET = "SELECT value FROM rows WHERE tab = ? AND key = ?"
PUT = "UPDATE rows SET value = ? WHERE tab = ? AND key = ?"
CUT = "DELETE FROM rows WHERE tab = ? AND key = ?"


@contextlib.contextmanager
def state_of(home: Path) -> Iterator[sqlite3.Connection]:
    """The database of a stopped peer, as anybody with the file has it."""
    with contextlib.closing(sqlite3.connect(home / "state.db")) as database:
        yield database
        database.commit()


def head_of(database: sqlite3.Connection) -> Mark:
    (value,) = database.execute(GET, (AUDIT_STATE, b"ends")).fetchone()
    return read_ends(value).head


def edit_an_entry(database: sqlite3.Connection) -> str:
    (value,) = database.execute(GET, (AUDIT, entry_key(3))).fetchone()
    database.execute(PUT, (value.replace(b'"at_ms":1', b'"at_ms":2'), AUDIT, entry_key(3)))
    return "entry 3 was edited, or entry 4: they don't fit together"


def take_one_out(database: sqlite3.Connection) -> str:
    database.execute(CUT, (AUDIT, entry_key(4)))
    return "entry 4 is missing"


def cut_the_tail(database: sqlite3.Connection) -> str:
    """Neatly: the ends say what is left, and so does every row that the last entries told of."""
    last = head_of(database).seq
    database.execute("DELETE FROM rows WHERE tab IN ('verdicts', 'versions', 'merges')")
    for seq in range(4, last + 1):
        database.execute(CUT, (AUDIT, entry_key(seq)))
    (value,) = database.execute(GET, (AUDIT, entry_key(3))).fetchone()
    fitting = ends_row(Ends(head=Mark(3, chain_hash(value))))
    database.execute(PUT, (fitting.value, AUDIT_STATE, b"ends"))
    return f"cut at the tail: entries 4 to {last} are missing, as events/"


def turn_a_verdict(database: sqlite3.Connection) -> str:
    key, value = database.execute("SELECT key, value FROM rows WHERE tab = 'verdicts'").fetchone()
    database.execute(PUT, (value.replace(b'"outcome":"accept"', b'"outcome":"reject"'), "verdicts", key))
    return f"the row of `verdicts` about {key.hex()} isn't what entry"


def verify(home: Path) -> tuple[int, list[str]]:
    """What `plora audit verify` says of a stopped peer."""
    done = subprocess.run(
        [PLORA, "audit", "verify", "--json", "--home", home], capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    return done.returncode, [fault["what"] for fault in json.loads(done.stdout)["faults"]]


@pytest.fixture
def peer(make_peer: MakePeer, tmp_path: Path) -> Peer:
    """A peer that accepted and merged something of its own, and left."""
    ada = make_peer("ada")
    ada.trusts(ada)
    ada.start()
    ada.signed_folder(tmp_path / "legal", seed=1)
    ada.publish(tmp_path / "legal")
    ada.until(lambda: ada.records("merge"))
    return ada


@pytest.mark.parametrize("meddle", [edit_an_entry, take_one_out, cut_the_tail, turn_a_verdict])
def test_attack_114_an_audit_edited_or_cut(
    attack: Watched, peer: Peer, tmp_path: Path, meddle: Callable[[sqlite3.Connection], str]
) -> None:
    """`plora audit verify` says where, of a stopped peer and of one that was started on what is left."""
    assert peer.call("VerifyAudit", pb.VerifyAuditRequest()).faults == []
    peer.stop()
    assert verify(peer.home.root) == (0, [])
    with state_of(peer.home.root) as database:
        said = meddle(database)
    code, found = verify(peer.home.root)
    assert code == 1 and any(what.startswith(said) for what in found), found
    attack.saw("holds", said.partition(":")[0].partition(" about ")[0])
    peer.start()

    def agreed() -> list[list[str]]:
        """What the doctor tells, once it agrees: a turned verdict is judged again, maybe between both calls."""
        lasting = peer.call("VerifyAudit", pb.VerifyAuditRequest()).faults
        told = [one.what for one in peer.call("Doctor", pb.DoctorRequest()).findings if one.check == "audit"]
        return [told] if bool(told) == bool(lasting) else []

    (told,) = peer.until(agreed)
    at_start = [record["what"] for record in peer.records("error")]
    grown = meddle is cut_the_tail  # and the chain may have grown past the cut: then it differs from what was noted
    assert any(
        what.startswith(said.partition(":")[0]) or (grown and "isn't what events/" in what)
        for what in (*told, *at_start)
    ), (told, at_start)
    attack.saw("holds", "the running peer says it")


def test_attack_114_a_copy_that_was_cut(attack: Watched, peer: Peer, tmp_path: Path) -> None:
    """An exported file that fits in itself is found out by the head that was noted when it was written."""
    copied, cut = tmp_path / "audit.jsonl", tmp_path / "cut.jsonl"
    command: list[str | Path] = [PLORA, "audit", "export", "--json", "--home", peer.home.root, copied]
    head = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["head"]
    peer.stop()
    first, *entries = copied.read_text().splitlines()
    end = {"seq": len(entries) - 1, "head": chain_hash(entries[-2].encode())}
    cut.write_text("\n".join([json.dumps(json.loads(first) | {"head": end}), *entries[:-1]]) + "\n")
    verdicts = [
        subprocess.run([PLORA, "audit", "verify", file, "--head", head], capture_output=True, text=True, check=False)
        for file in (copied, cut)
    ]
    assert [done.returncode for done in verdicts] == [0, 1]
    said = f"entry {len(entries)}: cut at the tail: entry {len(entries)} is missing, as the given head shows"
    assert verdicts[1].stdout.strip() == said
    attack.saw("holds", "cut at the tail")


def test_attack_114_a_forged_acknowledgement(attack: Watched, peer: Peer) -> None:
    """Who cuts the tail may answer for it in a person's name: it stays in sight, and noted heads still show it."""
    told = peer.call("VerifyAudit", pb.VerifyAuditRequest())
    noted = f"{told.end}:{told.head}"
    peer.stop()
    with state_of(peer.home.root) as database:
        cut_the_tail(database)
    with contextlib.closing(RealDisk(peer.home.root)) as disk:
        forged = Fact(5, ACKNOWLEDGED, "nothing", {"seen": "", "until": INTEGER_MAX, "note": "all is well"})
        Store(disk).commit((), [forged])
    command: list[str | Path] = [PLORA, "audit", "verify", "--home", peer.home.root]
    alone, compared = (
        subprocess.run([*command, *more], capture_output=True, text=True, check=False)
        for more in ((), ("--head", noted))
    )
    assert "are missing, as events/" in alone.stdout or "isn't what events/" in alone.stdout
    assert "all is well" in alone.stdout
    assert compared.returncode == 1 and "the given head" in compared.stdout
    attack.saw("holds", "it stays in sight")


def notes(lines: Iterable[str]) -> list[Note]:
    bodies = (record_from_line(line).body for line in lines if '"kind":"audited"' in line)
    return [Note(body.entry, body.head, "the log") for body in bodies]  # type: ignore[attr-defined]


def test_attack_093_a_disk_from_before_a_revocation(attack: Watched) -> None:
    """What was revoked meanwhile is revoked again at once; the audit shows that the state went back."""
    ada = make_owner("ada", SWARM_ID)
    legal = make_plasmid(ada, "legal", tiny_adapter(1))
    swarm = Swarm(3)
    ids = swarm.add(3, ring(3), trust=Trust(owners=(ada.trusted,)))
    swarm.boot()
    giver, victim = swarm.peer(ids[0]), swarm.peer(ids[1])
    giver.publish((ada.record, legal.statement), (legal.data,))
    assert swarm.run_until(lambda: swarm.usable(legal.content_id) == 3, limit_s=60)
    swarm.run(2)
    before = copy.deepcopy(victim.disk)
    giver.publish((revoke(ada, "content", legal.content_id.hex()),))
    assert swarm.run_until(lambda: swarm.usable(legal.content_id) == 0, limit_s=60)
    swarm.run(2)
    _restore(victim, before)
    assert any(fault.what.startswith("cut at the tail") for fault in faults_of(victim.store.audit(), notes(victim.log)))
    assert swarm.run_until(lambda: swarm.usable(legal.content_id) == 0, limit_s=60)
    swarm.run(10)
    assert swarm.usable(legal.content_id) == 0 and victim.adapters == {} and victim.merged == {"mini": ()}
    shown = [fault.what for fault in faults_of(victim.store.audit(), notes(victim.log))]
    assert any("isn't what the log noted" in what for what in shown), shown
    attack.saw("holds", "revoked again, and the audit shows the way back")


def _restore(peer: SimPeer, disk: object) -> None:
    peer.crash()
    peer.disk = disk  # type: ignore[assignment]
    peer.boot()


def test_a_home_can_be_copied_and_its_copy_holds(peer: Peer, tmp_path: Path) -> None:
    peer.stop()
    shutil.copytree(peer.home.root, tmp_path / "copy", ignore=shutil.ignore_patterns("run"))
    assert verify(Home(tmp_path / "copy").root) == (0, [])
