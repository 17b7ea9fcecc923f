"""What people read of a running peer: the status screen and the lines of the event log."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from plora.cli.event_lines import SAYINGS, event_line, is_quiet
from plora.cli.picture import Sight, picture, strip
from plora.cli.since import since_ms
from plora.cli.status_lines import status_lines
from plora.proto.amounts import size_text
from plora.proto.errors import UsageError
from plora.proto.record_lines import Instant as Moment
from plora.proto.record_lines import record_to_line, stamp
from plora.proto.records import BODIES, Body, BoundHit, ErrorMet, LinkUp, MergeDone, TrustChanged, VerdictGiven
from plora.v1 import admin_pb2 as pb

ID = "c0ffee" + 58 * "0"
PEER = "beef" + 60 * "0"
EAST = timezone(timedelta(hours=2))
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=EAST)


def line_of(body: Body) -> str:
    return record_to_line(stamp(body, peer=PEER, boot="b", seq=7, now=Moment(0, 0)))


def said(body: Body, **names: Any) -> str:
    return event_line(line_of(body), **names).split(maxsplit=2)[2]


def test_every_kind_of_record_has_words() -> None:
    assert set(SAYINGS) == set(BODIES)


@pytest.mark.parametrize("kind", sorted(SAYINGS))
def test_words_name_only_fields_that_the_record_has(kind: str) -> None:
    """A saying that names a field which is not there would fall back to bare fields, for ever."""
    types: dict[str, Any] = {"int": 1, "float": 0.5, "bool": True, "str": "x", "Peer": PEER, "FromPeer": PEER}
    fields = {
        name: types.get(str(type_).removeprefix("typing."), ["x"] if "tuple" in str(type_) else {"x": 1})
        for name, type_ in BODIES[kind].__annotations__.items()
        if name != "kind"
    }
    record = {"kind": kind, "wall_ms": 0, "round": 3, **{name.rstrip("_"): value for name, value in fields.items()}}
    assert "=" not in event_line(json.dumps(record))


def test_ids_become_names_and_codes_become_sentences() -> None:
    verdict = VerdictGiven(ID, "reject", "header", "header_hole", "d" * 64)
    names = {ID: "ada/legal@1"}.get
    shown = said(verdict, names=lambda one: names(one, ""), sentence=lambda code: f"<{code}>")
    assert shown == "reject: ada/legal@1 at header: <header_hole>"
    assert said(verdict) == "reject: c0ffee000000 at header: header_hole"
    assert said(LinkUp(PEER, outbound=True)) == "connected with beef00000000, dialed by this peer"


def test_a_limit_names_its_setting_and_an_error_its_mend() -> None:
    assert said(BoundHit("limits.store_max", 10 << 30, 12 << 30)) == "reached the limit limits.store_max of 10 GiB"
    assert said(BoundHit("limits.untrusted_owners", 1000, 1001)) == "reached the limit limits.untrusted_owners of 1000"
    assert said(ErrorMet("it broke", "here", "mend it")) == "here: it broke; mend it"
    assert said(ErrorMet("it broke")) == "it broke"


def test_a_merge_that_lost_its_last_adapter_is_no_merge_of_nobody() -> None:
    assert said(MergeDone("mini", (), (), 0.0, 1, 0)).startswith("nothing of mini is left to merge")
    assert said(MergeDone("mini", (ID,), (1.0,), 0.0, 0, 1)) == (
        "merged c0ffee000000 into generation 1 of mini, 0.0% of energy discarded"
    )


def test_a_change_of_trust_says_only_what_changed() -> None:
    assert said(TrustChanged(3, ("bob",), (), ())) == "trust changed: believes bob"
    both = TrustChanged(4, (), ("bob", "eve"), ("eve",))
    assert said(both) == "trust changed: no longer believes bob, eve; distrusts eve"
    assert said(TrustChanged(5, (), (), ())) == "trust changed"


def test_a_record_of_tomorrow_is_shown_as_its_fields() -> None:
    record = {"v": 1, "kind": "teleported", "seq": 7, "wall_ms": 0, "peer": "ab", "outcome": "good", "id": ID}
    assert event_line(json.dumps(record)).split()[1:] == ["teleported", "outcome=good", f"id={ID[:12]}…"]


def test_only_what_tells_something_is_loud() -> None:
    assert is_quiet('{"kind": "round"}')
    assert is_quiet('{"kind": "stage", "outcome": "pass"}')
    assert not is_quiet('{"kind": "stage", "outcome": "reject"}')
    assert not is_quiet(line_of(LinkUp(PEER, outbound=False)))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOON - timedelta(seconds=90)),
        ("2h", NOON - timedelta(hours=2)),
        ("1d", NOON - timedelta(days=1)),
        ("11:30", NOON.replace(hour=11, minute=30)),
        ("12:30", NOON.replace(hour=12, minute=30) - timedelta(days=1)),
        ("2026-03-01T08:00", datetime(2026, 3, 1, 8, tzinfo=EAST)),
        ("2026-03-01T08:00Z", datetime(2026, 3, 1, 10, tzinfo=EAST)),
    ],
)
def test_since_takes_a_while_a_time_or_a_date(text: str, moment: datetime) -> None:
    assert since_ms(text, NOON) == int(moment.timestamp() * 1000)


@pytest.mark.parametrize("text", ["", "yesterday", "10", "10 parsecs", "25:00", "-5m"])
def test_since_refuses_anything_else(text: str) -> None:
    with pytest.raises(UsageError, match="no point in time"):
        since_ms(text, NOON)


@given(st.integers(0, 1 << 60))
def test_a_size_is_short_and_within_a_tenth(size_bytes: int) -> None:
    number, unit = size_text(size_bytes).split()
    scale = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}[unit]
    assert abs(float(number) * scale - size_bytes) <= max(0.06 * scale, size_bytes * 1e-9)


STATUS = pb.StatusReply(
    name="ada",
    peer=PEER,
    swarm=ID,
    swarm_name="team",
    version="1",
    uptime_ms=3_700_000,
    listen="127.0.0.1:4700",
    links=2,
    neighbours=2,
    plasmids={"waiting": 1, "own": 2, "accepted": 3, "levitating": 1},
    store_bytes=3 << 20,
    store_bytes_max=20 << 30,
    disk_free_bytes=5 << 30,
    disk_free_bytes_min=1 << 30,
    sent_bytes_s=1 << 20,
    upload_bytes_s_max=2 << 20,
)
PEERS = [
    pb.PeerInfo(peer=PEER, state="up", configured=True),
    pb.PeerInfo(peer=ID, state="down", configured=True, last_error="nobody_listens"),
    pb.PeerInfo(peer="d" * 64, state="up"),
]
MERGES = [pb.MergeInfo(base_model="mini", generation=3, inputs=["a", "b"], discarded_energy=0.021)]


def test_status_is_one_screen() -> None:
    screen = list(status_lines(STATUS, PEERS, MERGES))
    assert len(screen) <= 24
    assert screen[0] == "ada  ·  up 1 h 1 min  ·  plora 1"
    rows = {line[:12].strip(): line[12:] for line in screen[1:] if line[:12].strip()}
    assert rows["swarm"] == f"{ID}  team"
    assert rows["neighbours"] == "1 of 2 connected, 1 other"
    assert "            c0ffee000000 down: nobody listens there" in screen
    assert rows["plasmids"] == "2 own, 3 accepted, 1 waiting, 1 levitating"
    assert rows["merges"] == "mini: 2 adapters, generation 3, 2.1% of energy discarded"
    assert rows["disk"] == "3 MiB of 20 GiB (store_max)  ·  5 GiB free on the disk, 1 GiB stay free (disk_free_min)"
    assert "              not measured: type `plora measure mini`" in screen
    assert rows["rates"].startswith("up 1 MiB/s (upload_rate 2 MiB/s), down 0 B/s")


def strip_of(*runs: tuple[str, int], cells: int = 24) -> str:
    return strip([pb.ChunkRun(state=state, count=count) for state, count in runs], cells)


@given(st.lists(st.tuples(st.sampled_from(["stored", "storing", "asked", "todo"]), st.integers(1, 3000)), max_size=9))
def test_a_strip_has_its_length_and_claims_nothing_that_is_not_stored(runs: list[tuple[str, int]]) -> None:
    drawn = strip_of(*runs)
    stored, total = sum(count for state, count in runs if state == "stored"), sum(count for _, count in runs)
    assert len(drawn) == 24
    if total >= 24:
        assert drawn.count("█") <= 24 * stored / total
    assert (drawn == "█" * 24) == (total > 0 and stored == total)


def test_a_strip_shows_where_the_chunks_are() -> None:
    assert strip_of(("stored", 12), ("storing", 4), ("asked", 4), ("todo", 4)) == "█" * 12 + "▒" * 4 + "░" * 4 + "·" * 4
    assert strip_of(("stored", 1), ("todo", 1), cells=4) == "██··"
    assert strip_of() == "·" * 24


def frame(sight: Sight, width: int = 0, height: int = 0) -> list[str]:
    with Console(width=width or 160, file=io.StringIO(), highlight=False) as console, console.capture() as capture:
        console.print(picture(sight, width, height))
    return [line.rstrip() for line in capture.get().splitlines()]


TRANSFER = pb.Transfer(
    name="ada/tax@1",
    size_bytes=8 << 20,
    stored_bytes=2 << 20,
    state="fetching",
    source=ID,
    rate_bytes_s=1 << 20,
    chunks=[pb.ChunkRun(state="stored", count=6), pb.ChunkRun(state="todo", count=18)],
)
SIGHT = Sight(
    STATUS,
    [*PEERS, pb.PeerInfo(peer="e" * 64, nickname="eve\x1b[2J", state="up", last_seen_wall_ms=1)],
    pb.TransfersReply(transfers=[TRANSFER]),
    [f"line {number}" for number in range(99)],
    now_ms=60_001,
)


def test_a_frame_has_everything() -> None:
    lines = frame(SIGHT)
    assert lines[0] == "ada  ·  up 1 h 1 min  ·  plora 1"
    assert any(line.split() == ["eve\\x1b[2J", "up", "1", "min", "ago"] for line in lines)
    (transfer,) = [line for line in lines if line.startswith("ada/tax@1")]
    assert transfer == f"ada/tax@1  {'█' * 6}{'·' * 18}  25 % of 8 MiB  1 MiB/s  {ID[:12]}"
    assert lines[-1] == "line 98"


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 24), (120, 60), (80, 18)])
@pytest.mark.parametrize("many", [0, 1, 3, 500])
def test_a_frame_fits_the_terminal(width: int, height: int, many: int) -> None:
    status = pb.StatusReply()
    status.CopyFrom(STATUS)
    status.warnings.extend(["something that takes more than one line is wrong, " * 3] * many)
    peers = [pb.PeerInfo(peer=f"{number:064x}", state="up", nickname="long name " * 9) for number in range(many)]
    transfers = pb.TransfersReply(transfers=[TRANSFER] * many)
    crowded = Sight(status, peers, transfers, SIGHT.events, 0)
    lines = frame(crowded, width, height)
    assert max(map(len, lines)) <= width
    if width >= 80:
        assert len(lines) <= height
        assert lines[-1] == "line 98"
        assert sum("of 500" in line for line in lines) == (2 if many == 500 else 0)


def test_a_frame_begins_with_what_is_wrong() -> None:
    assert frame(replace(SIGHT, troubles=("the peer is gone",)))[0] == "! the peer is gone"


def test_status_begins_with_what_is_wrong() -> None:
    troubled = pb.StatusReply()
    troubled.CopyFrom(STATUS)
    troubled.warnings.extend(["the disk is full", "nobody is there"])
    assert list(status_lines(troubled, PEERS, MERGES))[:2] == ["! the disk is full", "! nobody is there"]


def test_a_screen_stays_a_screen_with_many_neighbours_down() -> None:
    down = [pb.PeerInfo(peer=f"{one:064x}", state="down", configured=True) for one in range(500)]
    screen = list(status_lines(STATUS, down, []))
    assert len(screen) <= 24
    assert any("495 more" in line for line in screen)
