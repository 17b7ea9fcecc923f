"""`python -m plora.sim`: how many rounds a plasmid takes to reach everybody, as one JSON report on standard output."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from plora.proto.errors import PloraError
from plora.sim.spread import Setup, spread


def main(arguments: list[str]) -> int:
    """The command line; equal arguments, equal report."""
    options = _parser().parse_args(arguments)
    setup = Setup(
        agents=options.agents,
        rounds=options.rounds,
        graph=options.graph,
        graph_p=options.graph_p,
        seed=options.seed,
        loss=options.loss,
    )
    try:
        report, swarm = spread(setup)
        if options.logs is not None:
            swarm.write_logs(options.logs)
    except PloraError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m plora.sim", description=__doc__)
    parser.add_argument("--agents", type=int, default=20, help="number of peers")
    parser.add_argument("--rounds", type=int, default=30, help="rounds to simulate at most")
    parser.add_argument("--graph", choices=("er", "ring", "complete"), default="er", help="who knows whom")
    parser.add_argument("--graph_p", type=float, default=0.25, help="edge probability of the graph er")
    parser.add_argument("--seed", type=int, default=0, help="seed of graph, phases, delays and luck")
    parser.add_argument("--loss", type=float, default=0.0, help="probability that a control frame is lost")
    parser.add_argument("--logs", type=Path, default=None, help="folder for one event log a peer")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
