"""Who merged a trojan, with each layer of security on and off: a table from simulations.

`python -m plora.sim.layers --sizes 20 1000 --accept_clean .99 --accept_trojan .05 --correlation .9`

- Three of ten adapters are trojans. Their publishers have valid keys and are trusted by everybody, so signatures have
  nothing to say of them, and what they publish passes their own gates.
- Counted are merges that are served at the end: a peer that publishes a trojan isn't counted for its own.
- What detectors find is what was measured, or what the command line tells; without either it is a `UsageError`.
- Members vote once they know each other: they do, besides the neighbours that chance gave them.

Not handled here: which layer of a real gate finds what (`docs/detection.md`).

>>> [row.name for row in ROWS][:3]
['none', 'signatures', 'signatures, reputation']
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from plora.proto.errors import PloraError, UsageError
from plora.sim.build import members_of
from plora.sim.run import Simulation, run
from plora.sim.scenario import Scenario, Verdicts
from plora.sim.topology import random_regular_graph
from plora.sim.verdicts import MEASURED, NO_VERDICTS, VerdictModel

LAYERS = ("signatures", "reputation", "detectors", "consensus")
QUORUM = 5
NEIGHBOURS = 8
BEGIN, END = "<!-- layers: begin -->", "<!-- layers: end -->"
RATES = tuple(name for name, field in Verdicts.model_fields.items() if field.is_required())
"""Options that tell what detectors find, all of them or none."""


@dataclass(frozen=True, slots=True)
class Row:
    """Which layers are on."""

    on: frozenset[str]

    @property
    def name(self) -> str:
        """Their names."""
        return ", ".join(layer for layer in LAYERS if layer in self.on) or "none"


ROWS = tuple(
    Row(frozenset(on))
    for on in (
        (),
        ("signatures",),
        ("signatures", "reputation"),
        ("signatures", "detectors"),
        ("signatures", "consensus"),
        ("signatures", "detectors", "consensus"),
        LAYERS,
    )
)


@dataclass(frozen=True, slots=True)
class Merged:
    """Shares in [0, 1]: of peers that serve a merge with somebody else's trojan in it; of pairs of a peer and an
    adapter (a trojan, a clean one) those that are merged."""

    peers: float
    trojans: float
    clean: float


Result = tuple[int, Row, list[Merged]]
"""How many peers, which layers, and what each seed gave."""


def scenario(row: Row, peers: int, seed: int, verdicts: Verdicts | None, graph: Path, quorum: int = QUORUM) -> Scenario:
    """The simulation of one row; `graph` is a file of edges."""
    policy = {
        "signatures_enabled": "signatures" in row.on,
        "insecure": "signatures" not in row.on,
        "reputation": "reputation" in row.on,
    }
    security = {"detectors": "detectors" in row.on, "consensus": "consensus" in row.on, "quorum": quorum}
    return Scenario.parse(
        {
            "name": row.name,
            "agents": peers,
            "rounds": 40,
            "seed": seed,
            "graph": {"kind": "file", "file": graph},
            "publish": {"plasmids": 20, "trojan_rate": 0.3},
            "security": {**security, "policy": policy, "verdicts": verdicts and verdicts.model_dump()},
        }
    )


def edges(peers: int, seed: int, quorum: int = QUORUM) -> str:
    """Neighbours drawn at random, and those who vote among each other, as an edge list."""
    drawn = random_regular_graph(peers, min(NEIGHBOURS, peers - 1), seed, connected=True).pairs()
    voters = range(min(members_of(quorum), peers))
    return "".join(f"{a} {b}\n" for a, b in sorted({*drawn, *combinations(voters, 2)}))


def merged(simulation: Simulation) -> Merged:
    """What is merged at the end."""
    truths = simulation.truth.values()
    trojans: list[float] = []
    clean: list[float] = []
    caught: list[float] = []
    for number, name in enumerate(simulation.ids):
        served = {content for inputs in simulation.swarm.peer(name).merged.values() for content in inputs}
        bad = [truth.content in served for truth in truths if truth.trojan and truth.peer != number]
        trojans += bad
        clean += [truth.content in served for truth in truths if not truth.trojan]
        caught.append(any(bad))
    return Merged(fmean(caught), fmean(trojans), fmean(clean))


def measured(
    row: Row, peers: int, seeds: Iterable[int], verdicts: Verdicts | None = None, quorum: int = QUORUM
) -> list[Merged]:
    """What a run with each of these seeds gives. `UsageError` where detectors have nothing to find by."""
    if "detectors" in row.on and verdicts is None and VerdictModel.read() is None:
        raise UsageError(NO_VERDICTS, where=str(MEASURED))
    found = []
    with TemporaryDirectory() as folder:
        for seed in seeds:
            graph = Path(folder) / f"{seed}.edges"
            graph.write_text(edges(peers, seed, quorum), encoding="utf-8")
            simulation = run(scenario(row, peers, seed, verdicts, graph, quorum)).simulation
            if simulation is None:
                raise AssertionError("a run of the swarm has a simulation")
            found.append(merged(simulation))
    return found


def table(results: Sequence[Result], source: str) -> str:
    """The results as a table in Markdown: means over the seeds, and what the seeds range over where they differ."""
    lines = [
        f"Detectors find by {source}.",
        "",
        "| peers | layers | serve a trojan | trojans merged | clean merged |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {peers:,} | {row.name} | {' | '.join(_cells(found))} |" for peers, row, found in results]
    return "\n".join(lines) + "\n"


def _cells(found: Sequence[Merged]) -> Iterator[str]:
    for name in Merged.__slots__:
        shares = [getattr(one, name) for one in found]
        least, most = f"{min(shares):.1%}", f"{max(shares):.1%}"
        yield f"{fmean(shares):.1%}" + (f" ({least} to {most})" if least != most else "")


def written(page: str, text: str) -> str:
    """A page with the table between its marks. `UsageError` where they are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UsageError(f"no {BEGIN} and {END} in this page", where="--write", mend="put them where it shall be")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = _parser()
    told = parser.parse_args(arguments)
    rates = {name: getattr(told, name) for name in RATES if getattr(told, name) is not None}
    if rates and len(rates) < len(RATES):
        parser.error(f"all of these or none: {', '.join(f'--{name}' for name in RATES)}")
    verdicts = Verdicts.model_validate(rates) if rates else None
    source = "what was measured" if verdicts is None else f"rates told by hand ({_said(rates)}), not measured ones"
    try:
        page = _page(told.write) if told.write else ""
        text = table(_results(told, verdicts), f"{source}; means of {told.seeds} seeds (range over the seeds)")
        sys.stdout.write(text)
        if told.write:
            told.write.write_text(written(page, text), encoding="utf-8")
    except (PloraError, OSError) as error:
        sys.stderr.write(f"layers: {error}\n")
        return 2
    return 0


def _page(path: Path) -> str:
    """A page that has the marks."""
    try:
        page = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"no page: {error}", where="--write", mend=f"a page with {BEGIN} and {END}") from None
    written(page, "")
    return page


def _results(told: argparse.Namespace, verdicts: Verdicts | None) -> list[Result]:
    results: list[Result] = []
    for peers in told.sizes:
        for row in ROWS:
            results.append((peers, row, measured(row, peers, range(told.seeds), verdicts)))
            sys.stderr.write(f"{peers} peers, {row.name}: {results[-1][-1]}\n")
    return results


def _said(rates: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {rate:g}" for name, rate in rates.items())


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if (value := int(text)) < least:
            raise argparse.ArgumentTypeError(f"{value} is below {least}")
        return value

    return number


def _share(text: str) -> float:
    if not 0 <= (value := float(text)) <= 1:
        raise argparse.ArgumentTypeError(f"{value} is outside of 0 to 1")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m plora.sim.layers", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--sizes", type=_at_least(2), nargs="+", default=[20, 1000], help="numbers of peers")
    parser.add_argument("--seeds", type=_at_least(1), default=3, help="runs of each row")
    parser.add_argument("--write", type=Path, help="a page with marks, whose table is replaced")
    for name in RATES:
        parser.add_argument(f"--{name}", type=_share, help="of the verdict model, instead of what was measured")
    return parser


if __name__ == "__main__":
    sys.exit(main())
