"""How figures look: Okabe and Ito's colours, which colour-blind people tell apart, and marks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BLUE, ORANGE, GREEN, PINK, YELLOW, SKY, BLACK = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7"),
    *("#E69F00", "#56B4E9", "#000000"),
)
COLOURS = (BLUE, ORANGE, GREEN, PINK, YELLOW, SKY, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#666666"
STYLE: Mapping[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "pdf.fonttype": 42,
}


def whiskers(interval: Mapping[str, float]) -> list[list[float]]:
    """An interval as `errorbar` wants it, around its value."""
    return [[interval["value"] - interval["low"]], [interval["high"] - interval["value"]]]
