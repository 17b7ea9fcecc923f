"""Two manifests of one name, or of the same bytes: what becomes of one must not harm the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from plora.gate import Policy, Trust
from plora.node.core.config import CoreConfig
from plora.node.core.desk import Desk
from plora.node.core.effects import DropBlob, Expose, Hide, Persist
from plora.node.core.events import Event, Examined, Persisted, Start
from plora.node.core.notices import BytesFailed, BytesHeld, BytesServable, BytesWanted, Notice, StatementAdded
from plora.node.core.now import Now
from plora.node.core.rows import features_row, verdict_row
from plora.node.store.snapshot import Snapshot
from plora.proto.dsse import StatementKind
from plora.proto.manifest import Manifest
from plora.proto.statement import Statement, sign_statement
from plora.sim.clock import WALL_START_MS
from plora.sim.material import make_owner, make_plasmid, revoke, tiny_adapter
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID

ADA, EVE = make_owner("ada", SWARM_ID), make_owner("eve", SWARM_ID)
LINEAGE = "cd" * 32
DATA = tiny_adapter(1)
LEGAL = make_plasmid(ADA, "legal", DATA)
OTHER = make_plasmid(ADA, "legal", tiny_adapter(2), version=1)
NOW = Now(1, WALL_START_MS)
CONFIG = CoreConfig(peer="aa" * 32, swarm=SWARM_ID, boot="1")
SHARED = Shared()


def altered(statement: Statement, owner: Any, **fields: Any) -> Statement:
    """The manifest with other fields, signed again by `owner`."""
    manifest = Manifest.from_bytes(statement.payload)
    return sign_statement(StatementKind.MANIFEST, manifest.model_copy(update=fields), owner.key)


def run(desk: Desk, *events: Event | Notice) -> list[Any]:
    queue, out = list(events), []
    while queue:
        effects = desk.handle(queue.pop(0), NOW)
        out += effects
        queue += [Persisted(effect.token) for effect in effects if isinstance(effect, Persist)]
    return out


def bring(desk: Desk, *statements: Statement) -> list[Any]:
    return run(desk, *(StatementAdded(statement, "bb" * 32, 1) for statement in statements))


def held(desk: Desk, data: bytes, digest: str) -> list[Any]:
    return run(desk, BytesHeld(digest, (), 1, 0, 0), Examined(digest, SHARED.features(data)))


def test_withdrawing_one_lineage_leaves_the_name_to_the_other() -> None:
    trust = Trust(owners=(replace(ADA.trusted, lineages=(ADA.id, LINEAGE)),))
    desk = Desk(CONFIG, Policy(), trust, Snapshot(), lambda: ())
    newer = altered(OTHER.statement, ADA, lineage=LINEAGE)
    bring(desk, ADA.record, LEGAL.statement, newer)
    for plasmid in (LEGAL, OTHER):
        held(desk, plasmid.data, plasmid.manifest.artifacts.sha256)
    assert all(one.usable and one.name == "ada--legal" for one in desk.book.live.values())
    out = bring(desk, revoke(ADA, "content", LEGAL.content_id.hex()))
    assert not [one for one in out if isinstance(one, Hide)]
    assert [one.content_id for one in out if isinstance(one, Expose)] == [newer.id]
    out = bring(desk, revoke(ADA, "content", newer.id.hex()))
    assert [one for one in out if isinstance(one, Hide)] == [Hide("ada--legal")]


def test_bytes_are_served_as_their_trusted_signer_cut_them() -> None:
    """A stranger's manifest of the same bytes comes first after a restart, and is served by nobody."""
    artifacts = LEGAL.manifest.artifacts
    foreign = artifacts.model_copy(update={"chunk_bytes": artifacts.chunk_bytes * 2, "chunk_count": 1})
    stranger = altered(make_plasmid(EVE, "copy", DATA).statement, EVE, artifacts=foreign)
    desk = Desk(CONFIG, Policy(), Trust(owners=(ADA.trusted,)), Snapshot(), lambda: ())
    bring(desk, ADA.record, LEGAL.statement)
    held(desk, DATA, artifacts.sha256)
    kept = verdict_row(LEGAL.content_id, desk.book.live[LEGAL.content_id].row)
    known = features_row(artifacts.sha256, SHARED.features(DATA))
    snapshot = Snapshot(
        tables={"verdicts": ((kept.key, kept.value),), "features": ((known.key, known.value),)},
        held={artifacts.sha256: artifacts.size_bytes},
    )
    live = (EVE.record, ADA.record, stranger, LEGAL.statement)
    again = Desk(CONFIG, Policy(), Trust(owners=(ADA.trusted,)), snapshot, lambda: live)
    (served,) = [one for one in run(again, Start()) if isinstance(one, BytesServable)]
    assert served == BytesServable(artifacts.sha256, artifacts.size_bytes, artifacts.chunk_bytes)


def test_a_false_chunk_list_condemns_its_signer_alone() -> None:
    """Another trusted owner signs the same digest under chunks that don't give it, and is fetched first."""
    artifacts = LEGAL.manifest.artifacts
    false = altered(
        make_plasmid(EVE, "copy", DATA).statement, EVE, artifacts=artifacts.model_copy(update={"chunk_root": "ee" * 32})
    )
    desk = Desk(CONFIG, Policy(), Trust(owners=(ADA.trusted, EVE.trusted)), Snapshot(), lambda: ())
    bring(desk, EVE.record, false)
    run(desk, BytesFailed(artifacts.sha256, "bad_hash"))
    out = bring(desk, ADA.record, LEGAL.statement)
    assert _reason(desk, false.id) == "hash_mismatch"
    assert [one.artifact.chunk_root.hex() for one in out if isinstance(one, BytesWanted)] == [artifacts.chunk_root]
    held(desk, DATA, artifacts.sha256)
    assert _reason(desk, LEGAL.content_id) == ""


def test_bytes_that_rot_before_they_are_examined_are_fetched_again() -> None:
    digest = LEGAL.manifest.artifacts.sha256
    desk = Desk(CONFIG, Policy(), Trust(owners=(ADA.trusted,)), Snapshot(), lambda: ())
    bring(desk, ADA.record, LEGAL.statement)
    out = held(desk, DATA[:-1] + b"\x00", digest)
    assert [one for one in out if isinstance(one, DropBlob)] == [DropBlob(digest)]
    assert _reason(desk, LEGAL.content_id) == "bytes_missing"
    held(desk, DATA, digest)
    assert _reason(desk, LEGAL.content_id) == ""


def _reason(desk: Desk, content_id: bytes) -> str:
    verdict = desk.book.live[content_id].verdict
    assert verdict is not None
    return verdict.reason
