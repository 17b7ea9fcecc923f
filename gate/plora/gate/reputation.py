"""What a peer or an owner has earned here: a Beta reputation that forgets, as one frozen value. Pure.

After Jøsang and Ismail, "The Beta Reputation System" (2002), with the changes that strangers make necessary:

- `good` and `bad` are weights of what this peer saw itself; the score is (1 + good) / (2 + good + bad), 0 to 1.
- A `NEWCOMER` scores 0.5, and has nothing to lose and nothing to spend: `influence` is 0 until something was earned.
- Credit never exceeds `CREDIT_MAX`, and halves in `half_life_ms`; what is held against somebody takes
  `FAULT_HALF_LIVES` times as long: the penalty outlasts the credit.
- A fault of `DELIBERATE` weight (no defect explains it) voids all credit that was earned before: who builds and then
  betrays stands as if they had never built.
- What is left of either below `FORGOTTEN` is nothing. A clock that goes back forgets nothing and adds nothing.

Not handled here: what is good and what is a fault, whose word counts (nobody's: evidence is first-hand), keeping it.

>>> ada = NEWCOMER.earned(1.0, 0, half_life_ms=1000)
>>> ada.score > NEWCOMER.score > ada.faulted(DELIBERATE, "two_contents", 0, half_life_ms=1000).score
True
"""

from __future__ import annotations

from dataclasses import dataclass, replace

CREDIT_MAX = 8.0
FAULTS_MAX = 64.0
FAULT_HALF_LIVES = 4
SLIP = 1.0
DELIBERATE = 4.0
FORGOTTEN = 1 / 64


@dataclass(frozen=True, slots=True)
class Reputation:
    """Weights of good and bad as they stood at `at_ms`, milliseconds since 1970.

    `fault` is the reason of the newest fault, at `fault_ms`; empty when nothing is held against them any more.
    """

    good: float = 0.0
    bad: float = 0.0
    at_ms: int = 0
    fault: str = ""
    fault_ms: int = 0

    @property
    def score(self) -> float:
        """The mean of Beta(1 + good, 1 + bad)."""
        return (1.0 + self.good) / (2.0 + self.good + self.bad)

    @property
    def influence(self) -> float:
        """What was earned beyond what is held against them; 0 for newcomers and for offenders."""
        return max(0.0, self.good - self.bad)

    @property
    def blank(self) -> bool:
        """Whether nothing is known, as of a newcomer."""
        return not (self.good or self.bad)

    def at(self, now_ms: int, *, half_life_ms: int) -> Reputation:
        """What is left of it now."""
        past = max(0, now_ms - self.at_ms) / half_life_ms
        good = _left(self.good, past)
        bad = _left(self.bad, past / FAULT_HALF_LIVES)
        fault, fault_ms = (self.fault, self.fault_ms) if bad else ("", 0)
        return Reputation(good, bad, max(now_ms, self.at_ms), fault, fault_ms)

    def earned(self, weight: float, now_ms: int, *, half_life_ms: int) -> Reputation:
        """With something good that was seen here."""
        left = self.at(now_ms, half_life_ms=half_life_ms)
        return replace(left, good=min(CREDIT_MAX, left.good + weight))

    def faulted(self, weight: float, reason: str, now_ms: int, *, half_life_ms: int) -> Reputation:
        """With a fault that was seen here."""
        left = self.at(now_ms, half_life_ms=half_life_ms)
        good = 0.0 if weight >= DELIBERATE else left.good
        return Reputation(good, min(FAULTS_MAX, left.bad + weight), left.at_ms, reason, left.at_ms)


NEWCOMER = Reputation()
"""Of whom nothing is known."""


def _left(weight: float, half_lives: float) -> float:
    left = weight * 0.5**half_lives
    return left if left >= FORGOTTEN else 0.0
