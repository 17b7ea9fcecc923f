"""The cells of a value-add study: which adapter answers which domain's questions.

| cell | answers | controls for |
|---|---|---|
| baseline | the base alone | |
| adapter | the domain's own adapter | |
| placebo_norm | a random adapter of equal norm | any change of that size helping |
| placebo_shuffled | trained as long on the same text with shuffled answers | learning the answers' style alone |
| cross | another domain's adapter | training on anything helping |
| routed | for each question, the adapter that a router picks | |
| merged | all domains' adapters at 1/K each, times λ | |
| monolithic | one adapter trained on all domains | |

Rules:

- Every rank, scheme and seed has all cells; a baseline has none of the three. Cells that need another domain are left
  out where there is one only.
- λ multiplies the whole merge at its fixed default weights: 1 is the default, K adds the adapters up.

>>> plan = ValueAddPlan(domains=("legal", "medical"), ranks=(4,), schemes=("all",), seeds=(41,), times=(1.0,))
>>> [(cell.kind, cell.domain) for cell in cells_of(plan)][:4]
[('baseline', 'legal'), ('baseline', 'medical'), ('adapter', 'legal'), ('adapter', 'medical')]
>>> len(cells_of(plan))
16
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from plora.lab.corpora import DOMAINS
from plora.lab.train import Scheme, TrainPlan, checked
from plora.lab.workshop import Kind, Order, plans
from plora.proto.errors import UsageError

CellKind = Literal["baseline", "adapter", "placebo_norm", "placebo_shuffled", "cross", "routed", "merged", "monolithic"]
ORDERED: dict[CellKind, Kind] = {
    "adapter": "trained",
    "placebo_norm": "noise",
    "placebo_shuffled": "shuffled",
    "cross": "trained",
    "merged": "merged",
    "monolithic": "monolithic",
}
"""Which kind of adapter a cell's model wears; a routed one wears several."""
PLACEBOS: tuple[CellKind, ...] = ("placebo_norm", "placebo_shuffled")
TIMES = (0.5, 1.0, 2.0, 3.0)
SAMPLES, DEV_SIZE, CLOSE = 512, 1024, 64


@dataclass(frozen=True)
class ValueAddPlan:
    """What is compared.

    Attributes:
        domains: names of `plora.lab.corpora`. ranks, schemes, seeds: of the adapters, each with each.
        samples: training pairs a domain. dev_size: test pairs a domain that are asked, or all that there are.
        close: of how many of them answers are written out and divergences taken, which costs most; 0 for none.
        placebos, cross: whether these cells are there. times: λ of the merges.
        train: everything else of training; its rank, scheme, seed and samples don't count.
    """

    domains: tuple[str, ...] = tuple(DOMAINS)
    ranks: tuple[int, ...] = (4, 8, 16)
    schemes: tuple[Scheme, ...] = ("attention", "mlp", "all")
    seeds: tuple[int, ...] = (41, 42, 43)
    samples: int = SAMPLES
    dev_size: int = DEV_SIZE
    close: int = CLOSE
    placebos: bool = True
    cross: bool = True
    times: tuple[float, ...] = TIMES
    train: TrainPlan = field(default_factory=lambda: TrainPlan(validation=32))

    def __post_init__(self) -> None:
        for name in ("domains", "ranks", "schemes", "seeds", "times"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise UsageError(f"{name} must be different, and at least one", mend=f"--{name} a,b")
        if self.dev_size < 2 or self.close < 0:
            raise UsageError("dev_size must be at least 2, close at least 0", mend="--dev-size 256 --close 64")
        if not all(one > 0 for one in self.times):
            raise UsageError("λ must be above 0", mend="--times 0.5,1,2")
        unknown = [domain for domain in self.domains if domain not in DOMAINS]
        if unknown:
            raise UsageError(f"unknown domain {unknown[0]!r}", mend=f"one of {', '.join(DOMAINS)}")
        for plan in self.plans():
            checked(plan)

    def plans(self) -> list[TrainPlan]:
        """How one domain's adapter is trained, for each rank, scheme and seed."""
        return plans(replace(self.train, samples=self.samples), self.ranks, self.schemes, self.seeds)


@dataclass(frozen=True)
class Cell:
    """One model and the domain whose questions it answers.

    Attributes:
        of: the domains that its adapter or adapters learned. plan: how; None for the base. times: λ.
    """

    kind: CellKind
    domain: str
    of: tuple[str, ...] = ()
    plan: TrainPlan | None = None
    times: float = 1.0

    def order(self) -> Order:
        """The adapter that the model wears. Raises ValueError for a cell that has none, or several."""
        if self.plan is None or self.kind not in ORDERED:
            raise ValueError(f"a {self.kind} cell wears no adapter of its own")
        return Order(ORDERED[self.kind], self.of, self.plan)

    def key(self) -> tuple[object, ...]:
        """What tells it from all other cells of a file: the same values as `rows.key_of` finds in its row."""
        plan = self.plan
        made = (None, None, None) if plan is None else (plan.rank, plan.scheme, plan.seed)
        return (self.kind, self.domain, "+".join(self.of), *made, self.times)

    def alike(self, kind: CellKind) -> Cell:
        """The cell of another kind that this one is compared with: the base, or the domain's own adapter."""
        if kind == "baseline":
            return Cell(kind, self.domain)
        return Cell(kind, self.domain, (self.domain,), self.plan)


def cells_of(plan: ValueAddPlan) -> list[Cell]:
    """All cells of a plan, in the order in which they are computed and written."""
    found = [Cell("baseline", domain) for domain in plan.domains]
    for one in plan.plans():
        found += _alone(plan, one)
        if len(plan.domains) > 1:
            found += _together(plan, one)
    return found


def _alone(plan: ValueAddPlan, one: TrainPlan) -> Iterator[Cell]:
    kinds: tuple[CellKind, ...] = ("adapter", *(PLACEBOS if plan.placebos else ()))
    for kind in kinds:
        for domain in plan.domains:
            yield Cell(kind, domain, (domain,), one)


def _together(plan: ValueAddPlan, one: TrainPlan) -> Iterator[Cell]:
    for domain in plan.domains if plan.cross else ():
        for other in plan.domains:
            if other != domain:
                yield Cell("cross", domain, (other,), one)
    for domain in plan.domains:
        yield Cell("routed", domain, plan.domains, one)
    for times in plan.times:
        for domain in plan.domains:
            yield Cell("merged", domain, plan.domains, one, times)
    for domain in plan.domains:
        yield Cell("monolithic", domain, plan.domains, one)
