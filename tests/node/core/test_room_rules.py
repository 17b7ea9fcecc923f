"""Whatever happens in whatever order: bounds are kept, wishes obeyed, and nothing is fetched and deleted in turn."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.node.core.conftest import ADA, BOB, CONFIG, Bench, those

from plora.node.core.config import Limits
from plora.node.core.effects import DropBlob
from plora.node.core.events import (
    DiskSpace,
    FetchAsked,
    PinAsked,
    PolicyChanged,
    Publish,
    RemoveAsked,
    RoomNeeded,
    SettingsChanged,
)
from plora.node.core.notices import BytesWanted, StatementDropped
from plora.sim.material import Plasmid, make_plasmid, tiny_adapter

PLASMIDS = [
    make_plasmid(owner, f"p{n}", tiny_adapter(n, width=w))
    for n, (owner, w) in enumerate([(ADA, 32), (BOB, 32), (ADA, 64), (BOB, 64), (ADA, 128), (BOB, 16)])
]
UNIT = 1280
SOME = st.integers(0, len(PLASMIDS) - 1)


@dataclass(frozen=True)
class Kept:
    """What has to stay."""

    pinned: frozenset[bytes] = frozenset()
    own: frozenset[bytes] = frozenset()


class Keeping(RuleBasedStateMachine):
    """A desk that is told anything."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = Limits(store_max=4 * UNIT)
        self.bench = Bench(config=replace(CONFIG, limits=self.limits))
        self.bench.add(ADA.record, BOB.record)
        self.kept = Kept()

    def live(self, plasmid: Plasmid) -> bool:
        return plasmid.content_id in self.bench.desk.book.live

    @initialize()
    def measured(self) -> None:
        self.bench.tell(DiskSpace(100 * UNIT))

    @rule(number=SOME)
    def seen(self, number: int) -> None:
        plasmid = PLASMIDS[number]
        self.bench.wall_ms += 1
        if not self.live(plasmid):
            self.bench.add(plasmid.statement)

    @rule(number=SOME)
    def published(self, number: int) -> None:
        plasmid = PLASMIDS[number]
        self.bench.wall_ms += 1
        if not self.live(plasmid):
            self.bench.tell(RoomNeeded(plasmid.manifest.artifacts.size_bytes))
            self.bench.tell(Publish((plasmid.statement,), (plasmid.manifest.artifacts.sha256,)))
            self.bench.add(plasmid.statement, via=None)
            self.kept = replace(self.kept, own=self.kept.own | {plasmid.content_id})

    @rule()
    def bytes_come(self) -> None:
        for plasmid in PLASMIDS:
            if plasmid.manifest.artifacts.sha256 in self.bench.desk.larder.fetching:
                self.bench.hold(plasmid)
                return

    @rule(number=SOME)
    def asked(self, number: int) -> None:
        plasmid = PLASMIDS[number]
        self.bench.tell(FetchAsked(plasmid.content_id))

    @rule(number=SOME, pinned=st.booleans())
    def pinned(self, number: int, pinned: bool) -> None:
        plasmid = PLASMIDS[number]
        self.bench.tell(PinAsked(plasmid.content_id, pinned))
        if self.live(plasmid) or not pinned:
            changed = self.kept.pinned | {plasmid.content_id} if pinned else self.kept.pinned - {plasmid.content_id}
            self.kept = replace(self.kept, pinned=changed)

    @rule(number=SOME)
    def removed(self, number: int) -> None:
        plasmid = PLASMIDS[number]
        self.bench.tell(RemoveAsked(plasmid.content_id))
        gone = {plasmid.content_id}
        self.kept = Kept(self.kept.pinned - gone, self.kept.own - gone)

    @rule(number=SOME, reason=st.sampled_from(["superseded", "expired"]))
    def left(self, number: int, reason: str) -> None:
        plasmid = PLASMIDS[number]
        if self.live(plasmid):
            self.bench.tell(StatementDropped(plasmid.statement, reason))
            if reason != "expired":
                self.kept = replace(self.kept, own=self.kept.own - {plasmid.content_id})

    @rule(units=st.integers(1, 8), floor=st.integers(0, 99))
    def limited(self, units: int, floor: int) -> None:
        self.limits = Limits(store_max=units * UNIT, disk_free_min=floor * UNIT)
        self.bench.tell(SettingsChanged(limits=self.limits))

    @rule(units=st.integers(1, 200))
    def filled(self, units: int) -> None:
        self.bench.wall_ms += 10_000
        self.bench.tell(DiskSpace(units * UNIT))

    @invariant()
    def bounds_are_kept(self) -> None:
        larder, live = self.bench.desk.larder, self.bench.desk.book.live
        stays = {digest for digest in larder.held if self.bench.desk.wishes.kept(digest)}
        stays |= {one.digest for one in live.values() if one.own and one.digest in larder.held}
        beside = sum(size for digest, size in larder.held.items() if digest not in stays)
        must = sum(larder.held[digest] for digest in stays)
        assert not beside or must + beside <= self.limits.store_max
        assert not set(larder.held) & set(larder.fetching)

    @invariant()
    def wishes_are_obeyed(self) -> None:
        larder, live = self.bench.desk.larder, self.bench.desk.book.live
        for plasmid in PLASMIDS:
            digest, known = plasmid.manifest.artifacts.sha256, live.get(plasmid.content_id)
            if plasmid.content_id in self.kept.own:
                assert digest in larder.held
            wish = self.bench.desk.wishes.get(plasmid.content_id)
            assert (wish is not None and wish.pinned) == (plasmid.content_id in self.kept.pinned)
            if known is not None and wish is not None and wish.removed:
                assert digest not in larder.held and digest not in larder.fetching

    @invariant()
    def nothing_moves_when_nothing_happens(self) -> None:
        before = dict(self.bench.desk.larder.held)
        out = self.bench.tell(PolicyChanged(self.bench.policy, self.bench.trust))
        assert not those(DropBlob, out) and not those(BytesWanted, out)
        assert before == self.bench.desk.larder.held


TestKeeping = Keeping.TestCase
TestKeeping.settings = settings(
    max_examples=20,
    stateful_step_count=25,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a failure prints few lines as it is
    suppress_health_check=list(HealthCheck),
)
