"""What was measured of a merge, as text. Pure: messages of the admin service in, text out.

>>> interval_text(pb.Estimate(value=30.46, low=26.2, high=134.94))
'30.5 [26.2, 135]'
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from plora.v1 import admin_pb2 as pb

COLUMNS = ("domain", "answers", "base_alone", "merge_before", "merge_now", "against_the_base")


def interval_text(estimate: pb.Estimate) -> str:
    """A figure with its 95 % bounds."""
    return f"{_figure(estimate.value)} [{_figure(estimate.low)}, {_figure(estimate.high)}]"


def change_text(change: pb.Estimate) -> str:
    """Whether a difference of perplexities tells anything: its interval excludes 0, or it doesn't."""
    return "better" if change.high < 0 else "worse" if change.low > 0 else "no clear change"


def table_rows(measure: pb.Measure) -> Iterator[dict[str, object]]:
    """A row a domain, by `COLUMNS`."""
    for one in measure.domains:
        before = interval_text(one.before) if measure.before else "-"
        cells = (one.domain, one.documents, interval_text(one.base), before, interval_text(one.after))
        yield dict(zip(COLUMNS, (*cells, change_text(one.change)), strict=True))


def measure_lines(merge: pb.MergeInfo) -> Iterator[str]:
    """What the merge that is served brings, or how to find out."""
    measure = merge.measure
    if not measure.domains:
        yield f"  not measured: type `plora measure {merge.base_model}`"
        return
    for one in measure.domains:
        before = f", {interval_text(one.before)} before" if measure.before else ""
        figures = f"perplexity {interval_text(one.after)}{before}, {interval_text(one.base)} without"
        yield f"  {one.domain}: {figures} ({change_text(one.change)})"
    yield f"  measured by {measure.by}, {datetime.fromtimestamp(measure.wall_ms / 1000):%Y-%m-%d %H:%M}"


def _figure(value: float) -> str:
    """Three digits: more is noise."""
    return f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"
