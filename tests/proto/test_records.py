from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.proto.errors import FormatError
from plora.proto.record_lines import Cause, Instant, Record, record_from_line, record_to_line, stamp
from plora.proto.records import BODIES, Body, ErrorMet, Health, Opaque, Stage, StatementSeen, Stop

DOCUMENTED = (
    "boot stop link_up link_down neighbours round wire reconcile published statement_seen duplicate fetch_started "
    "fetch_done fetch_failed examined inspected stage verdict knowledge merge rollback serving reputation penalty vote "
    "certificate evidence revoked trust expired superseded evicted bound_hit health repair error invited joined "
    "wished suppressed rotated repelled merge_measured merge_probed alarm freshness audited acknowledged"
)
COUNTS = st.integers(0, 2**62)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
FLOATS = st.floats(-1e9, 1e9)
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: COUNTS,
    float: FLOATS,
    bool: st.booleans(),
    tuple[str, ...]: st.lists(TEXT, max_size=3).map(tuple),
    tuple[float, ...]: st.lists(FLOATS, max_size=3).map(tuple),
    Mapping[str, int]: st.dictionaries(TEXT, COUNTS, max_size=3),
    Mapping[str, Any]: st.dictionaries(TEXT, COUNTS | TEXT | st.lists(FLOATS, max_size=2), max_size=3),
}


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    model = BODIES[draw(st.sampled_from(sorted(BODIES)))]
    hints = get_type_hints(model)
    del hints["kind"]
    return model(**{name: draw(BY_TYPE[hint]) for name, hint in hints.items()})


def stamped(body: Body, cause: Cause | None = None) -> Record:
    return stamp(body, peer="ef" * 32, boot="01", seq=7, now=Instant(2**60, 1_000), round_number=3, cause=cause)


def test_every_documented_kind_has_a_body() -> None:
    assert sorted(BODIES) == sorted(DOCUMENTED.split())


@settings(max_examples=150, deadline=None)
@given(bodies(), st.none() | st.builds(Cause, TEXT, TEXT, COUNTS))
def test_a_record_comes_back(body: Body, cause: Cause | None) -> None:
    record = stamped(body, cause)
    line = record_to_line(record)
    assert line.count("\n") == 1 and line.endswith("\n")
    assert record_from_line(line) == record
    assert record_to_line(record_from_line(line)) == line


def test_the_line_of_a_statement() -> None:
    line = record_to_line(stamped(StatementSeen("aa", "manifest", "bb", "push", 1), Cause("cc", "dd", 5)))
    assert line == (
        '{"boot":"01","cause":{"boot":"dd","peer":"cc","seq":5},"from":"bb","hops":1,"id":"aa","kind":"statement_seen",'
        '"mono_ns":1152921504606846976,"peer":"' + "ef" * 32 + '","round":3,"seq":7,"statement_kind":"manifest","v":1,'
        '"via":"push","wall_ms":1000}\n'
    )


def test_a_line_is_for_people_too() -> None:
    line = record_to_line(stamped(ErrorMet("l'été est fini", where="état.db")))
    assert "l'été est fini" in line and "état.db" in line


def test_newer_logs_can_be_read() -> None:
    line = json.loads(record_to_line(stamped(Stop("asked"))))
    assert record_from_line(json.dumps({**line, "mood": "good"})).body == Stop("asked")
    news = record_from_line(json.dumps({**line, "kind": "news"}))
    assert news.body == Opaque("news", {"reason": "asked"}) and news.kind == "news"
    assert record_from_line(record_to_line(news)) == news


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"v": 2}, "version 2"),
        ({"seq": "x"}, "not a record"),
        ({"cause": {"peer": "a"}}, "not a record"),
        ({"reason": None}, "not a record"),
    ],
)
def test_a_wrong_field(change: dict[str, Any], reason: str) -> None:
    line = json.loads(record_to_line(stamped(Stop("asked"))))
    with pytest.raises(FormatError, match=reason):
        record_from_line(json.dumps({**line, **change}))


@pytest.mark.parametrize("name", ["v", "peer", "boot", "seq", "mono_ns", "wall_ms", "round", "kind", "cause", "reason"])
def test_a_missing_field(name: str) -> None:
    line = json.loads(record_to_line(stamped(Stop("asked"))))
    del line[name]
    with pytest.raises(FormatError, match="not a record"):
        record_from_line(json.dumps(line))


@pytest.mark.parametrize("line", ["", "{", "[]", "5", "null"])
def test_not_a_record(line: str) -> None:
    with pytest.raises(FormatError, match="not a record"):
        record_from_line(line)


@pytest.mark.parametrize("body", [Health(float("nan"), 1, 1), Stage("a", "b", "c", evidence={"x": object()})])
def test_what_json_cannot_carry(body: Body) -> None:
    with pytest.raises(FormatError, match="can't be written"):
        record_to_line(stamped(body))
