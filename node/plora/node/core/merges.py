"""When to merge, and which merge is served: one merged adapter per base model, made again when its inputs change.

- A merge made by another recipe (strategy, rank, bound) than the configuration's is made again.
- Changes are gathered for `merge_delay_ms`; at most one merge a base runs at a time; generations only grow.
- Inputs are sorted by artifact digest. Of several plasmids with the same bytes or the same update the first accepted
  counts; the others have no weight, and `plora why` names the one that does.
- An input whose bytes are no longer those that were examined is no failure of the merge: without it, it starts again.
- A merge that fails is tried again with a growing delay. One that fails after an input of it was withdrawn is no
  failure: that may go from the disk under the worker, and the next merge is without it.
- If the merge that is served holds an input that is no longer believed, it is taken away at once, before another is
  made: what was revoked is not served for as long as a worker takes, or fails. A newer version in its place is no such
  doubt: until the next merge stands, the one with the older version is served.
- A merge is served once its row is durable. `merge_generations_max` of them are kept; a person may go back to one
  that is kept while all that it was made of is believed. It is served until the inputs change or one of its own falls.
- With merging switched off nothing is merged, and what is served goes as soon as one of its inputs is not accepted.
- Where the policy asks for probes, a merge is probed before its row is written. One that fails isn't served: the one
  before stays, and who is to blame is searched for by merges of fewer (`proving`). Who calls quarantines them, and the
  next merge is without them. Where nobody is to blame, or probes failed to run `PROBE_TRIES` times, it is given up: not
  tried again until its inputs, its recipe or the probes are others, or the policy lets it pass.
- So many merges of fewer are probed an hour, of all bases together (`detection.probes_per_hour`); the next one waits.
- What comes while a merge is probed waits, but for a doubt: then the probing is given up.
- Nothing is merged before it is known what can be probed here. A merge that was probed otherwise than merges are now
  (not at all, by another calibration or with another secret) is made and probed again; until that stands it is served.
- The figures that probes gave are kept: a merge that fails by today's policy is doubtful like one with such an input.
- Not handled here: the algebra (`plora.merge`), files and links (the driver), what is believed (`backing`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from plora.gate import sentence
from plora.gate.blame import Blame, Member
from plora.gate.composition import lack_of
from plora.gate.findings import Figure, Findings
from plora.node.core.bookkeeping import merge_body
from plora.node.core.config import CoreConfig, Recipe
from plora.node.core.effects import Effect, Emit, Merge, MergeInput, ServeMerge, SetTimer, Try
from plora.node.core.events import Merged, Persisted, PersistFailed, Tried
from plora.node.core.merge_rows import MERGES, Generation, MergeRow
from plora.node.core.now import Now
from plora.node.core.probe_queue import HOUR_NS, PER_HOUR
from plora.node.core.proving import EXCUSED, FAILED, UNPROBED, Made, Proof, Proving, kept_findings, kept_stamp
from plora.proto.errors import RefusedError
from plora.proto.records import ErrorMet, MergeProbed, Rollback

TIMER = "desk:merge:"
ASKED = "asked"
RETRY_MS = 10_000
RETRY_MS_MAX = 600_000
PROBE_TRIES = 3
LACKS = "the calibration lacks a figure that merges are held to"
NOT_READY = "what can be probed here is not known yet"
CHECK_MS = 60_000
"""How often a merge that was gone back to is looked at: time alone may end what it was made of."""

Inputs = tuple[MergeInput, ...]


class Believed(Protocol):
    """What is known of the inputs of merges; see `Backing`."""

    def inputs(self, base: str) -> Iterable[MergeInput]:
        """The accepted plasmids of a base, the first accepted first."""

    def made(self, number: int, inputs: Inputs, report: str) -> Generation:
        """A merge that was made of these."""

    def doubt(self, base: str, generation: Generation, now: Now) -> str:
        """Why a merge may not be served; empty if it may."""

    def probes(self) -> bool:
        """Whether merges are probed before they are served."""

    def stamp(self, base: str) -> str | None:
        """By what merges are probed now (calibration, secret); "" where they can't be, None where that isn't known."""

    def trials_per_hour(self) -> int:
        """How many merges of fewer are probed an hour at most."""

    def fault(self, findings: Findings) -> tuple[str, tuple[Figure, ...]]:
        """Why a merge with these figures fails, "" where they don't say so; and the figures that count."""

    def members(self, inputs: Inputs) -> Sequence[Member]:
        """One an input."""

    def excused(self, inputs: Inputs) -> Collection[str]:
        """The digests of inputs that are never to blame."""


@dataclass(slots=True)
class _Base:
    """One base: `row` says what is on disk; of the merge under way `running` are the inputs, `counted` is the number.

    `shown` is the newest row that is durable, `why` the reason of the last step back. `proving`: the merge that is made
    and not served yet; `given_up`: the one that failed and isn't tried again.
    """

    row: MergeRow
    counted: int
    shown: MergeRow
    running: Inputs | None = None
    proving: Proving | None = None
    given_up: Proving | None = None
    recipe: Recipe = field(default_factory=Recipe)
    failures: int = 0
    reason: str = ""
    why: str = ""
    unwritten: bool = False

    @classmethod
    def of(cls, row: MergeRow) -> _Base:
        return cls(row, row.generation, row)


class Merges:
    """The schedule of merges."""

    def __init__(self, config: CoreConfig, rows: Iterable[MergeRow], believed: Believed) -> None:
        self._config = config
        self._recipe = config.recipe
        self._believed = believed
        self._asked_ns: list[int] = []
        self._bases = {row.base: _Base.of(row) for row in rows}

    def changed(self, recipe: Recipe, now: Now, bases: Iterable[str]) -> list[Effect]:
        """Merge so from now on, and look at every base: what was merged otherwise is merged again."""
        self._recipe = recipe
        for state in self._bases.values():
            state.given_up = None
        return self.touch_all(now, bases)

    def touch(self, base: str, now: Now) -> list[Effect]:
        """Something about the base changed: look at it after the delay."""
        if not self._config.merge and not self.generation(base):
            return []
        delay_ms = 0 if self._doubtful(base, now) else self._config.merge_delay_ms
        return [SetTimer(TIMER + base, now.after_ms(delay_ms))]

    def touch_all(self, now: Now, others: Iterable[str] = ()) -> list[Effect]:
        """Look at every base that ever had a merge, and at others: a kill may have come before their first one."""
        return [effect for base in sorted({*self._bases, *others}) for effect in self.touch(base, now)]

    def due(self, base: str, now: Now) -> list[Effect]:
        """The delay is over: merge, unless nothing changed."""
        state = self._bases.setdefault(base, _Base.of(MergeRow(base, 0, ())))
        if state.running is not None:
            return []  # what came meanwhile is seen when it is done
        inputs = self._inputs(base)
        doubtful = self._doubtful(base, now)
        if state.proving is not None:
            if not doubtful and self._to_prove(state.proving, inputs):
                return self._ask(state.proving, state.proving.waits, now) if state.proving.waits else []
            state.proving = None
        falls = doubtful or self._outdated(state, inputs)
        if not doubtful and self._gave_up(base, state, inputs):
            return self._check_served(base, state, now)
        if self._stands(state, inputs) or not (falls or self._config.merge):
            state.failures, state.reason = 0, ""
            return self._check_served(base, state, now)
        if doubtful or not self._config.merge:
            inputs = ()
        elif inputs and self._unready(base):
            state.reason = NOT_READY
            return self._check_served(base, state, now)
        return self._start(base, state, inputs)

    def merged(self, event: Merged, now: Now) -> tuple[MergeRow | None, list[Effect]]:
        """Take up a worker's answer: the row to keep where there is a new merge, and what to do next."""
        state = self._bases.get(event.base)
        if state is None or state.running is None or event.generation != state.counted:
            return None, []
        inputs, state.running = state.running, None
        if event.culprit in (item.digest for item in inputs):
            return None, self.touch(event.base, now)
        if event.reason and not frozenset(inputs) <= frozenset(self._inputs(event.base)):
            return None, self.touch(event.base, now)
        if event.reason:
            told = ErrorMet(f"the merge failed: {event.reason}", where=f"merged/{event.base}")
            return None, [Emit(told), *self._failed(event.base, state, event.reason, now)]
        if not inputs or not self._believed.probes():
            return self._kept(state, self._made(state, event.generation, inputs, event.report), now)
        if self._unready(event.base):
            return None, self.touch(event.base, now)
        return None, self._begin(state, (event.base, event.generation, inputs, event.report, state.recipe))

    def tried(self, event: Tried, now: Now) -> tuple[MergeRow | None, list[Effect], Blame]:
        """Take up what probes said: as `merged`, and who is to blame, by digest."""
        state = self._bases.get(event.base)
        proving = state.proving if state is not None else None
        if state is None or proving is None or (event.generation, event.trial) != (proving.generation, proving.number):
            return None, [], Blame()
        if not self._to_prove(proving, self._inputs(event.base)):
            state.proving = None
            return None, self.touch(event.base, now), Blame()
        if self._believed.stamp(event.base) not in (None, "", proving.stamp):
            return None, self._begin(state, proving.made), Blame()  # answers of other probes don't go with these
        findings = event.findings or Findings("", failure=event.reason)
        fault, figures = self._believed.fault(findings)
        if not fault and lack_of(findings):
            return *self._unproved(state, proving, findings, now), Blame()
        step = proving.take(findings, fault, figures)
        if isinstance(step, Try):
            return None, self._ask(proving, step, now), Blame()
        if isinstance(step, Proof):
            return *self._prove(state, step, now), Blame()
        if step.excused:
            return *self._prove(state, proving.proof(EXCUSED), now), Blame()
        return None, self._fell(state, proving, step, now), step

    # Which one is served

    def choice(self, base: str, forward: bool, now: Now) -> int:
        """The generation that a step back leads to, or forward to the newest. Raises RefusedError where none does."""
        state = self._bases.get(base)
        if state is None or not state.row.kept:
            raise RefusedError("there is no merge of that base", where=base, mend="see `plora ls`")
        if forward:
            if not state.row.serves:
                raise RefusedError("the newest merge is served already", where=base)
            return state.row.generation
        doubts = []
        for one in state.row.before:
            if state.row.serving and one.number >= state.row.serving:
                continue
            doubt = self._doubt(base, one, now)
            if not doubt:
                return one.number
            doubts.append(f"generation {one.number} holds {doubt}")
        raise RefusedError("; ".join(doubts) or "no merge before is kept (merge.generations_max)", where=base)

    def serve(self, base: str, generation: int, now: Now) -> MergeRow | None:
        """Serve a kept generation: the row to keep; None where that is no news or not allowed."""
        state = self._bases.get(base)
        if state is None or generation not in state.row.kept or generation == state.row.serving:
            return None
        chosen = next((one for one in state.row.before if one.number == generation), None)
        if chosen is not None and self._doubt(base, chosen, now):
            return None
        state.row = replace(state.row, serves=generation if chosen else 0)
        state.why = ASKED
        return state.row

    def persisted(self, rows: Sequence[MergeRow], event: Persisted | PersistFailed, now: Now) -> list[Effect]:
        """What follows for rows of merges from the transaction that they were in."""
        if isinstance(event, Persisted):
            return [effect for row in rows for effect in self.written(row)]
        met = Emit(ErrorMet(f"a merge could not be written: {event.reason}", where=f"state.db: {MERGES}"))
        again = [effect for row in rows for effect in self.not_written(row.base, now)]
        return [*([met] * len(rows)), *again]

    def written(self, row: MergeRow) -> list[Effect]:
        """The row is durable: say so, and have it served."""
        state = self._bases[row.base]
        before, state.shown = state.shown, row
        serve = ServeMerge(row.base, row.serving, row.generation, row.kept)
        if row.generation != before.generation:
            return [Emit(merge_body(row, before.serving)), serve]
        if row.serving != before.serving:
            return [Emit(Rollback(row.base, before.serving, row.serving, state.why)), serve]
        return [serve]

    def not_written(self, base: str, now: Now) -> list[Effect]:
        """The base's row could not be written: have it written again after a while."""
        self._bases[base].unwritten = True
        return [SetTimer(TIMER + base, now.after_ms(RETRY_MS))]

    def unwritten(self, base: str) -> MergeRow | None:
        """The base's row, where it still has to be written."""
        state = self._bases.get(base)
        if state is None or not state.unwritten:
            return None
        state.unwritten = False
        return state.row

    def standing(self) -> list[MergeRow]:
        """The durable merges of each base, by base."""
        return [state.shown for _, state in sorted(self._bases.items())]

    def generation(self, base: str) -> int:
        """The generation that is served; 0 where nothing is."""
        state = self._bases.get(base)
        return state.shown.serving if state else 0

    def trouble(self, base: str) -> str:
        """Why the newest merge of a base failed; empty when it didn't."""
        state = self._bases.get(base)
        if state is not None and state.proving is not None:
            return state.proving.told() + (f"; it waits, for {PER_HOUR} is spent" if state.proving.waits else "")
        return state.reason if state else ""

    # Probes

    def _to_prove(self, proving: Proving, inputs: Inputs) -> bool:
        """Whether a merge under test may still be wanted."""
        believed = frozenset(_ids(proving.inputs)) <= frozenset(_ids(inputs))
        return believed and proving.recipe == self._recipe and self._believed.probes()

    def _unready(self, base: str) -> bool:
        """Whether merges are probed, and it isn't known yet by what."""
        return self._believed.probes() and self._believed.stamp(base) is None

    def _begin(self, state: _Base, made: Made) -> list[Effect]:
        """Put a merge under test."""
        base, _, inputs, *_ = made
        members, excused = self._believed.members(inputs), self._believed.excused(inputs)
        state.proving = Proving.of(made, members, excused, self._believed.stamp(base) or "")
        return [state.proving.whole()]

    def _ask(self, proving: Proving, step: Try, now: Now) -> list[Effect]:
        """Have a merge of fewer probed, once there is budget for it."""
        self._asked_ns = [at_ns for at_ns in self._asked_ns if at_ns > now.mono_ns - HOUR_NS]
        if len(self._asked_ns) >= self._believed.trials_per_hour():
            proving.waits = step
            return [SetTimer(TIMER + proving.base, min(self._asked_ns, default=now.mono_ns) + HOUR_NS)]
        proving.waits = None
        self._asked_ns.append(now.mono_ns)
        return [step]

    def _unproved(
        self, state: _Base, proving: Proving, findings: Findings, now: Now
    ) -> tuple[MergeRow | None, list[Effect]]:
        """Probes couldn't say anything. A merge that failed them before is not served for that."""
        able = bool(findings.calibration or findings.failure)
        if not (able or proving.fault):
            return self._prove(state, proving.proof(UNPROBED, note=findings.note), now)
        state.proving = None
        why = findings.failure or findings.note or LACKS
        retry = self._failed(state.row.base, state, f"it could not be probed: {why}", now)
        if able and state.failures < PROBE_TRIES:
            return None, retry
        proving.stamp = proving.stamp if able else ""  # the same calibration may be back
        state.given_up, state.failures = proving, 0
        return None, []

    def _gave_up(self, base: str, state: _Base, inputs: Inputs) -> bool:
        """Whether a merge of these was given up, and would be again."""
        gone = state.given_up
        if gone is None or (inputs, self._recipe) != (gone.inputs, gone.recipe) or not self._believed.probes():
            return False
        if self._believed.stamp(base) not in (None, "", gone.stamp):
            return False
        return not gone.fault or bool(self._believed.fault(gone.findings)[0])

    def _prove(self, state: _Base, proof: Proof, now: Now) -> tuple[MergeRow | None, list[Effect]]:
        """The merge under test is to be served."""
        proving, state.proving = state.proving, None
        if proving is None:
            return None, []
        made = self._made(state, proving.generation, proving.inputs, proving.report)
        row, effects = self._kept(state, replace(made, probed=proof.text()), now)
        told = MergeProbed(state.row.base, proving.generation, proof.outcome, proof.fault or proof.note, proof.trials)
        return row, [Emit(told), *effects]

    def _fell(self, state: _Base, proving: Proving, blame: Blame, now: Now) -> list[Effect]:
        """The merge under test is not served; whoever calls quarantines the culprits, if there are any."""
        base, contents = state.row.base, {one.digest: one.content_id.hex() for one in proving.inputs}
        culprits = tuple(contents[digest] for digest in blame.culprits)
        told = MergeProbed(base, proving.generation, FAILED, proving.fault, blame.trials, culprits)
        state.proving = None
        if not culprits:
            why = "nobody is" if blame.complete else "that could not be told with so many"
            state.given_up, state.reason = proving, f"{proving.told()}: {why}"
            if (state.row.inputs, state.row.recipe) == (_ids(proving.inputs), proving.recipe):  # it is what is served
                state.row = replace(state.row, probed=proving.proof(FAILED).text())
        return [Emit(told), *self.touch(base, now)]

    def _made(self, state: _Base, number: int, inputs: Inputs, report: str) -> Generation:
        return replace(self._believed.made(number, inputs, report), recipe=state.recipe)

    def _kept(self, state: _Base, newest: Generation, now: Now) -> tuple[MergeRow, list[Effect]]:
        """A merge that is served once its row is durable."""
        base = state.row.base
        before = self._still_believed(base, (state.row.newest, *state.row.before), now)
        state.row = MergeRow.of(base, newest, before[: self._config.merge_generations_max - bool(newest.inputs)])
        state.unwritten = False
        if self._stands(state, self._inputs(base)):
            state.failures, state.reason = 0, ""
            return state.row, []
        return state.row, self.touch(base, now)

    def _check_served(self, base: str, state: _Base, now: Now) -> list[Effect]:
        """What was gone back to is given up once it is doubtful."""
        if not state.row.serves:
            return []
        doubt = self._doubt(base, state.row.served, now)
        if doubt:
            before = self._still_believed(base, state.row.before, now)
            state.row = replace(state.row, before=before, serves=0)
            state.why, state.unwritten = f"it held {doubt}", True
            return []
        return [SetTimer(TIMER + base, now.after_ms(CHECK_MS))]

    def _still_believed(self, base: str, generations: Iterable[Generation], now: Now) -> tuple[Generation, ...]:
        """Those that can be gone back to."""
        return tuple(one for one in generations if one.inputs and not self._doubt(base, one, now))

    def _doubtful(self, base: str, now: Now) -> bool:
        """Whether what is served holds an input that is no longer believed."""
        state = self._bases.get(base)
        return state is not None and bool(self._doubt(base, state.row.served, now))

    def _doubt(self, base: str, generation: Generation, now: Now) -> str:
        """Why a merge may not be served: an input of it, or what probes once saw of it; empty if it may."""
        doubt, fault = self._believed.doubt(base, generation, now), self._fault(generation)
        return doubt or (f"what fails its probes by today's policy ({sentence(fault)})" if fault else "")

    def _fault(self, generation: Generation) -> str:
        """Why a merge fails its probes by today's policy, by the figures that they gave; empty if it doesn't."""
        return self._believed.fault(kept_findings(generation.probed))[0] if self._believed.probes() else ""

    def _outdated(self, state: _Base, inputs: Inputs) -> bool:
        """Whether the newest merge is served, and holds an input that is no longer wanted in it."""
        return not state.row.serves and not frozenset(state.row.inputs) <= frozenset(_ids(inputs))

    def _failed(self, base: str, state: _Base, reason: str, now: Now) -> list[Effect]:
        state.failures, state.reason = state.failures + 1, reason
        urgent = state.failures == 1 and self._doubtful(base, now)
        delay_ms = self._config.merge_delay_ms if urgent else _retry_ms(state)
        return [SetTimer(TIMER + base, now.after_ms(delay_ms))]

    def _start(self, base: str, state: _Base, inputs: Inputs) -> list[Effect]:
        state.counted += 1
        state.running, state.recipe = inputs, self._recipe
        return [Merge(base, state.counted, inputs, self._recipe)]

    def _stands(self, state: _Base, inputs: Inputs) -> bool:
        """Whether the newest merge is of these inputs, and made and probed as merges are now."""
        if _ids(inputs) != state.row.inputs or not inputs:
            return _ids(inputs) == state.row.inputs
        if state.row.recipe != self._recipe or not self._believed.probes():
            return state.row.recipe == self._recipe
        stamp = self._believed.stamp(state.row.base)
        alike = bool(state.row.probed) and (not stamp or kept_stamp(state.row.probed) == stamp)
        return alike and not self._fault(state.row.newest)

    def _inputs(self, base: str) -> Inputs:
        by_digest: dict[str, MergeInput] = {}
        for item in self._believed.inputs(base):
            by_digest.setdefault(item.digest, item)
        return tuple(item for _, item in sorted(by_digest.items()))


def _retry_ms(state: _Base) -> int:
    return min(RETRY_MS << min(state.failures - 1, 16), RETRY_MS_MAX)


def _ids(inputs: Inputs) -> tuple[str, ...]:
    return tuple(item.content_id.hex() for item in inputs)
