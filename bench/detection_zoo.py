"""The zoo of `make bench-detection`: what is grown and measured, over as many runs and machines as it takes.

What one machine measured is in the repository: a row of `BASE-adapters.jsonl.xz` for each adapter, a line of
`BASE-failed.jsonl` for each attack that didn't take. Both count for as long as recipe, base and detectors are the same,
so another machine trains and measures the rest alone. Weights stay where they were made; what has to be worn or merged
is trained again from its recipe (`Grown.ensured`), equal up to rounding.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from plora.base import base_info
from plora.lab.calibrate import READINGS, listed
from plora.lab.reading import VERSIONS, measure_zoo
from plora.lab.readings import Reading, read_table, write_table
from plora.lab.zoo.__main__ import seeds_of
from plora.lab.zoo.recipes import CLEAN, KINDS, exists, on_base, part_of, recipes
from plora.lab.zoo.store import Record, records
from plora.merge.peft_folder import TENSORS_NAME
from plora.proto.errors import UsageError

MAIN_BASE = "mini"
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

FAILED_KEYS = ("name", "kind", "seed", "part", "recipe", "base_digest", "success", "false_rate", "failure")


@dataclass
class Grown:
    """A base's zoo: what lies in `folder`, and what is known of it from earlier runs.

    `readings`, `failed`: by name; those of today's recipes, base and detectors alone.
    """

    base: str
    folder: Path
    readings: dict[str, Reading] = field(default_factory=dict)
    failed: dict[str, Record] = field(default_factory=dict)

    @classmethod
    def of(cls, base: str, folder: Path, data: Path) -> Grown:
        """The zoo with what is in the data's folder."""
        table, failures, digest = data / f"{base}-adapters.jsonl.xz", data / f"{base}-failed.jsonl", _Recipes(base)
        rows = read_table(table) if table.exists() else []
        lines = map(json.loads, failures.read_text("utf-8").splitlines()) if failures.exists() else ()
        return cls(
            base,
            folder,
            {one.name: one for one in rows if one.versions == VERSIONS and digest.is_of(one.recipe)},
            {one["name"]: one for one in lines if digest.is_of(one)},
        )

    def grow(self) -> None:
        """Train what neither the folder nor an earlier run has, and more seeds of kinds that seldom take."""
        for kinds, seeds in GROWN[self.base].items():
            for kind in kinds.split(","):
                self._train(kind, seeds_of(seeds))
        while self.base == MAIN_BASE and (more := more_seeds(list(self.records()))):
            for kind, numbers in more.items():
                self._train(kind, numbers)

    def records(self) -> Iterator[Record]:
        """What is known of every adapter, here or from earlier runs."""
        here = {one["name"]: one for one in records(self.folder)}
        before = {name: dict(one.recipe) for name, one in self.readings.items()}
        yield from ({**before, **self.failed, **here}).values()

    def measure(self, limit: int) -> list[Reading]:
        """The readings of all adapters that took; those of the folder that have none yet are measured now."""
        try:
            here = listed(self.folder, base_info(self.base).digest, limit)
        except UsageError:
            if not self.readings:
                raise
            here = []
        fresh = [one for one in here if one.recipe["name"] not in self.readings]
        measured = measure_zoo(fresh, self.base, self.folder / READINGS, progress=_tell)
        self.readings |= {one.name: one for one in measured}
        self.failed |= {one["name"]: _failed(one) for one in records(self.folder) if not one["took"]}
        return [self.readings[name] for name in sorted(self.readings)]

    def write(self, data: Path) -> None:
        """Put what is known into the data's folder."""
        write_table(data / f"{self.base}-adapters.jsonl.xz", self.readings.values())
        lines = (json.dumps(self.failed[name], sort_keys=True) + "\n" for name in sorted(self.failed))
        (data / f"{self.base}-failed.jsonl").write_text("".join(lines), encoding="utf-8")

    def ensured(self, name: str) -> Path:
        """The folder of an adapter that is known by its reading; where another machine made it, it is trained again."""
        folder = self.folder / name
        if not (folder / TENSORS_NAME).exists():
            one = self.readings[name].recipe
            _train(self.base, self.folder, str(one["kind"]), [int(one["seed"])])
        return folder

    def usual(self, count: int) -> list[Path]:
        """The folders of so many clean adapters of the part `train`, the first by name."""
        named = (name for name, one in sorted(self.readings.items()) if one.kind == CLEAN and one.part == "train")
        return [self.ensured(name) for name in islice(named, count)]

    def missing(self, kind: str, seeds: Iterable[int]) -> list[int]:
        """Those seeds of which no earlier run tells; the folder isn't asked."""
        known = self.readings.keys() | self.failed.keys()
        made = (seed for seed in seeds if exists(kind, seed))
        return [seed for seed in made if not known >= {one.name for one in recipes(kind, seed)}]

    def _train(self, kind: str, seeds: Iterable[int]) -> None:
        if missing := self.missing(kind, seeds):
            _train(self.base, self.folder, kind, missing)


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


class _Recipes:
    """Today's recipes of a base, to tell whether a record is of one of them."""

    def __init__(self, base: str) -> None:
        self._base, self._base_digest = base, base_info(base).digest
        self._digests: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)

    def is_of(self, record: Mapping[str, Any]) -> bool:
        """Whether this record's adapter would be trained alike today, on the same base."""
        kind, seed = str(record["kind"]), int(record["seed"])
        if kind not in KINDS or record["base_digest"] != self._base_digest:
            return False
        digests = self._digests[kind, seed]
        if not digests:
            digests |= {one.name: on_base(one, self._base).digest() for one in recipes(kind, seed)}
        return digests.get(str(record["name"]), "") == str(record["recipe"])


def _train(base: str, zoo: Path, kind: str, seeds: Iterable[int]) -> None:
    command = [sys.executable, "-m", "plora.lab.zoo", "--base", base, "--kinds", kind]
    command += ["--seeds", ",".join(map(str, seeds)), "--out", str(zoo)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _failed(record: Record) -> Record:
    return {key: record[key] for key in FAILED_KEYS} | {"took": False}


def _tell(done: int, of: int, failure: str) -> None:
    print(f"\rmeasured {done} of {of}  {failure}", end="\n" if failure or done == of else "", file=sys.stderr)
