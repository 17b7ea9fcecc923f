"""Claim: no peer goes back below what it durably saw, whatever expires, is relayed late, or is restarted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from plora.gate import Policy, Trust
from plora.node.core.alarms import CLOCK_TIMER
from plora.node.core.config import CoreConfig
from plora.node.core.desk import RETRY_MS, Desk
from plora.node.core.effects import Expose, Persist
from plora.node.core.events import Event, Examined, Persisted, PersistFailed, PolicyChanged, Start, TimerDue
from plora.node.core.notices import BytesHeld, Notice, StatementAdded, StatementDropped
from plora.node.core.now import Now
from plora.node.core.rows import CONTENTS_MAX, VERSIONS, VersionRow, decode_version, version_row
from plora.node.store.disk import Put
from plora.node.store.snapshot import Snapshot
from plora.proto.errors import StoreError
from plora.proto.statement import Statement
from plora.sim.clock import WALL_START_MS
from plora.sim.material import ISSUED_S, Plasmid, make_owner, make_plasmid, tiny_adapter
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID

DAY_S = 86_400
LONG_S, SHORT_S = 400 * DAY_S, 300 * DAY_S
ADA, BOB = make_owner("ada", SWARM_ID), make_owner("bob", SWARM_ID)
OLD = make_plasmid(ADA, "legal", tiny_adapter(1), version=1, life_s=LONG_S)
NEW = make_plasmid(ADA, "legal", tiny_adapter(2), version=2, life_s=SHORT_S)
TWIN = make_plasmid(ADA, "legal", tiny_adapter(3), version=1, life_s=SHORT_S)
NOW = Now(1, WALL_START_MS)
LATER = Now(2, (ISSUED_S + SHORT_S + DAY_S) * 1000)
CONFIG = CoreConfig(peer="aa" * 32, swarm=SWARM_ID, boot="1")
SHARED = Shared()
SERIES = (ADA.id, ADA.id, "legal")


class Peer:
    """A desk over rows that outlast it."""

    def __init__(self, trust: Trust | None = None) -> None:
        self.trust = trust or Trust(owners=(ADA.trusted,))
        self.policy = Policy()
        self.rows: dict[bytes, bytes] = {}
        self.shown: list[bytes] = []
        self.start(())

    def start(self, live: tuple[Statement, ...]) -> None:
        tables = {VERSIONS: tuple(sorted(self.rows.items()))}
        self.desk = Desk(CONFIG, self.policy, self.trust, Snapshot(tables=tables), lambda: live)
        self.tell(Start())

    def tell(self, *events: Event | Notice, now: Now = NOW, disk: bool = True) -> None:
        queue: list[Any] = list(events)
        while queue:
            for effect in self.desk.handle(queue.pop(0), now):
                if isinstance(effect, Persist) and disk:
                    self.rows |= {
                        row.key: row.value for row in effect.rows if isinstance(row, Put) and row.table == VERSIONS
                    }
                    queue.append(Persisted(effect.token))
                elif isinstance(effect, Persist):
                    queue.append(PersistFailed(effect.token, "full"))
                elif isinstance(effect, Expose):
                    self.shown.append(effect.content_id)

    def see(self, *plasmids: Plasmid, now: Now = NOW) -> None:
        for plasmid in plasmids:
            self.tell(
                StatementAdded(ADA.record, "bb" * 32, 1), StatementAdded(plasmid.statement, "bb" * 32, 1), now=now
            )

    def hold(self, plasmid: Plasmid, now: Now = NOW) -> None:
        digest = plasmid.manifest.artifacts.sha256
        self.tell(BytesHeld(digest, (), 1, 0, 0), Examined(digest, SHARED.features(plasmid.data)), now=now)

    def lose(self, plasmid: Plasmid, reason: str, now: Now = NOW) -> None:
        self.tell(StatementDropped(plasmid.statement, reason), now=now)

    def verdict(self, plasmid: Plasmid) -> tuple[str, str]:
        verdict = self.desk.book.live[plasmid.content_id].verdict
        assert verdict is not None
        return verdict.outcome.value, verdict.reason


def stays(peer: Peer) -> None:
    return


def restarts(peer: Peer) -> None:
    peer.start(())


@pytest.mark.parametrize("between", [stays, restarts])
def test_an_old_version_stays_superseded_when_the_newer_one_has_expired(between: Callable[[Peer], None]) -> None:
    peer = Peer()
    peer.see(OLD, NEW)
    peer.lose(OLD, "superseded")
    peer.lose(NEW, "expired", LATER)
    between(peer)
    peer.see(OLD, now=LATER)  # a peer that never saw the newer one brings it
    assert peer.verdict(OLD) == ("reject", "superseded")
    peer.hold(OLD, LATER)
    assert peer.shown == []


@pytest.mark.parametrize("between", [stays, restarts])
def test_a_version_with_two_contents_stays_blocked_when_one_has_expired(between: Callable[[Peer], None]) -> None:
    peer = Peer()
    peer.see(OLD, TWIN)
    assert peer.verdict(OLD) == peer.verdict(TWIN) == ("reject", "two_contents")
    peer.lose(TWIN, "expired", LATER)
    peer.lose(OLD, "evicted", LATER)
    between(peer)
    peer.see(OLD, now=LATER)
    assert peer.verdict(OLD) == ("reject", "two_contents")


def test_the_newest_version_itself_comes_back_after_a_restart() -> None:
    peer = Peer()
    peer.see(NEW)
    peer.start((ADA.record, NEW.statement))
    assert peer.verdict(NEW) == ("pending", "bytes_missing")
    peer.hold(NEW)
    assert peer.shown == [NEW.content_id]


def test_only_what_a_trusted_owner_signed_well_counts() -> None:
    peer = Peer(Trust(owners=(BOB.trusted,)))
    peer.see(NEW)
    assert peer.verdict(NEW) == ("pending", "unknown_owner") and not peer.rows
    peer.tell(PolicyChanged(peer.policy, Trust(owners=(ADA.trusted,))))
    assert [decode_version(*row) for row in peer.rows.items()] == [VersionRow(SERIES, 2, (NEW.content_id.hex(),))]


def test_a_version_below_the_quorum_was_seen_all_the_same() -> None:
    peer = Peer(Trust(owners=(ADA.trusted, BOB.trusted)))
    peer.policy = Policy(quorum_required=2)
    peer.start(())
    peer.see(NEW)
    assert len(peer.rows) == 1


def test_a_row_that_could_not_be_written_is_written_later() -> None:
    peer = Peer()
    statements = [StatementAdded(one, "bb" * 32, 1) for one in (ADA.record, NEW.statement)]
    peer.tell(*statements, disk=False)
    assert not peer.rows
    peer.tell(TimerDue(CLOCK_TIMER), now=Now(3, WALL_START_MS + RETRY_MS))
    assert len(peer.rows) == 1


def test_rows_only_rise_and_are_read_back() -> None:
    row = VersionRow(SERIES, 2, ("aa",))
    assert row.raised(1, "bb") == row.raised(2, "aa") == row
    assert row.raised(3, "bb") == VersionRow(SERIES, 3, ("bb",))
    full = row.raised(2, "bb")
    assert len(full.contents) == CONTENTS_MAX and full.raised(2, "cc") == full
    put = version_row(full)
    assert decode_version(put.key, put.value) == full
    for key, value in ((put.key, b"[]"), (b"a/b", put.value), (put.key, b"{}")):
        with pytest.raises(StoreError):
            decode_version(key, value)
