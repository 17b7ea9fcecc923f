"""Who is to blame for a merge that fails its probes, found by probing merges of fewer. Pure.

Rules:

- A *trial* merges some members of the failed merge, each at the weight that it had there, and probes the result: what
  does it, is in there. What is asked is only whether a trial fails.
- The failed merge is reduced by halves, then by one (leave-one-out), to a set that fails and of which each member is
  needed: the *core*.
- A member of the core is innocent if bystanders do as well in its place: of those tried, more than half fail beside the
  rest of the core. So is a newcomer whom an accepted adapter was made to frame, and so is everybody where any merge
  fails. Nobody is innocent for being so alone (all are: the gate accepted them), for being older, or for their digest.
- Bystanders are not in the core, one an owner, of no owner in the core; they are of the member's domain where there are
  `BYSTANDERS_MIN` of it, else of any. Where there are fewer at all nobody is shown innocent: the whole core is to
  blame, and a person may release who isn't.
- Who is left of a core of up to `CORE_MAX` is to blame. Of a larger one nobody is: the merge itself is what fails.
  Where bystanders tell who is innocent, owners are counted, else members: one owner's many act as one.
- A copy of a culprit, which had no weight beside it, is to blame if it does the same in its place.
- Whom a person excused is never to blame. If nothing fails without the excused, nothing is wrong.
- After `trials_max` trials the search ends, and nobody is to blame.
- The order of the members decides what is tried first, and never who is to blame of a core.

Not handled: merging and probing (the caller's), a second core beside the first one (the next merge's), and bystanders
of whom half are the attacker's: they can clear an accomplice.

>>> members = [Member(name, owner=name) for name in "abcdef"]
>>> blame = find_blame(members, lambda few: {"b", "e"} <= few)
>>> blame.culprits, blame.complete
(('b', 'e'), True)
>>> find_blame(members, lambda few: "b" in few and len(few) > 1).culprits
('b',)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

CORE_MAX = 3
BYSTANDERS_MIN, BYSTANDERS_MAX = 2, 5
TRIALS_MAX = 96

Few = frozenset[str]
"""The names of some members."""


@dataclass(frozen=True, slots=True)
class Member:
    """One input of a merge: what it is called, who signed it, what it is about; `copies` had no weight beside it."""

    name: str
    owner: str
    domain: str = ""
    copies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Blame:
    """What a search found: `culprits` of the `core`, each before its copies; `trials` is how many it took.

    `complete` is False where trials ran out, maybe over copies alone. `excused`: without those whom a person excused,
    nothing fails.
    """

    culprits: tuple[str, ...] = ()
    core: tuple[str, ...] = ()
    trials: int = 0
    complete: bool = True
    excused: bool = False


def find_blame(
    members: Sequence[Member],
    fails: Callable[[Few], bool],
    *,
    excused: Collection[str] = (),
    trials_max: int = TRIALS_MAX,
) -> Blame:
    """Search with trials that are carried out at once, none twice. The merge of all members is known to fail."""
    answers: dict[Few, bool] = {}
    while not isinstance(step := next_trial(members, answers, excused=excused, trials_max=trials_max), Blame):
        answers[step] = fails(step)
    return step


def next_trial(
    members: Sequence[Member],
    answers: Mapping[Few, bool],
    *,
    excused: Collection[str] = (),
    trials_max: int = TRIALS_MAX,
) -> Few | Blame:
    """The next trial to carry out, or what was found; `answers` says of each trial so far whether it failed."""
    search = _Search(members, answers, frozenset(excused))
    try:
        return search.run()
    except _UnansweredError as open_:
        return open_.few if len(answers) < trials_max else Blame(search.found, trials=len(answers), complete=False)


class _UnansweredError(Exception):
    """The search needs a trial that was not carried out yet."""

    def __init__(self, few: Few) -> None:
        super().__init__()
        self.few = few


@dataclass
class _Search:
    """The search, run from its beginning over the answers so far."""

    members: Sequence[Member]
    answers: Mapping[Few, bool]
    excused: Few
    found: tuple[str, ...] = ()
    _of: dict[str, Member] = field(init=False)

    def __post_init__(self) -> None:
        self._of = {member.name: member for member in self.members}

    def run(self) -> Blame:
        left = [member.name for member in self.members]
        while self._fails(left):
            core = self._reduced(left)
            guilty = tuple(name for name in core if not self._innocent(name, core))
            culprits = tuple(name for name in guilty if name not in self.excused)
            if culprits or not guilty:
                return self._blame(culprits, core)
            left = [name for name in left if name not in guilty]
        return Blame(trials=len(self.answers), excused=True)

    def _blame(self, culprits: tuple[str, ...], core: Sequence[str]) -> Blame:
        self.found = culprits if self._are_few(culprits, core) else ()
        found = tuple(one for name in self.found for one in (name, *self._copies(name, core)))
        return Blame(found, tuple(core), len(self.answers))

    def _are_few(self, culprits: tuple[str, ...], core: Sequence[str]) -> bool:
        told = all(len(self._bystanders(name, core)) >= BYSTANDERS_MIN for name in culprits)
        return len({self._of[name].owner if told else name for name in culprits}) <= CORE_MAX

    def _copies(self, name: str, core: Sequence[str]) -> list[str]:
        others = [other for other in core if other != name]
        copies = (copy for copy in self._of[name].copies if copy not in self.excused)
        return [copy for copy in copies if self._fails([*others, copy])]

    def _fails(self, names: Sequence[str]) -> bool:
        few = frozenset(names)
        if few == self._of.keys():
            return True
        if few and few not in self.answers:
            raise _UnansweredError(few)
        return bool(few) and self.answers[few]

    def _reduced(self, names: Sequence[str]) -> list[str]:
        """What is left when nobody can be left out any more without it passing (delta debugging, Zeller 2002)."""
        kept, size = list(names), len(names)
        while size > 1:
            size = (size + 1) // 2
            kept = self._without_parts(kept, size)
        while len(fewer := self._without_parts(kept, 1)) < len(kept):
            kept = fewer
        return kept

    def _without_parts(self, names: list[str], size: int) -> list[str]:
        """Leave out each run of so many names without which the rest still fails."""
        start = 0
        while start < len(names):
            rest = names[:start] + names[start + size :]
            if self._fails(rest):
                names = rest
            else:
                start += size
        return names

    def _innocent(self, name: str, core: Sequence[str]) -> bool:
        others = [other for other in core if other != name]
        bystanders = self._bystanders(name, core)
        if len(bystanders) < BYSTANDERS_MIN:
            return False
        failing = sum(self._fails([*others, bystander]) for bystander in bystanders)
        return 2 * failing > len(bystanders)

    def _bystanders(self, name: str, core: Sequence[str]) -> list[str]:
        involved = {self._of[one].owner for one in core}
        outside = [one for one in self.members if one.owner not in involved and one.name not in self.excused]
        near = [one for one in outside if one.domain == self._of[name].domain]
        found = _one_an_owner(near)
        return (found if len(found) >= BYSTANDERS_MIN else _one_an_owner([*near, *outside]))[:BYSTANDERS_MAX]


def _one_an_owner(members: Sequence[Member]) -> list[str]:
    first: dict[str, str] = {}
    for member in members:
        first.setdefault(member.owner, member.name)
    return list(first.values())
