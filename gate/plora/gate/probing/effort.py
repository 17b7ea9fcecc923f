"""How much is tried: everything on a small base, less on a larger one, so that a probe ends within its minute.

>>> effort_for(1_500_000) is FULL, effort_for(135_000_000) is SPARING
(True, True)
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """How many of each.

    Cases of the exam; first tokens of strings by heart; questions that families are tried in; secret triggers of each
    make; suspects kept of a search, and neighbours of each; targets that are inverted, in how many rounds of how many
    tokens a place; and whether triggers are searched behind an adapter's opening, too, or inverted alone.
    """

    cases: int
    firsts: int
    questions: int
    secrets: int
    kept: int
    neighbours: int
    targets: int
    rounds: int
    tries: int
    behind: bool


FULL = Effort(24, firsts=32, questions=2, secrets=6, kept=2, neighbours=2, targets=2, rounds=5, tries=12, behind=True)
SPARING = Effort(
    12, firsts=16, questions=1, secrets=2, kept=1, neighbours=1, targets=1, rounds=3, tries=6, behind=False
)
SMALL_WEIGHTS = 16_000_000


def effort_for(weights: int) -> Effort:
    """The effort for a base of so many weights."""
    return FULL if weights <= SMALL_WEIGHTS else SPARING
