"""The peers that this one knows of beside its neighbours: reached itself, or heard of.

Rules:

- *Reached*: an address at which this peer itself found exactly that peer, with a score: one more for each success, half
  for each failure, forgotten after `FAILURES_MAX` in a row. Hearsay never displaces one of these.
- *Heard of*: what neighbours told, kept apart by teller, at most `TOLD_MAX` each, the newest; so nobody can crowd out
  what another said. An entry is tried once: it becomes reached, or is forgotten.
- Both together never exceed `limit`: half for either. What gives way is the lowest score, and of hearsay the oldest
  entry of whoever told most.
- A teller whose entries fail is listened to ever more slowly: `TELLER_MS_MIN` doubled with each failure up to
  `TELLER_MS_MAX`, from the beginning again after a success.

Not handled here: what is an address (`addresses`), when to dial and whom to tell (`exchange`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from plora.node.core.messages import PeerAddress
from plora.node.core.now import Now

SCORE_MAX = 8
FAILURES_MAX = 4
TOLD_MAX = 32
TELLERS_MAX = 128
ADDRESSES_MAX = 4
RETRY_MS_MIN = 5_000
RETRY_MS_MAX = 3_600_000
TELLER_MS_MIN = 1_000
TELLER_MS_MAX = 600_000


@dataclass(slots=True)
class Reached:
    """A peer that this one found at `address`."""

    address: str
    score: int = 1
    failures: int = 0
    due_ns: int = 0


@dataclass(slots=True)
class _Teller:
    told: dict[str, tuple[str, ...]] = field(default_factory=dict)
    failures: int = 0
    due_ns: int = 0


class Acquaintances:
    """At most `limit` of them."""

    def __init__(self, limit: int, rng: Random) -> None:
        self._reached: dict[str, Reached] = {}
        self._tellers: dict[str, _Teller] = {}
        self._half = max(1, limit // 2)
        self._rng = rng

    def __len__(self) -> int:
        return len(self._reached) + self._told_count()

    def reached(self, peer: str) -> Reached | None:
        """What this peer found out itself about another."""
        return self._reached.get(peer)

    def addresses(self) -> dict[str, str]:
        """Where this peer found others itself."""
        return {peer: one.address for peer, one in self._reached.items()}

    def addresses_of(self, peer: str) -> tuple[str, ...]:
        """Where a peer may be, the surest first."""
        own = self._reached.get(peer)
        told = (address for one in self._tellers.values() for address in one.told.get(peer, ()))
        return tuple(dict.fromkeys((*((own.address,) if own else ()), *told)))[:ADDRESSES_MAX]

    def hear(self, teller: str, entries: Iterable[PeerAddress]) -> bool:
        """Take in what a neighbour told; whether something had to give way."""
        book = self._tellers.setdefault(teller, _Teller())
        while len(self._tellers) > TELLERS_MAX:
            del self._tellers[next(one for one in self._tellers if one != teller)]
        full = False
        for entry in entries:
            if entry.peer in self._reached or not entry.addresses:
                continue
            book.told.pop(entry.peer, None)
            book.told[entry.peer] = entry.addresses[:ADDRESSES_MAX]
            if len(book.told) > TOLD_MAX:
                del book.told[next(iter(book.told))]
                full = True
        return self._trim_told() or full

    def succeeded(self, peer: str, address: str) -> None:
        """This peer found that one at that address."""
        own = self._reached.get(peer)
        if own is None:
            self._reached[peer] = Reached(address)
        else:
            own.address, own.score, own.failures, own.due_ns = address, min(SCORE_MAX, own.score + 1), 0, 0
        for teller in list(self._tellers):
            book = self._tellers[teller]
            if book.told.pop(peer, None) is not None:
                book.failures = book.due_ns = 0
                self._drop_if_empty(teller)
        while len(self._reached) > self._half:
            others = [one for one in self._reached if one != peer] or [peer]
            del self._reached[min(others, key=lambda one: self._reached[one].score)]

    def failed(self, peer: str, now: Now) -> None:
        """Nobody was at any address that is known of that peer, or it sent this one away."""
        own = self._reached.get(peer)
        if own is not None:
            own.failures, own.score = own.failures + 1, own.score // 2
            own.due_ns = now.after_ms(min(RETRY_MS_MAX, RETRY_MS_MIN << own.failures))
            if own.failures >= FAILURES_MAX:
                del self._reached[peer]
        for teller in list(self._tellers):
            book = self._tellers[teller]
            if book.told.pop(peer, None) is not None:
                book.due_ns = now.after_ms(min(TELLER_MS_MAX, TELLER_MS_MIN << min(book.failures, 20)))
                book.failures += 1

    def put_off(self, peer: str, now: Now, wait_ms: int) -> None:
        """That peer is there and doesn't want this one now."""
        own = self._reached.get(peer)
        if own is not None:
            own.due_ns = now.after_ms(max(RETRY_MS_MIN, min(wait_ms, RETRY_MS_MAX)))

    def forget(self, peer: str) -> None:
        """Know nothing of a peer any more."""
        self._reached.pop(peer, None)
        for teller in list(self._tellers):
            self._tellers[teller].told.pop(peer, None)
            self._drop_if_empty(teller)

    def pick(self, now: Now, wanted: Callable[[str], bool]) -> PeerAddress | None:
        """Whom to dial next: of those reached the best score, else an entry of a teller drawn at random."""
        known = [peer for peer, one in self._reached.items() if one.due_ns <= now.mono_ns and wanted(peer)]
        if known:
            best = max(self._reached[peer].score for peer in known)
            peer = self._rng.choice([peer for peer in known if self._reached[peer].score == best])
            return PeerAddress(peer, self.addresses_of(peer))
        heard = {
            teller: peers
            for teller, one in self._tellers.items()
            if one.due_ns <= now.mono_ns and (peers := [peer for peer in one.told if wanted(peer)])
        }
        if not heard:
            return None
        teller = self._rng.choice(list(heard))
        peer = self._rng.choice(heard[teller])
        return PeerAddress(peer, self._tellers[teller].told[peer])

    def any(self, wanted: Callable[[str], bool]) -> bool:
        """Whether `pick` may find somebody, now or later."""
        return any(map(wanted, self._reached)) or any(
            wanted(peer) for one in self._tellers.values() for peer in one.told
        )

    def _told_count(self) -> int:
        return sum(len(one.told) for one in self._tellers.values())

    def _trim_told(self) -> bool:
        full = False
        while self._told_count() > self._half:
            teller = max(self._tellers, key=lambda one: len(self._tellers[one].told))
            told = self._tellers[teller].told
            del told[next(iter(told))]
            self._drop_if_empty(teller)
            full = True
        return full

    def _drop_if_empty(self, teller: str) -> None:
        """A teller without entries is forgotten, unless it still has to be listened to slowly."""
        book = self._tellers[teller]
        if not book.told and not book.failures:
            del self._tellers[teller]
