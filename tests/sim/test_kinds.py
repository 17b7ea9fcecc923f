"""Each kind of peer that breaks rules, two of them among six who don't: what is clean arrives, nobody honest is blamed,
no invariant of honest peers breaks, and what the kind does is met by what is meant for it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.sim.kinds_seen import SEEN, Heard

from plora.proto.errors import UsageError
from plora.sim.clock import MS
from plora.sim.crooks import owner_of
from plora.sim.kinds import KINDS, line_up
from plora.sim.run import Simulation
from plora.sim.scenario import Adversaries, Scenario
from plora.sim.search import first_break
from plora.sim.topology import complete
from plora.sim.watcher import watch

MET: dict[str, str] = {
    "forger": "bad_signature",
    "slanderer": "bad_signature",
    "corrupter": "bad_chunk",
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
    "double-voter": "two_votes",
    "stale-voter": "other_epoch",
    "impostor": "bad_signature",
}
"""What honest peers say of it; of the others `SEEN` tells what they hear."""

CONSENSUS = list(KINDS)[list(KINDS).index("yes-sayer") :]
BOUNDED = {"bounds": {"untrusted_owners": 20}}
BESIDE: dict[str, list[dict[str, Any]]] = {
    "double-voter": [{"kind": "equivocator", "peers": [7]}],
    "list-forger": [{"kind": "corrupter", "peers": [7]}],
    "yes-sayer": [{"kind": "junk-dealer", "peers": [7]}],
}
"""Who must be there, too, for a kind to have something to do."""


QUICK = ("corrupter", "rollback", "elder", "multitude", "double-voter")
"""One of each file, by which all is done sooner; the others are tried nightly."""


def scenario(kind: str, from_round: float = 0.0) -> Scenario:
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
            "adversaries": [{"kind": kind, "peers": [5, 6], "from_round": from_round}, *BESIDE.get(kind, [])],
        }
    )


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.nightly) for kind in KINDS]
)
def test_what_is_clean_arrives_and_nobody_honest_is_blamed(kind: str) -> None:
    told = scenario(kind)
    simulation = Simulation(told)
    honest = [name for number, name in enumerate(simulation.ids) if number not in simulation.line_up.breaking]
    heard = listen(simulation, honest)
    simulation.begin()
    heard.begin_ns = simulation.begin_ns
    for _ in range(told.rounds):
        simulation.step()
        heard.watcher.after_round()
    assert not heard.watcher.broken, [str(one) for one in heard.watcher.broken]
    rows = [simulation.ids.index(name) for name in honest]
    assert simulation.tally.accepted[rows].all()
    log = "".join(line for name in honest for line in simulation.swarm.peer(name).log)
    assert MET[kind] in log if kind in MET else SEEN[kind](heard)


def test_of_each_kind_something_must_be_noticed() -> None:
    assert sorted((*MET, *SEEN)) == sorted(KINDS) and all(MET.values())


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind == "elder" else pytest.mark.nightly) for kind in SEEN]
)
def test_nothing_of_the_kind_is_seen_of_who_does_as_all_others(kind: str) -> None:
    simulation = Simulation(scenario(kind, from_round=1000.0))
    heard = listen(simulation, [name for number, name in enumerate(simulation.ids) if number not in (5, 6)])
    for _ in range(simulation.scenario.rounds):
        simulation.step()
    assert heard.frames and not SEEN[kind](heard)


def listen(simulation: Simulation, honest: list[str]) -> Heard:
    """What honest peers hear of the fifth and sixth, watched from now on."""
    suspects = [simulation.swarm.peer(simulation.ids[number]) for number in (5, 6)]
    owners = [plasmid.manifest.owner for plasmid in simulation.plasmids.values()]
    heard = Heard(
        watch(simulation.swarm, honest, owners),
        suspects=frozenset(peer.id for peer in suspects),
        members=suspects[0].config.members,
        stall_ns=suspects[0].config.stall_ms * MS,
        keys=frozenset(peer.vote_key.public.key_id for peer in suspects if peer.vote_key is not None),
        clean=frozenset(simulation.plasmids),
    )
    for name in honest:
        simulation.swarm.peer(name).watch = heard
    return heard


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
        ({"kind": "forger", "peers": [-1]}, 0, "no peer -1"),
        ({"kind": "forger", "around": 6}, 0, "no peer 6"),
        ({"kind": "forger", "peers": [2, 2]}, 0, "taken as forger"),
        ({"kind": "forger", "share": 0.01}, 0, "nobody"),
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


def test_an_entry_that_says_no_more_is_of_everybody() -> None:
    assert choose({"kind": "forger"}) == (0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("first", "named"),
    [({"kind": "forger", "peers": [2]}, "taken as forger"), ({"kind": "forger", "around": 2}, "others are `around`")],
)
def test_a_peer_is_one_kind_and_none_that_is_watched(first: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        choose(first, {"kind": "staller", "peers": [2]})
