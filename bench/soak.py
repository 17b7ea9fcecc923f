"""`make soak`: twenty real peers under publishing, restarts and kills for half an hour, and what that leaves behind.

- Half of the peers are *steady*: they run throughout, three of them publish, and it is they who are measured. The
  others are stopped, or killed, and started again, one at a time.
- Settings are those of a new peer, but for links: each dials two others, and none is found by exchange, so that a
  steady peer's descriptors can be compared. All are on loopback, on one machine, with whatever else runs there.
- First everybody is linked and holds one adapter of each publisher; that is when descriptors are counted first. Then
  the load runs; then all is left alone, and the CPU time that a peer takes then is that of an idle one.
- Memory is the daemon's own, without its workers and without pages of files (program code, mostly), which the system
  takes away and reads again as it likes; its slope is the least squares line after the first five minutes,
  in which adapters come more often. Lag is that of the event loop, sampled by each peer twice a second over all of the
  run (`plora_loop_lag_seconds`). A machine that is busy with else makes loops late, too: how long they wait for a core
  stands beside it.
- CPU time is that of the kernel's accounts, of a daemon with all its workers, those that ended included.
- An error record is explained where `EXPLAINED` says why it must be there, else it counts.

Only a whole run is kept in bench/results; `--minutes 3 --peers 8` shows its rows. The load is in `bench/soak_load.py`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.report import Row, finish, show, to_json
from bench.soak_load import Plan, Seen, soak

COMMAND = "make soak"
WHOLE = Plan(peers=20, minutes=30.0)
MIB = 1 << 20
LIMIT = "a limit of this project"
EXPLAINED: Mapping[str, str] = {"isolation": "what this system lacks of the workers' cage is said at each start"}
"""Why a failure must be on record, by where it happened."""


def slope_mib_h(samples: Sequence[tuple[float, float]], after_s: float) -> float:
    """By how many MiB an hour memory grows; samples are (seconds, bytes). 0 for fewer than two of them.

    >>> slope_mib_h([(0.0, 9e9), (600.0, 2.0 * MIB), (2400.0, 3.0 * MIB), (4200.0, 4.0 * MIB)], after_s=300.0)
    2.0
    """
    late = [(at_s, size) for at_s, size in samples if at_s >= after_s]
    if len(late) < 2:
        return 0.0
    return round(statistics.linear_regression(*zip(*late, strict=True)).slope * 3600 / MIB, 6)


def changed(before: Counter[str], after: Counter[str]) -> int:
    """How many descriptors there are more, or fewer if that is more: kinds don't make up for each other.

    >>> changed(Counter(socket=30, db=6), Counter(socket=36))
    6
    """
    return max((after - before).total(), (before - after).total())


def quantile(buckets: Mapping[float, float], share: float) -> float:
    """A quantile of a histogram by its cumulated buckets, as Prometheus interpolates it.

    >>> quantile({0.1: 90.0, 0.2: 100.0, float("inf"): 100.0}, 0.95)
    0.15
    """
    total, below, start = max(buckets.values(), default=0.0), 0.0, 0.0
    for end, count in sorted(buckets.items()):
        if count >= share * total and total:
            return (
                start
                if end == float("inf")
                else round(start + (end - start) * (share * total - below) / (count - below), 6)
            )
        below, start = count, end
    return 0.0


def rows_of(seen: Seen, plan: Plan) -> list[Row]:
    """What a run showed."""
    slopes = [slope_mib_h(samples, plan.warm_s) for samples in seen.memory.values()]
    idle = [seen.idle_cores[name] * 100 for name in sorted(seen.idle_cores)]
    lags = [quantile(buckets, 0.99) * 1000 for buckets in seen.lags.values()]
    open_files = [changed(*counts) for counts in seen.descriptors.values()]
    unexplained = [record for record in seen.errors if record["where"] not in EXPLAINED]
    largest = max(size for samples in seen.memory.values() for _, size in samples) / MIB
    said = f"{plan.peers} peers, {plan.minutes:g} minutes"
    said += f": {seen.published} adapters, {seen.stops} stops, {seen.kills} kills"
    return [
        row("own memory of a steady peer grows by, the most", max(slopes), "MiB/h", "< 1"),
        row("own memory of a steady peer grows by, median", statistics.median(slopes), "MiB/h"),
        row("own memory of a steady peer, the most", largest, "MiB"),
        row("descriptors by kind, after against before, the most", max(open_files), "", "<= 2"),
        row("CPU of an idle peer, the most", max(idle), "% of a core", "<= 1"),
        row("CPU of an idle peer, median", statistics.median(idle), "% of a core"),
        row("event loop late, p99 of a peer, the most", max(lags), "ms", "<= 100"),
        row("event loop late, p99 of a peer, median", statistics.median(lags), "ms"),
        row("event loop waits for a core, the mean of a turn, the most", max(seen.waits_ms.values()), "ms"),
        row("errors that nothing explains", len(unexplained), "", "== 0"),
        Row.of(
            "peers that know the same at the end",
            seen.agreeing,
            "",
            goal=f"== {plan.peers}",
            peer=said,
            command=COMMAND,
        ),
    ]


def row(metric: str, value: float, unit: str, goal: str = "") -> Row:
    """One figure of a run."""
    return Row.of(metric, value, unit, goal=goal, peer=LIMIT if goal else "", command=COMMAND)


def main(arguments: Sequence[str]) -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=int, default=WHOLE.peers)
    parser.add_argument("--minutes", type=float, default=WHOLE.minutes)
    parser.add_argument("--seed", type=int, default=WHOLE.seed)
    parser.add_argument("--json", action="store_true", help="print the rows, and keep nothing")
    asked = parser.parse_args(arguments)
    plan = Plan(asked.peers, asked.minutes, asked.seed)
    with tempfile.TemporaryDirectory(prefix="soak") as folder:
        seen = soak(plan, Path(folder))
    for record in seen.errors:
        print(record, file=sys.stderr)
    for name, (before, after) in seen.descriptors.items():
        print(f"{name} descriptors: more {dict(after - before)}, fewer {dict(before - after)}", file=sys.stderr)
    rows = rows_of(seen, plan)
    if asked.json:
        print(to_json(rows), end="")
        return 0
    whole = (plan.peers, plan.minutes) == (WHOLE.peers, WHOLE.minutes)
    return finish("soak", rows) if whole else show(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
