"""Every edit and every cut is found, and said where: of entries, of ends, of the state, of exported copies."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.node.audit.chain import Ends, Fact, Mark, chain_hash, entry_bytes, entry_key
from plora.node.audit.copies import copy_lines, newest, parse_head, read_copy, verify_copy
from plora.node.audit.facts import facts_of
from plora.node.audit.verify import Audit, Note, faults_of
from plora.node.core.wishes import Wish, wish_row
from plora.node.store.disk import Delete, Put, RowOp
from plora.node.store.store import Store
from plora.proto.errors import FormatError, UsageError
from plora.sim.disk import SimDisk

COUNT = 6
PEER = "ab" * 32


def wish(number: int, *, pinned: bool) -> Put:
    return wish_row(Wish(f"{number:064x}", f"ada/p{number}@1", "cd" * 32, 10, pinned=pinned))


def write(store: Store, *rows: RowOp, at_ms: int = 1000) -> Mark:
    return store.commit(rows, facts_of(rows, at_ms))


def peer() -> Store:
    """A store with six entries: that the audit begins, and five wishes."""
    store = Store(SimDisk())
    store.load_snapshot(now_ms=1)
    for number in range(1, COUNT):
        write(store, wish(number, pinned=True))
    return store


def whats(audit: Audit, *notes: Note) -> list[str]:
    return [fault.what for fault in faults_of(audit, notes)]


def with_value(audit: Audit, seq: int, value: bytes) -> Audit:
    rows = dict(audit.rows) | {entry_key(seq): value}
    return replace(audit, rows=tuple(sorted(rows.items())))


def without(audit: Audit, *gone: int) -> Audit:
    return replace(audit, rows=tuple(row for row in audit.rows if row[0] not in map(entry_key, gone)))


def ended(audit: Audit) -> Audit:
    """With ends that fit the last entry, as whoever cuts a tail would write them."""
    key, value = audit.rows[-1]
    return replace(audit, ends=Ends(audit.ends.start, Mark(int.from_bytes(key, "big"), chain_hash(value))))


def test_an_audit_that_nobody_touched() -> None:
    store = peer()
    head = write(store, wish(1, pinned=False))
    write(store, Delete("wishes", bytes.fromhex(f"{2:064x}")))
    assert whats(store.audit(), Note(head.seq, head.head, "log:1"), Note(0, head.head, "a statement")) == []


def test_a_release_from_quarantine_is_told() -> None:
    (told,) = facts_of([wish_row(Wish("ab" * 32, "ada/p@1", "cd" * 32, 10, released=True))], at_ms=5)
    assert (told.what, told.subject) == ("wish", "ab" * 32)
    assert [name for name, value in told.says.items() if value] == ["released"]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, COUNT), st.data())
def test_a_byte_changed_anywhere_is_found_at_that_entry(seq: int, data: st.DataObject) -> None:
    audit = peer().audit()
    value = dict(audit.rows)[entry_key(seq)]
    place = data.draw(st.integers(0, len(value) - 1))
    spoilt = value[:place] + bytes([value[place] ^ data.draw(st.integers(1, 255))]) + value[place + 1 :]
    found = faults_of(replace(with_value(audit, seq, spoilt), state=None))
    assert found and {fault.seq for fault in found} <= {seq - 1, seq, seq + 1}


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ((3,), "entry 3 is missing"),
        ((1, 2), "entries 1 to 2 are missing"),
        ((6,), "cut at the tail: entry 6 is missing"),
        ((4, 5, 6), "cut at the tail: entries 4 to 6 are missing"),
    ],
)
def test_entries_that_were_taken_out(gone: tuple[int, ...], said: str) -> None:
    assert said in whats(replace(without(peer().audit(), *gone), state=None))


def test_a_tail_cut_with_fitting_ends_is_shown_by_a_note_alone() -> None:
    store = peer()
    head = store.audit().ends.head
    cut = replace(ended(without(store.audit(), 5, 6)), state=None)
    assert whats(cut) == []
    noted = Note(head.seq, head.head, "events/a.jsonl:9")
    assert whats(cut, noted) == ["cut at the tail: entries 5 to 6 are missing, as events/a.jsonl:9 shows"]
    assert whats(cut, Note(0, head.head, "a statement")) == [
        f"no entry has the head {head.head[:12]} that a statement names"
    ]


def test_a_chain_written_anew_is_not_the_one_that_was_noted() -> None:
    store, other = peer(), Store(SimDisk())
    other.load_snapshot(now_ms=1)
    head = store.audit().ends.head
    for number in range(1, COUNT + 2):
        write(other, wish(number, pinned=number != 2))
    assert whats(other.audit()) == []
    said = "entry 6 or one before it isn't what log:1 noted"
    assert whats(other.audit(), Note(head.seq, head.head, "log:1")) == [said]


def edit_a_row(disk: SimDisk) -> None:
    disk.transact([wish(2, pinned=False)])


def remove_a_row(disk: SimDisk) -> None:
    disk.transact([Delete("wishes", bytes.fromhex(f"{2:064x}"))])


def add_a_row(disk: SimDisk) -> None:
    disk.transact([wish(77, pinned=True)])


@pytest.mark.parametrize(
    ("meddle", "seq", "said"),
    [
        (edit_a_row, 3, "isn't what entry 3 says (wish): it was changed, or is gone"),
        (remove_a_row, 3, "isn't what entry 3 says (wish): it was changed, or is gone"),
        (add_a_row, 0, "a row of `wishes` was added that no entry tells of"),
    ],
)
def test_a_state_that_was_changed_behind_the_audits_back(
    meddle: Callable[[SimDisk], None], seq: int, said: str
) -> None:
    store = peer()
    assert isinstance(store.disk, SimDisk)
    meddle(store.disk)
    (found,) = faults_of(store.audit())
    assert found.seq == seq and found.what.endswith(said)


def test_a_copy_holds_by_itself_and_shows_what_was_done_to_it() -> None:
    store = peer()
    lines = list(copy_lines(store.audit(), PEER))
    assert verify_copy(lines).faults == () and json.loads(lines[0])["peer"] == PEER
    missing = verify_copy([*lines[:3], *lines[4:]]).faults
    assert [fault.what for fault in missing] == ["entry 3 is missing"]
    cut = [json.dumps(json.loads(lines[0]) | {"head": json.loads(lines[0])["start"]}), *lines[1:4]]
    assert verify_copy(cut).faults
    edited = [*lines[:3], lines[3].replace('"pinned":true', '"pinned":false'), *lines[4:]]
    assert [fault.seq for fault in verify_copy(edited).faults] == [3]
    head = store.audit().ends.head
    shorter = list(copy_lines(ended(without(store.audit(), 6)), PEER))
    (found,) = verify_copy(shorter, [f"{head.seq}:{head.head}"]).faults
    assert found.what == "cut at the tail: entry 6 is missing, as the given head shows"


def test_the_newest_entries_alone_hold_too() -> None:
    part = newest(peer().audit(), 2)
    assert [fault.what for fault in verify_copy(copy_lines(part, PEER)).faults] == [] and len(part.rows) == 2


@pytest.mark.parametrize("first", ["", "{}", "[]", '{"v":1,"start":{"seq":"x","head":""},"head":{}}', "\x00"])
def test_what_is_no_export(first: str) -> None:
    with pytest.raises(FormatError):
        read_copy([first])


@pytest.mark.parametrize("text", ["", "7", "x:" + "ab" * 32, "7:" + "AB" * 32, "-1:" + "ab" * 32])
def test_what_is_no_head(text: str) -> None:
    with pytest.raises(UsageError, match="no head"):
        parse_head(text)


def test_an_entry_with_a_number_a_time_or_a_text_that_none_can_have() -> None:
    fact = Fact(at_ms=10**18, what="vote", subject="x")
    audit = peer().audit()
    third = dict(audit.rows)[entry_key(3)]
    half = third.replace(b'"subject":"', b'"subject":"\\ud800')
    assert half != third
    for value in (entry_bytes(Mark(2, "00"), fact), half, b'{"seq":1e999}', b"[]"):
        assert "an entry can't be read" in whats(with_value(audit, 3, value))
