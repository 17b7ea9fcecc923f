"""The desk on a bench: notices in, effects out, rows as a store would keep them; the tests share it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from plora.gate import Policy, Trust
from plora.node.core.config import CoreConfig
from plora.node.core.desk import Desk
from plora.node.core.effects import Emit, Persist
from plora.node.core.events import Event, Examined, Persisted
from plora.node.core.notices import BytesHeld, Notice, StatementAdded
from plora.node.core.now import Now
from plora.node.store.disk import Delete, Put
from plora.node.store.snapshot import Snapshot
from plora.proto.records import Body
from plora.proto.statement import Statement
from plora.sim.clock import WALL_START_MS
from plora.sim.material import Owner, Plasmid, make_owner, make_plasmid, tiny_adapter
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID

PEER, SOURCE = "aa" * 32, "bb" * 32
ADA, BOB = make_owner("ada", SWARM_ID), make_owner("bob", SWARM_ID)
TRUST = Trust(owners=(ADA.trusted, BOB.trusted))
DATA = tiny_adapter(1)
LEGAL = make_plasmid(ADA, "legal", DATA)
CONFIG = CoreConfig(peer=PEER, swarm=SWARM_ID, boot="1")
SHARED = Shared()

_Kind = TypeVar("_Kind")


@dataclass
class Bench:
    """A desk, what it asked for, and rows as a store would keep them."""

    trust: Trust = TRUST
    policy: Policy = field(default_factory=Policy)
    config: CoreConfig = CONFIG
    snapshot: Snapshot = field(default_factory=Snapshot)
    live: tuple[Statement, ...] = ()
    wall_ms: int = WALL_START_MS
    out: list[Any] = field(default_factory=list)
    rows: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    persisting: bool = True

    def __post_init__(self) -> None:
        self.desk = Desk(self.config, self.policy, self.trust, self.snapshot, lambda: self.live)

    @property
    def now(self) -> Now:
        return Now((self.wall_ms - WALL_START_MS) * 1_000_000, self.wall_ms)

    def tell(self, *events: Event | Notice) -> list[Any]:
        """Hand over events, and answer transactions while `persisting`; what this led to."""
        start, queue = len(self.out), list(events)
        while queue:
            outputs = self.desk.handle(queue.pop(0), self.now)
            self.out += outputs
            for effect in outputs:
                if isinstance(effect, Persist) and self.persisting:
                    self.commit(effect)
                    queue.append(Persisted(effect.token))
        return self.out[start:]

    def commit(self, effect: Persist) -> None:
        for row in effect.rows:
            if isinstance(row, Put):
                self.rows[(row.table, row.key)] = row.value
            elif isinstance(row, Delete):
                self.rows.pop((row.table, row.key), None)

    def add(self, *statements: Statement, via: str | None = SOURCE) -> list[Any]:
        return self.tell(*(StatementAdded(statement, via, 1) for statement in statements))

    def hold(self, plasmid: Plasmid = LEGAL) -> list[Any]:
        """The bytes arrive and are examined."""
        digest = plasmid.manifest.artifacts.sha256
        arrived = self.tell(BytesHeld(digest, (SOURCE,), 1, 0, 0))
        return [*arrived, *self.tell(Examined(digest, SHARED.features(plasmid.data)))]

    def accept(self, plasmid: Plasmid = LEGAL, owner: Owner = ADA) -> list[Any]:
        return [*self.add(owner.record, plasmid.statement), *self.hold(plasmid)]

    def verdict(self, plasmid: Plasmid = LEGAL) -> tuple[str, str]:
        verdict = self.desk.book.live[plasmid.content_id].verdict
        assert verdict is not None
        return verdict.outcome.value, verdict.reason

    def restarted(self, **changes: Any) -> Bench:
        """The same peer after a restart, from the rows that it wrote."""
        tables: dict[str, list[tuple[bytes, bytes]]] = {}
        for (table, key), value in sorted(self.rows.items()):
            tables.setdefault(table, []).append((key, value))
        snapshot = Snapshot(
            tables={name: tuple(rows) for name, rows in tables.items()}, held=dict(self.desk.larder.held)
        )
        again = {"trust": self.trust, "policy": self.policy, "config": self.config, "wall_ms": self.wall_ms, **changes}
        return Bench(snapshot=again.pop("snapshot", snapshot), **again)


def those(kind: type[_Kind], outputs: list[Any]) -> list[_Kind]:
    return [output for output in outputs if isinstance(output, kind)]


def records(outputs: list[Any], kind: str) -> list[Body]:
    return [effect.body for effect in those(Emit, outputs) if effect.body.kind == kind]
