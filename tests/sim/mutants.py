"""Cores and stores each of which lacks one guard: `MUTANTS`, by what is missing, and which invariants it `BREAKS`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from plora.gate import Outcome, Trust, Verdict
from plora.gate.voter import Ballot
from plora.node.audit.chain import Fact, Mark
from plora.node.core.effects import Effect, Emit, Expose, FinishBlob, Persist, Send, SignWord, StoreChunk
from plora.node.core.events import ChunkRefused, ChunkStored, Event, Examined, Persisted
from plora.node.core.messages import IWant, Want
from plora.node.core.now import Now
from plora.node.core.peer import PeerCore
from plora.node.core.plasmid import Plasmid
from plora.node.core.rows import UNTOLD, VERDICTS, VERSIONS, decode_version, version_row
from plora.node.store.disk import Put, RowOp
from plora.node.store.store import Store, partial_path
from plora.proto.records import VerdictGiven
from plora.sim.peer import SimPeer


class Trusting(PeerCore):
    """Checks no signature."""

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **{**named, "verify": lambda statement, key: True})


class Lenient(PeerCore):
    """Accepts whatever the gate says."""

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        judge = self.desk.judging.verdict_under

        def accepts(trust: Trust, plasmid: Plasmid, now: Now) -> Verdict:
            verdict = judge(trust, plasmid, now)
            return replace(verdict, outcome=Outcome.ACCEPT, wants_bytes=False) if verdict.reason else verdict

        self.desk.judging.verdict_under = accepts  # type: ignore[method-assign]


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


class Nostalgic(PeerCore):
    """Shows a version that it showed before again, after the next one."""

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """The same, and for each plasmid that is shown the one before it."""
        effects = super().handle(event, now)
        shown = vars(self).setdefault("shown", {})
        for effect in [one for one in effects if isinstance(one, Expose)]:
            before = shown.setdefault(effect.name, effect)
            effects += [before] if before != effect else []
        return effects


class Sinking(PeerCore):
    """Writes down as a series' newest version the one before."""

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """The same with the floor once more, lower."""
        return [
            replace(one, rows=(*one.rows, *map(_lower, one.rows))) if isinstance(one, Persist) else one
            for one in super().handle(event, now)
        ]


class Miscounting(PeerCore):
    """Takes one vote for a quorum."""

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        if self.council.tally is not None:
            members = self.council.tally.members
            wrong = replace(members, quorum=1)
            vars(wrong).update(block=members.block, epoch=members.epoch)
            self.council.tally.members = wrong


class Credulous(Miscounting):
    """Takes one vote for a quorum, and its gate believes that."""

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        if self.council.tally is not None:
            self.council.members = self.council.tally.members


class Rash(PeerCore):
    """Votes before its ballot is durable."""

    def __init__(self, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        write = self.council._write

        def at_once(ballot: Ballot) -> list[Any]:
            voter = self.council.voter
            return write(ballot) if voter is None else [*write(ballot), SignWord(voter.vote(ballot))]

        self.council._write = at_once  # type: ignore[method-assign]


class Filtering(PeerCore):
    """Leaves out some of what the core asks for."""

    def leaves_out(self, effect: Effect) -> bool:
        """Whether that one."""
        raise NotImplementedError

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """The rest."""
        return [effect for effect in super().handle(event, now) if not self.leaves_out(effect)]


class Incurious(Filtering):
    """Asks nobody for what it lacks, and is told nothing new."""

    def leaves_out(self, effect: Effect) -> bool:
        """Requests for statements, and statements."""
        return isinstance(effect, Send) and isinstance(effect.message, IWant)


class Abstemious(Filtering):
    """Fetches nothing."""

    def leaves_out(self, effect: Effect) -> bool:
        """Requests for chunks."""
        return isinstance(effect, Send) and isinstance(effect.message, Want)


class Hiding(Filtering):
    """Merges what it doesn't show."""

    def leaves_out(self, effect: Effect) -> bool:
        """What is to be shown."""
        return isinstance(effect, Expose)


class Discreet(PeerCore):
    """Decides, and neither tells nor remembers that it has to."""

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """The same without records of verdicts."""
        effects = [one for one in super().handle(event, now) if not _is_verdict(one)]
        return [replace(one, rows=_told(one.rows)) if isinstance(one, Persist) else one for one in effects]


class Scribbling(PeerCore):
    """Writes what no start reads."""

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """Something more with each transaction."""
        note = Put("notes", b"seen", b"1")
        return [
            replace(effect, rows=(*effect.rows, note)) if isinstance(effect, Persist) else effect
            for effect in super().handle(event, now)
        ]


class Suspicious(Store):
    """Refuses the first chunk of everything, whatever it is."""

    def store_chunk(self, chunk: StoreChunk) -> ChunkStored | ChunkRefused:
        """As false."""
        if self.disk.exists(partial_path(chunk.digest)) or chunk.index:
            return super().store_chunk(chunk)
        return ChunkRefused(chunk.peer, chunk.digest, chunk.index, "bad_hash")


class Losing(Store):
    """Acknowledges what it doesn't write."""

    def commit(self, rows: Iterable[RowOp], facts: Iterable[Fact] = ()) -> Mark:
        """Without verdicts."""
        return super().commit([row for row in rows if row.table != VERDICTS], ())


class Careless(Store):
    """Hashes no chunk."""

    def store_chunk(self, chunk: StoreChunk) -> ChunkStored | ChunkRefused:
        """Write it as it came."""
        self.disk.write(partial_path(chunk.digest), chunk.offset, chunk.data)
        return ChunkStored(chunk.digest, chunk.index)


class Unhashed(Careless):
    """Hashes nothing at all."""

    def _is_whole(self, blob: FinishBlob) -> bool:
        return True


def _is_verdict(effect: Effect) -> bool:
    return isinstance(effect, Emit) and isinstance(effect.body, VerdictGiven)


def _lower(row: RowOp) -> RowOp:
    if row.table != VERSIONS or not isinstance(row, Put):
        return row
    before = decode_version(row.key, row.value)
    return version_row(replace(before, version=before.version - 1))


def _told(rows: tuple[RowOp, ...]) -> tuple[RowOp, ...]:
    return tuple(row for row in rows if row.table != UNTOLD)


def _of(core: type[PeerCore] = PeerCore, store: type[Store] = Store) -> type[SimPeer]:
    return type("Mutant", (SimPeer,), {"core_class": core, "store_class": store})


MUTANTS: Mapping[str, type[SimPeer]] = {
    "signatures": _of(Trusting),
    "verdicts": _of(Lenient),
    "durability": _of(Hasty),
    "bounds": _of(Boundless),
    "facts": _of(Secretive),
    "raising": _of(Raising),
    "rollback": _of(Nostalgic),
    "floors": _of(Sinking),
    "quorum": _of(Miscounting),
    "certificates": _of(Credulous),
    "ballot": _of(Rash),
    "asking": _of(Incurious),
    "fetching": _of(Abstemious),
    "showing": _of(Hiding),
    "telling": _of(Discreet),
    "reading": _of(Scribbling),
    "blame": _of(store=Suspicious),
    "commits": _of(store=Losing),
    "chunk-hashes": _of(store=Careless),
    "whole-hashes": _of(store=Unhashed),
}

BREAKS: Mapping[str, tuple[str, ...]] = {
    "signatures": ("only_signed_statements_enter",),
    "verdicts": ("only_what_the_gate_accepts_is_shown", "only_what_the_gate_accepts_is_merged"),
    "durability": ("nothing_is_sent_before_it_is_durable",),
    "bounds": ("bounds_are_kept",),
    "facts": ("the_audit_holds",),
    "rollback": ("shown_versions_only_go_up",),
    "floors": ("versions_only_go_up",),
    "quorum": ("certificates_hold", "a_slot_has_one_content"),
    "certificates": ("honest_peers_show_one_content",),
    "ballot": ("no_vote_is_signed_before_it_is_durable",),
    "asking": ("all_have_the_same_root",),
    "fetching": ("everything_clean_arrived",),
    "showing": ("no_merge_is_served_of_what_was_never_shown",),
    "telling": ("the_store_is_what_the_log_says",),
    "reading": ("what_is_written_is_read",),
    "blame": ("nobody_honest_is_blamed",),
    "commits": ("what_was_acknowledged_is_there",),
    "chunk-hashes": ("no_false_chunk_is_kept",),
    "whole-hashes": ("held_bytes_are_those_signed",),
}
"""Which invariants notice that a guard is missing, among others."""

TWO_CONTENTS = {
    "agents": 6,
    "graph": {"kind": "complete"},
    "links": {"delay_ms": (1.0, 20.0), "loss": 0.0},
    "security": {"consensus": True, "detectors": False, "quorum": 2},
    "adversaries": [{"kind": "equivocator", "peers": [5], "from_round": 2.0}],
}
"""A trusted owner signs two contents of one version, and each half of the members hears of another one first."""

TOLD: Mapping[str, Mapping[str, Any]] = {
    "signatures": {"adversaries": [{"kind": "forger", "count": 1}]},
    "bounds": {"core": {"bounds": {"untrusted_owners": 2}}, "adversaries": [{"kind": "sybil", "count": 1}]},
    "quorum": TWO_CONTENTS,
    "certificates": TWO_CONTENTS,
    "ballot": {"security": {"consensus": True}},
    "chunk-hashes": {"adversaries": [{"kind": "corrupter", "count": 1}]},
    "whole-hashes": {"adversaries": [{"kind": "corrupter", "count": 1}]},
}
"""What those scenarios say in which a missing guard is met soon; nothing for the others."""
