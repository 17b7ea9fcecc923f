"""When a value-add run must not go on: a placebo that works. (The other guardrail, latency, is in `scoring`.)

Rules:

- A placebo that beats the base says that the measuring is at fault, not that placebos help: held-out answers leaked,
  or the measure rewards what isn't knowledge. Nothing that is measured beside it would mean anything.
- Judged is what questions tell of answers (t-test over documents), and exact answers beyond those that another question
  would get as well (sign test): whoever always says what is answered most is often right. Of a random placebo the
  likelihood of answers counts too; one trained on shuffled answers gains as much of it as the true adapter does.
- It wins by a one-sided test at 5 % shared between all placebo tests that the plan has (Bonferroni: known beforehand,
  so that each can be judged when it is there), *and* by at least `SHARE` of the domain's own adapter's gain, and never
  by less than `FLOOR`. A random direction moves all documents a little, to one side or the other: over many documents
  that is significant, and no fault of anybody's.

Not handled here: placebos over several seeds at once (`plora.lab.value_add.summary` shows them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats  # type: ignore[import-untyped]

from plora.lab.statistics import mcnemar_p
from plora.lab.value_add.cells import PLACEBOS, Cell, CellKind
from plora.lab.value_add.scoring import Floats, Scores
from plora.proto.errors import PloraError

ALPHA = 0.05
SHARE = 0.5
FLOOR = {"exact": 0.02, "information": 0.25, "likelihood": 0.25}
"""Less than that is no win: a share of documents, nats a document. It counts where the adapter itself gains nothing."""
JUDGED: Mapping[CellKind, Sequence[str]] = {
    "placebo_norm": ("exact", "information", "likelihood"),
    "placebo_shuffled": ("exact", "information"),
}
SAID = {"exact": "exact answers", "information": "what questions tell", "likelihood": "likelihood"}


class PlaceboError(PloraError):
    """A placebo answers better than the base: nothing that was measured beside it counts."""


def planned_tests(cells: Sequence[Cell]) -> int:
    """How many tests of placebos a plan has."""
    return sum(len(JUDGED[cell.kind]) for cell in cells if cell.kind in PLACEBOS)


def placebo_wins(cell: Cell, scores: Scores, baseline: Scores, adapter: Scores, planned: int) -> list[str]:
    """By which measures a placebo beats the base; none is as it must be.

    Args:
        cell: a placebo's. scores, baseline, adapter: of it, the base and the domain's own adapter.
        planned: how many such tests the plan has.
    """
    return [
        measure
        for measure in JUDGED[cell.kind]
        if _p(measure, scores, baseline) < ALPHA / planned
        and _gains(measure, scores, baseline).mean() >= _enough(measure, adapter, baseline)
    ]


def refuse(cell: Cell, measures: Sequence[str]) -> None:
    """Raises PlaceboError where a placebo won by any measure."""
    if measures:
        plan = cell.plan
        name = f"{cell.kind} {cell.domain}" + (f" r{plan.rank} {plan.scheme} seed {plan.seed}" if plan else "")
        raise PlaceboError(
            f"the placebo beats the base by {', '.join(SAID[one] for one in measures)}",
            where=name,
            mend="look for held-out questions among the trained ones; what was measured so far is kept",
        )


def _enough(measure: str, adapter: Scores, baseline: Scores) -> float:
    """What a placebo must gain to win."""
    return max(FLOOR[measure], SHARE * float(_gains(measure, adapter, baseline).mean()))


def _p(measure: str, scores: Scores, baseline: Scores) -> float:
    gains = _gains(measure, scores, baseline)
    if measure == "exact":
        return mcnemar_p(gains < 0, gains > 0, alternative="greater")
    return float(stats.ttest_1samp(gains, 0.0, alternative="greater").pvalue) if np.ptp(gains) > 0 else 1.0


def _gains(measure: str, scores: Scores, baseline: Scores) -> Floats:
    """By document, above 0 where the cell is better."""
    if measure == "likelihood":
        return baseline.nll - scores.nll
    if measure == "exact":
        return (scores.exact - scores.strange) - (baseline.exact - baseline.strange)
    return scores.information - baseline.information
