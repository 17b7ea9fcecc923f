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


def logs(folder: Path, publishers: int, *, along_the_ring: bool, skew_ms: int = 0, stopped: int = 0) -> Path:
    """Peers in a ring; each adapter is a step later at the next one, or sets out anew at times that nobody shares.

    Every second peer's clock is `skew_ms` ahead; of every third publisher's, only `stopped` peers hear.
    """
    drawn = np.random.default_rng(3)
    made = [_log(number, skew_ms * (number % 2)) for number in range(RING)]
    for number, log in enumerate(made):
        for other in (number - 1, number + 1):
            log.at(0, LinkUp(peer(other), other > number))
    for content in range(publishers * 4):
        origin, name = content % publishers, f"{content:02x}" * 32
        made[origin].at(1, published(name, "legal")).at(1, verdict(name, "accept"))
        ways = [away for away in range(1, RING) if not stopped or origin % 3 or min(away, RING - away) <= stopped]
        late = {away: min(away, RING - away) if along_the_ring else int(drawn.integers(1, 7)) for away in ways}
        for away in ways:
            number, near = (origin + away) % RING, away - 1 if away <= RING / 2 else away + 1
            sender = origin + (near if late.get(near, RING) < late[away] else 0)  # who had it before, or the publisher
            made[number].at(1 + late[away] * STEP_S, StatementSeen(name, "manifest", peer(sender), "push", 1))
            made[number].at(1 + late[away] * STEP_S, verdict(name, "accept"))
    for number, log in enumerate(made):
        log.write(folder / str(number) / "events" / "1.jsonl")
    return folder


def _log(number: int, skew_ms: int = 0) -> Log:
    log = Log(0, wall_ms=1_000_000 + skew_ms)
    log.peer = peer(number)
    return log


def test_neighbours_foretell_what_spreads_along_links(tmp_path: Path) -> None:
    found = spread_information(gather(logs(tmp_path, 9, along_the_ring=True)))
    assert (found["publishers"], found["step_ms"], found["steps"]) == (9, 500, 6)
    near, far = found["neighbours"], found["strangers"]
    assert near["p"] == 0.01 and near["low"] > near["surrogate_95"] and near["low"] > far["high"]


def test_publishers_that_differ_widen_the_interval(tmp_path: Path) -> None:
    """Alike they leave no doubt; of each third one's adapters few peers hear, so that leaving it out changes bits."""
    alike = spread_information(gather(logs(tmp_path / "alike", 9, along_the_ring=True)))["neighbours"]
    differ = spread_information(gather(logs(tmp_path / "differ", 9, along_the_ring=True, stopped=2)))["neighbours"]
    assert alike["high"] - alike["low"] < 1e-9 < 0.01 < differ["high"] - differ["low"] < differ["bits"]
    assert differ["low"] < differ["bits"] < differ["high"] and differ["low"] > differ["surrogate_95"]


def test_a_publisher_is_who_published_and_not_who_accepted_first(tmp_path: Path) -> None:
    folder = logs(tmp_path, 9, along_the_ring=True)
    for path in (folder / "0" / "events").iterdir():  # what the first one publishes, its own gate doesn't accept
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if '"verdict"' not in line))
    found = spread_information(gather(folder))
    assert (found["publishers"], found["left_out"]) == (9, 0)


def test_clocks_that_disagree_are_refused(tmp_path: Path) -> None:
    for skew_ms, apart in ((5000, "4.5"), (700, "0.2")):
        found = spread_information(gather(logs(tmp_path / apart, 9, along_the_ring=True, skew_ms=skew_ms)))
        assert found == {"refused": f"clocks of peers are at least {apart} s apart, or logs lack their beginning"}


def test_clocks_that_disagree_by_far_less_than_a_step_are_borne(tmp_path: Path) -> None:
    found = spread_information(gather(logs(tmp_path, 9, along_the_ring=True, skew_ms=505)))
    assert found["publishers"] == 9 and "bits" in found["neighbours"]


def test_what_nobody_says_to_have_published_is_left_out(tmp_path: Path) -> None:
    folder = logs(tmp_path, 9, along_the_ring=True)
    for path in (folder / "0" / "events").iterdir():
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if '"published"' not in line))
    found = spread_information(gather(folder))
    assert (found["publishers"], found["left_out"]) == (8, 4) and "bits" in found["neighbours"]


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
