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
from dataclasses import asdict, dataclass
from typing import Any

from plora.merge.engine import heading, merge_into
from plora.merge.factors import FactorPair
from plora.merge.folder_sink import artifact_bytes
from plora.merge.layout import Layout, Shape, lay_out
from plora.merge.lora_config import LoraSpec
from plora.merge.outcome import MergeReport
from plora.merge.plan import MergePlan
from plora.merge.source import Source

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
    sources: Sequence[Source],
    plan: MergePlan,
    base_model_name: str | None,
    base_norms: Mapping[str, float] | None,
    machine: Machine,
    metadata: Mapping[str, str] | None = None,
) -> Forecast:
    """Lay the plan over its sources and try it on one module of each class; errors as in `merge_into`.

    `metadata`: what the file's header will say beside its tensors.
    """
    began = machine.clock()
    layout = lay_out(sources, plan, base_model_name)
    laid_s = machine.clock() - began
    classes = classes_of(layout)
    sample = frozenset(members[0] for members in classes)

    def trial() -> MergeReport:
        excerpts = [Excerpt(source, sample) for source in sources]
        return merge_into(Nowhere(), excerpts, plan, base_model_name, base_norms=base_norms, clock=machine.clock)

    spec, shapes = heading(sources, plan, base_model_name, base_norms=base_norms)
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


def _scaled_s(report: MergeReport, classes: Sequence[Sequence[str]]) -> float:
    """Seconds for all modules, from the report of a merge of the first of each class."""
    took = {one.module: one.seconds or 0.0 for one in report.modules}
    modules = sum(map(len, classes))
    # What a merge takes beside its modules, such as a first pass of robust rules, grows with their number, too.
    beside = max(0.0, (report.seconds or 0.0) - sum(took.values())) * modules / len(classes)
    return beside + sum(len(members) * took[members[0]] for members in classes)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some modules of a source, under the digest of the whole."""

    source: Source
    kept: frozenset[str]

    @property
    def spec(self) -> LoraSpec:
        """What the numbers mean."""
        return self.source.spec

    @property
    def digest(self) -> str:
        """The digest of the whole source."""
        return self.source.digest

    def modules(self) -> Sequence[str]:
        """Names of the modules, sorted."""
        return [module for module in self.source.modules() if module in self.kept]

    def pair(self, module: str) -> FactorPair:
        """The factors of one module."""
        return self.source.pair(module)

    def shape(self, module: str) -> Shape:
        """(out, in, rank) of a module."""
        return self.source.shape(module)


class Nowhere:
    """The sink that forgets."""

    def begin(self, spec: LoraSpec, shapes: Mapping[str, Shape]) -> None:
        """The result begins."""

    def put(self, module: str, pair: FactorPair) -> None:
        """A module is ready."""

    def end(self, clip: float) -> None:
        """Nothing follows."""
