"""Transfer entropy out of event logs: whom peers have it from says something of when, of logs that can carry it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.analysis.test_logs import Log, published, verdict

from plora.analysis.log_information import spread_information
from plora.analysis.logs import gather
from plora.proto.records import LinkUp, StatementSeen

STEP_S = 0.5
RING = 12


def peer(number: int) -> str:
    return f"{number % RING:02x}" * 32


def logs(folder: Path, publishers: int, *, along_the_ring: bool) -> Path:
    """Peers in a ring; each adapter is a step later at the next one, or sets out anew at times that nobody shares."""
    drawn = np.random.default_rng(3)
    made = [_log(number) for number in range(RING)]
    for number, log in enumerate(made):
        for other in (number - 1, number + 1):
            log.at(0, LinkUp(peer(other), other > number))
    for content in range(publishers * 4):
        origin, name = content % publishers, f"{content:02x}" * 32
        made[origin].at(1, published(name, "legal")).at(1, verdict(name, "accept"))
        for away in range(1, RING):
            number = (origin + away) % RING
            late = min(away, RING - away) if along_the_ring else int(drawn.integers(1, 7))
            sender = number - 1 if away <= RING / 2 else number + 1
            made[number].at(1 + late * STEP_S, StatementSeen(name, "manifest", peer(sender), "push", 1))
            made[number].at(1 + late * STEP_S, verdict(name, "accept"))
    for number, log in enumerate(made):
        log.write(folder / str(number) / "events" / "1.jsonl")
    return folder


def _log(number: int) -> Log:
    log = Log(0)
    log.peer = peer(number)
    return log


def test_neighbours_foretell_what_spreads_along_links(tmp_path: Path) -> None:
    found = spread_information(gather(logs(tmp_path, 9, along_the_ring=True)))
    assert (found["publishers"], found["step_ms"], found["steps"]) == (9, 500, 6)
    near, far = found["neighbours"], found["strangers"]
    assert near["p"] == 0.01 and near["low"] > near["surrogate_95"] and near["low"] > far["high"]


def test_neighbours_foretell_nothing_of_what_comes_by_chance(tmp_path: Path) -> None:
    found = spread_information(gather(logs(tmp_path, 9, along_the_ring=False)))["neighbours"]
    assert found["share"] < 0.02 and found["p"] > 0.05


def test_what_logs_cannot_carry_is_refused_with_a_reason(tmp_path: Path) -> None:
    few = spread_information(gather(logs(tmp_path, 7, along_the_ring=True)))
    assert few["neighbours"] == {"refused": "7 publishers can't be told from chance: it takes 8"}
    alone = tmp_path / "alone"
    Log(0).at(1, published("11" * 32, "legal")).at(1, verdict("11" * 32, "accept")).write(alone / "1.jsonl")
    assert spread_information(gather(alone)) == {"refused": "no links between peers with logs"}
    apart = tmp_path / "apart"
    for number in (0, 1):
        _log(number).at(0, LinkUp(peer(1 - number), True)).write(apart / str(number) / "1.jsonl")
    assert "nobody accepted" in spread_information(gather(apart))["refused"]
