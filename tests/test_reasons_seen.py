"""Whatever the gate objects to is seen wherever a person looks: `plora why`, event log, page and metrics."""

from __future__ import annotations

import json
from typing import cast

import pytest
from tests.web.test_routes import ask

from plora.cli.event_lines import event_line
from plora.gate import Outcome, Policy, StageResult, Trust, Verdict, sentence
from plora.gate.pipeline import STAGES
from plora.gate.reasons import REASONS, reason_of
from plora.merge.safetensors_io import Fault
from plora.node.admin.service import AdminService
from plora.node.core import view
from plora.node.core.bookkeeping import verdict_records
from plora.node.core.config import CoreConfig
from plora.node.core.effects import Persist
from plora.node.core.events import Persisted, Publish, Start
from plora.node.core.ledger import Ledger
from plora.node.core.now import Now
from plora.node.core.peer import PeerCore
from plora.node.metrics.readings import status_readings
from plora.node.store.snapshot import Snapshot
from plora.node.web.feed import Feed
from plora.node.web.routes import web_app
from plora.sim.clock import WALL_START_MS
from plora.sim.material import make_owner, make_plasmid, tiny_adapter
from plora.sim.swarm import SWARM_ID

NOW = Now(0, WALL_START_MS)
ADA = make_owner("ada", SWARM_ID)
LEGAL = make_plasmid(ADA, "legal", tiny_adapter(1))
EVERY_REASON = [*sorted(REASONS), *(code.value for code in Fault)]


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


@pytest.fixture(scope="module")
def core() -> PeerCore:
    """Its one plasmid is judged anew by each test."""
    return peer_with(objection(STAGES[0].name, "too_large"))


@pytest.mark.parametrize("reason", EVERY_REASON)
def test_an_objection_is_seen_wherever_a_person_looks(core: PeerCore, reason: str) -> None:
    """At whatever stage it is raised."""
    for stage in (stage.name for stage in STAGES):
        verdict = objection(stage, reason)
        core.desk.book.live[LEGAL.content_id].verdict = verdict
        why_says(core, stage, reason)
        log_says(verdict)
        metrics_say(core, stage, reason)


def why_says(core: PeerCore, stage: str, reason: str) -> None:
    """The layer by its name and the reason in words, also in the one sentence that `plora path` and the page quote."""
    why = view.why(core, "legal", NOW)
    assert why["reason"] in (reason, "policy.artifact_bytes_max")
    assert " " in why["sentence"] and not ("_" in reason and reason in why["sentence"])
    assert [(one["stage"], one["sentence"]) for one in why["layers"] if one["reason"]] == [(stage, sentence(reason))]
    assert (why["stage"], why["outcome"]) == (stage, reason_of(reason).outcome)


def log_says(verdict: Verdict) -> None:
    log, records = Ledger("aa" * 32, "1"), verdict_records(b"\0" * 32, verdict, Policy().policy_digest())
    told = [event_line(log.line(each.body, NOW), sentence=sentence) for each in records]
    assert len(told) == 2
    assert all(verdict.stage in line and sentence(verdict.reason) in line for line in told)


def metrics_say(core: PeerCore, stage: str, reason: str) -> None:
    read = [one for one in status_readings(view.status(core, NOW)) if one[0] == "plora_objections"]
    assert read == [("plora_objections", (stage, reason), 1.0)]


@pytest.mark.parametrize("trouble", ["bad_hash", "too_large"])
def test_what_keeps_bytes_away_is_said_in_words(core: PeerCore, trouble: str) -> None:
    waits = StageResult("chunks and hash", Outcome.PENDING, "bytes_missing")
    plasmid = core.desk.book.live[LEGAL.content_id]
    plasmid.verdict = Verdict(Outcome.PENDING, waits.stage, waits.reason, (waits,), wants_bytes=True)
    plasmid.trouble = trouble
    said = view.row(core, plasmid, NOW)["sentence"]
    assert " " in said and trouble not in said


async def test_the_page_has_the_words_of_every_reason() -> None:
    met: list[Exception] = []
    app = web_app(cast("AdminService", None), Feed("ab", (), lambda follower: None), "t" * 40, met.append)
    answer = json.loads((await ask(app, "/api/session"))[1]["body"])
    assert answer["reasons"] == {code: sentence(code) for code in (*REASONS, "header_")}
