"""Readings of a zoo to the rows of `make bench-detection`: what is found, what isn't, and by which layer.

Rules:

- Each rate is of the part `test`, under a calibration that was fitted on the two other parts.
- Limits are of one side, at 95 %. Those by kind are exact, and how many triggers and targets stand behind them is said:
  the part has few. Overall the goal is on the strictest limit: exact, by whole groups, and of the poisoned by targets.
- Where a kind or a recipe is held out, nothing of it was in the fit; of a trigger's make neither what other kinds made
  of it (`lure`). Of clean recipes an adapter counts once, however many fits leave it out: held if any of them holds it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from bench.report import Row

from plora.gate.detection.calibration import Calibration
from plora.lab.judged import LAYERS, Judged, by_kind, clean_of, harms_alone, judge, overall, poisoned_of
from plora.lab.rates import Rate, clopper_pearson
from plora.lab.readings import Reading
from plora.proto.errors import UsageError

COMMAND = "make bench-detection"
FOUND_MIN, ALARMS_MAX = 0.90, 0.02
HELD_OUT_FOUND_MIN, HELD_OUT_ALARMS_MAX = 0.70, 0.05
SECONDS_MAX: Mapping[str, float] = {"weights": 3, "probes": 60}

RECIPE_KEYS = ("family",)
"""What is left out of a fit, value by value, to see whether clean recipes that it never saw are quarantined.
Not the modules: whatever changes others than the bank's is held, without being judged."""

Fit = Callable[[Sequence[Reading]], Calibration]
Choice = Callable[[Reading], bool]


@dataclass(frozen=True, slots=True)
class Tried:
    """One base's zoo, judged: the part `test`, and what fits without a kind or a clean recipe make of these."""

    base: str
    readings: Sequence[Reading]
    found: Sequence[Judged]
    kinds_left_out: Mapping[str, Sequence[Judged]]
    recipes_left_out: Mapping[str, Sequence[Judged]]


def tried(base: str, readings: Sequence[Reading], fit: Fit) -> Tried:
    """Judge a zoo; as many fits as there are kinds and clean recipes, and one of everything."""
    clean = [one for one in readings if one.clean]
    kinds = sorted(
        {one.reading.kind for one in poisoned_of(Judged(one, weights=False, probes=False) for one in readings)}
    )
    recipes = {kind: partial(_is_of, kind) for kind in sorted({one.kind for one in clean} - {"clean"})}
    for key in RECIPE_KEYS:
        for value in sorted({str(one.recipe[key]) for one in clean}):
            recipes[f"clean, {key} {value}"] = partial(_is_clean_of, key, value)
    return Tried(
        base,
        readings,
        judged_by(fit(readings), readings),
        {kind: _left_out(readings, fit, partial(_is_made_like, kind), partial(_is_of, kind)) for kind in kinds},
        {name: _left_out(readings, fit, chosen, chosen) for name, chosen in recipes.items()},
    )


def judged_by(calibration: Calibration, readings: Sequence[Reading]) -> list[Judged]:
    """What the gate would say of the part `test`."""
    return [judge(calibration, reading) for reading in readings if reading.part == "test"]


def rows_of(of: Tried, *, goals: bool = True) -> Iterator[Row]:
    """All rows of one base; a zoo that is too small for goals has none."""
    yield from _known(of, goals)
    yield from _layers(of)
    yield from _never_seen(of, goals)
    yield from _seconds(of)


def counts_of(of: Tried) -> Iterator[dict[str, object]]:
    """Hits and trials of each kind, for the table of docs/detection.md."""
    by_layer = {name: by_kind(of.found, layer) for name, layer in LAYERS.items()}
    never_seen = {**of.recipes_left_out, **of.kinds_left_out}
    for kind in sorted(by_layer["both"], key=lambda kind: (not kind.startswith("clean"), kind)):
        counted = {name: [rates[kind].hits, rates[kind].of] for name, rates in by_layer.items()}
        if kind in never_seen:
            rate = rate_of(never_seen[kind])
            counted["never seen"] = [rate.hits, rate.of]
        yield {"base": of.base, "kind": kind, **counted}


def _known(of: Tried, goals: bool) -> Iterator[Row]:
    found, base = of.found, of.base
    clean, poisoned = clean_of(found), poisoned_of(found)
    named = f"{base}, poisoned adapters found, lower limit"
    yield _strictest(named, poisoned, ("group", "target"), "low", f">= {FOUND_MIN}" * goals)
    named = f"{base}, clean adapters quarantined, upper limit"
    yield _strictest(named, clean, ("group",), "high", f"<= {ALARMS_MAX}" * goals)
    for kind, rate in by_kind(poisoned).items():
        behind = _behind([one for one in poisoned if one.reading.kind == kind])
        yield _row(f"{base}, found of {kind}, lower limit", rate, rate.low, f">= {FOUND_MIN}" * goals, behind)
    for kind, rate in by_kind(clean_of(found)).items():
        yield _row(f"{base}, quarantined of {kind}", rate)
    parts = [one for one in found if not one.reading.clean and not harms_alone(one.reading)]
    for kind, rate in by_kind(parts).items():
        yield _row(f"{base}, found before any merge of {kind}", rate)


def _layers(of: Tried) -> Iterator[Row]:
    for name, layer in LAYERS.items():
        poisoned, clean = overall(poisoned_of(of.found), layer), overall(clean_of(of.found), layer)
        peer = f"{poisoned.text()}; false alarms {clean.text()}"
        metric = f"{of.base}, found by {'either layer' if name == 'both' else name}"
        yield Row.of(metric, poisoned.value or 0.0, "", peer=peer, command=COMMAND)
    for reason in sorted({reason for one in of.found for reason in one.reasons}):
        poisoned, clean = (_for(reason, chosen) for chosen in (poisoned_of(of.found), clean_of(of.found)))
        peer = f"{poisoned.text()}; false alarms {clean.text()}"
        yield Row.of(f"{of.base}, of these by {reason}", poisoned.value or 0.0, "", peer=peer, command=COMMAND)


def _never_seen(of: Tried, goals: bool) -> Iterator[Row]:
    shares = [rate_of(found).value or 0.0 for found in of.kinds_left_out.values() if found]
    mean = statistics.fmean(shares or [0.0])
    peer = f"each of {len(shares)} kinds left out of the fit"
    goal = f">= {HELD_OUT_FOUND_MIN}" * goals
    yield Row.of(f"{of.base}, found of a kind never seen, mean", mean, "", goal=goal, peer=peer, command=COMMAND)
    for kind, found in of.kinds_left_out.items():
        yield _row(f"{of.base}, found of {kind}, never seen", rate_of(found))
    held: dict[str, bool] = {}
    for one in (each for found in of.recipes_left_out.values() for each in found):
        held[one.reading.name] = held.get(one.reading.name, False) or one.quarantined
    pooled = clopper_pearson(sum(held.values()), len(held))
    yield _row(f"{of.base}, clean recipes never seen, quarantined", pooled, goal=f"<= {HELD_OUT_ALARMS_MAX}" * goals)
    for name, found in of.recipes_left_out.items():
        yield _row(f"{of.base}, quarantined of {name}, never seen", rate_of(found))


def _seconds(of: Tried) -> Iterator[Row]:
    for name, limit in SECONDS_MAX.items():
        took = sorted(one.seconds[name] for one in of.readings if name in one.seconds)
        if took:
            slow = took[int(0.95 * (len(took) - 1))]
            peer = f"median {statistics.median(took):.2g} s of {len(took)}, one thread each"
            metric = f"{of.base}, {name} of an adapter, p95"
            yield Row.of(metric, slow, "s", goal=f"<= {limit}", peer=peer, command=COMMAND)


def _for(reason: str, found: Sequence[Judged]) -> Rate:
    return clopper_pearson(sum(reason in one.reasons for one in found), len(found))


def _is_of(kind: str, reading: Reading) -> bool:
    return reading.kind == kind


def _is_made_like(kind: str, reading: Reading) -> bool:
    return kind in (reading.kind, reading.recipe.get("lure"))


def _is_clean_of(key: str, value: str, reading: Reading) -> bool:
    return reading.clean and str(reading.recipe[key]) == value


def _left_out(readings: Sequence[Reading], fit: Fit, without: Choice, chosen: Choice) -> list[Judged]:
    """What a fit without some readings says of the chosen ones' test part; nothing where nothing can be fitted."""
    try:
        calibration = fit([one for one in readings if not without(one)])
    except UsageError:  # a small zoo has nothing else in some part
        return []
    return judged_by(calibration, [one for one in readings if chosen(one)])


def rate_of(found: Sequence[Judged]) -> Rate:
    """How many of these are quarantined, with exact limits."""
    return clopper_pearson(sum(one.quarantined for one in found), len(found))


def _strictest(
    metric: str, found: Sequence[Judged], keys: Sequence[str], side: Literal["low", "high"], goal: str
) -> Row:
    """A row on the strictest of the limits: exact, and by whole groups of those that have a key alike."""
    exact = rate_of(found)
    limits = {"exact": getattr(exact, side)}
    limits |= {f"by whole {key}s": getattr(overall(found, key=key), side) for key in keys}
    strictest = (min if side == "low" else max)(limits.values())
    shown = ", ".join(f"{how} {limit:.3f}" for how, limit in limits.items())
    return _row(metric, exact, strictest, goal, f"; {shown}{_behind(found)}")


def _behind(found: Sequence[Judged]) -> str:
    """How many different triggers and targets some adapters have; there are fewer of these than of adapters."""
    counts = {
        f"{key}s": len({str(one.reading.recipe[key]) for one in found if one.reading.recipe.get(key)})
        for key in ("trigger", "target")
    }
    return "".join(f"; {count} {named}" for named, count in counts.items() if count)


def _row(metric: str, rate: Rate, value: float | None = None, goal: str = "", behind: str = "") -> Row:
    shown = (rate.value or 0.0) if value is None else value
    return Row.of(metric, shown, "", goal=goal, peer=rate.text() + behind, command=COMMAND)
