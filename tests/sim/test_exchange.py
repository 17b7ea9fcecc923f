"""Peer exchange in a swarm of real cores: members find one another, deterministically and within bounds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plora.gate import Trust
from plora.node.core.config import Bounds, CoreConfig
from plora.node.core.events import NeighboursChanged
from plora.node.core.messages import PeerAddress
from plora.sim.material import make_owner
from plora.sim.scenario import Links
from plora.sim.swarm import SWARM_ID, Swarm, address_of
from plora.sim.topology import ring

COUNT = 12
LINE = [(number, number + 1) for number in range(COUNT - 1)]
TEMPLATE = CoreConfig(peer="", swarm=SWARM_ID, boot="", exchange=True, exchange_ms=2000)


def line(seed: int = 1, loss: float = 0.0, **changes: object) -> tuple[Swarm, list[str]]:
    """Peers that know only who is before and after them."""
    swarm = Swarm(seed, Links(loss=loss))
    ids = swarm.add(COUNT, LINE, template=replace(TEMPLATE, **changes))  # type: ignore[arg-type]
    swarm.boot()
    return swarm, ids


def links(swarm: Swarm, name: str) -> int:
    return len(swarm.peer(name).core.gossip.links.ready())


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_a_line_becomes_a_net(loss: float) -> None:
    swarm, ids = line(loss=loss)
    assert swarm.run_until(lambda: all(links(swarm, name) >= 8 for name in ids), 240)
    dialed = [sum(link.dialed for link in swarm.peer(name).core.gossip.links.ready()) for name in ids]
    assert max(dialed) <= TEMPLATE.bounds.links_out


def test_the_same_seed_gives_the_same_net() -> None:
    digests = []
    for _ in range(2):
        swarm, _ = line(seed=7, loss=0.1)
        swarm.run(20)
        digests.append(swarm.digest())
    assert digests[0] == digests[1]


def test_without_exchange_the_topology_is_fixed() -> None:
    swarm, ids = line(exchange=False)
    swarm.run(60)
    assert [links(swarm, name) for name in ids] == [1, *[2] * (COUNT - 2), 1]


def test_a_peer_whose_only_neighbour_is_gone_still_has_others() -> None:
    swarm, ids = line()
    assert swarm.run_until(lambda: links(swarm, ids[0]) >= 4, 120)
    swarm.peer(ids[1]).crash()
    swarm.peer(ids[0]).crash()
    swarm.boot([ids[0]])
    assert swarm.run_until(lambda: links(swarm, ids[0]) >= 3, 60)


def test_links_in_is_kept_by_all() -> None:
    swarm, ids = line(bounds=Bounds(links_in=3, links_out=4))
    swarm.run(40)
    for name in ids:
        assert sum(not link.dialed for link in swarm.peer(name).core.gossip.links.ready()) <= 3


def test_a_removed_peer_is_not_dialed_again_over_restarts() -> None:
    swarm = Swarm(3)
    ids = swarm.add(6, ring(6), template=TEMPLATE)
    swarm.boot()
    assert swarm.run_until(lambda: all(links(swarm, name) == 5 for name in ids), 120)
    first = swarm.peer(ids[0])
    left = tuple(PeerAddress(ids[number], (address_of(number),)) for number in (5,))
    first.config = replace(first.config, neighbours=left)
    first.handle(NeighboursChanged(left))
    swarm.run(5)
    swarm.network.tried.clear()
    swarm.run(60)
    first.crash()
    swarm.boot([ids[0]])
    swarm.run(120)
    assert (ids[0], ids[1]) not in swarm.network.tried
    assert links(swarm, ids[0]) >= 4


def test_statements_reach_everybody_over_found_links() -> None:
    owner = make_owner("ada", SWARM_ID)
    swarm = Swarm(5)
    ids = swarm.add(COUNT, LINE, template=TEMPLATE, trust=Trust(owners=(owner.trusted,)))
    swarm.boot()
    swarm.run(20)
    for number in range(2, COUNT - 2):
        swarm.network.cut(ids[number], ids[number + 1])  # every configured path but two
    swarm.peer(ids[0]).publish((owner.record,))
    assert swarm.run_until(lambda: swarm.agree(1), 120)
