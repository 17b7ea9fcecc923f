"""Holds the bounds of λ₂, of conductance and of rounds against graphs: `results/bounds_validation.json`.

    python -m plora.lab.validate_bounds

Rules:

- Graphs are those of the calibration's families, of other seeds than it saw, and known ones: complete, ring, path,
  star, hypercube, two complete halves with one edge between (barbell). Up to 20 peers cuts are tried one by one.
- A bound says which side is at most the other. One that is proved must hold on every graph: `holds` says whether all of
  these do. The others are calibrated or are no bounds at all; where they fail is what there is to learn.
- `calibrated rounds` takes the bound of C from `c_calib_FAMILY.json` beside the result; without it, it isn't checked.
- Every violation is listed: the graph, both sides.

>>> document = validate(sizes=(16,), seeds=range(1))
>>> document["holds"], [bound["name"] for bound in document["bounds"] if bound["violations"]]
(True, ['random cuts from below'])
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import Any

from plora.analysis.spectra import (
    EXACT_MAX,
    cheeger_bounds,
    conductance_estimate,
    predicted_rounds_spectral,
    spectral_gap,
)
from plora.lab.artifacts import write_json
from plora.lab.console import emit, run_command
from plora.lab.spread import FAMILIES, graph_of, rounds_to_all
from plora.proto.errors import UsageError
from plora.sim import topology
from plora.sim.topology import Graph

SIZES = (16, 64, 256, 1024)
FIRST_SEED, SEEDS = 1000, 5
RESULTS = Path("results")
ROUNDING = 1e-9

CALIBRATED = "calibrated rounds"
CLAIMS = {
    "cheeger, lower": "φ²/2 <= λ₂, normalised, φ exact or of the sweep cut",
    "cheeger, upper": "λ₂ <= 2φ, normalised, any cut",
    "mohar, lower": "d - sqrt(d² - h²) <= λ₂ of D - A, h = cut / min |S| exact or of the sweep, d the largest degree",
    "mohar, upper": "λ₂ of D - A <= 2h, any cut",
    "sweep cut": "φ of the sweep cut <= sqrt(2 λ₂)",
    "exact cut": "φ exact <= φ of the sweep cut, up to 20 peers",
    "random cuts from above": "λ₂ / 2 <= φ of the best random cut",
    "random cuts from below": "φ² / 2 of the best random cut <= λ₂: no bound, for other cuts are better",
    CALIBRATED: "rounds <= C ln(n) / λ₂, with the largest C that the calibration saw",
}
UNPROVED = frozenset({"random cuts from below", CALIBRATED})


@dataclass(slots=True)
class Bound:
    """What is claimed, on how many graphs it was looked at, and where it failed."""

    name: str
    claim: str
    proved: bool
    graphs: int = 0
    violations: list[dict[str, Any]] = field(default_factory=list)

    def look(self, graph: str, at_most: float, what: float) -> None:
        """One graph: the left side should be at most the right one."""
        self.graphs += 1
        if at_most > what * (1 + ROUNDING) + 1e-12:
            self.violations.append({"graph": graph, "left": at_most, "right": what})

    def plain(self) -> dict[str, Any]:
        """As the document has it."""
        names = ("name", "claim", "proved", "graphs", "violations")
        return {name: getattr(self, name) for name in names}


def _bounds() -> dict[str, Bound]:
    return {name: Bound(name, claim, name not in UNPROVED) for name, claim in CLAIMS.items()}


def validate(
    *,
    sizes: Sequence[int] = SIZES,
    seeds: Iterable[int] = range(FIRST_SEED, FIRST_SEED + SEEDS),
    constants: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The document. `constants`: the bound of C by family, for those that have one."""
    bounds, drawn = _bounds(), tuple(seeds)
    for name, graph in _known():
        _look_at_cuts(bounds, name, graph)
    for family in FAMILIES:
        for n in sizes:
            for seed in drawn:
                graph, name = graph_of(family, n, seed), f"{family} n={n} seed={seed}"
                gap = _look_at_cuts(bounds, name, graph)
                if constants and family in constants:
                    most = predicted_rounds_spectral(graph.n, gap, constants[family])
                    bounds[CALIBRATED].look(name, rounds_to_all(graph, seed), most)
    looked = [bound for bound in bounds.values() if bound.graphs]
    return {
        "holds": not any(bound.violations for bound in looked if bound.proved),
        "C_bound": dict(constants or {}),
        "bounds": [bound.plain() for bound in looked],
    }


def _known() -> Iterator[tuple[str, Graph]]:
    for n in (16, 64):
        yield f"complete n={n}", topology.complete(n)
        yield f"ring n={n}", topology.ring(n)
        yield f"path n={n}", topology.graph_of(n, [(a, a + 1) for a in range(n - 1)])
        yield f"star n={n}", topology.star(n)
        yield f"hypercube n={n}", topology.hypercube(n)
        yield f"barbell n={n}", _barbell(n)


def _barbell(n: int) -> Graph:
    half = n // 2
    sides = [(a + side, b + side) for side in (0, half) for b in range(half) for a in range(b)]
    return topology.graph_of(n, [*sides, (half - 1, half)])


def _look_at_cuts(bounds: Mapping[str, Bound], name: str, graph: Graph) -> float:
    """Look at all bounds that are about cuts; λ₂ of the normalised Laplacian."""
    csr = graph.csr()
    gap, combinatorial = spectral_gap(csr), spectral_gap(csr, normalized=False)
    swept, drawn = (conductance_estimate(csr, method=method).value for method in ("sweep", "random"))
    for title, value, normalized in (("cheeger", gap, True), ("mohar", combinatorial, False)):
        lower, upper = cheeger_bounds(csr, normalized=normalized)
        bounds[f"{title}, lower"].look(name, lower, value)
        bounds[f"{title}, upper"].look(name, value, upper)
    bounds["sweep cut"].look(name, swept, sqrt(2 * gap))
    if graph.n <= EXACT_MAX:
        bounds["exact cut"].look(name, conductance_estimate(csr).value, swept)
    bounds["random cuts from above"].look(name, gap / 2, drawn)
    bounds["random cuts from below"].look(name, drawn**2 / 2, gap)
    return gap


def constants_in(folder: Path) -> dict[str, float]:
    """The bound of C of every family that was calibrated into this folder."""
    found = {}
    for family in FAMILIES:
        path = folder / f"c_calib_{family}.json"
        if path.exists():
            found[family] = _bound_in(path)
    return found


def _bound_in(path: Path) -> float:
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))["C_bound"])
    except (ValueError, KeyError, TypeError) as error:
        mend = "make calibrate-c writes it anew"
        raise UsageError(f"no calibration of C: {error!r}", where=str(path), mend=mend) from None


def validate_into(folder: Path, **options: Any) -> Path:
    """Validate with the constants that lie in the folder, and write the artifact there; its path."""
    path = folder / "bounds_validation.json"
    write_json(path, validate(constants=constants_in(folder), **options))
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code is that of the check: 1 where a bound that is proved failed."""
    parser = argparse.ArgumentParser(prog="python -m plora.lab.validate_bounds", description="Validate bounds of λ₂.")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="graphs of each family and size")
    parser.add_argument("--results", type=Path, default=RESULTS)
    wanted = parser.parse_args(arguments)
    wrong: list[str] = []

    def work() -> None:
        seeds = range(FIRST_SEED, FIRST_SEED + wanted.seeds)
        path = validate_into(wanted.results, sizes=wanted.sizes, seeds=seeds)
        emit({"event": "written", "path": str(path)})
        wrong.extend(faults(path))
        for what in wrong:
            emit({"event": "fault", "what": what})

    return run_command(work) or int(bool(wrong))


def faults(path: Path) -> list[str]:
    """What is wrong with such an artifact: bounds that are proved and failed, or that nobody looked at."""
    bounds = json.loads(path.read_text(encoding="utf-8"))["bounds"]
    failed = [
        f"{bound['name']} ({bound['claim']}) failed on {len(bound['violations'])} of {bound['graphs']} graphs"
        for bound in bounds
        if bound["name"] not in UNPROVED and bound["violations"]
    ]
    looked = {bound["name"] for bound in bounds if bound["graphs"] > 0}
    return failed + [f"{name} was looked at on no graph" for name in CLAIMS if name not in looked | {CALIBRATED}]


if __name__ == "__main__":
    sys.exit(main())
