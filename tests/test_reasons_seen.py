"""Whatever the gate objects to is seen wherever a person looks: `plora why`, event log, page and metrics."""

from __future__ import annotations

import json
from typing import cast

import pytest
from tests.web.test_routes import ask

from plora.cli.event_lines import event_line
from plora.gate import Policy, StageResult, Trust, Verdict, sentence
from plora.gate.pipeline import STAGES
from plora.gate.reasons import REASONS, reason_of
from plora.node.admin.service import AdminService
from plora.node.core import view
from plora.node.core.bookkeeping import verdict_bodies
from plora.node.core.config import CoreConfig
from plora.node.core.effects import Persist
from plora.node.core.events import Persisted, Publish, Start
from plora.node.core.ledger import Ledger
from plora.node.core.now import Now
from plora.node.core.peer import PeerCore
from plora.node.metrics import Collector
from plora.node.store.snapshot import Snapshot
from plora.node.transport.traffic import Traffic
from plora.node.web.feed import Feed
from plora.node.web.routes import web_app
from plora.sim.clock import WALL_START_MS
from plora.sim.material import make_owner, make_plasmid, tiny_adapter
from plora.sim.swarm import SWARM_ID

NOW = Now(0, WALL_START_MS)
ADA = make_owner("ada", SWARM_ID)
LEGAL = make_plasmid(ADA, "legal", tiny_adapter(1))
OBJECTIONS = [(STAGES[number % len(STAGES)].name, reason) for number, reason in enumerate(sorted(REASONS))]
OBJECTIONS += [(stage.name, "header_duplicate_name") for stage in STAGES]
"""Each reason at some stage, and each stage."""


def objection(stage: str, reason: str) -> Verdict:
    outcome = reason_of(reason).outcome
    return Verdict(outcome, stage, reason, (StageResult(stage, outcome, reason),))


def peer_with(verdict: Verdict) -> PeerCore:
    """A peer that has seen one plasmid and judged it so."""
    core = PeerCore(CoreConfig(peer="aa" * 32, swarm=SWARM_ID, boot="1"), Policy(), Trust(), Snapshot())
    core.handle(Start(), NOW)
    asked = core.handle(Publish((ADA.record, LEGAL.statement)), NOW)
    for effect in asked:
        if isinstance(effect, Persist):
            core.handle(Persisted(effect.token), NOW)
    core.desk.book.live[LEGAL.content_id].verdict = verdict
    return core


@pytest.mark.parametrize(("stage", "reason"), OBJECTIONS)
def test_an_objection_is_seen_wherever_a_person_looks(stage: str, reason: str) -> None:
    verdict = objection(stage, reason)
    core = peer_with(verdict)
    why = view.why(core, "legal", NOW)
    assert why["reason"] in (reason, "policy.artifact_bytes_max") and why["sentence"]
    assert [(one["stage"], one["sentence"]) for one in why["layers"] if one["reason"]] == [(stage, sentence(reason))]

    log = Ledger("aa" * 32, "1")
    told = [
        event_line(log.line(body, NOW), sentence=sentence) for body in verdict_bodies(b"\0" * 32, verdict, Policy())
    ]
    assert len(told) == 2 and all(stage in line and sentence(reason) in line for line in told)

    families = Collector(lambda: view.status(core, NOW), Traffic()).collect()
    samples = [sample for family in families for sample in family.samples if sample.name == "plora_objections"]
    assert [(sample.labels, sample.value) for sample in samples] == [({"stage": stage, "reason": reason}, 1.0)]


async def test_the_page_has_the_words_of_every_reason() -> None:
    met: list[Exception] = []
    app = web_app(cast("AdminService", None), Feed("ab", (), lambda follower: None), "t" * 40, met.append)
    answer = json.loads((await ask(app, "/api/session"))[1]["body"])
    assert answer["reasons"] == {code: sentence(code) for code in REASONS}
