"""Event logs: what is sound of them, and what they come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from plora.analysis.log_frames import frames_of
from plora.analysis.log_lines import Lines, log_files
from plora.analysis.log_summary import slices_of, summary
from plora.analysis.logs import TOLD_MAX, Gathered, gather
from plora.proto.record_lines import Cause, Instant, record_to_line, stamp
from plora.proto.records import (
    Body,
    ConsensusAlarm,
    Duplicate,
    FetchDone,
    LinkDown,
    LinkUp,
    Opaque,
    Published,
    Revoked,
    StatementSeen,
    Stop,
    Suppressed,
    VerdictGiven,
)

PEERS = ["aa" * 32, "bb" * 32, "cc" * 32]
LEGAL, BAD = "11" * 32, "22" * 32


class Log:
    """A peer's log as a peer writes it."""

    def __init__(self, peer: int, boot: str = "b1", wall_ms: int = 1_000_000) -> None:
        self.peer, self.boot, self.wall_ms, self.lines = PEERS[peer], boot, wall_ms, list[str]()

    def at(self, seconds: float, body: Body, cause: Cause | None = None) -> Log:
        now = Instant(int(seconds * 1e9) + 77, self.wall_ms + int(seconds * 1000))
        record = stamp(body, peer=self.peer, boot=self.boot, seq=len(self.lines), now=now, cause=cause)
        self.lines.append(record_to_line(record))
        return self

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(self.lines), encoding="utf-8")


def verdict(content: str, outcome: str, reason: str = "") -> VerdictGiven:
    return VerdictGiven(content, outcome, "some stage", reason, "00")


def seen(content: str, sender: int) -> StatementSeen:
    return StatementSeen(content, "manifest", PEERS[sender], "reconcile", 1)


def published(content: str, domain: str) -> Published:
    return Published(content, "owner", f"{domain}-one", 1, domain, "00")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Peer 0 publishes two; 1 has them from 0 and accepts one; 2 has one from 1, accepts it, and has it revoked."""
    first = Log(0).at(0, LinkUp(PEERS[1], True)).at(1, published(LEGAL, "legal")).at(1, verdict(LEGAL, "accept"))
    first.at(2, published(BAD, "medical")).at(2, verdict(BAD, "accept")).at(10, Stop("done"))
    second = Log(1).at(0, LinkUp(PEERS[0], False)).at(1, LinkUp(PEERS[2], True)).at(3, seen(LEGAL, 0))
    second.at(3, verdict(LEGAL, "pending", "bytes_missing")).at(4, FetchDone("00", (PEERS[0],), 1280, 280, 0))
    second.at(4, verdict(LEGAL, "accept")).at(5, seen(BAD, 0)).at(5, verdict(BAD, "quarantine", "looks_odd"))
    second.at(6, Duplicate(BAD, PEERS[2], "push")).at(10, Suppressed("duplicate", "", 3))
    third = Log(2).at(1, LinkUp(PEERS[1], False)).at(5, seen(LEGAL, 1)).at(6, verdict(LEGAL, "accept"))
    third.at(8, Revoked("plasmid", LEGAL, "wrong")).at(9, LinkDown(PEERS[1], "gone")).at(10, Opaque("news", {"id": 7}))
    for name, log in (("a", first), ("b", second), ("c", third)):
        log.write(tmp_path / name / "events" / "1.jsonl")
    return tmp_path


def test_what_logs_come_to(folder: Path) -> None:
    found = summary(gather(folder))
    assert found["read"]["records"] == 22 and found["read"]["left_out"] == [] and found["read"]["missing"] == 0
    assert found["peers"] == {"logs": 3, "heard_of": 0} and found["span"]["seconds"] == 10
    assert {domain: series[-1] for domain, series in found["coverage"].items()} == {"legal": 2 / 3, "medical": 1 / 3}
    assert max(found["coverage"]["legal"]) == 1 and found["graph"]["links"] == 2 and found["graph"]["components"] == [3]
    pairs = found["gate"]["pairs"]
    assert pairs["accepted"]["unknown"] == 3 and pairs["held"]["unknown"] == 1 and pairs["waiting"]["unknown"] == 0
    assert found["gate"]["reasons"] == {"held: looks_odd": {"unknown": 1}}
    legal, bad = found["plasmids"]
    assert (legal["plasmid"], legal["seen"], legal["accepted"], legal["steps"]) == ("legal-one", 3, 3, [1, 1, 1])
    assert legal["seconds_to"] == {"50%": 3.0, "90%": 5.0, "100%": 5.0} and bad["seconds_to"]["90%"] is None
    traffic = found["traffic"]
    assert (traffic["fetched_bytes"], traffic["wasted_bytes"], traffic["heard"]) == (1280, 280, 7)
    assert traffic["redundancy"] == 4 / 7


def test_who_is_censored_was_watched(folder: Path) -> None:
    survival = summary(gather(folder))["survival"]["unknown"]
    assert (survival["accepted"], survival["watched"]) == (2, 2)  # who published counts for nothing
    assert survival["seconds_to"] == {"50%": 5.0, "90%": None, "100%": None}


def test_truth_beside_the_logs_tells_kinds(folder: Path) -> None:
    rows = [
        {"content": LEGAL, "plasmid": "p0", "domain": "legal", "owner": "o", "kind": "clean", "peer": 0, "round": 0.0},
        {"content": BAD, "plasmid": "p1", "domain": "medical", "owner": "o", "kind": "phrase", "peer": 0, "round": 0.0},
    ]
    (folder / "truth.json").write_text(str(rows).replace("'", '"'), encoding="utf-8")
    found = summary(gather(folder))
    assert found["gate"]["pairs"]["accepted"] == {"clean": 2, "trojan": 1, "unknown": 0}
    assert [one["kind"] for one in found["plasmids"]] == ["clean", "phrase"] and "log_rank_p" in found["survival"]
    for wrong in ('[{"content"', '[{"content": 1, "plasmid": {}, "domain": [], "owner": null, "kind": 7}]', "7"):
        (folder / "truth.json").write_text(wrong, encoding="utf-8")
        assert "nothing is known of trojans" in summary(gather(folder))["read"]["notes"][0]


def test_truth_is_found_from_within_the_folder_of_logs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "truth.json").write_text("7", encoding="utf-8")
    monkeypatch.chdir(folder / "a")
    assert "truth.json can't be read" in gather(Path()).notes[0]


def test_torn_doubled_and_foreign_lines_are_left_out_and_told(folder: Path) -> None:
    whole = summary(gather(folder))
    path = folder / "b" / "events" / "1.jsonl"
    path.write_bytes(path.read_bytes() + path.read_bytes()[:200])
    (folder / "copy.jsonl").write_bytes((folder / "a" / "events" / "1.jsonl").read_bytes())
    (folder / "z.jsonl").write_bytes(b'{"event": "progress"}\nnot JSON\n\xff\xfe\n')
    found = summary(gather(folder))
    assert found["read"]["left_out"] == [
        "z.jsonl: 3 lines that are no records, first in line 1",
        "a/events/1.jsonl: 6 records that came already, first in line 1",
        "b/events/1.jsonl: 1 line that is no record, first in line 11",
    ]
    assert {**found, "read": 0} == {**whole, "read": 0}


def test_numbers_that_are_missing_are_told(folder: Path) -> None:
    path = folder / "b" / "events" / "1.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[2:5] + lines[7:]), encoding="utf-8")
    assert summary(gather(folder))["read"]["missing"] == 4


def test_records_out_of_order_are_not_missing() -> None:
    log = Log(0)
    for second in range(7):
        log.at(second, Stop("done"))
    lines, found = [line.encode() for line in log.lines], Lines()
    used = list(found.sound("x", [lines[number] for number in (0, 4, 2, 2, 1, 6)]))
    assert [line.seq for _, line, _ in used] == [0, 4, 6] and found.missing == 2
    assert [str(one) for one in found.left_out()] == [
        "x: 2 records that came after later ones, first in line 3",
        "x: 1 record that came already, first in line 4",
    ]


@pytest.mark.parametrize(
    ("sound", "wrong"),
    [
        (b'"mono_ns":77,', b'"mono_ns":1e30,'),
        (b'"wall_ms":1000000', b'"wall_ms":1' + b"0" * 20),
        (b'"seq":0', b'"seq":-1'),
        (b'"what":"odd"', b'"what":"odd\xff"'),
        (b'"what":"odd"', b'"what":"\\ud800"'),
    ],
)
def test_what_cannot_be_counted_or_shown_is_no_record(sound: bytes, wrong: bytes) -> None:
    line, found = Log(0).at(0, ConsensusAlarm("fork", "a thing", "odd")).lines[0].encode(), Lines()
    assert sound in line
    assert len(list(found.sound("x", [line.replace(sound, wrong), line]))) == 1
    assert [str(one) for one in found.left_out()] == ["x: 1 line that is no record, first in line 1"]


def test_files_that_cannot_be_read_are_told(folder: Path) -> None:
    (folder / "d.jsonl").mkdir()
    (folder / "e.jsonl").symlink_to(folder / "nowhere")
    found = summary(gather(folder))["read"]
    assert found["records"] == 22 and found["left_out"] == [
        "d.jsonl: can't be read (Is a directory)",
        "e.jsonl: can't be read (No such file or directory)",
    ]


def test_lines_of_two_peers_in_one_file_are_of_one_boot_each(folder: Path) -> None:
    files = [(folder / name / "events" / "1.jsonl").read_text("utf-8").splitlines() for name in ("a", "b")]
    mixed = [line for pair in zip(*files, strict=False) for line in pair]
    (folder / "mixed" / "x.jsonl").parent.mkdir()
    (folder / "mixed" / "x.jsonl").write_text("\n".join(mixed), "utf-8")
    assert [began for _, _, began in gather(folder / "mixed").stops].count(True) == 2


def test_of_too_many_records_the_newest_are_shown_whoever_was_read_last(tmp_path: Path) -> None:
    old, new = Log(0), Log(1, wall_ms=9_000_000).at(0, Stop("new"))
    for second in range(TOLD_MAX):
        old.at(second / 1000, Stop("old"))
    new.write(tmp_path / "1.jsonl")
    old.write(tmp_path / "2.jsonl")
    found = gather(tmp_path)
    assert len(found.told) == TOLD_MAX and b'"new"' in max(found.told)[2]
    assert found.notes == ["of records that are shown one by one, 1 older ones are only counted"]


def test_a_clock_that_is_set_moves_nothing() -> None:
    log = Log(0).at(0, Stop("a"))
    log.wall_ms = 9_000_000
    log.at(2, Stop("b"))
    lines = (line.encode() for line in log.lines)
    assert [at for at, _, _ in Lines().sound("x", lines)] == [1_000_000, 1_002_000]


def test_files_are_read_in_the_order_of_their_peers(tmp_path: Path) -> None:
    for name in ("10000.jsonl", "9999.jsonl", "0001.jsonl", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in log_files(tmp_path)] == ["0001.jsonl", "9999.jsonl", "10000.jsonl"]


def test_frames_follow_links_boots_and_news(folder: Path) -> None:
    Log(2, boot="b2", wall_ms=1_010_000).at(0, LinkUp(PEERS[1], True)).write(folder / "c" / "events" / "2.jsonl")
    gathered = gather(folder)
    frames = frames_of(gathered, slices_of(gathered))
    linked = {pair for frame in frames for pair in frame.linked}
    assert linked == {(0, 1), (1, 2)}
    assert [frame.unlinked for frame in frames if frame.unlinked] == [[(1, 2)], [(0, 1)]]
    assert [frame.moved for frame in frames if frame.moved] == [[(0, 1)], [(0, 1), (1, 2)]]
    assert frames[-1].down == [0] and sum(len(frame.up) for frame in frames) == 4
    changes = [tuple(frame.verdicts[i : i + 3]) for frame in frames for i in range(0, len(frame.verdicts), 3)]
    assert changes.count((2, gathered.contents[LEGAL], -1)) == 1


def test_nothing_is_something_to_be_summarised() -> None:
    found = summary(Gathered())
    assert found["plasmids"] == [] and found["graph"]["links"] == 0 and found["span"]["seconds"] == 0
