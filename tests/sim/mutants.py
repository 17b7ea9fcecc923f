"""Cores and stores each of which lacks one guard, to see that an invariant notices: `MUTANTS`, by what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from plora.gate import Outcome, Trust, Verdict
from plora.node.core.effects import Effect, Persist, StoreChunk
from plora.node.core.events import ChunkRefused, ChunkStored, Event, Examined, Persisted
from plora.node.core.now import Now
from plora.node.core.peer import PeerCore
from plora.node.core.plasmid import Plasmid
from plora.node.store.store import Store, partial_path
from plora.sim.peer import SimPeer


class Trusting(PeerCore):
    """Checks no signature."""

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **{**named, "verify": lambda statement, key: True})


class Lenient(PeerCore):
    """Accepts whatever the gate says."""

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        judge = self.desk.verdict_under

        def accepts(trust: Trust, plasmid: Plasmid, now: Now) -> Verdict:
            verdict = judge(trust, plasmid, now)
            return replace(verdict, outcome=Outcome.ACCEPT, wants_bytes=False) if verdict.reason else verdict

        self.desk.verdict_under = accepts  # type: ignore[method-assign]


class Hasty(PeerCore):
    """Goes on as if each transaction were durable at once."""

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """What would follow from the answers follows already."""
        if isinstance(event, Persisted):
            return []
        effects = super().handle(event, now)
        for effect in list(effects):
            if isinstance(effect, Persist):
                effects += super().handle(Persisted(effect.token), now)
        return effects


class Boundless(PeerCore):
    """Keeps what every stranger says."""

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        self.gossip.seen.limit(replace(self.config.bounds, untrusted_owners=10**6))


class Secretive(PeerCore):
    """Gives its transactions no facts."""

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """The same without what the audit would hold."""
        effects = super().handle(event, now)
        return [replace(effect, facts=()) if isinstance(effect, Persist) else effect for effect in effects]


class Raising(PeerCore):
    """Has a defect that an adapter brings about."""

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """Fail as soon as something is examined."""
        if isinstance(event, Examined):
            raise KeyError(event.digest)
        return super().handle(event, now)


class Careless(Store):
    """Hashes no chunk."""

    def store_chunk(self, chunk: StoreChunk) -> ChunkStored | ChunkRefused:
        """Write it as it came."""
        self.disk.write(partial_path(chunk.digest), chunk.offset, chunk.data)
        return ChunkStored(chunk.digest, chunk.index)


def _of(core: type[PeerCore] = PeerCore, store: type[Store] = Store) -> type[SimPeer]:
    return type("Mutant", (SimPeer,), {"core_class": core, "store_class": store})


MUTANTS: Mapping[str, type[SimPeer]] = {
    "signatures": _of(Trusting),
    "verdicts": _of(Lenient),
    "durability": _of(Hasty),
    "bounds": _of(Boundless),
    "facts": _of(Secretive),
    "raising": _of(Raising),
    "chunk hashes": _of(store=Careless),
}
