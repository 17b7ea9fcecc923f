"""A swarm with a council: four members and one peer who only accepts, all linked, on a virtual clock."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tests.council import Ballots, vote_key

from plora.gate import Policy, Trust
from plora.gate.consensus import Member, Membership, membership
from plora.node.core import view
from plora.node.core.config import CoreConfig
from plora.node.core.events import WordSigned
from plora.proto.dsse import StatementKind
from plora.proto.payloads import Choice
from plora.proto.statement import open_statement
from plora.sim.material import Plasmid, make_owner, make_plasmid, tiny_adapter
from plora.sim.peer import SimPeer
from plora.sim.scenario import Links
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID, Swarm, peer_id
from plora.sim.topology import complete

ADA = make_owner("ada", SWARM_ID)
LEGAL = make_plasmid(ADA, "legal", tiny_adapter(1))
RIVAL = make_plasmid(ADA, "legal", tiny_adapter(2))
OTHER = make_plasmid(ADA, "medical", tiny_adapter(3))
SHARED = Shared()
MEMBERS, PEERS, LIAR = 4, 5, 3


def members(number: int = 1, quorum: int | None = None) -> Membership:
    """The first peers vote."""
    listed = (Member(f"m{one}", vote_key(one).public, peer_id(one)) for one in range(MEMBERS))
    return membership(SWARM_ID, listed, quorum, number)


def make(
    seed: int = 1,
    conditions: Links | None = None,
    *,
    wait_ms: int = 60_000,
    shared: Shared = SHARED,
    **policies: Any,
) -> Swarm:
    """Four members and one who only accepts, all linked; none is started."""
    swarm = Swarm(seed, conditions, shared=shared)
    template = CoreConfig(peer="", swarm=SWARM_ID, boot="", members=members())
    policy = Policy(consensus=True, certificate_wait_ms=wait_ms, **policies)
    keys = {number: vote_key(number) for number in range(MEMBERS)}
    swarm.add(PEERS, complete(PEERS), policy=policy, trust=Trust((ADA.trusted,)), template=template, vote_keys=keys)
    return swarm


def peers(swarm: Swarm) -> list[SimPeer]:
    return [swarm.peer(peer_id(number)) for number in range(PEERS)]


def publish(peer: SimPeer, plasmid: Plasmid = LEGAL) -> None:
    peer.publish((ADA.record, plasmid.statement), (plasmid.data,))


def vote_as(number: int, plasmid: Plasmid, peer: SimPeer) -> None:
    """An ACCEPT by a member's key for a content comes up at a peer, whatever that member itself thinks."""
    ballots = Ballots(members().slot(plasmid.manifest))
    peer.handle(WordSigned(ballots.vote(number, plasmid.content_id.hex())))


def up(swarm: Swarm, numbers: Iterable[int] = range(PEERS)) -> Swarm:
    swarm.boot([peer_id(number) for number in numbers])
    return swarm


def records(peer: SimPeer, kind: str) -> list[dict[str, Any]]:
    return [record for record in map(json.loads, peer.log) if record["kind"] == kind]


def why(swarm: Swarm, number: int, plasmid: Plasmid = LEGAL) -> dict[str, Any]:
    peer = swarm.peer(peer_id(number))
    return view.why(peer.core, plasmid.content_id.hex(), swarm.clock.now)


def own_accepts(swarm: Swarm, number: int) -> set[str]:
    """Contents of one version that a member's key accepted, as far as any peer knows."""
    found = set()
    for peer in swarm.running():
        for statement in peer.core.gossip.live():
            if statement.kind == StatementKind.VOTE and statement.key_id == vote_key(number).public.key_id:
                vote: Any = open_statement(statement)
                if vote.choice is Choice.ACCEPT and vote.slot.plasmid_id == "legal":
                    found.add(vote.content)
    return found
