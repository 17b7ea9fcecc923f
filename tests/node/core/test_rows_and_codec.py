"""Rows and recorded inputs come back as they were, and nothing else is read."""

from __future__ import annotations

import io
import json
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.gate import Distrusted, Outcome, Policy, StageResult, Trust, Verdict
from plora.node.core import codec
from plora.node.core.codec import CLASSES, from_plain, to_plain
from plora.node.core.config import CoreConfig
from plora.node.core.events import ChunkStored, Event, Examined, Noted, PolicyChanged, Publish, Received, Start
from plora.node.core.merge_rows import Generation, MergeRow, Source, decode_merge, merge_row
from plora.node.core.messages import (
    BulkMessage,
    Carried,
    Cause,
    Chunk,
    ChunkList,
    Have,
    Range,
    Reconcile,
    SessionMessage,
)
from plora.node.core.now import Now
from plora.node.core.rows import (
    VerdictRow,
    decode_features,
    decode_verdict,
    features_row,
    forget_features,
    forget_verdict,
    verdict_row,
)
from plora.node.recorder import Recorder
from plora.node.store.rows import ChunkPlan
from plora.node.store.snapshot import Snapshot
from plora.proto.errors import FormatError, StoreError
from plora.proto.records import Body, Duplicate, ErrorMet, Stop
from plora.sim.material import make_owner, tiny_adapter
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID

ADA = make_owner("ada", SWARM_ID)
FEATURES = Shared().features(tiny_adapter(1))
VERDICT = Verdict(
    Outcome.REJECT, "policy", "rank_not_allowed", (StageResult("policy", Outcome.REJECT, "rank_not_allowed", {"r": 4}),)
)


def test_rows_come_back() -> None:
    row = VerdictRow(VERDICT, 5, 7, asked=True, usable=False, via="ab", hops=3, name="ada--x")
    put = verdict_row(b"\x01" * 32, row)
    assert decode_verdict(put.value) == row and put.key == forget_verdict(b"\x01" * 32).key
    stored = features_row("cd" * 32, FEATURES)
    assert decode_features(stored.value) == FEATURES and stored.key == forget_features("cd" * 32).key
    before = Generation(2, ("cd" * 32,), "{}", (Source("ef" * 32, "01" * 32, "legal", 5),), "23" * 32)
    merge = MergeRow("google/gemma", 3, ("ab" * 32,), "{}", before=(before,), serves=2)
    assert (merge.serving, merge.served, merge.kept) == (2, before, (3, 2))
    assert decode_merge(merge_row(merge).key, merge_row(merge).value) == merge


def test_a_damaged_row_is_named() -> None:
    for value in (b"", b"[]", b"{}", b'{"verdict":{}}', b"\xff"):
        with pytest.raises(StoreError, match="verdicts"):
            raise_with_place(decode_verdict, value)
    with pytest.raises(StoreError, match="merges"):
        raise_with_place(lambda raw: decode_merge(b"mini", raw), b"{}")
    broken = json.dumps({"stage_version": FEATURES.stage_version}).encode()
    with pytest.raises(StoreError, match="features"):
        raise_with_place(decode_features, broken)


def test_the_row_of_a_build_that_kept_no_generations_is_read() -> None:
    old = b'{"generation":3,"inputs":["ab"],"report":"{}"}'
    assert decode_merge(b"mini", old) == MergeRow("mini", 3, ("ab",), "{}")


def raise_with_place(decode: Any, value: bytes) -> None:
    try:
        decode(value)
    except StoreError as error:
        raise StoreError(str(error)) from error


def through(value: Any) -> Any:
    return from_plain(json.loads(json.dumps(to_plain(value))))


@pytest.mark.parametrize(
    "value",
    [
        Start(),
        Examined("ab" * 32, FEATURES),
        PolicyChanged(Policy(allowed_ranks=(4,)), Trust(owners=(ADA.trusted,), distrusted=(Distrusted("cd" * 32),))),
        Publish((ADA.record,), ("ab" * 32,)),
        Received("ab", Have((Carried(ADA.record, 2, Cause("p", "b", 9)),))),
        Received("ab", Reconcile(7, (Range(b""), Range(b"\x00\xff", ids=(b"1", b"2")), Range(b"x", fingerprint=b"f")))),
        Received("ab", ChunkList("cd", (b"\x01" * 32,))),
        Snapshot(
            {"t": ((b"k", b"v"),)}, {"ab": 3}, {"cd": ChunkPlan(1, 2, (b"h",))}, {"cd": frozenset({2, 0})}, ("x",)
        ),
        CoreConfig(peer="aa", swarm="bb", boot="1"),
        Now(1, 2),
    ],
)
def test_inputs_come_back(value: Any) -> None:
    assert through(value) == value


def test_the_bytes_of_a_chunk_are_elided_to_their_length() -> None:
    line = json.dumps(to_plain(Received("ab", Chunk("cd", 3, b"secret" * 100))))
    assert len(line) < 120 and "c2VjcmV0" not in line
    assert through(Chunk("cd", 3, b"secret")) == Chunk("cd", 3, bytes(6))


def test_every_event_and_message_has_a_name_of_its_own() -> None:
    kinds = (*get_args(Event), *get_args(SessionMessage), *get_args(BulkMessage))
    assert len({kind.__name__ for kind in kinds}) == len(kinds)
    assert all(CLASSES[kind.__name__] is kind for kind in kinds)


@pytest.mark.parametrize("body", [Stop("done"), ErrorMet("x", "y"), Duplicate("ab", "cd", "push")])
def test_records_come_back(body: Body) -> None:
    assert through(Noted(body)) == Noted(body)


@pytest.mark.parametrize("record", [{"kind": "nothing"}, {"kind": "stop"}, {"kind": "stop", "reason": "", "x": 1}, {}])
def test_no_other_records_are_read(record: Any) -> None:
    with pytest.raises(FormatError):
        from_plain({"$record": record})


@pytest.mark.parametrize("plain", [{"Path": {}}, {"Start": 3}, {"Start": {"x": 1}}, {"$nothing": 1}, {}])
def test_nothing_else_is_read(plain: Any) -> None:
    with pytest.raises(FormatError):
        from_plain(plain)


@pytest.mark.parametrize("value", [object(), FormatError("x"), {1, 2}])
def test_nothing_else_is_written(value: Any) -> None:
    with pytest.raises(FormatError):
        to_plain(value)


_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.binary(), inner),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(_plain)
def test_plain_values_come_back(value: Any) -> None:
    assert through(value) == value


def test_a_recording_has_a_header_and_one_line_an_input() -> None:
    out = io.StringIO()
    config = CoreConfig(peer="aa", swarm="bb", boot="1")
    recorder = Recorder(out, config, Policy(), Trust(), Snapshot())
    recorder.event(ChunkStored("cd", 1), Now(5, 6))
    recorder.event(Noted(Stop("done")), Now(7, 8))
    header, event, note = (json.loads(line) for line in out.getvalue().splitlines())
    assert header["v"] == 1 and from_plain(header["core"]["config"]) == config
    assert event == {"at": [5, 6], "event": codec.to_plain(ChunkStored("cd", 1))}
    assert note == {"at": [7, 8], "event": {"Noted": {"body": {"$record": {"kind": "stop", "reason": "done"}}}}}


def test_a_recording_that_is_full_says_so_and_grows_no_more() -> None:
    out, told = io.StringIO(), []
    config = CoreConfig(peer="aa", swarm="bb", boot="1")
    parts = (config, Policy(), Trust(), Snapshot())
    recorder = Recorder(out, *parts, bytes_max=20_000, on_full=lambda: told.append("full"))
    for number in range(1000):
        recorder.event(ChunkStored("cd", number), Now(number, 0))
    lines = out.getvalue().splitlines()
    assert len(out.getvalue()) <= 20_000 + 100 and told == ["full"]
    assert json.loads(lines[-1]) == {"v": 1, "full": 20_000} and "event" in json.loads(lines[-2])
