"""Who is to blame for a merge is held for it, by their bytes, over restarts, until a person lets them out."""

from __future__ import annotations

from typing import Any

import pytest
from tests.node.core.conftest import ADA, BOB, Bench, records, those

from plora.gate import Policy, explain
from plora.gate.findings import Figure, Findings
from plora.node.core.detectors import PROBES, WEIGHTS
from plora.node.core.effects import Effect, Merge, ServeMerge, SetTimer, Try
from plora.node.core.events import Detector, DetectorsChanged, Merged, ReleaseAsked, Start, TimerDue, Tried
from plora.node.core.reputations import OWNER
from plora.sim.material import Plasmid, make_owner, make_plasmid, tiny_adapter
from plora.sim.swarm import SWARM_ID

CYD = make_owner("cyd", SWARM_ID)
LAW, TAX, POEMS, HEALTH = (
    make_plasmid(owner, name, tiny_adapter(seed))
    for seed, (owner, name) in enumerate([(ADA, "law"), (BOB, "tax"), (CYD, "poems"), (CYD, "health")], start=1)
)
TIMER = "desk:merge:mini"
ABLE = DetectorsChanged((Detector(PROBES, LAW.manifest.base_digest, "c/1"),))


def merge(bench: Bench, *together: Plasmid) -> list[Any]:
    """The delay is over, and workers answer: what holds all of these fails its probes."""
    bad = {plasmid.manifest.artifacts.sha256 for plasmid in together}
    out: list[Any] = bench.tell(TimerDue(TIMER))
    made: set[str] = set()
    answered = 0
    while answered < len(out):
        effect: Effect = out[answered]
        answered += 1
        if isinstance(effect, Merge):
            made = {one.digest for one in effect.inputs}
            out += bench.tell(Merged("mini", effect.generation, "{}"))
        elif isinstance(effect, Try):
            few = {one.digest for one in effect.inputs} or made
            seen = Figure("trigger_compliance", float(bool(bad) and bad <= few))
            out += bench.tell(
                Tried("mini", effect.generation, effect.trial, Findings("mini", (seen, Figure("clean_delta", 0.0))))
            )
    return out


@pytest.fixture
def bench() -> Bench:
    """Four are accepted; from now on merges are probed."""
    made = Bench()
    made.desk.rules.trust = made.trust = type(made.trust)(owners=(ADA.trusted, BOB.trusted, CYD.trusted))
    for plasmid, owner in ((LAW, ADA), (TAX, BOB), (POEMS, CYD), (HEALTH, CYD)):
        made.accept(plasmid, owner)
    made.tell(ABLE)
    made.desk.rules.policy = Policy(probes=True)
    return made


def held_in(bench: Bench) -> list[str]:
    """The names of what is held for a merge."""
    found = [one for one in bench.desk.book.live.values() if one.verdict and one.verdict.reason == "merge_culprit"]
    return sorted(one.manifest.plasmid_id for one in found)


def test_a_culprit_alone_is_held_and_its_owner_at_fault(bench: Bench) -> None:
    out = merge(bench, TAX)
    assert held_in(bench) == ["tax"] and not those(ServeMerge, out)
    assert not records(out, "rollback"), "it was never served"
    (told,) = records(out, "merge_probed")
    assert told.culprits == (TAX.content_id.hex(),)  # type: ignore[attr-defined]
    verdict = bench.desk.book.live[TAX.content_id].verdict
    assert verdict is not None and explain(verdict).startswith("a merge with it failed its probes, and passes without")
    (served,) = those(ServeMerge, merge(bench))
    assert served.generation == 2 and TAX.content_id.hex() not in bench.desk.merges.standing()[0].inputs


def test_a_pair_is_held_together_and_neither_owner_at_fault(bench: Bench) -> None:
    merge(bench, LAW, TAX)
    assert held_in(bench) == ["law", "tax"]
    verdict = bench.desk.book.live[LAW.content_id].verdict
    assert verdict is not None and verdict.evidence["beside"] == ["bob/tax@1"]
    assert "a merge with it and bob/tax@1 failed its probes" in explain(verdict)
    assert bench.desk.reputations.kind(ADA.id) in ("", OWNER)
    assert bench.desk.reputations.of(ADA.id, bench.wall_ms).bad == 0


def test_who_is_to_blame_stays_so_over_a_restart_and_under_another_manifest(bench: Bench) -> None:
    merge(bench, TAX)
    twin = make_plasmid(ADA, "tax-again", TAX.data)
    owners = (ADA.record, BOB.record, CYD.record)
    statements = (*owners, *(one.statement for one in (LAW, TAX, POEMS, HEALTH, twin)))
    again = bench.restarted(live=statements, policy=Policy())
    again.tell(Start())
    assert held_in(again) == ["tax", "tax-again"]


def test_a_person_lets_a_culprit_out_and_it_is_never_blamed_again(bench: Bench) -> None:
    merge(bench, TAX)
    merge(bench)
    bench.tell(ReleaseAsked(TAX.content_id))
    bench.desk.rules.policy = Policy()  # as if its own probes were known
    bench.tell(ReleaseAsked(TAX.content_id))
    bench.desk.rules.policy = Policy(probes=True)
    out = merge(bench, TAX)
    (served,) = those(ServeMerge, out)
    assert TAX.content_id.hex() in bench.desk.merges.standing()[0].inputs and served.generation == 3
    assert [one.outcome for one in records(out, "merge_probed")] == ["excused"]  # type: ignore[attr-defined]


def test_the_audit_keeps_who_was_to_blame(bench: Bench) -> None:
    from plora.node.audit.facts import facts_of
    from plora.node.store.disk import Put

    merge(bench, LAW, TAX)
    rows = [Put(table, key, value) for (table, key), value in sorted(bench.rows.items()) if table == "blames"]
    assert [(one.what, one.says) for one in facts_of(rows, 1)] == [("blame", {"base": "mini", "beside": 1})] * 2


def test_after_a_start_merges_wait_until_it_is_known_what_can_be_probed() -> None:
    bench = Bench()
    bench.accept(LAW, ADA)
    bench.desk.rules.policy = Policy(probes=True)
    assert not those(Merge, bench.tell(TimerDue(TIMER)))
    bench.tell(DetectorsChanged(looked_for=(WEIGHTS,)))
    assert not those(Merge, bench.tell(TimerDue(TIMER)))
    bench.desk.rules.policy = Policy()
    out = bench.tell(ABLE)
    assert TIMER in [timer.timer for timer in those(SetTimer, out)]
    bench.desk.rules.policy = Policy(probes=True)
    assert those(Merge, bench.tell(TimerDue(TIMER)))
