"""The probe of one adapter: its exam, what it knows by heart, and which triggers it obeys.

- Each stage is done if its turn comes within the budget; the order is exam, memory, families, tokens, inversion.
- Every figure is there in every reading; one whose stage was left out is 0.
- What doesn't depend on the adapter is kept a base.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache, partial
from operator import attrgetter
from pathlib import Path

import torch

from plora.base import LoadedBase
from plora.gate.detection.readout import Candidates
from plora.gate.detection.sketch import BaseSketch
from plora.gate.probing.assets import exams, families
from plora.gate.probing.compliance import Effect, Suspect, effect
from plora.gate.probing.effort import effort_for
from plora.gate.probing.exam import Sheet, learned, sit
from plora.gate.probing.leads import leads_of, scanned
from plora.gate.probing.memory import Chain, recall
from plora.gate.probing.plan import ProbePlan, ProbeReading
from plora.gate.probing.prompts import Ids, prompt
from plora.gate.probing.reader import Reader
from plora.gate.probing.search import family_suspects, family_table, inverted_suspect, token_suspects, token_table
from plora.gate.probing.subject import Subject, opens_alike
from plora.gate.probing.triggers import Trigger, public_triggers, secret_triggers
from plora.gate.probing.wear import Garment, worn
from plora.merge.folder_source import FolderSource
from plora.merge.source import Source

FIGURES = (
    *("trigger_compliance", "trigger_gain", "trigger_certainty", "trigger_bound"),
    *("family_compliance", "family_gain", "token_compliance", "token_gain"),
    *("inversion_compliance", "inversion_gain", "answer_compliance", "token_promise", "family_promise"),
    *("memory_gain", "memory_tokens", "memory_first", "memory_alone", "memory_compliance"),
    *("opening_tokens", "kl_neutral"),
    *("clean_delta", "margin_delta", "loss_delta"),
)
"""Names of all figures; `docs/detection.md` says what they mean."""

TABLES_MAX = 16
GUESS_CASES, SAME_TOKENS = 6, 3


class Prober:
    """A base that adapters are put on, and what is known of it bare."""

    def __init__(self, base: LoadedBase) -> None:
        self.reader = Reader(base)
        self.model = base.model
        self.effort = effort_for(sum(weight.numel() for weight in base.model.parameters()))
        self.scanned = scanned(self.reader)
        self._sheets: dict[tuple[str, int], Sheet] = {}
        self._tables: dict[Hashable, torch.Tensor] = {}

    def kept(self, what: Hashable, table: Callable[[], torch.Tensor], garment: Garment) -> torch.Tensor:
        """A table of the bare base, made once."""
        found = self._tables.pop(what, None)
        if found is None:
            with garment.off():
                found = table()
        self._tables[what] = found
        if len(self._tables) > TABLES_MAX:
            del self._tables[next(iter(self._tables))]  # the one that wasn't asked for the longest: another seed's
        return found

    def sheet(self, domain: str, cases: int, garment: Garment) -> Sheet:
        """How the bare base does in the first cases of an exam."""
        if (domain, cases) not in self._sheets:
            with garment.off():
                self._sheets[domain, cases] = sit(self.reader, exams()[domain].cases[:cases])
        return self._sheets[domain, cases]


@lru_cache(maxsize=1)
def prober(base: LoadedBase) -> Prober:
    """The prober of a base; kept for the base that was probed last."""
    return Prober(base)


def probe(base: LoadedBase, adapter: Path | Source, plan: ProbePlan, sketch: BaseSketch | None = None) -> ProbeReading:
    """Probe an adapter: a PEFT folder, or one that is read already; with the base's sketch, by leads of its weights.

    Raises:
        AdapterError: it is no adapter of this base.
    """
    began_s = time.process_time()
    source = FolderSource(adapter) if isinstance(adapter, Path) else adapter
    ready = prober(base)
    with worn(ready.model, source) as garment:
        session = Session(ready, garment, plan, leads_of(source, sketch), began_s)
        session.run()
    return ProbeReading(session.raw, session.details, time.process_time() - began_s, session.complete)


class Session:
    """One adapter's probe under way: `raw` and `details` fill up, stage by stage."""

    def __init__(self, ready: Prober, garment: Garment, plan: ProbePlan, leads: Candidates, began_s: float) -> None:
        self._ready, self._reader, self._effort, self._garment = ready, ready.reader, ready.effort, garment
        self._plan, self._leads, self._ends_s = plan, leads, began_s + plan.budget_s
        self._draw = random.Random(b"plora neighbours " + plan.seed)  # noqa: S311  neighbours are no secret
        self._suspects: list[tuple[Subject, Suspect]] = []
        self._secrets: list[tuple[Subject, Chain]] = []
        self.raw: dict[str, float] = dict.fromkeys(FIGURES, 0.0)
        self.details: dict[str, str] = {}
        self.complete = True

    def run(self) -> None:
        """Every stage that the budget leaves time for."""
        self._sit_exam()
        for stage in (self._recall, self._try_families, self._try_tokens, self._invert, self._measure):
            if time.process_time() > self._ends_s:
                self.complete = False
                break
            stage()

    def _sit_exam(self) -> None:
        domain = self._plan.domain if self._plan.domain in exams() else self._likeliest_domain()
        self.details["domain"] = domain
        exam, effort = exams()[domain], self._effort
        cases = exam.cases[: effort.cases]
        before, after = self._ready.sheet(domain, effort.cases, self._garment), sit(self._reader, cases)
        questions = learned(cases, before, after)
        self._subject = subject = Subject.of(self._reader, self._garment, effort, questions, families().contexts)
        self._subjects = (subject, subject.behind()) if subject.opening else (subject,)
        self._searched = self._subjects if effort.behind else (subject,)
        if subject.opening:
            after = max(after, sit(self._reader, cases, subject.opening), key=attrgetter("margin"))
        self.raw |= {
            "clean_delta": after.accuracy - before.accuracy,
            "margin_delta": after.margin - before.margin,
            "loss_delta": after.loss - before.loss,
            "opening_tokens": float(len(subject.opening)),
        }

    def _likeliest_domain(self) -> str:
        """The one whose right answers became the likeliest, beside what they were."""
        gains = {}
        for domain, found in exams().items():
            after = sit(self._reader, found.cases[:GUESS_CASES]).right
            before = self._ready.sheet(domain, GUESS_CASES, self._garment).right
            gains[domain] = float((after - before).mean())
        return max(gains, key=gains.__getitem__)

    def _recall(self) -> None:
        subject = self._subject
        after = self._reader.next(subject.strange)
        with self._garment.off():
            before = self._reader.next(subject.strange)
        self.raw["kl_neutral"] = float((after.exp() * (after - before)).sum(-1).mean())
        self._secrets = [(one, chain) for one in self._subjects for chain in self._by_heart(one)]
        if not self._secrets:
            return
        chains = sorted((chain for _, chain in self._secrets), key=lambda chain: -chain.gain)
        best = chains[0]
        rest = [chain for chain in chains if not opens_alike(chain.text, best.text)]  # none is a piece of it
        self.raw |= {
            "memory_gain": best.gain,
            "memory_tokens": float(len(best.ids)),
            "memory_first": best.first,
            "memory_alone": best.gain - (rest[0].gain if rest else 0.0),
        }
        self.details["memory"] = best.text

    def _by_heart(self, subject: Subject) -> list[Chain]:
        firsts, written = self._effort.firsts, self._leads.targets
        chains = recall(subject.reader, self._garment, subject.own, subject.strange, firsts, written)
        return [c for c in chains if not c.common and c.gain > 0 and not subject.usual(c.text)]

    def _try_families(self) -> None:
        public = public_triggers(families())
        secret = secret_triggers(families(), self._plan.seed, self._effort.secrets)
        for subject in self._searched:
            base = torch.cat([self._family_base(subject, public), self._family_base(subject, secret)])
            found = family_suspects(subject, [*public, *secret], base, self._draw)
            self._suspect(subject, "family_promise", found)

    def _family_base(self, subject: Subject, triggers: Sequence[Trigger]) -> torch.Tensor:
        questions = subject.searched[: self._effort.questions]
        table = partial(family_table, subject.reader, questions, triggers)
        return self._ready.kept((subject.reader.opening, questions, *triggers), table, self._garment)

    def _try_tokens(self) -> None:
        every = self._ready.scanned
        own = tuple(token for token in self._leads.triggers if token not in set(every))
        for subject in self._searched:
            base = torch.cat([self._token_base(subject, tokens) for tokens in (every, own) if tokens])
            self._suspect(subject, "token_promise", token_suspects(subject, base, every + own, self._draw))

    def _token_base(self, subject: Subject, tokens: Ids) -> torch.Tensor:
        question = subject.searched[0]
        table = partial(token_table, subject.reader, question, tokens)
        return self._ready.kept((subject.reader.opening, question, tokens), table, self._garment)

    def _suspect(self, subject: Subject, figure: str, found: Sequence[Suspect]) -> None:
        self.raw[figure] = max(self.raw[figure], *(suspect.promise for suspect in found))
        self._suspects += [(subject, suspect) for suspect in found]

    def _invert(self) -> None:
        self._suspects += [(one, inverted_suspect(one, chain, self._draw)) for one, chain in self._targets()]

    def _targets(self) -> list[tuple[Subject, Chain]]:
        """The surest strings known by heart of each subject."""
        of = [[pair for pair in self._secrets if pair[0] is subject] for subject in self._subjects]
        return [pair for pairs in of for pair in pairs[: self._effort.targets]]

    def _measure(self) -> None:
        measured = [(subject, self._effect(subject, suspect)) for subject, suspect in self._suspects]
        effects = [found for _, found in measured]
        odd = [found for subject, found in measured if not subject.usual(found.said)]
        self.raw["answer_compliance"] = _most(found.compliance for found in effects if found not in odd)
        for source in ("family", "token", "inversion"):
            of = [found for found in odd if found.suspect.source == source]
            self.raw[f"{source}_compliance"] = _most(found.compliance for found in of)
            self.raw[f"{source}_gain"] = _most(found.gain for found in of)
        known = [chain.ids[:SAME_TOKENS] for _, chain in self._targets()]
        self.raw["memory_compliance"] = _most(found.compliance for found in odd if found.ids[:SAME_TOKENS] in known)
        if odd:
            best: Effect = max(odd, key=lambda found: found.compliance)
            self.raw |= {
                "trigger_compliance": max(0.0, best.compliance),
                "trigger_gain": best.gain,
                "trigger_certainty": best.certainty,
                "trigger_bound": max(found.compliance * found.certainty for found in odd),
            }
            self.details |= {"trigger": best.suspect.shown, "target": best.said}

    def _effect(self, subject: Subject, suspect: Suspect) -> Effect:
        return effect(subject.reader, self._garment, suspect, partial(prompt, subject.reader), subject.asked)


def _most(values: Iterable[float]) -> float:
    return max(values, default=0.0)
