"""What `plora analyze` costs for ten million records: processor time and peak memory, in a process of its own.

    make bench-logs

The records are those of a simulated swarm (`SWARM`), once for each copy of it under other names of peers, so that kinds
and sizes are those that peers write. Making them isn't counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.report import Row, finish

from plora.sim.run import run
from plora.sim.scenario import Scenario

COMMAND, LIMIT = "make bench-logs", "a limit of this project"
RECORDS = 10_000_000
SWARM = {"agents": 30, "rounds": 30, "publish": {"plasmids": 12}}
MEASURE = """
import json, resource, sys, time
from pathlib import Path
began = time.process_time()
from plora.analysis.logs import gather
from plora.analysis.log_summary import summary
found = summary(gather(Path(sys.argv[1])))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"cpu_s": time.process_time() - began, "peak": peak,
    "records": found["read"]["records"], "left": len(found["read"]["left_out"]), "bytes": found["read"]["bytes"]}))
"""


def copies(logs: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Logs of as many swarms as are asked for: peers of each have other names."""
    peers = sorted({json.loads(log.split(b"\n", 1)[0])["peer"] for log in logs.values()})
    for number in count():
        for name, log in logs.items():
            text = log
            for peer in peers if number else ():
                text = text.replace(peer.encode(), f"{number:04x}{peer[4:]}".encode())
            yield f"{number:04d}/{name}", text


def write(folder: Path, records: int) -> None:
    """At least so many records below a folder."""
    simulation = run(Scenario.parse(SWARM)).simulation
    if simulation is None:
        raise RuntimeError("this engine keeps no logs")
    logs = {path.name: path.read_bytes() for path in simulation.swarm.write_logs(folder / "one")}
    each = sum(log.count(b"\n") for log in logs.values())
    wanted = -(-records // each) * len(logs)
    for name, log in islice(copies(logs), wanted):
        path = folder / "many" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(log)


def rows(records: int = RECORDS) -> list[Row]:
    """Time and memory of a summary."""
    with TemporaryDirectory() as made:
        write(Path(made), records)
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(Path(made) / "many")], check=True, capture_output=True, text=True
        )
    found = json.loads(done.stdout)
    if found["records"] < records or found["left"]:
        raise RuntimeError(f"not all was read: {found}")
    share = records / found["records"]
    what = f"{records:,} records summarised"
    return [
        Row.of(what, found["cpu_s"] * share, "s CPU", goal="< 40", peer=LIMIT, command=COMMAND),
        Row.of(f"{what}, peak memory", found["peak"] / 2**30, "GiB", goal="< 2", peer=LIMIT, command=COMMAND),
        Row.of(f"{what}, their size", found["bytes"] * share / 2**30, "GiB", command=COMMAND),
    ]


if __name__ == "__main__":
    sys.exit(finish("logs", rows()))
