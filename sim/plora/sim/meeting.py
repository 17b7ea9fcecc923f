"""Which members of a consensus will ever vote: each first reads what others hold, until a quorum, itself among them.

So members who know too few other members never vote, and where less than a quorum of them votes no adapter ever gets a
certificate: a sparse graph can do that to a sound council.

>>> ready_to_vote({0: {1, 5}, 1: {0, 6}, 2: {5, 6}}, quorum=2)
[0, 1]
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TypeVar

from plora.sim.scenario import Scenario
from plora.sim.topology import Edges, neighbours

_Peer = TypeVar("_Peer", int, str)


def ready_to_vote(known: Mapping[_Peer, Set[_Peer]], quorum: int) -> list[_Peer]:
    """The members that know a quorum of members, themselves among it; of each member, all whom they know."""
    return [one for one, near in known.items() if len(near & known.keys()) >= quorum - 1]


def council_note(scenario: Scenario, edges: Edges, members: int) -> str:
    """Why no certificate can come about with so many members on this graph; "" where one can.

    Peers that exchange addresses get to know others, so nothing is said of them.
    """
    if not members or scenario.core.get("exchange"):
        return ""
    near = neighbours(scenario.agents, edges)
    quorum = scenario.security.quorum
    ready = ready_to_vote({one: set(near[one]) for one in range(members)}, quorum)
    if len(ready) >= quorum:
        return ""
    return (
        f"nothing can be certified: only {len(ready)} of {members} members know a quorum of {quorum} members and will "
        "vote; use a denser graph"
    )
