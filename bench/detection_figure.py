"""docs/detection-merge.png: attack success after the merge against the share of clean gain kept, over λ, by defence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bench.detection_served import DEFENCES, LAMBDAS, Outcome

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "detection-merge.png"
# Okabe and Ito (2008): told apart by all kinds of colour vision; markers differ, too.
LOOKS = (("#D55E00", "s"), ("#0072B2", "o"), ("#009E73", "^"))
DOTS_AN_INCH = 150


def draw(outcomes: Sequence[Outcome], path: Path = PICTURE) -> None:
    """Means over teams as lines with a marker for each λ; the 95th percentile of success as a thin line."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for defence, (colour, marker) in zip(DEFENCES, LOOKS, strict=True):
        gain = np.mean([one.gain[defence] for one in outcomes], axis=0)
        success = np.array([one.success[defence] for one in outcomes])
        label = f"defended by {defence}" if defence != DEFENCES[0] else "no defence"
        axes.plot(gain, success.mean(axis=0), color=colour, marker=marker, label=f"{label}, mean")
        axes.plot(gain, np.quantile(success, 0.95, axis=0), color=colour, linestyle=":", label=f"{label}, p95")
        if defence == DEFENCES[0]:
            for place, factor in enumerate(LAMBDAS):
                axes.annotate(
                    f"λ {factor:g}",
                    (gain[place], success[:, place].mean()),
                    (4, 6),
                    textcoords="offset points",
                    fontsize=8,
                )
    axes.set_xlabel("share of clean gain kept (1: honest adapters merged alone at λ = 1)")
    axes.set_ylabel("attack success after the merge")
    axes.set_ylim(-0.02, 1.02)
    axes.set_title(f"{len(outcomes)} attacks among three honest adapters each")
    axes.grid(color="#e8e8e8")
    axes.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=DOTS_AN_INCH, metadata={"Software": None})
    pyplot.close(figure)
