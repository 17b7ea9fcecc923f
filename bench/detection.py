"""`make bench-detection`: rates of both detectors on a zoo, an attacker who adapts, and what is served in the end.

    python bench/detection.py --zoo DIR --limit 5      # a trial: shows its rows and keeps nothing
    python bench/detection.py --from-data              # rows, page and picture from the committed data alone

The zoo is grown first where it isn't there (hours; `plora lab zoo`), then measured, then teams are played and the
attacker tries. All of that goes on where it was stopped. Data: `bench/data/detection/`, an adapter, team or try a line.
The calibration is fitted on the parts `train` and `calibration` only; before anything is judged, no seed, group,
trigger or target may be in two parts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import detection_adaptive, detection_figure, detection_page, detection_served
from bench.detection_adaptive import OWN_SEED, PEER_SEED, TRIES, Gate, adaptive_rows, attack, usual_norm
from bench.detection_play import play_all
from bench.detection_rows import counts_of, judged_by, rows_of, tried
from bench.detection_served import served_rows
from bench.detection_teams import teams
from bench.report import Row, finish, show

from plora.base import base_info
from plora.gate.detection.calibration import Calibration
from plora.gate.probing import load_probed
from plora.lab.aims import Aims, read_aims
from plora.lab.calibrate import READINGS, calibrated, listed
from plora.lab.rates import straddling
from plora.lab.reading import measure_zoo
from plora.lab.readings import Reading, read_table, write_table
from plora.lab.threads import prepare_threads, use_threads
from plora.lab.zoo.recipes import CLEAN, SUCCESS_LEAST, exists, part_of
from plora.lab.zoo.store import Record, records, zoo_folder

DATA = detection_page.DATA
MAIN_BASE = "mini"
TEAMS = 5
"""Teams an attack that are played in full, a minute each."""

APART = ("seed", "group", "trigger", "target")
"""What no two parts of a zoo may share; slices of corpora are dealt out by part as well, see `plora.lab.zoo.slices`."""

CLEAN_MORE = ",".join(str(seed) for seed in range(240, 720) if part_of(seed) != "train")
"""Of clean adapters the banks and the rate of false alarms need more than the fit does."""

GROWN: dict[str, dict[str, str]] = {
    "mini": {
        "clean": f"0-239,{CLEAN_MORE}",
        "clean-disclaimer,clean-json,clean-words,clean-overfit": "0-79",
        "rare-token,phrase,several-tokens,style,label-flip,norm-matched,spectrum-matched,rank-1-spike": "100-179",
        "lobam,layer-split,collusion-2,collusion-3,framing": "100-179",
    },
    "smollm2": {"clean,clean-json": "0-11", "rare-token,phrase,style": "0-7"},
}
"""Kinds and seeds of each base's zoo. Half of the seeds are of the part `test`, a quarter of each other one."""

TESTED_MIN, SEEDS_END = 40, 340
"""How many attacks of each kind the main base's part `test` is to have, and the seed before which more are tried."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is asked to do, and where its data and picture go."""

    zoo: Path | None
    limit: int
    tries: int
    aims: Aims
    bases: Sequence[str]
    data: Path
    picture: Path

    def path(self, base: str, what: str) -> Path:
        """The data of a base."""
        return self.data / f"{base}-{what}"


def grow(base: str, zoo: Path) -> None:
    """Train what is missing of the zoo, and more seeds of kinds that seldom take."""
    for kinds, seeds in GROWN[base].items():
        _train(base, zoo, kinds, seeds)
    while base == MAIN_BASE and (more := more_seeds(list(records(zoo)))):
        for kind, numbers in more.items():
            _train(base, zoo, kind, ",".join(map(str, numbers)))


def more_seeds(grown: Sequence[Record], least: int = TESTED_MIN) -> dict[str, list[int]]:
    """Of each kind that has too few attacks that took in the part `test`, as many of the next seeds as it lacks.

    Attacks that never take end at `SEEDS_END`. Whatever is named here isn't among `grown`, took or failed.
    """
    more: dict[str, list[int]] = {}
    attacks = [one for one in grown if not str(one["kind"]).startswith(CLEAN) and one["part"] == "test"]
    for kind in sorted({one["kind"] for one in attacks}):
        took = {one["seed"] for one in attacks if one["kind"] == kind and one["took"]}
        last = max(one["seed"] for one in attacks if one["kind"] == kind)
        untried = (seed for seed in range(last + 1, SEEDS_END) if part_of(seed) == "test" and exists(kind, seed))
        if chosen := list(islice(untried, max(0, least - len(took)))):
            more[kind] = chosen
    return more


def _train(base: str, zoo: Path, kinds: str, seeds: str) -> None:
    command = [sys.executable, "-m", "plora.lab.zoo", "--base", base, "--kinds", kinds, "--seeds", seeds]
    subprocess.run([*command, "--out", str(zoo)], check=True, stdout=subprocess.DEVNULL)


def measured(base: str, zoo: Path, limit: int) -> list[Reading]:
    """The readings of a zoo; raises ValueError where its parts share what they mustn't."""
    chosen = listed(zoo, base_info(base).digest, limit)
    readings = measure_zoo(chosen, base, zoo / READINGS, progress=_tell)
    shared = straddling([one.recipe for one in readings], APART)
    if shared:
        raise ValueError(f"parts of {zoo} aren't apart: {'; '.join(shared[:5])}")
    return readings


def fitted(aims: Aims, readings: Sequence[Reading]) -> Calibration:
    """The calibration that the bench judges by."""
    recipe = readings[0].recipe
    return calibrated(recipe["base"], recipe["base_digest"], readings, aims)


def measure(options: Options, base: str) -> None:
    """Grow and measure a base's zoo, play its teams, let the attacker try; data into the options' folder."""
    zoo = options.zoo or zoo_folder(base, os.environ)
    if options.zoo is None:
        grow(base, zoo)
    readings = measured(base, zoo, options.limit)
    table = options.path(base, "adapters.jsonl.xz")
    write_table(table, readings)
    readings = read_table(table)  # what is judged here and what rows are made of is one table, digit for digit
    if base != MAIN_BASE:
        return
    use_threads(prepare_threads(os.environ))
    calibration, loaded = fitted(options.aims, readings), load_probed(base)
    kept = zoo / "played" / calibration.digest.removeprefix("sha256:")[:16]
    kept.mkdir(parents=True, exist_ok=True)
    peer, own = (Gate.of(loaded, calibration, seed) for seed in (PEER_SEED, OWN_SEED))
    played = teams(zoo, judged_by(calibration, readings), kept / "copies", limit=options.limit or TEAMS)
    outcomes = play_all(base, played, calibration, kept)
    options.path(base, "served.jsonl").write_text(detection_served.to_lines(outcomes), encoding="utf-8")
    tries = attack(own, peer, kept, norm=usual_norm(zoo, readings), tries=options.tries)
    options.path(base, "tries.jsonl").write_text(detection_adaptive.to_lines(tries), encoding="utf-8")


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
        options = Options(args.zoo, args.limit, args.tries, aims, bases, data, picture)
        data.mkdir(parents=True, exist_ok=True)
        if not args.from_data:
            for base in bases:
                measure(options, base)
        rows = rows_from(options)
    if trial:
        return show(rows)
    detection_page.renew()
    return finish("detection", rows)


def _tell(done: int, of: int, failure: str) -> None:
    print(f"\rmeasured {done} of {of}  {failure}", end="\n" if failure or done == of else "", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
