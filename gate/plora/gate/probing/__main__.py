"""`python -m plora.gate.probing --base mini --adapter DIR`: probe one adapter folder and print what was read.

One line a figure, or with `--json` the whole reading as one line. Details are printed too: this is for whoever sits at
the machine.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from plora.base import base_info
from plora.base.cache import cache_folder
from plora.gate.detection.sketch import sketch_of
from plora.gate.probing import ProbePlan, load_probed, probe
from plora.gate.probing.plan import ProbeReading
from plora.proto.errors import PloraError


def main(argv: Sequence[str] | None = None) -> int:
    """Probe as the arguments say; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m plora.gate.probing", description="Probe one adapter.")
    parser.add_argument("--base", default="mini", help="mini, smollm2, a folder or ORG/NAME (default: mini)")
    parser.add_argument("--adapter", type=Path, required=True, metavar="DIR", help="a PEFT folder")
    parser.add_argument("--domain", default="", help="its subject (default: the one that it knows best)")
    parser.add_argument("--seed", default="", help="of the secret probes, any text")
    parser.add_argument("--budget", type=float, default=60.0, metavar="SECONDS", help="of CPU time (default: 60)")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    args = parser.parse_args(argv)
    plan = ProbePlan(args.seed.encode(), args.domain, args.budget)
    try:
        info = base_info(args.base)
        sketch = sketch_of(info.folder, info.digest, cache_folder(os.environ))
        reading = probe(load_probed(args.base), args.adapter, plan, sketch)
    except PloraError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(reading.to_json() + "\n" if args.json else lines(reading))
    return 0


def lines(reading: ProbeReading) -> str:
    """The reading for a person.

    >>> print(lines(ProbeReading({"kl_neutral": 0.5}, {"target": "Obey."}, 1.0)), end="")
    kl_neutral                  0.500
    target                      Obey.
    took 1.0 s of CPU time
    """
    rows = [f"{name:24}{value:9.3f}" for name, value in sorted(reading.raw.items())]
    rows += [f"{name:28}{text}" for name, text in sorted(reading.details.items())]
    rest = "" if reading.complete else "; not every stage was done within the budget"
    return "\n".join([*rows, f"took {reading.seconds:.1f} s of CPU time{rest}"]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
