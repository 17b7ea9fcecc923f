"""What a merge would take: rank and size exactly, time and memory from a merge of a few modules.

Rules:

- Rank, modules and the size of the tensor file follow from the headers: nothing is estimated.
- Time: modules are sorted into classes of equal method and equal shapes in all operands. One module of each class is
  merged for real, twice; the second time counts, times the number of modules. Bytes are written at the rate that the
  caller measured. What holds for the sample holds for the whole within a factor of `SPREAD` on a machine that does
  nothing else meanwhile.
- Memory: what the sample took at most, beyond what was in use before; a merge holds one module at a time.
- Clock, rate of writing and the measure of memory are the caller's: nothing here looks at the machine.

Not handled: what else runs on the machine; whether the result is worth it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from plora.merge.engine import heading, merge_laid_out
from plora.merge.factors import FactorPair
from plora.merge.folder_sink import artifact_bytes
from plora.merge.layout import Layout, Shape
from plora.merge.lora_config import LoraSpec
from plora.merge.outcome import MergeReport

SPREAD = 3.0
"""Time is within this factor, up or down."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a merge would make and take.

    `size_bytes`: of adapter_model.safetensors, exact. `memory_bytes`: at most, beyond what is in use already.
    `sampled`: how many modules were merged to know.
    """

    operands: int
    collapsed: int
    rank: int
    modules: int
    size_bytes: int
    seconds: float
    memory_bytes: int
    sampled: int

    @property
    def seconds_range(self) -> tuple[float, float]:
        """The least and the most that it should take."""
        return self.seconds / SPREAD, self.seconds * SPREAD

    def document(self) -> dict[str, Any]:
        """The forecast as JSON values, with the range of the time."""
        return {**asdict(self), "seconds_range": list(self.seconds_range)}


@dataclass(frozen=True, slots=True)
class Machine:
    """How a caller measures: a clock in seconds, bytes a second to disk, and a function's peak of memory in bytes."""

    clock: Callable[[], float]
    write_bytes_s: float
    peak_of: Callable[[Callable[[], object]], int]


def forecast(
    layout: Layout,
    base_norms: Mapping[str, float] | None,
    machine: Machine,
    *,
    laid_s: float = 0.0,
    metadata: Mapping[str, str] | None = None,
) -> Forecast:
    """Try one module of each class; errors as in `merge_into`.

    `laid_s`: the seconds that it took to open the sources and to lay the plan over them; `metadata`: what the file's
    header will say beside its tensors.
    """
    classes = classes_of(layout)
    sample = _only(layout, [members[0] for members in classes])

    def trial() -> MergeReport:
        return merge_laid_out(Nowhere(), sample, base_norms=base_norms, clock=machine.clock)

    spec, shapes = heading(layout, base_norms)
    size_bytes = artifact_bytes(spec, shapes, metadata)
    memory_bytes = machine.peak_of(trial)
    return Forecast(
        operands=len(layout.operands),
        collapsed=layout.collapsed,
        rank=spec.r,
        modules=len(shapes),
        size_bytes=size_bytes,
        seconds=laid_s + _scaled_s(trial(), classes) + size_bytes / machine.write_bytes_s,
        memory_bytes=memory_bytes,
        sampled=len(classes),
    )


def classes_of(layout: Layout) -> list[list[str]]:
    """Modules that cost the same: of one lineup, with equal shapes in every operand."""
    classes: dict[tuple[object, ...], list[str]] = {}
    for module, lineup in layout.lineups.items():
        key = (id(lineup), *(operand.shapes.get(module) for operand in layout.operands))
        classes.setdefault(key, []).append(module)
    return list(classes.values())


def _only(layout: Layout, modules: Sequence[str]) -> Layout:
    """The layout as if these were all modules."""
    lineups = {module: layout.lineups[module] for module in modules}
    return replace(layout, lineups=lineups, shapes={module: layout.shapes[module] for module in modules})


def _scaled_s(report: MergeReport, classes: Sequence[Sequence[str]]) -> float:
    """Seconds for all modules, from the report of a merge of the first of each class."""
    took = {one.module: one.seconds or 0.0 for one in report.modules}
    modules = sum(map(len, classes))
    # What a merge takes beside its modules, such as a first pass of robust rules, grows with their number, too.
    beside = max(0.0, (report.seconds or 0.0) - sum(took.values())) * modules / len(classes)
    return beside + sum(len(members) * took[members[0]] for members in classes)


class Nowhere:
    """The sink that forgets."""

    def begin(self, spec: LoraSpec, shapes: Mapping[str, Shape]) -> None:
        """The result begins."""

    def put(self, module: str, pair: FactorPair) -> None:
        """A module is ready."""

    def end(self, clip: float) -> None:
        """Nothing follows."""
