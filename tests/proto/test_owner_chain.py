"""An owner's file: what makes it one, what it proves, what still lacks signatures, and which next record can be."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.proto.owners import ISSUED, SWARM, after, first, forged, key, key_id, strike, word

from plora.proto.errors import KeyFileError, StatementError, UsageError
from plora.proto.owner_chain import (
    OWNER_FILE_BYTES_MAX,
    Change,
    OwnerFile,
    attestation,
    key_named,
    key_revocation,
    next_record,
    owner_file_text,
    owner_revocation,
    read_owner_file,
    revocation,
    signatures,
    write_owner_file,
)
from plora.proto.payloads import OwnerKey, OwnerRecord
from plora.proto.statement import Statement, open_statement

ELSE = "0e" * 32
HOUSE, HOUSE_RECORD = first("abc", 2)
ID = HOUSE.id.hex()


def ids(names: str) -> set[str]:
    return {key_id(name) for name in names}


def house(*more: Statement) -> OwnerFile:
    """The file of an owner of three keys, two of whom must sign."""
    return OwnerFile((HOUSE, *more))


def struck(kind: str, target: str, by: str = "ab", reason: str = "stolen") -> tuple[Statement, ...]:
    """A revocation by one key, with another's word for it."""
    one = strike(ID, kind, target, by[0], reason)[0]
    return one, *(word(one, ID, each)[0] for each in by[1:])


def rotated(names: str, threshold: int, by: str, file: OwnerFile | None = None) -> tuple[Statement, ...]:
    """A record after the newest one, signed by the first of `by`, with the words of the others."""
    newest = (file or house()).newest
    record = after(newest, names, threshold, by=by[0], lineage=ID)[0]
    return record, *(word(record, ID, each)[0] for each in by[1:])


def record_of(statement: Statement) -> OwnerRecord:
    record = open_statement(statement)
    assert isinstance(record, OwnerRecord)
    return record


def changed(file: OwnerFile, by: str = "a", **change: object) -> OwnerRecord:
    """What the next record after this change says."""
    return record_of(next_record(file, Change(**change), key(by), ISSUED))  # type: ignore[arg-type]


# What makes a file


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        ((), "first record"),
        ((word(HOUSE, ID, "a")[0], HOUSE), "first record"),
        ((after((HOUSE, HOUSE_RECORD), "ab", by="a")[0],), "first record"),
        ((forged(HOUSE),), "not signed by a key"),
        ((HOUSE, word(HOUSE, ELSE, "a")[0]), "another owner"),
        ((HOUSE, strike(ELSE, "owner", ELSE, "a")[0]), "another owner"),
        ((HOUSE, first("x")[0]), "another owner"),
        ((HOUSE, after(first("x"), "x", by="x")[0]), "another owner"),
    ],
)
def test_a_file_is_of_one_owner_and_begins_with_the_record_that_makes_them(
    statements: tuple[Statement, ...], said: str
) -> None:
    with pytest.raises(StatementError, match=said):
        OwnerFile(statements)


@pytest.mark.parametrize("by", "abc")
def test_a_first_record_may_be_signed_by_any_of_its_keys(by: str) -> None:
    statement, record = first("abc", 2, by=by)
    made = OwnerFile((statement,))
    assert (made.id, made.newest, made.ended, made.pending) == (statement.id.hex(), (statement, record), "", ())
    assert {one.key_id for one in made.keys} == ids("abc")
    with pytest.raises(StatementError, match="not signed by a key"):
        OwnerFile((forged(statement),))


def test_a_statement_is_taken_once() -> None:
    one = rotated("abd", 2, "ab")
    file = house().extended(*one, *one, HOUSE)
    assert file.statements == (HOUSE, *one)
    assert file.extended(*one) == file


def test_of_two_copies_the_one_that_its_key_signed_stays() -> None:
    record, *words = rotated("abd", 2, "ab")
    whole = house(record, *words)
    assert house(forged(record), record, *words).extended().statements == whole.statements
    assert house(forged(record), *words).extended(record).statements == whole.statements
    assert whole.extended(forged(record), *map(forged, words)).statements == whole.statements


# What it proves, and what lacks signatures


def test_a_record_is_pending_until_enough_old_and_new_keys_signed_it() -> None:
    record = rotated("bde", 2, "d")[0]
    begun = house(record, word(record, ID, "c")[0])
    (pending,) = begun.pending
    assert (pending.statement, begun.newest[0], begun.authority.threshold) == (record, HOUSE, 2)
    assert set(pending.signed) == ids("cd")
    assert pending.lacks == "1 of the owner's keys as they are, 1 of the new ones"
    done = begun.extended(word(record, ID, "b")[0])
    assert (done.newest[0], done.pending) == (record, ())
    assert {one.key_id for one in done.keys} == ids("abcde")


def test_a_rival_of_a_record_that_follows_is_no_longer_pending() -> None:
    rival = rotated("cx", 1, "c")[0]
    assert len(house(rival).pending) == 1
    assert not house(rival, *rotated("ab", 2, "ab")).pending


def test_a_revocation_is_pending_until_enough_keys_signed_it() -> None:
    begun = house(*struck("key", key_id("c"), by="a"))
    (pending,) = begun.pending
    assert (pending.signed, pending.lacks) == ((key_id("a"),), "1 of the owner's keys")
    assert {one.key_id for one in begun.keys} == ids("abc")
    done = house(*struck("key", key_id("c"), by="ab"))
    assert (done.pending, {one.key_id for one in done.keys}) == ((), ids("ab"))


def test_an_owner_ends_only_by_a_revocation_of_the_owner_that_counts() -> None:
    assert house(*struck("owner", ID, reason="we part")).ended == "we part"
    assert house(*struck("content", ELSE), *struck("owner", ID, reason="we part")).ended == "we part"
    for statements in (struck("owner", ID, by="a"), struck("content", ID), struck("owner", ELSE)):
        assert house(*statements).ended == ""


@pytest.mark.parametrize(
    ("by", "of_the_record", "of_the_revocation"),
    [("a", True, True), ("b", False, True), ("c", False, False), ("d", True, False), ("x", False, False)],
)
def test_a_key_signs_what_is_pending_and_its_to_sign(by: str, of_the_record: bool, of_the_revocation: bool) -> None:
    """b began the record, and c the revocation; c is revoked, and d is a key of the new record only."""
    record, content = rotated("abd", 2, "b")[0], struck("content", ELSE, by="c")[0]
    file = house(*struck("key", key_id("c"), by="c"), record, content)
    made = signatures(file, key(by), ISSUED)
    expected = [one for one, may in ((record, of_the_record), (content, of_the_revocation)) if may]
    assert made == [attestation(file, one.id.hex(), key(by), ISSUED) for one in expected]
    after_that = signatures(file.extended(*made), key(by), ISSUED)
    assert not after_that


# The next record


def test_a_next_record_follows_the_newest_and_says_what_changed() -> None:
    file = house(*rotated("abc", 2, "ab"))
    made = next_record(file, Change((OwnerKey.of(key("d").public),), (key_id("b")[:8],)), key("c"), ISSUED)
    record = record_of(made)
    assert (record.owner, record.previous, record.version) == (ID, file.newest[0].id.hex(), 3)
    assert (record.swarm, record.issued, record.name, record.threshold) == (SWARM, ISSUED, "house", 2)
    assert (set(record.signing_key_ids()), made.key_id) == (ids("acd"), key_id("c"))
    assert changed(file, threshold=3).threshold == 3
    assert file.extended(made, *(word(made, ID, by)[0] for by in "ad")).newest[0] == made


def test_a_next_record_continues_the_newest_lineage_unless_told_to_open_one() -> None:
    file = house(*rotated("abc", 2, "ab"))
    assert (changed(file).lineage, changed(file, new_lineage=True).lineage) == (ID, None)
    opening = next_record(file, Change(new_lineage=True), key("a"), ISSUED)
    opened = file.extended(opening, word(opening, ID, "b")[0])
    assert changed(opened).lineage == opening.id.hex()


def test_after_a_revocation_the_next_record_drops_the_key_and_opens_a_lineage_once() -> None:
    file = house(*struck("key", key_id("c")))
    record = changed(file)
    assert (set(record.signing_key_ids()), record.lineage) == (ids("ab"), None)
    assert changed(file, new_lineage=False).lineage == ID
    made = next_record(file, Change(), key("a"), ISSUED)
    settled = file.extended(made, word(made, ID, "b")[0])
    assert settled.newest[0] == made
    assert changed(settled).lineage == made.id.hex()


@pytest.mark.parametrize(
    ("change", "by", "said"),
    [
        ({}, "c", "was revoked"),
        ({}, "x", "not in the owner's newest record"),
        ({"add": (OwnerKey.of(key("a").public),)}, "a", "twice"),
        ({"add": (OwnerKey.of(key("x").public),) * 2}, "a", "twice"),
        ({"threshold": 3}, "a", "threshold is greater than the number of signing keys"),
        ({"drop": ("",)}, "a", "no such record can be"),
    ],
)
def test_a_record_that_can_not_be_is_refused(change: dict[str, object], by: str, said: str) -> None:
    """c is revoked."""
    with pytest.raises(UsageError, match=said):
        changed(house(*struck("key", key_id("c"))), by, **change)


def test_a_retired_key_makes_no_record() -> None:
    with pytest.raises(UsageError, match="not in the owner's newest record"):
        changed(house(*rotated("ab", 1, "ab")), "c")


# Revocations


def test_who_may_begin_a_revocation_of_a_key() -> None:
    """c is revoked, and d was retired: each may strike itself, and no other."""
    start, record = first("abcd", 2)
    owner = start.id.hex()
    second = after((start, record), "abc", 2, by="a", lineage=owner)[0]
    file = OwnerFile((start, second, word(second, owner, "b")[0], strike(owner, "key", key_id("c"), "c")[0]))
    for by in "abcd":
        made = key_revocation(file, key_id(by), "gone", key(by), ISSUED)
        assert key_id(by) in file.extended(made).authority.void_keys
    for by, said in (("c", "was revoked"), ("d", "not in the owner's newest record"), ("x", "not in the owner's")):
        with pytest.raises(UsageError, match=said):
            key_revocation(file, key_id("a"), "gone", key(by), ISSUED)
        with pytest.raises(UsageError, match=said):
            owner_revocation(file, "gone", key(by), ISSUED)


def test_what_a_revocation_says() -> None:
    said = open_statement(owner_revocation(house(), "we part", key("b"), ISSUED))
    assert said == strike(ID, "owner", ID, "b", "we part")[1]
    of_anothers = open_statement(revocation(house(), ("content", ELSE), "bad", key("a"), ISSUED))
    assert of_anothers == strike(ID, "content", ELSE, "a", "bad")[1]


def test_a_key_is_named_by_a_beginning_that_is_its_alone() -> None:
    file = house(*rotated("abd", 2, "ab"))
    for name in "abcd":
        assert key_named(file, key_id(name)[:12].upper()) == key_id(name)
    shared = next(digit for digit in "0123456789abcdef" if sum(one.key_id[0] == digit for one in file.keys) != 1)
    alone = OwnerFile((first("a")[0],))
    for which, beginning in ((file, shared), (file, key_id("x")), (file, ""), (alone, "")):
        with pytest.raises(UsageError, match="begin with"):
            key_named(which, beginning)


# On disk


def test_a_file_is_read_as_it_was_written_in_the_place_of_the_old_one(tmp_path: Path) -> None:
    path, file = tmp_path / "house.owner", house(*rotated("abd", 2, "ab"))
    for each in (house(), file):
        write_owner_file(path, each)
        assert read_owner_file(path) == each
        assert list(tmp_path.iterdir()) == [path]
    assert "\n" not in owner_file_text((HOUSE,))
    path.write_text(owner_file_text(file.statements) + "\n\n")
    assert read_owner_file(path) == file


def test_what_can_not_be_read_or_written_is_said_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="can't be read") as missing:
        read_owner_file(tmp_path / "no.owner")
    assert missing.value.where == str(tmp_path / "no.owner")
    with pytest.raises(KeyFileError, match="can't be written"):
        write_owner_file(tmp_path / "no" / "no.owner", house())
    text = owner_file_text((HOUSE,))
    path = tmp_path / "it.owner"
    for raw in (b"\xff\xfe", b"", b"-----BEGIN PUBLIC KEY-----", text[:-1].encode(), b'{"kind":"x"}'):
        path.write_bytes(raw)
        with pytest.raises(StatementError, match="owner record") as refused:
            read_owner_file(path)
        assert refused.value.where == str(path)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path, text = tmp_path / "it.owner", owner_file_text((HOUSE,))
    path.write_text("\n" * (OWNER_FILE_BYTES_MAX - len(text)) + text)
    assert read_owner_file(path).id == ID
    path.write_text("\n" * (OWNER_FILE_BYTES_MAX - len(text) + 1) + text)
    with pytest.raises(StatementError):
        read_owner_file(path)
