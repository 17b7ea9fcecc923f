"""Faults for a drawn scenario: what befalls one or two of its peers, and mostly ends again before its last round.

They come from draws of their own, so that what else is drawn doesn't depend on them.

>>> from random import Random
>>> sorted(draw_faults(Random(4), rounds=10))
['churn', 'happenings']
"""

from __future__ import annotations

from random import Random
from typing import Any

TROUBLES = ("kill", "stop", "power_cut", "cut", "jump_clock", "slow_gate", "disk_full", "disk_error")
ENDED_BY = {
    "start": ("kill", "stop", "power_cut"),
    "heal": ("cut",),
    "disk_free": ("disk_full", "disk_error"),
}
BY = {"jump_clock": (-3600.0, -30.0, 30.0, 3600.0), "slow_gate": (10.0, 300.0), "disk_full": (0.0, 1500.0)}
LATE = 0.7
"""From this share of all rounds on nothing new goes wrong."""


def draw_faults(draws: Random, rounds: int) -> dict[str, Any]:
    """Plain values of a scenario's `happenings` and `churn`."""
    happenings = [_trouble(draws, rounds) for _ in range(draws.choice((0, 1, 1, 2, 3)))]
    done = {one["do"] for one in happenings}
    for end, troubles in ENDED_BY.items():
        if done.intersection(troubles) and draws.random() < 0.7:
            happenings.append({"round": round(draws.uniform(LATE * rounds, rounds), 1), "do": end})
    percent = draws.choice((0.0, 0.0, 0.0, 10.0, 30.0))
    churn = {"percent": percent, "away": draws.choice((0.3, 2.0)), "whitewash": draws.random() < 0.5}
    return {"happenings": happenings, "churn": churn}


def _trouble(draws: Random, rounds: int) -> dict[str, Any]:
    do = draws.choice(TROUBLES)
    return {
        "round": round(draws.uniform(0, LATE * rounds), 1),
        "do": do,
        "by": draws.choice(BY.get(do, (0.0,))),
        "count": draws.choice((1, 2)),
    }
