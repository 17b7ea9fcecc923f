"""`make bench-detection`: rates of both detectors on a zoo, an attacker who adapts, and what is served in the end.

    python bench/detection.py --zoo DIR --limit 5      # a trial: shows its rows and keeps nothing
    python bench/detection.py --as-it-is               # grow nothing more: measure what is there, put it into the data
    python bench/detection.py --from-data              # rows, page and picture from the committed data alone

The zoo is grown first where it isn't there (hours; `plora lab zoo`), then measured, then teams are played and the
attacker tries. All of that goes on where it was stopped, on another machine from what is in the data, too
(`bench/detection_zoo.py`). Data: `bench/data/detection/`, an adapter, team or try a line.
The calibration is fitted on the parts `train` and `calibration` only; before anything is judged, no seed, group,
trigger or target may be in two parts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import detection_adaptive, detection_figure, detection_page, detection_served
from bench.detection_adaptive import OWN_SEED, PEER_SEED, TRIES, Gate, adaptive_rows, attack, usual_norm
from bench.detection_play import play_all
from bench.detection_rows import counts_of, judged_by, rows_of, tried
from bench.detection_served import served_rows
from bench.detection_teams import teams
from bench.detection_zoo import GROWN, MAIN_BASE, Grown
from bench.report import Row, finish, show

from plora.gate.detection.calibration import Calibration
from plora.gate.probing import load_probed
from plora.lab.aims import Aims, read_aims
from plora.lab.calibrate import calibrated
from plora.lab.rates import straddling
from plora.lab.readings import Reading, read_table
from plora.lab.threads import prepare_threads, use_threads
from plora.lab.zoo.recipes import SUCCESS_LEAST
from plora.lab.zoo.store import zoo_folder

DATA = detection_page.DATA
TEAMS = 5
"""Teams an attack that are played in full, a minute each."""

USUAL = 20
"""Clean adapters whose norm the adaptive attacker takes for the usual one."""

APART = ("seed", "group", "trigger", "target")
"""What no two parts of a zoo may share; slices of corpora are dealt out by part as well, see `plora.lab.zoo.slices`."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is asked to do, and where its data and picture go."""

    zoo: Path | None
    limit: int
    tries: int
    as_it_is: bool
    aims: Aims
    bases: Sequence[str]
    data: Path
    picture: Path

    def path(self, base: str, what: str) -> Path:
        """The data of a base."""
        return self.data / f"{base}-{what}"


def fitted(aims: Aims, readings: Sequence[Reading]) -> Calibration:
    """The calibration that the bench judges by."""
    recipe = readings[0].recipe
    return calibrated(recipe["base"], recipe["base_digest"], readings, aims)


def measure(options: Options, base: str) -> None:
    """Grow and measure a base's zoo, play its teams, let the attacker try; data into the options' folder."""
    trial = options.zoo is not None
    zoo = Grown(base, options.zoo) if options.zoo else Grown.of(base, zoo_folder(base, os.environ), options.data)
    if options.as_it_is and not any(zoo.records()):
        return
    if not (trial or options.as_it_is):
        zoo.grow()
    readings = zoo.measure(options.limit)
    shared = straddling([one.recipe for one in readings], APART)
    if shared:
        raise ValueError(f"parts of {zoo.folder} aren't apart: {'; '.join(shared[:5])}")
    zoo.write(options.data)
    if base == MAIN_BASE and not options.as_it_is:
        act(options, zoo)


def act(options: Options, zoo: Grown) -> None:
    """Play teams and let the attacker try, against what the table's readings calibrate."""
    use_threads(prepare_threads(os.environ))
    readings = read_table(options.path(zoo.base, "adapters.jsonl.xz"))  # what rows are made of, digit for digit
    calibration, loaded = fitted(options.aims, readings), load_probed(zoo.base)
    kept = zoo.folder / "played" / calibration.digest.removeprefix("sha256:")[:16]
    kept.mkdir(parents=True, exist_ok=True)
    peer, own = (Gate.of(loaded, calibration, seed) for seed in (PEER_SEED, OWN_SEED))
    played = teams(zoo.ensured, judged_by(calibration, readings), kept / "copies", limit=options.limit or TEAMS)
    outcomes = play_all(zoo.base, played, calibration, kept)
    options.path(zoo.base, "served.jsonl").write_text(detection_served.to_lines(outcomes), encoding="utf-8")
    tries = attack(own, peer, kept, norm=usual_norm(zoo.usual(USUAL)), tries=options.tries)
    options.path(zoo.base, "tries.jsonl").write_text(detection_adaptive.to_lines(tries), encoding="utf-8")


def rows_from(options: Options) -> list[Row]:
    """The rows that the data give; rates for docs/detection.md and the picture go beside them."""
    rows: list[Row] = []
    counts: list[dict[str, object]] = []
    for base in options.bases:
        readings = read_table(options.path(base, "adapters.jsonl.xz"))
        of = tried(base, readings, partial(fitted, options.aims))
        rows += rows_of(of, goals=base == MAIN_BASE)
        counts += counts_of(of)
    outcomes = detection_served.from_lines(options.path(MAIN_BASE, "served.jsonl").read_text(encoding="utf-8"))
    tries = detection_adaptive.from_lines(options.path(MAIN_BASE, "tries.jsonl").read_text(encoding="utf-8"))
    (options.data / "rates.json").write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    if outcomes:
        detection_figure.draw(outcomes, options.picture)
    adaptive = [one.served for one in tries if one.success >= SUCCESS_LEAST]
    return [*rows, *served_rows(MAIN_BASE, outcomes, adaptive), *adaptive_rows(MAIN_BASE, tries)]


def main(words: Sequence[str]) -> int:
    """Measure and write, or only show."""
    parser = argparse.ArgumentParser(prog="bench/detection.py")
    parser.add_argument("--zoo", type=Path, help="a zoo of mini that is there; nothing is grown, smollm2 is left out")
    parser.add_argument("--limit", type=int, default=0, help="a trial: so many of each kind and part; keeps nothing")
    parser.add_argument("--tries", type=int, default=TRIES, help="of the adaptive attacker")
    parser.add_argument(
        "--aims", type=Path, help="a file like config/detection.yml, for a zoo that is too small for it"
    )
    parser.add_argument("--as-it-is", action="store_true", help="grow and play nothing: measure what is there, no rows")
    parser.add_argument("--from-data", action="store_true", help="measure nothing: rows from the committed data")
    args = parser.parse_args(words)
    trial = bool(args.limit or args.zoo or args.aims)
    if trial and args.from_data:
        parser.error("--from-data makes rows of the committed data as they are: leave out --zoo, --limit and --aims")
    with tempfile.TemporaryDirectory(prefix="plora-bench-data-") as scratch:
        data = Path(scratch) if trial else DATA
        picture = data / "merge.png" if trial else detection_figure.PICTURE
        bases = (MAIN_BASE,) if trial else tuple(GROWN)
        aims = read_aims(args.aims) if args.aims else Aims()
        options = Options(args.zoo, args.limit, args.tries, args.as_it_is, aims, bases, data, picture)
        data.mkdir(parents=True, exist_ok=True)
        if not args.from_data:
            for base in bases:
                measure(options, base)
        if args.as_it_is:
            return 0
        rows = rows_from(options)
    if trial:
        return show(rows)
    detection_page.renew()
    return finish("detection", rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
