"""What the owners of a pinned root revoke together, on whole swarms: all of it everywhere, less than that nowhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.sim.roots import ROOT, begins_to_revoke, says, signs_too

from plora.gate import Policy, Trust
from plora.node.core import view
from plora.node.core.config import Bounds, CoreConfig
from plora.node.core.root_view import root
from plora.sim.material import Plasmid, make_owner, make_plasmid, tiny_adapter
from plora.sim.peer import SimPeer
from plora.sim.scenario import Links
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID, Swarm
from plora.sim.topology import ring

SHARED = Shared()
ADA = make_owner("ada", SWARM_ID)
LEGAL = make_plasmid(ADA, "legal", tiny_adapter(1))
OTHER = make_plasmid(ADA, "other", tiny_adapter(2))
PINNED = Trust((ADA.trusted,), root=ROOT)
BAD = Links(loss=0.2, duplication=0.2, reorder=0.2)
COUNT = 6


def peers(swarm: Swarm) -> list[SimPeer]:
    return list(swarm.peers.values())


def fresh_swarm(trust: Trust = PINNED, strangers: int = 1000) -> Swarm:
    """All peers of a ring, which the guardians say is new, use what ada signed."""
    swarm = Swarm(3, shared=SHARED)
    template = CoreConfig(peer="", swarm=SWARM_ID, boot="", bounds=Bounds(untrusted_owners=strangers))
    swarm.add(COUNT, ring(COUNT), policy=Policy(), trust=trust, template=template)
    swarm.boot()
    swarm.run(3)
    for number in (0, 1):
        peers(swarm)[0].publish(says(number, swarm.clock.now.wall_ms))
    for plasmid in (LEGAL, OTHER):
        publish(swarm, plasmid)
    assert swarm.run_until(lambda: swarm.usable(LEGAL.content_id) == swarm.usable(OTHER.content_id) == COUNT, 120)
    return swarm


def publish(swarm: Swarm, plasmid: Plasmid) -> None:
    peers(swarm)[0].publish((ADA.record, plasmid.statement), (plasmid.data,))


def reasons(swarm: Swarm, plasmid: Plasmid) -> set[str]:
    verdicts = [peer.core.desk.book.live[plasmid.content_id].verdict for peer in peers(swarm)]
    return {verdict.reason for verdict in verdicts if verdict is not None}


def merged(swarm: Swarm, plasmid: Plasmid) -> int:
    """How many peers serve a merge with it."""
    served = (merge["content_ids"] for peer in peers(swarm) for merge in view.merges(peer.core))
    return sum(plasmid.content_id.hex() in inputs for inputs in served)


@pytest.mark.parametrize("conditions", [Links(), BAD], ids=["a calm network", "a bad one"])
def test_two_of_three_revoke_a_content_everywhere_and_one_alone_nothing(conditions: Links) -> None:
    swarm = fresh_swarm()
    swarm.network.links = conditions
    _, begun = words = begins_to_revoke(0, "content", LEGAL.content_id.hex())
    peers(swarm)[2].publish(words)
    swarm.run(20)
    assert swarm.usable(LEGAL.content_id) == merged(swarm, LEGAL) == COUNT
    peers(swarm)[4].publish(signs_too(2, begun))
    assert swarm.run_until(lambda: swarm.usable(LEGAL.content_id) == merged(swarm, LEGAL) == 0, 60)
    assert reasons(swarm, LEGAL) == {"revoked_content"}
    assert swarm.usable(OTHER.content_id) == COUNT
    for peer in peers(swarm):
        peer.crash()
        peer.boot()
    swarm.run(5)
    assert (swarm.usable(LEGAL.content_id), swarm.usable(OTHER.content_id)) == (0, COUNT)


@pytest.mark.parametrize("kind", ["key", "owner"])
def test_a_key_or_an_owner_that_the_root_revoked_is_void_for_good(kind: str) -> None:
    swarm = fresh_swarm()
    target = {"key": ADA.key.public.key_id, "owner": ADA.id}[kind]
    _, begun = words = begins_to_revoke(1, kind, target)
    peers(swarm)[0].publish(words)
    peers(swarm)[0].publish(signs_too(0, begun))
    assert swarm.run_until(lambda: swarm.usable(LEGAL.content_id) + swarm.usable(OTHER.content_id) == 0, 30)
    later = make_plasmid(ADA, "later", tiny_adapter(5))
    publish(swarm, later)
    swarm.run(10)
    assert reasons(swarm, later) == {f"revoked_{kind}"}
    assert [one["counts"] for one in root(peers(swarm)[3].core)["revocations"]] == [True]


def test_peers_without_the_root_pass_it_on_and_go_by_none_of_it() -> None:
    swarm = fresh_swarm(trust=replace(PINNED, root=None))
    _, begun = words = begins_to_revoke(0, "owner", ADA.id)
    peers(swarm)[0].publish(words)
    peers(swarm)[0].publish(signs_too(1, begun))
    swarm.run(20)
    assert swarm.usable(LEGAL.content_id) == COUNT
    assert all(any(one.id == begun.id for one in peer.core.gossip.live()) for peer in peers(swarm))


def test_strangers_who_fill_their_bound_keep_no_owner_of_the_root_out() -> None:
    """Nobody here trusts a guardian by name; the root alone makes room for what they say."""
    swarm = fresh_swarm(strangers=2)
    for name in ("eve", "mallory"):
        peers(swarm)[1].publish((make_owner(name, SWARM_ID).record,))
    swarm.run(5)
    _, begun = words = begins_to_revoke(2, "content", LEGAL.content_id.hex())
    peers(swarm)[0].publish(words)
    peers(swarm)[0].publish(signs_too(1, begun))
    assert swarm.run_until(lambda: swarm.usable(LEGAL.content_id) == 0, 30)
