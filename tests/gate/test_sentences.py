"""The sentence of a verdict names its facts, and a verdict without them gets the plain one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.gate.conftest import NOW_MS, Owner, World

from plora.gate import Case, Outcome, Policy, StageResult, Trust, Verdict, decide, explain, quorum_trouble, sentence
from plora.gate.reasons import REASONS
from plora.proto.fields import parse_timestamp

DAY_MS = 86_400_000


PAGE = (Path(__file__).resolve().parents[2] / "docs/trust.md").read_text()


def quoted(sentence: str) -> str:
    """As the page has it: backticks inside a quotation are apostrophes, and times are left out."""
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:]{8}Z", "…", sentence.replace("`", "'"))


def said(case: Case, trust: Trust) -> str:
    return explain(decide(case, Policy(), trust))


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ({"domains": ("medical", "tax")}, "ada is trusted here for medical, tax only, not for legal"),
        ({"bases": ("gemma",)}, "ada is trusted here for gemma only, not for mini"),
        ({"roles": ("cosign",)}, "ada is trusted here to co-sign, not to publish"),
    ],
)
def test_a_scope_is_named(world: World, ada: Owner, scope: dict[str, Any], words: str) -> None:
    assert words in said(world.case(ada), world.trust(ada, **scope))


def test_a_revocation_says_why(world: World, ada: Owner) -> None:
    case, trust = world.case(ada), world.trust(ada)
    targets = {"content": case.statement.id.hex(), "owner": ada.id, "key": ada.key.public.key_id}
    found = {
        kind: said(replace(case, revocations=(world.revocation(ada, kind, target),)), trust)
        for kind, target in targets.items()
    }
    assert found == {
        "content": "ada revoked it: stolen",
        "owner": "ada revoked everything of theirs: stolen",
        "key": "ada revoked the key that signed it: stolen",
    }


def test_the_clock_is_named(world: World, ada: Owner) -> None:
    case, trust = world.case(ada), world.trust(ada)
    early = replace(case, now_ms=NOW_MS - 400 * DAY_MS)
    assert decide(early, Policy(), trust).outcome is Outcome.DEFER
    assert "in the future of this machine's clock, which says 20" in said(early, trust)
    late = replace(case, now_ms=NOW_MS + 4000 * DAY_MS)
    assert "this machine's clock says 20" in said(late, trust)


def test_distrust_and_versions(world: World, ada: Owner) -> None:
    case, trust = world.case(ada), world.trust(ada)
    assert said(case, trust.with_distrusted(ada.id)).startswith("ada was distrusted here")
    assert said(replace(case, newest_version=4), trust) == "version 4 is known here, this is version 1"


def test_the_page_quotes_what_is_really_said(world: World, ada: Owner, bob: Owner) -> None:
    case, house = world.case(ada), world.owner("house", keys=3, threshold=2)
    bob_and_cyd, two = (bob, world.owner("cyd")), Policy(quorum_required=2)
    day = replace(case, now_ms=parse_timestamp(case.manifest.issued) * 1000 - DAY_MS)
    found = [
        explain(decide(case, two, world.trust(ada, *bob_and_cyd))),
        explain(decide(case, two, world.trust(ada))),
        said(world.case(house), world.trust(house)),
        said(case, world.trust(ada, domains=("medical",))),
        said(case, world.trust(ada, roles=("cosign",))),
        said(case, world.trust(ada).with_distrusted(ada.id)),
        said(replace(case, revocations=(world.revocation(ada, "content", case.statement.id.hex()),)), world.trust(ada)),
        said(replace(case, newest_version=4), world.trust(ada)),
        said(day, world.trust(ada)),
        said(replace(case, now_ms=NOW_MS + 4000 * DAY_MS), world.trust(ada)),
    ]
    assert [sentence for sentence in found if f"| `{quoted(sentence)}` |" not in PAGE] == []
    assert f"    {quorum_trouble(two, world.trust(ada))}\n" in PAGE


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_without_its_facts_every_reason_has_the_plain_sentence(reason: str) -> None:
    stage = StageResult("policy", REASONS[reason].outcome, reason, {"owners": 3})
    assert explain(Verdict(stage.outcome, stage.stage, reason, (stage,))) == sentence(reason) != ""
