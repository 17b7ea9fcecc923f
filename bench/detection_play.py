"""Teams played, a process a core, each outcome kept beside the zoo as soon as it is there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from bench.detection_adaptive import PEER_SEED, Gate
from bench.detection_served import Outcome, Team, from_lines, play, to_lines

from plora.base.lifeline import end_with_pool
from plora.gate.detection.calibration import Calibration
from plora.gate.probing import load_probed
from plora.lab.reading import WORKERS, one_thread
from plora.lab.threads import use_threads


def play_all(base: str, teams: Iterable[Team], calibration: Calibration, kept: Path) -> list[Outcome]:
    """What became of each team at a peer with this calibration; those that are kept aren't played again."""
    context = get_context("spawn")
    with one_thread(os.environ), ProcessPoolExecutor(WORKERS, context, _start, (base, calibration)) as pool:
        return list(pool.map(partial(_outcome, kept), teams))


_peer: Gate | None = None


def _start(base: str, calibration: Calibration) -> None:
    global _peer
    end_with_pool()
    use_threads(1)
    _peer = Gate.of(load_probed(base), calibration, PEER_SEED)


def _outcome(kept: Path, team: Team) -> Outcome:
    path = kept / f"{team.attack.replace(' ', '-')}-{team.members[0].name}.json"
    if not path.exists():
        if _peer is None:
            raise RuntimeError("the pool started this process without its base")
        print(f"team {path.stem}", file=sys.stderr)
        draft = path.with_suffix(".draft")
        draft.write_text(to_lines([play(_peer.base, team, _peer.fails)]), encoding="utf-8")
        draft.replace(path)
    return from_lines(path.read_text(encoding="utf-8"))[0]
