"""What a person answers for stays in sight, covers what it was said of, and nothing that comes later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.node.audit.test_verify import ended, peer, wish, write

from plora.node.audit.acknowledging import acknowledgements
from plora.node.audit.chain import AUDIT, AUDIT_STATE, ENDS_KEY, Mark, ends_row, entry_key
from plora.node.audit.verify import Fault, Note, entries_of, faults_of
from plora.node.store.disk import Delete, Put
from plora.node.store.store import Store
from plora.proto.errors import UsageError

WHY = "a disk that dies"


def found(store: Store, *notes: Note) -> list[Fault]:
    return faults_of(store.audit(), notes)


def still_open(store: Store, *notes: Note) -> list[str]:
    return [fault.what for fault in found(store, *notes) if fault.open]


def acknowledge(store: Store, seq: int, *notes: Note) -> None:
    store.commit((), acknowledgements(found(store, *notes), seq, WHY, at_ms=2000))


def edit(store: Store, seq: int, old: bytes, new: bytes) -> None:
    value = store.disk.get(AUDIT, entry_key(seq))
    assert value is not None and old in value
    store.disk.transact([Put(AUDIT, entry_key(seq), value.replace(old, new))])


def edit_an_entry(store: Store) -> int:
    edit(store, 3, b"true", b"false")
    return 3


def edit_the_last(store: Store) -> int:
    edit(store, 6, b"true", b"false")
    return 6


def spoil_an_entry(store: Store) -> int:
    store.disk.transact([Put(AUDIT, entry_key(4), b"nonsense")])
    return 4


def take_one_out(store: Store) -> int:
    store.disk.transact([Delete(AUDIT, entry_key(4))])
    return 4


def cut_the_tail(store: Store) -> int:
    store.disk.transact([Delete(AUDIT, entry_key(seq)) for seq in (5, 6)])
    return 5


def edit_a_row(store: Store) -> int:
    store.disk.transact([wish(2, pinned=False)])
    return 3


def add_rows(store: Store) -> int:
    store.disk.transact([wish(77, pinned=True), wish(78, pinned=True)])
    return 0


MEDDLERS = [edit_an_entry, edit_the_last, spoil_an_entry, take_one_out, cut_the_tail, edit_a_row, add_rows]


@pytest.mark.parametrize("meddle", MEDDLERS)
def test_an_acknowledged_fault_stays_in_sight_with_what_was_said(meddle: Callable[[Store], int]) -> None:
    store = peer()
    seq = meddle(store)
    while places := [fault.seq for fault in found(store) if fault.open]:  # one edit may show at several
        acknowledge(store, places[0])
    faults = found(store)
    assert any(fault.seq == seq for fault in faults)
    assert {(fault.note, fault.noted_ms) for fault in faults} == {(WHY, 2000)}
    write(store, wish(9, pinned=True))
    assert found(store) == faults, "further entries change nothing about it"
    said = [entry.fact for entry in entries_of(store.audit()) if entry.fact.what == "acknowledged"]
    assert {fact.says["note"] for fact in said} == {WHY}


def test_another_edit_at_the_same_place_is_a_new_fault() -> None:
    store = peer()
    edit_a_row(store)
    acknowledge(store, 3)
    assert not still_open(store)
    store.disk.transact([Delete("wishes", bytes.fromhex(f"{2:064x}"))])
    assert len(still_open(store)) == 1
    edit(store, 4, b"true", b"false")
    assert len(still_open(store)) > 1


def restored(store: Store) -> tuple[Note, Note]:
    """Have the store as it was two entries ago, neatly; what the event log noted of those two."""
    audit = store.audit()
    fifth, sixth = (Mark(seq, ended(replace(audit, rows=audit.rows[:seq])).ends.head.head) for seq in (5, 6))
    fourth = ended(replace(audit, rows=audit.rows[:4])).ends
    gone = [Delete(AUDIT, entry_key(seq)) for seq in (5, 6)]
    store.disk.transact([*gone, ends_row(fourth), *(Delete("wishes", bytes.fromhex(f"{n:064x}")) for n in (4, 5))])
    return Note(fifth.seq, fifth.head, "log:1"), Note(sixth.seq, sixth.head, "log:2")


def test_a_snapshot_that_was_put_back_is_answered_for_once() -> None:
    """Also when the chain has grown past what the log noted, and when the log has forgotten the first of it."""
    store = peer()
    notes = restored(store)
    (fault,) = found(store, *notes)
    assert fault.what.startswith("cut at the tail: entries 5 to 6 are missing, as log:2")
    acknowledge(store, 5, *notes)
    for number in range(20, 24):
        write(store, wish(number, pinned=True))
        assert not still_open(store, *notes) and found(store, *notes)
    assert not still_open(store, notes[1])
    later = Note(8, "00" * 32, "log:9")
    assert still_open(store, *notes, later) == ["entry 8 or one before it isn't what log:9 noted"]


@pytest.mark.parametrize("until", [b'"soon"', b"1e999", b"null"])
def test_an_acknowledgement_that_was_edited_answers_for_nothing_more(until: bytes) -> None:
    store = peer()
    notes = restored(store)
    acknowledge(store, 5, *notes)
    edit(store, 5, b'"until":6', b'"until":' + until)
    assert "cut at the tail: entry 6 is missing, as log:2 shows" in still_open(store, *notes)


def test_what_a_head_from_outside_shows_cannot_be_acknowledged() -> None:
    """Whoever wrote the chain anew would do so."""
    store = peer()
    _, noted = restored(store)
    given = replace(noted, where="the given head", outside=True)
    with pytest.raises(UsageError, match="from outside of this home"):
        acknowledge(store, 5, given)
    acknowledge(store, 5, noted)
    assert still_open(store, given), "nor by what was said of the event log"


def test_what_is_asked_for_must_be_open() -> None:
    store = peer()
    with pytest.raises(UsageError, match="nothing is open"):
        acknowledge(store, 3)
    edit_a_row(store)
    with pytest.raises(UsageError, match="open faults are at: 3"):
        acknowledge(store, 4)
    for note in ("", "  ", "x" * 501):
        with pytest.raises(UsageError, match="1 to 500 characters"):
            acknowledgements(found(store), 3, note, at_ms=1)
    assert store.disk.get(AUDIT_STATE, ENDS_KEY) is not None
