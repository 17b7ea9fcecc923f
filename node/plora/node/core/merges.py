"""When to merge: one merged adapter per base model, made again whenever its set of accepted plasmids changes.

- Changes are gathered for `merge_delay_ms`; at most one merge a base runs at a time; generations only grow.
- Inputs are sorted by artifact digest; two plasmids with the same bytes count once.
- An input whose bytes are no longer those that were examined is no failure of the merge: without it, it starts again.
- A merge that fails is tried again with a growing delay. If the merge that stands holds an input that is no longer
  accepted, it is taken away first: what was revoked is never served because a worker failed.
- Not handled here: the algebra (`plora.merge`), files and links (the driver).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from plora.node.core.config import CoreConfig
from plora.node.core.effects import Effect, Merge, MergeInput, SetTimer
from plora.node.core.events import Merged
from plora.node.core.now import Now
from plora.node.core.rows import MergeRow

TIMER = "desk:merge:"
RETRY_MS = 10_000
RETRY_MS_MAX = 600_000

Inputs = tuple[MergeInput, ...]


@dataclass(slots=True)
class _Base:
    """One base: `standing` are the inputs of generation `stands` on disk, `running` those of the one under way."""

    generation: int = 0
    stands: int = 0
    standing: tuple[str, ...] = ()
    running: Inputs | None = None
    failures: int = 0
    reason: str = ""
    report: str = ""


class Merges:
    """The schedule of merges. `inputs_of` gives the accepted plasmids of a base, in any order."""

    def __init__(
        self, config: CoreConfig, rows: Iterable[MergeRow], inputs_of: Callable[[str], Iterable[MergeInput]]
    ) -> None:
        self._config = config
        self._inputs_of = inputs_of
        self._bases = {row.base: _Base(row.generation, row.generation, row.inputs, report=row.report) for row in rows}

    def touch(self, base: str, now: Now) -> list[Effect]:
        """Something about the base changed: look at it after the delay."""
        if not self._config.merge:
            return []
        return [SetTimer(TIMER + base, now.after_ms(self._config.merge_delay_ms))]

    def touch_all(self, now: Now, others: Iterable[str] = ()) -> list[Effect]:
        """Look at every base that ever had a merge, and at others: a kill may have come before their first one."""
        return [effect for base in sorted({*self._bases, *others}) for effect in self.touch(base, now)]

    def due(self, base: str, now: Now) -> list[Effect]:
        """The delay is over: merge, unless nothing changed."""
        state = self._bases.setdefault(base, _Base())
        if state.running is not None:
            return []  # what came meanwhile is seen when it is done
        inputs = self._inputs(base)
        if _ids(inputs) == state.standing:
            state.failures, state.reason = 0, ""
            return []
        if state.failures and not _covers(inputs, state.standing):
            inputs = ()
        return self._start(base, state, inputs)

    def merged(self, event: Merged, now: Now) -> tuple[MergeRow | None, list[Effect]]:
        """Take up a worker's answer: the row to keep where the merge now stands, and what to do next."""
        state = self._bases.get(event.base)
        if state is None or state.running is None or event.generation != state.generation:
            return None, []
        inputs, state.running = state.running, None
        if event.culprit in (item.digest for item in inputs):
            return None, self.touch(event.base, now)
        if event.reason:
            return None, self._failed(event.base, state, event.reason, now)
        state.stands, state.standing, state.report = event.generation, _ids(inputs), event.report
        wanted = _ids(self._inputs(event.base))
        if wanted == state.standing:
            state.failures, state.reason = 0, ""
        row = MergeRow(event.base, event.generation, state.standing, event.report)
        return row, self.touch(event.base, now) if wanted != state.standing else []

    def standing(self) -> list[MergeRow]:
        """The merges that stand, by base."""
        found = sorted(self._bases.items())
        return [MergeRow(base, state.stands, state.standing, state.report) for base, state in found]

    def generation(self, base: str) -> int:
        """The generation that stands; 0 where nothing is merged."""
        state = self._bases.get(base)
        return state.stands if state and state.standing else 0

    def trouble(self, base: str) -> str:
        """Why the newest merge of a base failed; empty when it didn't."""
        state = self._bases.get(base)
        return state.reason if state else ""

    def _failed(self, base: str, state: _Base, reason: str, now: Now) -> list[Effect]:
        state.failures, state.reason = state.failures + 1, reason
        urgent = state.failures == 1 and not _covers(self._inputs(base), state.standing)
        delay_ms = self._config.merge_delay_ms if urgent else _retry_ms(state)
        return [SetTimer(TIMER + base, now.after_ms(delay_ms))]

    def _start(self, base: str, state: _Base, inputs: Inputs) -> list[Effect]:
        state.generation += 1
        state.running = inputs
        return [Merge(base, state.generation, inputs)]

    def _inputs(self, base: str) -> Inputs:
        by_digest: dict[str, MergeInput] = {}
        for item in sorted(self._inputs_of(base), key=lambda item: (item.digest, item.content_id)):
            by_digest.setdefault(item.digest, item)
        return tuple(by_digest.values())


def _retry_ms(state: _Base) -> int:
    return min(RETRY_MS << min(state.failures - 1, 16), RETRY_MS_MAX)


def _covers(inputs: Inputs, standing: tuple[str, ...]) -> bool:
    """Whether everything in the merge that stands is still wanted in it."""
    return frozenset(standing) <= frozenset(_ids(inputs))


def _ids(inputs: Inputs) -> tuple[str, ...]:
    return tuple(item.content_id.hex() for item in inputs)
