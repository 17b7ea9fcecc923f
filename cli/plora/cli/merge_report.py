"""What a merge did, as tables that a person can read: pure, from `MergeReport` to rows.

- Inputs with their weights, norms and cosines; then what was lost, cancelled, in conflict, clipped, given twice; then
  the modules, worst first. Beyond `MODULES_SHOWN` modules it is a row for each target, and the worst modules.
- Every table fits 80 columns while names are short.

Not handled: printing (`plora.cli.output`), the picture (`plora.cli.merge_picture`). What the figures mean:
docs/merging-report.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plora.merge.outcome import MergeReport, ModuleReport, Operand
from plora.merge.plan_settings import layer_of, target_of
from plora.proto.amounts import size_text

if TYPE_CHECKING:
    from plora.merge.forecast import Forecast
    from plora.merge.tuning_steps import Tuning, TuningStep

MODULES_SHOWN = 24
WORST_SHOWN = 8
COSINES_SHOWN = 6

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns, and rows by column."""

    columns: Sequence[str]
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Told:
    """A merge to be told: the report, the folders in the order given, the seconds and bytes of memory that it took.

    `tuning`: what was searched on pairs before, if anything was.
    """

    report: MergeReport
    folders: Sequence[str]
    seconds: float
    peak_bytes: int
    tuning: Tuning | None = None

    @property
    def order(self) -> list[int]:
        """The operands in the order in which they were given first; the report has them by digest."""
        operands = self.report.operands
        return sorted(range(len(operands)), key=lambda index: operands[index].places[0])

    @property
    def names(self) -> list[str]:
        """The folder of each operand, in that order: the first under which it was given."""
        return [self.folders[self.report.operands[index].places[0]] for index in self.order]

    @property
    def cosines(self) -> list[list[float]]:
        """The cosines between operands, in that order."""
        return [[self.report.cosines[one][other] for other in self.order] for one in self.order]


def document(told: Told, out: str) -> dict[str, Any]:
    """The whole report as JSON values: see docs/merging-report.md."""
    taken = {"seconds": told.seconds, "peak_memory_bytes": told.peak_bytes}
    inputs = [
        {"folder": folder, "operand": operand}
        for place, folder in enumerate(told.folders)
        for operand in (_operand_at(told.report, place),)
    ]
    tuning = None if told.tuning is None else told.tuning.document()
    return {**told.report.document(), **taken, "inputs": inputs, "out": out, "tuning": tuning}


def _operand_at(report: MergeReport, place: int) -> int | None:
    """The operand that an input became; None for one whose weight is 0."""
    return next((index for index, operand in enumerate(report.operands) if place in operand.places), None)


def forecast_lines(found: Forecast) -> list[str]:
    """What a merge would make and take, a line each."""
    low, high = found.seconds_range
    duplicates = f", {found.collapsed} given twice" if found.collapsed else ""
    return [
        f"adapters  {found.operands}{duplicates}",
        f"modules   {found.modules}",
        f"rank      {found.rank}",
        f"size      {found.size_bytes} bytes ({size_text(found.size_bytes)})",
        f"time      about {found.seconds:.2g} s ({low:.2g} to {high:.2g} s), by trying {found.sampled} modules",
        f"memory    about {size_text(found.memory_bytes)} beyond what Plora itself takes",
    ]


def headline(report: MergeReport) -> str:
    """What was made of what."""
    count, modules = len(report.operands), len(report.modules)
    inputs = "1 adapter" if count == 1 else f"{count} adapters"
    return f"{inputs} by {report.strategy}: rank {report.rank} of at most {report.rank_max}, {modules} modules"


def tables(told: Told) -> list[Table]:
    """All there is to tell, in the order of reading."""
    modules = told.report.modules
    parts = [inputs_table(told), Table(("", " "), [{"": label, " ": text} for label, text in facts(told)])]
    if told.tuning is not None:
        parts.append(tuning_table(told.tuning))
    if len(modules) <= MODULES_SHOWN:
        return [*parts, modules_table("module", modules)]
    worst = sorted(modules, key=_by_loss)[:WORST_SHOWN]
    return [*parts, targets_table(modules), modules_table("worst modules", worst)]


def inputs_table(told: Told) -> Table:
    """A row for each distinct input; its cosines with those above it while they are few."""
    report = told.report
    cosines = told.cosines if 1 < len(report.operands) <= COSINES_SHOWN else []
    # A robust rule makes weights of its own.
    changed = ["effective"] if any(one.effective != one.weight for one in report.operands) else []
    columns = ["", "input", "weight", *changed, "norm", *(_cosine_with(place) for place in range(len(cosines)))]
    rows: list[Row] = []
    for place, (name, index) in enumerate(zip(told.names, told.order, strict=True)):
        operand = report.operands[index]
        row: Row = {"": place + 1, "input": name, "weight": weight_text(report, operand)}
        row["effective"] = f"{operand.effective:.4g}"
        row["norm"] = f"{norm_of_input(report, index):.4g}"
        row |= {_cosine_with(other): two_digits(cosine) for other, cosine in enumerate(_below(cosines, place))}
        rows.append(row)
    return Table(columns, rows)


def tuning_table(tuning: Tuning) -> Table:
    """A row for each step of the tuning, losses in nats a token; the held-out pairs last."""
    rows: list[Row] = [
        {
            "tuned by": one.step.replace("_", " "),
            "pairs": one.pairs,
            "loss before": f"{one.loss_before:.4f}",
            "after": f"{one.loss_after:.4f}",
            "found": _found(one),
        }
        for one in tuning.steps
    ]
    if tuning.held_out is not None:
        change = tuning.held_out.change
        found = f"perplexity {change.value:+.3g} [{change.low:+.3g}, {change.high:+.3g}]"
        rows.append({"tuned by": "held out", "pairs": tuning.held_out.pairs, "found": found})
    return Table(("tuned by", "pairs", "loss before", "after", "found"), rows)


def _found(step: TuningStep) -> str:
    if step.scaling is not None:
        return f"scaling × {step.scaling:.4g}"
    if step.weights is not None:
        return "weights " + ", ".join(f"{weight:.4g}" for weight in step.weights)
    return "weights by module"


def facts(told: Told) -> Iterator[tuple[str, str]]:
    """The merge in words, each under a heading."""
    report = told.report
    yield "norm", f"{report.norm:.4g} of the merged adapter"
    yield "lost", f"{percent(report.discarded_energy)} of the energy{_worst(report.modules)}"
    yield "cancellation", f"{percent(report.cancellation)} of the inputs' norms is left in their sum"
    conflict = _conflict(report.modules)
    if conflict is not None and len(report.operands) > 1:
        yield "conflict", f"{percent(conflict)} of the mass has the losing sign (at most 50 %)"
    yield from _clipped(report)
    yield from _duplicates(told)
    yield from _dropped(told)
    yield "took", f"{told.seconds:.3g} s, at most {size_text(told.peak_bytes)} of memory"


def modules_table(title: str, modules: Sequence[ModuleReport]) -> Table:
    """A row for each module, those that lost most first."""
    rows: list[Row] = [
        {
            title: one.module,
            "rank": one.rank,
            "norm": f"{one.norm:.4g}",
            "lost": percent(one.discarded_energy),
            "conflict": _percent_or_nothing(one.sign_conflict),
            "clip": "" if one.clip == 1.0 else f"× {one.clip:.3g}",
        }
        for one in sorted(modules, key=_by_loss)
    ]
    return Table((title, "rank", "norm", "lost", "conflict", "clip"), rows)


def targets_table(modules: Sequence[ModuleReport]) -> Table:
    """A row for each target over all layers, those that lost most first."""
    groups: dict[str, list[ModuleReport]] = {}
    for one in modules:
        groups.setdefault(target_of(one.module), []).append(one)
    rows = [_target_row(target, group) for target, group in sorted(groups.items(), key=lambda pair: -_lost(pair[1]))]
    return Table(("target", "modules", "norm", "lost", "most", "in_layer", "conflict"), rows)


def _target_row(target: str, group: Sequence[ModuleReport]) -> Row:
    worst = min(group, key=_by_loss)
    layer = layer_of(worst.module)
    return {
        "target": target,
        "modules": len(group),
        "norm": f"{math.hypot(*(one.norm for one in group)):.4g}",
        "lost": percent(_lost(group)),
        "most": percent(worst.discarded_energy),
        "in_layer": "" if layer is None else layer,
        "conflict": _percent_or_nothing(_conflict(group)),
    }


def norm_of_input(report: MergeReport, place: int) -> float:
    """‖w·ΔW‖_F of an operand over all modules."""
    return math.hypot(*(one.input_norms[place] for one in report.modules))


def weight_text(report: MergeReport, operand: Operand) -> str:
    """The weight of an operand; the least and the most where a plan has several."""
    given = [one.weights for one in report.plan.overrides if one.weights is not None]
    weights = [operand.weight, *(max(weights[place] for place in operand.places) for weights in given)]
    least, most = min(weights), max(weights)
    return f"{most:.4g}" if least == most else f"{least:.4g} to {most:.4g}"


def two_digits(number: float) -> str:
    """A number to two digits, without a sign on 0.

    >>> two_digits(-0.001), two_digits(0.125)
    ('0.00', '0.12')
    """
    return f"{round(number, 2) + 0.0:.2f}"


def percent(share: float) -> str:
    """A share of 1 in percent, to three digits.

    >>> percent(0.12345), percent(1.0), percent(0.0)
    ('12.3 %', '100 %', '0 %')
    """
    return f"{100 * share:.3g} %"


def _percent_or_nothing(share: float | None) -> str:
    return "" if share is None else percent(share)


def _by_loss(module: ModuleReport) -> tuple[float, str]:
    return -module.discarded_energy, module.module


def _cosine_with(place: int) -> str:
    return "cosine 1" if place == 0 else str(place + 1)


def _below(cosines: Sequence[Sequence[float]], place: int) -> Sequence[float]:
    return cosines[place][: place + 1] if cosines else ()


def _worst(modules: Iterable[ModuleReport]) -> str:
    worst = min(modules, key=_by_loss)
    return f"; {percent(worst.discarded_energy)} of {worst.module}" if worst.discarded_energy > 0 else ""


def _lost(modules: Sequence[ModuleReport]) -> float:
    """Energy lost over energy before truncation. What a module kept is its norm² before any clip."""
    kept = [(one.norm / one.clip) ** 2 for one in modules]
    before = [energy / (1.0 - one.discarded_energy) for energy, one in zip(kept, modules, strict=True)]
    return 1.0 - sum(kept) / sum(before) if sum(before) else 0.0


def _conflict(modules: Sequence[ModuleReport]) -> float | None:
    """The share of conflict over modules, each by the mass that was put in; None where it wasn't measured."""
    measured = [(sum(one.input_norms), one.sign_conflict) for one in modules if one.sign_conflict is not None]
    mass = sum(weight for weight, _ in measured)
    return sum(weight * share for weight, share in measured) / mass if mass else None


def _clipped(report: MergeReport) -> Iterator[tuple[str, str]]:
    clipped = [one for one in report.modules if one.clip != 1.0]
    if clipped:
        most = min(clipped, key=lambda one: one.clip)
        yield "trust region", f"{len(clipped)} modules scaled down, most {most.module}: × {most.clip:.3g}"
    if report.total_clip != 1.0:
        yield "trust region", f"the whole adapter scaled down: × {report.total_clip:.3g}"


def _dropped(told: Told) -> Iterator[tuple[str, str]]:
    folders = [folder for place, folder in enumerate(told.folders) if _operand_at(told.report, place) is None]
    if folders:
        yield "dropped", f"{', '.join(folders)}: weight 0"


def _duplicates(told: Told) -> Iterator[tuple[str, str]]:
    for operand in told.report.operands:
        first, *again = (told.folders[place] for place in operand.places)
        if again:
            said = "the same update as" if operand.copies else "the same adapter as"
            yield "duplicate", f"{', '.join(again)}: {said} {first}, counted once"
