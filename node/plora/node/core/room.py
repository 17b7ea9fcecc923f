"""Room for artifacts: whether one may be fetched, and what gives way to it. Pure.

- Bounds, each named by its setting: `limits.artifact_max`; `limits.store_max` over what is held and what is coming;
  `limits.disk_free_min`, as far as the file system's free space is known.
- With `limits.collect_garbage` older bytes give way: refused ones first, then the oldest by the time when they were
  seen here. Asked-for bytes give way to asked-for ones only, and nothing to what is older than itself: so two plasmids
  can't push each other out in turn.
- What is pinned, one's own, or still coming gives way to nothing. Only as much goes as is needed, and nothing if it
  would not be enough.
- What gave way to the floor comes back when the disk has an eighth of the floor more than needed, not before.

Not handled here: carrying it out (`larder`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from plora.gate import Outcome
from plora.node.core.config import Limits
from plora.node.core.now import Now
from plora.node.core.plasmid import Book, Plasmid
from plora.node.core.wishes import Wishes
from plora.proto.records import BoundHit

SETTLE_MS = 5_000
FLOOR_MARGIN = 8

ARTIFACT_MAX = "limits.artifact_max"
STORE_MAX = "limits.store_max"
DISK_FREE_MIN = "limits.disk_free_min"

_Key = tuple[bool, int, bytes]


@dataclass(slots=True)
class Room:
    """`held` and `fetching` are the larder's own books: bytes by artifact digest; `promised` are about to come."""

    limits: Limits
    held: dict[str, int]
    fetching: dict[str, int]
    book: Book
    wishes: Wishes
    disk_free: int | None = None
    promised: int = 0
    _measured_from_ns: int = 0
    _gave_way: dict[str, None] = field(default_factory=dict)

    def measured(self, free_bytes: int, now: Now) -> None:
        """The file system has so much left; for a while after a deletion what is expected of it counts instead."""
        if now.mono_ns >= self._measured_from_ns:
            self.disk_free = free_bytes

    def used(self) -> int:
        """Bytes held and coming."""
        return sum(self.held.values()) + sum(self.fetching.values()) + self.promised

    def hindrance(self, plasmid: Plasmid) -> BoundHit | None:
        """The bound that keeps an artifact out as things are."""
        size = plasmid.artifact.size_bytes
        if 0 < self.limits.artifact_max < size:
            return BoundHit(ARTIFACT_MAX, self.limits.artifact_max, size)
        margin = self.limits.disk_free_min // FLOOR_MARGIN if plasmid.digest in self._gave_way else 0
        shortages = self._shortages(size, margin)
        return shortages[0][0] if shortages else None

    def victims(self, plasmid: Plasmid) -> list[str]:
        """What gives way so that an artifact has room; nothing if that can't be had."""
        needed = max((need for _, need in self._shortages(plasmid.artifact.size_bytes, 0)), default=0)
        if not self.limits.collect_garbage or plasmid.digest in self._gave_way:
            return []
        key = self._key(plasmid)
        able = [digest for digest in self._candidates() if self._refused(digest) or self._key_of(digest) < key]
        chosen, freed = self._oldest(able, needed)
        return chosen if freed >= needed else []

    def excess(self, more_bytes: int = 0) -> tuple[list[str], str]:
        """What must go since a bound is exceeded already, or by so much more; and that bound's setting."""
        if not self.limits.collect_garbage:
            return [], ""
        floor = self.limits.disk_free_min
        short = max(floor + more_bytes - self.disk_free, 0) if floor and self.disk_free is not None else 0
        chosen, freed = self._oldest(self._candidates(), short)
        if short and freed >= short:  # else others have filled the disk, and deleting would not help
            return chosen, DISK_FREE_MIN
        over = max(self.used() + more_bytes - self.limits.store_max, 0) if self.limits.store_max else 0
        return self._oldest(self._candidates(), over)[0], STORE_MAX

    def gave_way(self, digest: str, setting: str, now: Now) -> None:
        """Its bytes are being deleted."""
        if setting == DISK_FREE_MIN:
            self._gave_way[digest] = None
        if self.disk_free is not None:
            self.disk_free += self.held.get(digest, 0)
            self._measured_from_ns = now.after_ms(SETTLE_MS)

    def came_back(self, digest: str) -> None:
        """It is fetched again, or nobody names it any more."""
        self._gave_way.pop(digest, None)

    def _shortages(self, size: int, margin: int) -> list[tuple[BoundHit, int]]:
        """The bounds that so many bytes more would exceed, with what is lacking."""
        found = []
        limits, total = self.limits, self.used() + size
        if 0 < limits.store_max < total:
            found.append((BoundHit(STORE_MAX, limits.store_max, total), total - limits.store_max))
        if limits.disk_free_min and self.disk_free is not None:
            left = self.disk_free - sum(self.fetching.values()) - size - margin
            if left < limits.disk_free_min:
                hit = BoundHit(DISK_FREE_MIN, limits.disk_free_min, max(left, 0))
                found.append((hit, limits.disk_free_min - left))
        return found

    def _candidates(self) -> Iterator[str]:
        """What may give way to something, looked for only where something must."""
        twins = ((digest, self.book.of_digest(digest)) for digest in self.held)
        free = (digest for digest, found in twins if found and not any(plasmid.own for plasmid in found))
        return (digest for digest in free if not self.wishes.kept(digest))

    def _oldest(self, digests: Iterable[str], needed: int) -> tuple[list[str], int]:
        """The oldest that make up what is needed, without those that turn out not to be; and their bytes."""
        chosen: list[str] = []
        freed = 0
        if needed <= 0:
            return chosen, freed
        for digest in sorted(digests, key=lambda digest: (not self._refused(digest), self._key_of(digest))):
            if freed >= needed:
                break
            chosen.append(digest)
            freed += self.held[digest]
        for digest in tuple(chosen):
            if freed - self.held[digest] >= needed:
                chosen.remove(digest)
                freed -= self.held[digest]
        return chosen, freed

    def _refused(self, digest: str) -> bool:
        verdicts = [plasmid.verdict for plasmid in self.book.of_digest(digest)]
        return all(verdict is not None and verdict.outcome is Outcome.REJECT for verdict in verdicts)

    def _key_of(self, digest: str) -> _Key:
        return max((self._key(plasmid) for plasmid in self.book.of_digest(digest)), default=(False, 0, b""))

    def _key(self, plasmid: Plasmid) -> _Key:
        """Later is worth more; asked for, more than not."""
        return (
            plasmid.asked or self.wishes.pinned(plasmid.content_id),
            plasmid.seen_ms,
            plasmid.content_id,
        )
