"""Peers that break rules, by name, and which peers of a scenario they are.

- A kind is a class of peers (`KINDS`). A scenario's `adversaries` say which, who, and from which round on.
- Who is drawn is drawn from the scenario's seed, without those that an earlier entry has taken or that watch what
  becomes of an eclipse (`around`). An entry that names one of those is refused.
- Peers of another release are among them, and keep the rules of their time: they are not `LineUp.breaking`, and say
  what that release says from their first greeting on, unless a later round is told.
- Owners who cheat are as trusted as all others: `LineUp.owners` go into everybody's trust.
- Kinds that lie about the consensus need one, and those that lie as members must be members; `UsageError` says so.

>>> near = [[1, 4], [0, 2], [1, 3], [2, 4], [3, 0]]
>>> line_up((Adversaries(kind="forger", peers=(2,)), Adversaries(kind="withholder", around=0)), near, seed=1).numbers
(2, 4)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from plora.node.core.streams import Streams
from plora.proto.errors import UsageError
from plora.sim import adversaries, crooks, floods, liars, masks, versions
from plora.sim.adversary import Adversary, dormant
from plora.sim.choices import check, pick
from plora.sim.material import Owner
from plora.sim.scenario import Adversaries
from plora.sim.swarm import SWARM_ID, peer_id

KINDS: Mapping[str, type[Adversary]] = {
    "withholder": adversaries.Withholder,
    "forger": adversaries.Forger,
    "slanderer": adversaries.Slanderer,
    "corrupter": adversaries.Corrupter,
    "list-forger": adversaries.ListForger,
    "staller": adversaries.Staller,
    "trickler": adversaries.Trickler,
    "replayer": adversaries.Replayer,
    "turncoat": adversaries.Turncoat,
    "flooder": floods.Flooder,
    "babbler": floods.Babbler,
    "sybil": floods.Sybil,
    "multitude": masks.Multitude,
    "whitewasher": masks.Whitewasher,
    "equivocator": crooks.Equivocator,
    "rollback": crooks.Rollback,
    "clock-liar": crooks.ClockLiar,
    "junk-dealer": crooks.JunkDealer,
    "elder": versions.Elder,
    "newer": versions.Newer,
    "yes-sayer": liars.YesSayer,
    "double-voter": liars.DoubleVoter,
    "stale-voter": liars.StaleVoter,
    "false-accuser": liars.FalseAccuser,
    "impostor": liars.Impostor,
    "stuffer": liars.Stuffer,
    "silencer": liars.Silencer,
    "half-passer": liars.HalfPasser,
}
VOTING = (liars.LyingMember, liars.StaleVoter, liars.FalseAccuser)
LYING = (liars.Liar, liars.HalfPasser)


@dataclass(frozen=True, slots=True)
class LineUp:
    """The peers that are no plain ones, what they are called, and from which round on, by number; and the owners among
    them."""

    names: Mapping[int, str]
    kinds: Mapping[int, type[Adversary]]
    rounds: Mapping[int, float]
    owners: tuple[Owner, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """Who they are, in order."""
        return tuple(sorted(self.kinds))

    @property
    def breaking(self) -> frozenset[int]:
        """Those that break the rules."""
        return frozenset(number for number, kind in self.kinds.items() if not kind.keeps_rules)


def line_up(listed: Sequence[Adversaries], near: Sequence[Sequence[int]], *, seed: int, members: int = 0) -> LineUp:
    """Who breaks which rules.

    Args:
        listed: the scenario's entries.
        near: for each peer, whom it knows (`topology.neighbours`).
        seed: of what is drawn.
        members: how many of the first peers vote; 0 without a consensus.

    Raises UsageError for a kind or a peer that isn't there, for a liar who has no vote, and for a peer that two entries
    mean.
    """
    draws = Streams(seed, "").stream("adversaries")
    watched = {one.around for one in listed if one.around is not None}
    kinds: dict[int, type[Adversary]] = {}
    names: dict[int, str] = {}
    rounds: dict[int, float] = {}
    for place, one in enumerate(listed):
        free = [number for number in range(len(near)) if number not in kinds and number not in watched]
        kind = _kind(one.kind)
        kind = kind if kind.keeps_rules and not one.from_round else dormant(kind)
        where = f"adversaries.{place}"
        for number in _chosen(one, free, near, draws, where):
            _check(one.kind, kind, number, members)
            if number not in free or number in kinds:
                said = f"is taken as {names[number]}" if number in names else "is one that others are `around`"
                raise UsageError(f"peer {number} {said}", where=where, mend="name another peer")
            names[number], kinds[number], rounds[number] = one.kind, kind, one.from_round
    crooked = (number for number, kind in sorted(kinds.items()) if issubclass(kind, crooks.Crook))
    return LineUp(names, kinds, rounds, tuple(crooks.owner_of(peer_id(number), SWARM_ID) for number in crooked))


def _kind(name: str) -> type[Adversary]:
    found = KINDS.get(name)
    if found is None:
        raise UsageError(
            f"no adversary is called {name!r}", where="adversaries.kind", mend=f"known: {', '.join(KINDS)}"
        )
    return found


def _chosen(one: Adversaries, free: list[int], near: Sequence[Sequence[int]], draws: Random, where: str) -> list[int]:
    if one.around is None or one.peers:
        return pick(one, len(near), free, draws, where)
    check(one.around, len(near), f"{where}.around")
    return [number for number in near[one.around] if number in free][one.spared :]


def _check(name: str, kind: type[Adversary], number: int, members: int) -> None:
    if issubclass(kind, LYING) and not members:
        raise UsageError(f"{name} lies about a consensus", where="adversaries", mend="set security.consensus = true")
    if issubclass(kind, VOTING) and number >= members:
        raise UsageError(
            f"{name} has no vote as peer {number}", where="adversaries", mend=f"name peers below {members}"
        )
