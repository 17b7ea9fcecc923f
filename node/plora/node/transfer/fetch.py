"""The books of one fetch: which chunk is where, and who may be asked. Pure state without decisions on messages.

A chunk of a fetch is in exactly one place: `todo`, asked of one source, `storing` (with the disk), or `stored`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import groupby

from plora.node.core.effects import LIST_INDEX
from plora.node.store.rows import ChunkPlan
from plora.node.transfer.artifact import Artifact, Progress


@dataclass(slots=True)
class Source:
    """One peer as a source of one artifact. `asked`: chunk (or LIST_INDEX) to bytes. A banned source is never asked.

    `stalled`: it was left for sending nothing, and nobody has shown since that this peer's own line wasn't at fault.
    """

    asked: dict[int, int] = field(default_factory=dict)
    progress_ns: int = 0
    retry_ns: int = 0
    failures: int = 0
    stalled: bool = False
    banned: bool = False


@dataclass(slots=True)
class Fetch:
    """One artifact under way. `hashes` is None until the chunk list is known; `listed` once the list is durable."""

    artifact: Artifact
    hashes: tuple[bytes, ...] | None = None
    listed: bool = False
    todo: deque[int] = field(default_factory=deque)
    storing: dict[int, str] = field(default_factory=dict)
    stored: set[int] = field(default_factory=set)
    sources: dict[str, Source] = field(default_factory=dict)
    active: str = ""
    started: bool = False
    finishing: bool = False
    paused_ns: int = 0
    trouble: str = ""
    givers: dict[str, None] = field(default_factory=dict)
    since_ns: int = 0
    since_bytes: int = 0
    wire_bytes: int = 0
    wasted_bytes: int = 0
    resumed_bytes: int = 0

    @property
    def digest(self) -> str:
        """The artifact's digest."""
        return self.artifact.digest

    @property
    def whole(self) -> bool:
        """Whether every chunk is stored."""
        return self.listed and len(self.stored) == self.artifact.chunk_count

    def resume(self, plan: ChunkPlan, stored: frozenset[int]) -> None:
        """Go on where an earlier boot, or an earlier want, stopped."""
        self.stored = set(stored)
        self.resumed_bytes = self.artifact.bytes_of(stored)
        self.take_list(plan.hashes)
        self.listed = True

    def take_list(self, hashes: tuple[bytes, ...]) -> None:
        """The chunk list is known: what isn't stored is to do."""
        self.hashes = hashes
        self.todo = deque(index for index in range(len(hashes)) if index not in self.stored)

    def forget_list(self) -> None:
        """The chunk list could not be kept."""
        self.hashes = None
        self.todo.clear()

    def release(self, source: Source) -> int:
        """Take back what a source was asked for; how many bytes that were."""
        for index in reversed(source.asked):
            if index != LIST_INDEX:
                self.todo.appendleft(index)
        released = sum(source.asked.values())
        source.asked.clear()
        return released

    def end_pause(self) -> None:
        """Go on before the pause is over."""
        self.paused_ns, self.trouble = 0, ""

    def lacks(self, index: int) -> bool:
        """Whether a chunk is neither stored nor on its way to the disk."""
        return index not in self.stored and index not in self.storing

    def chunks(self) -> list[tuple[str, int]]:
        """Where the chunks are, as runs in the order of the file: "stored", "storing", "asked" or "todo"."""
        asked = {index for source in self.sources.values() for index in source.asked}
        if not (self.stored or self.storing or asked):
            return [("todo", self.artifact.chunk_count)]
        places = (self._place(index, asked) for index in range(self.artifact.chunk_count))
        return [(place, sum(1 for _ in run)) for place, run in groupby(places)]

    def _place(self, index: int, asked: set[int]) -> str:
        if index in self.stored:
            return "stored"
        if index in self.storing:
            return "storing"
        return "asked" if index in asked else "todo"

    def progress(self, ready: int, limit: str, now_ns: int) -> Progress:
        """The view for people; `ready` sources are linked, `limit` holds the present one back."""
        elapsed_ns = now_ns - self.since_ns
        rate = (self.wire_bytes - self.since_bytes) * 1_000_000_000 // elapsed_ns if self.active and elapsed_ns else 0
        return Progress(
            self.digest,
            self.artifact.size_bytes,
            self.artifact.bytes_of(self.stored),
            self._state(ready, now_ns),
            self.active,
            ready,
            rate,
            self.wire_bytes,
            self.wasted_bytes,
            self.resumed_bytes,
            limit,
        )

    def _state(self, ready: int, now_ns: int) -> str:
        if self.paused_ns > now_ns:
            return self.trouble
        if self.finishing:
            return "finishing"
        if not self.active and not ready:
            return "bad_bytes" if any(source.banned for source in self.sources.values()) else "no_source"
        if not self.active:
            return "waiting"
        return "fetching" if self.hashes is not None else "list"
