"""Each kind of peer that breaks rules, two of them among six who don't: what is clean arrives, nobody honest is blamed,
no invariant of honest peers breaks, and what the kind does is met by what is meant for it."""

from __future__ import annotations

from typing import Any

import pytest

from plora.proto.errors import UsageError
from plora.sim.crooks import owner_of
from plora.sim.kinds import KINDS, line_up
from plora.sim.run import Simulation
from plora.sim.scenario import Adversaries, Scenario
from plora.sim.search import first_break
from plora.sim.topology import complete
from plora.sim.watcher import watch

MET: dict[str, str] = {
    "withholder": "",
    "forger": "bad_signature",
    "slanderer": "bad_signature",
    "corrupter": "bad_chunk",
    "list-forger": "",
    "staller": "",
    "trickler": "",
    "replayer": "",
    "turncoat": "bad_signature",
    "flooder": "reconciles too much",
    "babbler": "a frame that is no protobuf",
    "sybil": "untrusted_owners",
    "multitude": "discovery.links_in",
    "whitewasher": "bad_chunk",
    "equivocator": "two_contents",
    "rollback": "superseded",
    "clock-liar": "not_yet_valid",
    "junk-dealer": "rank_mismatch",
    "elder": "",
    "newer": "",
    "yes-sayer": "",
    "double-voter": "two_votes",
    "stale-voter": "other_epoch",
    "false-accuser": "",
    "impostor": "bad_signature",
    "stuffer": "",
    "silencer": "",
    "half-passer": "",
}
"""What honest peers say of it; "" where there is nothing to be seen from outside, or chance decides that."""

CONSENSUS = list(KINDS)[list(KINDS).index("yes-sayer") :]
BOUNDED = {"bounds": {"untrusted_owners": 20}}
BESIDE: dict[str, list[dict[str, Any]]] = {"double-voter": [{"kind": "equivocator", "peers": [7]}]}
"""Who must be there, too, for a kind to have something to do."""


QUICK = ("corrupter", "rollback", "elder", "multitude", "double-voter")
"""One of each file, by which all is done sooner; the others are tried nightly."""


def scenario(kind: str) -> Scenario:
    """Eight peers who all know each other, the last but one and the last of the voters among the liars."""
    voting = kind in CONSENSUS
    return Scenario.parse(
        {
            "agents": 8,
            "rounds": 16 if kind in QUICK else 25,
            "graph": {"kind": "complete"},
            "publish": {"plasmids": 3, "at": [0, 1, 2], "first_round": 1.0, "every": 2.0},
            "security": {"detectors": False, "consensus": voting, "quorum": 5, "policy": {"reputation": True}},
            "core": BOUNDED,
            "adversaries": [{"kind": kind, "peers": [5, 6]}, *BESIDE.get(kind, [])],
        }
    )


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.nightly) for kind in KINDS]
)
def test_what_is_clean_arrives_and_nobody_honest_is_blamed(kind: str) -> None:
    told = scenario(kind)
    simulation = Simulation(told)
    honest = [name for number, name in enumerate(simulation.ids) if number not in simulation.line_up.kinds]
    owners = [plasmid.manifest.owner for plasmid in simulation.plasmids.values()]
    watcher = watch(simulation.swarm, honest, owners)
    for _ in range(told.rounds):
        simulation.step()
        watcher.after_round()
    assert not watcher.broken, [str(one) for one in watcher.broken]
    rows = [simulation.ids.index(name) for name in honest]
    assert simulation.tally.accepted[rows].all()
    assert MET[kind] in "".join(line for name in honest for line in simulation.swarm.peer(name).log)


def choose(*listed: dict[str, Any], members: int = 0) -> tuple[int, ...]:
    near = complete(6).neighbours()
    return line_up([Adversaries.model_validate(one) for one in listed], near, seed=3, members=members).numbers


def test_an_eclipse_leaves_a_peer_so_many_honest_neighbours() -> None:
    around = {"kind": "withholder", "around": 2}
    assert len(choose(around)) == 4 and 2 not in choose(around)
    assert choose({**around, "spared": 0}) == (0, 1, 3, 4, 5)
    assert len(choose({"kind": "forger", "share": 0.5}, {**around, "spared": 0})) == 5


@pytest.mark.parametrize(
    ("entry", "members", "named"),
    [
        ({"kind": "gremlin", "count": 1}, 0, "gremlin"),
        ({"kind": "forger", "peers": [6]}, 0, "no peer 6"),
        ({"kind": "impostor", "peers": [5]}, 0, "consensus"),
        ({"kind": "double-voter", "peers": [5]}, 4, "no vote"),
    ],
)
def test_who_cannot_be_is_named(entry: dict[str, Any], members: int, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        choose(entry, members=members)


def test_a_multitude_does_not_part_neighbours_who_were_down() -> None:
    """While one of the two is away, the many take all the links that the other lets in, and soon its own."""
    happenings = [
        {"round": 1, "do": "kill", "peers": [0, 1]},
        {"round": 2, "do": "start", "peers": [0]},
        {"round": 10, "do": "start", "peers": [1]},
    ]
    told = {
        "agents": 3,
        "rounds": 14,
        "graph": {"kind": "complete"},
        "publish": {"plasmids": 1, "at": [0], "first_round": 12.0},
        "security": {"detectors": False},
        "adversaries": [{"kind": "multitude", "peers": [2]}],
        "happenings": happenings,
        "settle": 100,
    }
    assert first_break(Scenario.parse(told)) is None


@pytest.mark.parametrize("kind", ["equivocator", "rollback", "clock-liar", "junk-dealer"])
def test_who_cheats_on_a_full_disk_does_so_once_it_has_room(kind: str) -> None:
    happenings = [{"round": 0.5, "do": "disk_full", "peers": [2]}, {"round": 3, "do": "disk_free", "peers": [2]}]
    told: dict[str, Any] = {
        "agents": 3,
        "rounds": 7,
        "graph": {"kind": "complete"},
        "publish": {"plasmids": 1},
        "security": {"detectors": False},
        "adversaries": [{"kind": kind, "peers": [2], "from_round": 1.0}],
        "happenings": happenings,
    }
    simulation = Simulation(Scenario.parse(told))
    honest, crook = (simulation.swarm.peer(simulation.ids[number]) for number in (0, 2))
    owner, known = owner_of(crook.id, crook.config.swarm).id, []
    for _ in range(told["rounds"]):
        simulation.step()
        known.append(any(entry.owner == owner for entry in honest.core.gossip.seen.entries()))
    assert (known[2], known[-1]) == (False, True)
