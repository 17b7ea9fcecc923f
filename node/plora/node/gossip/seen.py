"""The set of seen statements: who may enter, and which of them are live.

Rules (PROTOCOL "Sets"):

- A statement enters when it names this swarm and its signature is by a key that a seen record of its owner lists; one
  whose owner record isn't seen, or whose target isn't, is an *orphan*: not kept, not remembered, welcome later.
- A vote, or evidence of two, enters as the word of a member whom the configuration names (`words`): of this epoch,
  about the slot of a manifest that is seen. It counts for no owner's bound; there is one of a member on a content.
- Trust decides nothing here but the bound on owners: those trusted are never refused for `untrusted_owners`.
- Live is a pure function of what is seen and the epoch day: of each series the newest version that isn't expired, and
  of one version at most the two contents with the smallest ids (two contents block the version, both stay as evidence).
  What depends on a statement lives as long as that. Owner records, revocations and evidence stay.
- Two days are kept, yesterday and today, because a pair of peers reconciles by the earlier of their days.
- Freshness statements, the newest of each key, are kept beside the set.
- An id refused for what its payload *is* (another swarm, over a bound) is remembered, within `refused_ids`. A malformed
  statement or a bad signature isn't: key id, algorithm and signature are outside the id, so a forger could else keep
  the true statement away.
- Lasting statements are counted apart from the others, so that a full owner can still revoke.

`admit` judges and stages, `commit` makes an admitted entry count once its row is durable. Keys of an admitted owner
record are known at once: what depends on them is persisted no earlier than the record.

Not handled here: rotation thresholds, quorum, revocation's effect (room `gate`); asking again (`wants`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from plora.gate.consensus import Membership
from plora.node.core.config import Bounds
from plora.node.gossip.entries import Entry, Series, entry_of
from plora.node.gossip.ordered import OrderedKeys
from plora.node.gossip.words import word_fault
from plora.proto.errors import FormatError
from plora.proto.keys import PublicKey
from plora.proto.payloads import Freshness
from plora.proto.statement import Statement, verify_statement

CONTENTS_PER_VERSION = 2

_Name = TypeVar("_Name")

Verify = Callable[[Statement, PublicKey], bool]


class Entrance(StrEnum):
    """How a statement was met. Only what is FORGED is the fault of whoever sent it."""

    ADMITTED = "admitted"
    DUPLICATE = "duplicate"
    ORPHAN = "orphan"
    REFUSED = "refused"
    FORGED = "forged"


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to one statement; `entry` is there when it was admitted.

    `missing`: what an orphan waits for. `stray`: the owner of a freshness statement, of whom a later record must come.
    """

    entrance: Entrance
    reason: str = ""
    entry: Entry | None = None
    missing: bytes | None = None
    stray: str = ""


@dataclass(frozen=True, slots=True)
class Dropped:
    """An entry that no longer lives, why, and for "superseded" by which id (b"" for none)."""

    entry: Entry
    reason: str
    by: bytes = b""


class SeenSet:
    """All statements of one swarm that this peer keeps. Nothing lives before `turn` has said which day it is.

    `trusted` are ids of owners; `verify` may be a memo that many peers share; `members` are those of the consensus.
    """

    def __init__(
        self,
        swarm: str,
        bounds: Bounds,
        trusted: Iterable[str] = (),
        verify: Verify = verify_statement,
        members: Membership | None = None,
    ) -> None:
        self.day = -1
        self._swarm = swarm
        self.bounds = bounds
        self._verify = verify
        self._members = members
        self._trusted = dict.fromkeys(trusted)
        self._entries: dict[bytes, Entry] = {}
        self._staged: dict[bytes, Entry] = {}
        self._series: dict[Series, dict[bytes, Entry]] = {}
        self._dependents: dict[bytes, dict[bytes, Entry]] = {}
        self._newest_fresh: dict[str, Entry] = {}
        self._keys: dict[str, dict[str, PublicKey]] = {}
        self._speakers: dict[str, str] = {}
        self._counts: dict[str, list[int]] = {}
        self._untrusted = 0
        self._refused: dict[bytes, str] = {}
        self._views = {-2: OrderedKeys(), -1: OrderedKeys()}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, statement_id: bytes) -> bool:
        return statement_id in self._entries

    def get(self, statement_id: bytes) -> Entry | None:
        """The entry of that id, if it is durable and lives today or lived yesterday."""
        return self._entries.get(statement_id)

    def entries(self) -> Iterator[Entry]:
        """All entries, owner records first, then by order key."""
        return iter(sorted(self._entries.values(), key=lambda entry: (entry.rank, entry.key)))

    def view(self, day: int) -> OrderedKeys:
        """The keys live on `day`: yesterday's for every day before today, else today's."""
        return self._views[min(max(day, self.day - 1), self.day)]

    @property
    def staged(self) -> int:
        """How many admitted statements are on their way to the disk."""
        return len(self._staged)

    def wanted(self, statement_id: bytes) -> bool:
        """Whether a statement of that id would be news: neither kept, nor under way to the disk, nor refused."""
        return not (statement_id in self._entries or statement_id in self._staged or statement_id in self._refused)

    def lacks(self, statement_id: bytes) -> bool:
        """Whether a statement of that id is not durable here, and may still be."""
        return statement_id not in self._entries and statement_id not in self._refused

    def limit(self, bounds: Bounds) -> None:
        """Other bounds hold from now on; what was refused may be offered again, and what is kept stays."""
        self.bounds = bounds
        self._refused.clear()

    def trust(self, owners: Iterable[str]) -> None:
        """Take over whom this peer trusts; what was refused may be offered again."""
        self._trusted = dict.fromkeys(owners)
        self._untrusted = sum(owner not in self._trusted for owner in self._counts)
        self._refused.clear()

    @property
    def strangers(self) -> int:
        """Of how many owners who are not trusted here something is kept."""
        return self._untrusted

    def under_way(self, statement_id: bytes) -> bool:
        """Whether a statement was admitted and is on its way to the disk."""
        return statement_id in self._staged

    def admit(self, statement: Statement, hops: int = 0) -> Admission:
        """Judge a statement and stage it when it may enter; after ADMITTED, `commit` or `abandon` must follow."""
        if statement.id in self._entries or statement.id in self._staged:
            return Admission(Entrance.DUPLICATE)
        if statement.id in self._refused:
            return Admission(Entrance.REFUSED, self._refused[statement.id])
        try:
            entry = entry_of(statement, hops)
        except FormatError:
            return Admission(Entrance.FORGED, "malformed")
        if entry.swarm != self._swarm:
            return self._refuse(statement.id, Entrance.FORGED, "wrong_swarm")
        return self._admit_entry(entry)

    def commit(self, entry: Entry) -> list[Dropped]:
        """Make a durable entry count; what it displaces, itself included when it came too late, is dropped."""
        self._staged.pop(entry.id, None)
        if entry.fresh:
            return self._commit_fresh(entry)
        self._index(entry)
        return self._sweep(self._settle(self._siblings(entry) or [entry]))

    def abandon(self, entry: Entry) -> None:
        """Forget an admitted entry whose row could not be written."""
        if self._staged.pop(entry.id, None) is not None:
            self._count(entry, -1)

    def load(self, entries: Iterable[Entry]) -> list[bytes]:
        """Take up durable entries at start, in any order; `turn` must follow before anything else.

        Ids of those left out come back: words of members whom the configuration no longer knows.
        """
        foreign = []
        for entry in sorted(entries, key=lambda each: (each.rank, each.key)):
            if entry.word and self._word_fault(entry):
                foreign.append(entry.id)
                continue
            entry = replace(entry, owner=entry.owner or self._speakers.get(entry.statement.key_id))
            self._learn(entry)
            self._count(entry, 1)
            if entry.fresh:
                self._commit_fresh(entry)
            else:
                self._index(entry)
        return foreign

    def turn(self, day: int) -> list[Dropped]:
        """Go to another day, forward or back, and drop what lives neither on it nor on the day before."""
        self.day = day
        self._views = {each: OrderedKeys(self._live_keys(each)) for each in (day - 1, day)}
        old = [entry for entry in self._newest_fresh.values() if (entry.expires_day or 0) < day - 1]
        for entry in old:
            self._forget_fresh(entry)
        return [*(Dropped(entry, "expired") for entry in old), *self._sweep(list(self._entries.values()))]

    def freshness(self) -> tuple[Entry, ...]:
        """The newest freshness statement of each key, by key id."""
        return tuple(self._newest_fresh[key_id] for key_id in sorted(self._newest_fresh))

    def twins(self, entry: Entry) -> tuple[Entry, ...]:
        """The other contents of the same version."""
        siblings = self._series.get(entry.series, {}) if entry.series is not None and not entry.word else {}
        return tuple(each for each in siblings.values() if each.version == entry.version and each.id != entry.id)

    # Who may enter.

    def _admit_entry(self, entry: Entry) -> Admission:
        stale = self._stale(entry)
        if stale:
            return Admission(Entrance.REFUSED, stale)
        parent = self._refused_parent(entry)
        if parent is not None:
            return self._refuse(entry.id, Entrance.REFUSED, parent)
        if entry.word:
            return self._admit_word(entry)
        owner, key = self._signer(entry)
        if owner is None or key is None:
            return self._without_key(entry)
        if entry.target is not None and self._known(entry.target) is None:
            return Admission(Entrance.ORPHAN, "unknown target", missing=entry.target)
        entry = replace(entry, owner=owner)
        bound = self._bound_reached(entry)
        if bound is not None:
            return self._refuse(entry.id, Entrance.REFUSED, bound)
        if not self._verify(entry.statement, key):
            return Admission(Entrance.FORGED, "bad_signature")
        self._staged[entry.id] = entry
        self._learn(entry)
        self._count(entry, 1)
        return Admission(Entrance.ADMITTED, entry=entry)

    def _admit_word(self, entry: Entry) -> Admission:
        """The word of a member: whose key it is, and what it may be about, stands in the configuration."""
        if entry.target is not None and self._known(entry.target) is None:
            return Admission(Entrance.ORPHAN, "unknown target", missing=entry.target)
        member = self._members.member(entry.statement.key_id) if self._members else None
        if member is not None and not self._verify(entry.statement, member.key):
            return Admission(Entrance.FORGED, "bad_signature")
        fault = self._word_fault(entry)
        if fault:
            return self._refuse(entry.id, Entrance.REFUSED, fault)
        self._staged[entry.id] = entry
        return Admission(Entrance.ADMITTED, entry=entry)

    def _word_fault(self, entry: Entry) -> str:
        about = self._known(entry.target) if entry.target is not None else None
        return word_fault(entry, self._members, about.payload if about else None)

    def _signer(self, entry: Entry) -> tuple[str | None, PublicKey | None]:
        """On whose behalf the statement speaks, and the key that must have signed it."""
        key_id = entry.statement.key_id
        if entry.owner == entry.id.hex():  # the first record brings its own keys
            return entry.owner, next((key for key in entry.keys if key.key_id == key_id), None)
        owner = entry.owner if entry.owner is not None else self._speakers.get(key_id)
        return owner, self._keys.get(owner or "", {}).get(key_id)

    def _without_key(self, entry: Entry) -> Admission:
        """An orphan: no record here lists its key. The owner's first one is missing, or a later one."""
        if entry.owner is not None and entry.owner not in self._keys:
            return Admission(Entrance.ORPHAN, "unknown key", missing=bytes.fromhex(entry.owner))
        stray = entry.owner if entry.fresh else None
        return Admission(Entrance.ORPHAN, "unknown key", stray=stray or "")

    def _refused_parent(self, entry: Entry) -> str | None:
        """Why this can never be taken up: its owner record or its target was refused for a bound."""
        parents = [entry.target] if entry.target is not None else []
        if entry.owner is not None and entry.owner not in self._keys:
            parents.append(bytes.fromhex(entry.owner))
        return next((self._refused[parent] for parent in parents if parent in self._refused), None)

    def _bound_reached(self, entry: Entry) -> str | None:
        owner = entry.owner or ""
        counted = self._counts.get(owner)
        if counted is None:
            full = owner not in self._trusted and self._untrusted >= self.bounds.untrusted_owners
            return "untrusted_owners" if full else None
        displaces = any(each.version < entry.version for each in self._siblings(entry))
        full = counted[entry.lasting] >= self.bounds.statements_per_owner and not displaces
        return "statements_per_owner" if full else None

    def _stale(self, entry: Entry) -> str:
        """Why it lives on neither day: "expired" or "superseded"; empty where it does."""
        if entry.expires_day is not None and entry.expires_day < self.day - 1:
            return "expired"
        return "superseded" if self._is_superseded(entry) else ""

    def _is_superseded(self, entry: Entry) -> bool:
        if entry.fresh:
            newest = self._newest_fresh.get(entry.statement.key_id)
            return newest is not None and _issue(newest) >= _issue(entry)
        siblings = {each.id: each for each in self._siblings(entry)}
        return bool(siblings) and not any(
            entry.id in _winners([*siblings.values(), entry], day) for day in (self.day - 1, self.day)
        )

    def _siblings(self, entry: Entry) -> list[Entry]:
        return list(self._series.get(entry.series, {}).values()) if entry.series is not None else []

    def _known(self, statement_id: bytes) -> Entry | None:
        return self._entries.get(statement_id) or self._staged.get(statement_id)

    def _learn(self, entry: Entry) -> None:
        if entry.owner is None:
            return
        for key in entry.keys:
            self._keys.setdefault(entry.owner, {})[key.key_id] = key
            self._speakers.setdefault(key.key_id, entry.owner)

    def _count(self, entry: Entry, step: int) -> None:
        if entry.word:
            return
        owner = entry.owner or ""
        if owner not in self._counts:
            self._counts[owner] = [0, 0]
            self._untrusted += owner not in self._trusted
        counted = self._counts[owner]
        counted[entry.lasting] += step
        if counted == [0, 0]:
            del self._counts[owner]
            self._untrusted -= owner not in self._trusted

    def _refuse(self, statement_id: bytes, entrance: Entrance, reason: str) -> Admission:
        while len(self._refused) >= self.bounds.refused_ids:
            del self._refused[next(iter(self._refused))]
        self._refused[statement_id] = reason
        return Admission(entrance, reason)

    # Which of them live.

    def _index(self, entry: Entry) -> None:
        self._entries[entry.id] = entry
        if entry.target is not None:
            self._dependents.setdefault(entry.target, {})[entry.id] = entry
        if entry.series is not None:
            self._series.setdefault(entry.series, {})[entry.id] = entry

    def _commit_fresh(self, entry: Entry) -> list[Dropped]:
        newest = self._newest_fresh.get(entry.statement.key_id)
        if newest is not None and _issue(newest) >= _issue(entry):
            self._count(entry, -1)
            return [Dropped(entry, "superseded", newest.id)]
        dropped = []
        if newest is not None:
            self._forget_fresh(newest)
            dropped = [Dropped(newest, "superseded", entry.id)]
        self._newest_fresh[entry.statement.key_id] = entry
        self._entries[entry.id] = entry
        return dropped

    def _forget_fresh(self, entry: Entry) -> None:
        del self._newest_fresh[entry.statement.key_id]
        del self._entries[entry.id]
        self._count(entry, -1)

    def _settle(self, touched: list[Entry]) -> list[Entry]:
        """Put each touched entry, and what depends on it, into the views or out; whatever was looked at comes back."""
        looked_at: dict[bytes, Entry] = {}
        for day, view in self._views.items():
            stack = list(touched)
            while stack:
                entry = stack.pop()
                looked_at[entry.id] = entry
                lives = self._lives(entry, day)
                if lives == (entry.key in view):
                    continue
                (view.add if lives else view.discard)(entry.key)
                stack += self._dependents.get(entry.id, {}).values()
        return list(looked_at.values())

    def _lives(self, entry: Entry, day: int) -> bool:
        if entry.target is not None:
            target = self._entries.get(entry.target)
            if target is None or target.key not in self._views[day]:
                return False
        if entry.series is not None:
            return entry.id in _winners(self._siblings(entry), day)
        return True

    def _live_keys(self, day: int) -> Iterator[bytes]:
        winners = {
            winner: None for siblings in self._series.values() for winner in _winners(list(siblings.values()), day)
        }
        stack = [entry for entry in self._entries.values() if entry.target is None and not entry.fresh]
        while stack:
            entry = stack.pop()
            if entry.series is None or entry.id in winners:
                yield entry.key
                stack += self._dependents.get(entry.id, {}).values()

    def _sweep(self, candidates: list[Entry]) -> list[Dropped]:
        """Forget those that live on neither day, in order."""
        dead = [entry for entry in candidates if not entry.fresh and not self._in_a_view(entry)]
        dropped = [self._dropped(entry) for entry in sorted(dead, key=lambda entry: (entry.rank, entry.key))]
        for entry in dead:
            self._forget(entry)
        return dropped

    def _in_a_view(self, entry: Entry) -> bool:
        return any(entry.key in view for view in self._views.values())

    def _dropped(self, entry: Entry) -> Dropped:
        """Why an entry died; what depended on another died of the same."""
        cause = entry
        if entry.word and entry.id not in (standing := _winners(self._siblings(entry), self.day)):
            return Dropped(entry, "superseded", standing[0])
        while cause.target is not None:
            target = self._entries.get(cause.target)
            if target is None:
                return Dropped(entry, "evicted")
            cause = target
        if cause.expires_day is not None and cause.expires_day < self.day - 1:
            return Dropped(entry, "expired")
        winners = _winners(self._siblings(cause), self.day)
        return Dropped(entry, "superseded", winners[0] if winners else b"")

    def _forget(self, entry: Entry) -> None:
        del self._entries[entry.id]
        self._count(entry, -1)
        if entry.series is not None:
            _discard(self._series, entry.series, entry.id)
        if entry.target is not None:
            _discard(self._dependents, entry.target, entry.id)


def _winners(siblings: list[Entry], day: int) -> list[bytes]:
    """Ids of a series' live contents: of the newest version not expired on `day`, the smallest few."""
    alive = [each for each in siblings if each.expires_day is None or each.expires_day >= day]
    newest = max((each.version for each in alive), default=0)
    kept = 1 if any(each.word for each in alive) else CONTENTS_PER_VERSION
    return sorted(each.id for each in alive if each.version == newest)[:kept]


def _issue(entry: Entry) -> tuple[str, bytes]:
    issued = entry.payload.issued if isinstance(entry.payload, Freshness) else ""
    return issued, entry.id


def _discard(index: dict[_Name, dict[bytes, Entry]], name: _Name, statement_id: bytes) -> None:
    index[name].pop(statement_id)
    if not index[name]:
        del index[name]
