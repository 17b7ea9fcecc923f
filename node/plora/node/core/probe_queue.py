"""Whose adapter is probed next: one at a time, within an hour's budget of each owner and of this peer. Pure.

- The owner on whom least was spent within the last hour comes first, among equals who began to wait first.
- Who waits for a first look comes before who is looked at again, and looks again take at most half of the peer's hour.
- An owner whose hour is spent waits, and holds up nobody else. What was spent is forgotten at a restart.
- Each trigger found halves its owner's budget for a day, down to one probe an hour: who tries until one slips through
  tries slowly.

>>> queue = ProbeQueue(ProbeBudget(per_owner=1, per_hour=8))
>>> for owner, name in (("ada", "one"), ("ada", "two"), ("bob", "three")):
...     queue.push(owner, name, name.upper())
>>> queue.pull(0), queue.pull(0), queue.pull(0)
('ONE', 'THREE', None)
>>> queue.bound("ada"), queue.free_ns() == HOUR_NS
('detection.probes_per_owner', True)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from plora.node.core.config import ProbeBudget

HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
PER_OWNER, PER_HOUR = "detection.probes_per_owner", "detection.probes_per_hour"

_Item = TypeVar("_Item")


@dataclass(slots=True)
class _Request(Generic[_Item]):
    item: _Item
    again: bool


@dataclass(frozen=True, slots=True)
class _Spent:
    at_ns: int
    owner: str
    again: bool


class ProbeQueue(Generic[_Item]):
    """What waits for a probe, each item under a name of its own. Times are monotonic, in ns."""

    def __init__(self, budget: ProbeBudget) -> None:
        self.budget = budget
        self._owners: dict[str, dict[str, _Request[_Item]]] = {}  # by owner and name
        self._spent: list[_Spent] = []
        self._finds: dict[str, list[int]] = {}  # when, by owner

    def __len__(self) -> int:
        return sum(map(len, self._owners.values()))

    def __contains__(self, name: str) -> bool:
        return any(name in waiting for waiting in self._owners.values())

    @property
    def owners(self) -> list[str]:
        """Who waits."""
        return list(self._owners)

    def push(self, owner: str, name: str, item: _Item, *, again: bool = False) -> None:
        """Put an item behind its owner's others; one that waits for another look may wait for a first from now on."""
        request = self._owners.get(owner, {}).get(name)
        if request is None:
            self._owners.setdefault(owner, {})[name] = _Request(item, again)
        else:
            request.again = request.again and again

    def found(self, owner: str, now_ns: int) -> None:
        """A probe found a trigger in what this owner signed."""
        self._finds[owner] = [*self._finds.get(owner, ()), now_ns]

    def drop(self, wanted: Callable[[str, _Item], bool]) -> None:
        """Nobody waits for these any more."""
        for owner, waiting in list(self._owners.items()):
            left = {name: one for name, one in waiting.items() if not wanted(name, one.item)}
            self._owners[owner] = left
            if not left:
                del self._owners[owner]

    def pull(self, now_ns: int) -> _Item | None:
        """The next that has budget, which is spent by that; None where nobody has."""
        self._spent = [one for one in self._spent if one.at_ns > now_ns - HOUR_NS]
        recent = {owner: [at for at in finds if at > now_ns - DAY_NS] for owner, finds in self._finds.items()}
        self._finds = {owner: finds for owner, finds in recent.items() if finds}
        for again in (False, True):
            for owner in sorted(self._owners, key=self._had):
                waiting = self._owners[owner]
                name = next((name for name, one in waiting.items() if one.again is again), None)
                if name is not None and not self.bound(owner, again=again):
                    return self._take(owner, name, now_ns)
        return None

    def bound(self, owner: str, *, again: bool = False) -> str:
        """The setting whose hour is spent for an owner; empty where there is some left."""
        half = sum(one.again for one in self._spent) >= (self.budget.per_hour + 1) // 2
        if len(self._spent) >= self.budget.per_hour or (again and half):
            return PER_HOUR
        return PER_OWNER if self._had(owner) >= self._share(owner) else ""

    def free_ns(self, owner: str = "") -> int:
        """When an owner who is over a bound has budget again at the earliest; of whoever waits, without a name."""
        if not owner:
            return min(map(self.free_ns, self._owners), default=0)
        whole = self.bound(owner) != PER_OWNER
        mine = [one for one in self._spent if one.owner == owner or whole]
        over = 0 if whole else max(0, len(mine) - self._share(owner))  # a find may leave less than what was had
        return mine[over].at_ns + HOUR_NS if mine else 0

    def _share(self, owner: str) -> int:
        """Probes an hour for an owner."""
        return max(1, self.budget.per_owner >> len(self._finds.get(owner, ())))

    def _had(self, owner: str) -> int:
        return sum(one.owner == owner for one in self._spent)

    def _take(self, owner: str, name: str, now_ns: int) -> _Item:
        request = self._owners[owner].pop(name)
        if not self._owners[owner]:
            del self._owners[owner]
        self._spent.append(_Spent(now_ns, owner, request.again))
        return request.item
