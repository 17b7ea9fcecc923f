"""What is wrong with a value_add.jsonl: nothing is believed because a run ended.

Rules:

- Every line is a row, whole, with numbers where numbers belong; a line of provenance may stand first. No cell is there
  twice.
- Every domain has its baseline, every rank, scheme and seed the same cells, every row of a domain the same documents.
- Figures are finite and agree with each other: perplexity is exp of nats, a difference is the row's figure less the
  baseline's, p-values are shares, bounds are in order.
- Two seeds are two runs: rows that differ in their seed alone have another recipe and another result.
- Placebos lost.

Not handled here: whether the figures are those of the adapters (scoring again), whether adapters help.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from plora.base import Interval
from plora.lab.value_add.cells import PLACEBOS
from plora.lab.value_add.compare import BETTER, improves
from plora.lab.value_add.rows import KEY, key_of

Row = Mapping[str, Any]
LEVELS = ("nll", "ppl", "em", "question_information")
P_VALUES = ("wilcoxon_p", "sign_flip_p", "mcnemar_p", "question_wilcoxon_p")
CLOSE_ENOUGH = 1e-4
BOUNDS = ("value", "low", "high")
DIFFERENCES = (*BETTER, "em")


def verify(path: Path) -> list[str]:
    """A sentence for each fault of a file; none where it is sound."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        return [f"{path}: {error.strerror}; make it by `make value-add-build-lowmem`"]
    except UnicodeDecodeError:
        return [f"{path}: is not UTF-8"]
    rows, faults = _parsed(lines)
    if not rows:
        return [*faults, f"{path}: has no rows"]
    faults += [fault for row in rows for fault in _faults_of_row(row)]
    return faults or [fault for check in CHECKS for fault in check(rows)]


def _parsed(lines: Sequence[str]) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    faults: list[str] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError:
            faults.append(f"line {number} is not JSON")
            continue
        if number == 1 and isinstance(row, dict) and list(row) == ["provenance"]:
            continue
        if lacking := _lacking(row):
            faults.append(f"line {number} lacks {', '.join(lacking)}")
        elif misshapen := _misshapen(row):
            faults.append(f"line {number} has no sound {', '.join(misshapen)}")
        else:
            rows.append(row)
    return rows, faults


def _lacking(row: Any) -> list[str]:
    if not isinstance(row, dict):
        return ["everything: it is no row"]
    wanted = [*KEY, "documents", "recipe", *LEVELS]
    if row.get("cell") != "baseline":
        wanted += ["difference", "helps", "dz", "kept", "rank_biserial", *P_VALUES]
    wanted += ["placebo_wins"] if row.get("cell") in PLACEBOS else []
    return [name for name in wanted if name not in row]


def _misshapen(row: Row) -> list[str]:
    """The fields that hold another kind of value than all that follows counts on.

    >>> _misshapen({"cell": "baseline", "nll": None, "ppl": "2"})
    ['nll', 'ppl']
    """
    numbers = (*LEVELS, "documents", "rank_biserial", *P_VALUES)
    wrong = [name for name in KEY if not isinstance(row.get(name), str | int | float | None)]
    wrong += [name for name in numbers if name in row and not _is_number(row[name])]
    if "difference" in row and not _are_differences(row["difference"]):
        wrong.append("difference")
    wins = row.get("placebo_wins", [])
    sound = isinstance(wins, list) and all(isinstance(one, str) for one in wins)
    return wrong if sound else [*wrong, "placebo_wins"]


def _are_differences(value: Any) -> bool:
    """Whether it has the interval of each of `DIFFERENCES`, and nothing else."""
    if not isinstance(value, Mapping) or set(value) != set(DIFFERENCES):
        return False
    return all(
        isinstance(one, Mapping) and set(one) == set(BOUNDS) and all(map(_is_number, one.values()))
        for one in value.values()
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _faults_of_row(row: Row) -> Iterator[str]:
    name = _named(row)
    numbers = dict(_numbers(row))
    yield from (f"{name}: {place} is {value}" for place, value in numbers.items() if not math.isfinite(value))
    yield from (f"{name}: {one} is {row[one]}, no share" for one in P_VALUES if not 0 <= row.get(one, 0) <= 1)
    if not _close(row["ppl"], math.exp(min(row["nll"], 700.0))):
        yield f"{name}: perplexity {row['ppl']} isn't exp of {row['nll']} nats"
    for place, low in numbers.items():
        high = numbers.get(f"{place.removesuffix('low')}high", low) if place.endswith(".low") else low
        if low > high:
            yield f"{name}: {place} lies above its upper bound"
    if row.get("placebo_wins"):
        yield f"{name}: the placebo beats the base by {', '.join(row['placebo_wins'])}"


def _numbers(value: Any, place: str = "") -> Iterator[tuple[str, float]]:
    """All numbers of a row with the places where they stand."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _numbers(one, f"{place}.{name}" if place else name)
    elif _is_number(value):
        yield place, float(value)


def _doubles(rows: Sequence[Row]) -> Iterator[str]:
    counted = Counter(map(key_of, rows))
    yield from (f"{_said(key)} stands there {count} times" for key, count in counted.items() if count > 1)


def _baselines(rows: Sequence[Row]) -> Iterator[str]:
    """Every difference against the baseline of its domain."""
    baselines = {row["domain"]: row for row in rows if row["cell"] == "baseline"}
    for row in rows:
        baseline = baselines.get(row["domain"])
        if baseline is None:
            yield f"{_named(row)}: there is no baseline of {row['domain']}"
        elif row["documents"] != baseline["documents"]:
            yield f"{_named(row)}: {row['documents']} documents, the baseline has {baseline['documents']}"
        elif row["cell"] != "baseline":
            yield from _differing(row, baseline)


def _differing(row: Row, baseline: Row) -> Iterator[str]:
    for name, interval in row["difference"].items():
        gap = row[name] - baseline[name]
        if abs(interval["value"] - gap) > CLOSE_ENOUGH * max(1.0, abs(row[name]), abs(baseline[name])):
            yield f"{_named(row)}: {name} differs from the baseline by {gap:.4g}, not by {interval['value']:.4g}"
    found = {name: Interval(**row["difference"][name]) for name in BETTER}
    if row["helps"] != all(improves(name, interval) for name, interval in found.items()):
        yield f"{_named(row)}: helps says {row['helps']} and the intervals another thing"


def _same_cells(rows: Sequence[Row]) -> Iterator[str]:
    made: dict[tuple[Any, ...], set[tuple[Any, ...]]] = defaultdict(set)
    for row in rows:
        if row["cell"] != "baseline":
            made[row["rank"], row["scheme"], row["seed"]].add((row["cell"], row["domain"], row["of"], row["lambda"]))
    every = set().union(*made.values()) if made else set()
    for (rank, scheme, seed), cells in made.items():
        for lacking in sorted(every - cells, key=str):
            yield f"rank {rank}, scheme {scheme}, seed {seed} lacks {' '.join(map(str, lacking))}"


def _different_seeds(rows: Sequence[Row]) -> Iterator[str]:
    alike: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if row["cell"] != "baseline":
            alike[tuple(row[name] for name in KEY if name != "seed")].append(row)
    for some in alike.values():
        yield from dict.fromkeys([*_repeats(some, ("nll", "question_information")), *_repeats(some, ("recipe",))])


def _repeats(rows: Sequence[Row], names: Sequence[str]) -> Iterator[str]:
    """Of rows that differ in their seed alone, each that has the same values as one before it."""
    first: dict[tuple[str, ...], Row] = {}
    for row in rows:
        one = first.setdefault(tuple(str(row[name]) for name in names), row)
        if one is not row:
            yield f"{_named(one)} and seed {row['seed']} are one and the same run"


CHECKS: tuple[Callable[[Sequence[Row]], Iterator[str]], ...] = (_doubles, _baselines, _same_cells, _different_seeds)


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=CLOSE_ENOUGH)


def _named(row: Row) -> str:
    return _said(key_of(row))


def _said(key: tuple[object, ...]) -> str:
    """
    >>> _said(("merged", "legal", "legal+medical", 4, "all", 41, 2.0))
    'merged legal of legal+medical rank 4 scheme all seed 41 lambda 2.0'
    """
    cell, domain, *rest = key
    told = [f"{name} {value}" for name, value in zip(KEY[2:], rest, strict=True) if value not in (None, "")]
    return " ".join([str(cell), str(domain), *told])
