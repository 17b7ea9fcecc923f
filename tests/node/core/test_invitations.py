"""Tickets as the inviter knows them: used once, bounded, forgotten in the end, and the rows say the same."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from plora.node.core.invitations import FORGOTTEN_AFTER_MS, JOINED_MAX, Invitation, Invitations
from plora.node.store.disk import Delete, Put, RowOp
from plora.proto.errors import RefusedError, StoreError

OPEN_MAX = 3
HOUR_MS = 3_600_000


def invitation(number: int, name: str = "bob", made_ms: int = 0, hours: int = 24) -> Invitation:
    return Invitation(number.to_bytes(32), name, made_ms, made_ms + hours * HOUR_MS)


def apply(rows: dict[bytes, bytes], changes: list[RowOp]) -> None:
    for change in changes:
        if isinstance(change, Put):
            rows[change.key] = change.value
        else:
            assert isinstance(change, Delete)
            del rows[change.key]


class Book(RuleBasedStateMachine):
    """What is in memory is what a restart reads; nobody gets in twice, and the bound holds."""

    @initialize()
    def start(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.book = Invitations((), OPEN_MAX)
        self.now_ms = 0
        self.numbers = count(1)
        self.used: set[bytes] = set()
        self.known: list[bytes] = []

    @rule(name=st.sampled_from(["bob", "eve"]), hours=st.integers(1, 48))
    def invite(self, name: str, hours: int) -> None:
        new = invitation(next(self.numbers), name, self.now_ms, hours)
        if len(self.book.open(self.now_ms)) == OPEN_MAX:
            with pytest.raises(RefusedError, match=r"limits\.invitations_max"):
                self.book.invite(new, self.now_ms)
            return
        apply(self.rows, self.book.invite(new, self.now_ms))
        self.known.append(new.key)

    @rule(data=st.data(), peer=st.sampled_from(["aa" * 32, "bb" * 32]))
    def use(self, data: st.DataObject, peer: str) -> None:
        key = data.draw(st.sampled_from([bytes(32), *self.known]))
        good = key in {one.key for one in self.book.open(self.now_ms)}
        if not good:
            with pytest.raises(RefusedError):
                self.book.use(key, peer, self.now_ms)
            return
        assert key not in self.used
        used, changes = self.book.use(key, peer, self.now_ms)
        assert (used.peer, used.joined_ms) == (peer, self.now_ms)
        self.used.add(key)
        apply(self.rows, changes)

    @rule(name=st.sampled_from(["bob", "eve"]))
    def revoke(self, name: str) -> None:
        apply(self.rows, self.book.revoke(name, self.now_ms))
        assert not [one for one in self.book.open(self.now_ms) if one.name == name]

    @rule(hours=st.integers(0, 24 * 9))
    def wait(self, hours: int) -> None:
        self.now_ms += hours * HOUR_MS

    @rule()
    def restart(self) -> None:
        before = self.book.all()
        self.book = Invitations(self.rows.items(), OPEN_MAX)
        assert self.book.all() == before

    @invariant()
    def bounded(self) -> None:
        assert len(self.book.open(self.now_ms)) <= OPEN_MAX
        assert not {one.key for one in self.book.open(self.now_ms)} & self.used


TestBook = Book.TestCase
TestBook.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_a_ticket_is_good_until_its_last_millisecond() -> None:
    book = Invitations((), OPEN_MAX)
    book.invite(invitation(1, hours=1), 0)
    assert [one.name for one in book.open(HOUR_MS - 1)] == ["bob"]
    with pytest.raises(RefusedError, match="has expired; ask for another one"):
        book.use(bytes(31) + b"\x01", "aa" * 32, HOUR_MS)


def test_what_could_not_be_made_durable_is_open_again() -> None:
    book = Invitations((), OPEN_MAX)
    book.invite(invitation(1), 0)
    used, _ = book.use(invitation(1).key, "aa" * 32, 5)
    with pytest.raises(RefusedError, match="was used already"):
        book.use(invitation(1).key, "bb" * 32, 6)
    book.restore(used)
    assert book.use(invitation(1).key, "bb" * 32, 7)[0].peer == "bb" * 32


def test_memory_is_bounded() -> None:
    book = Invitations((), OPEN_MAX)
    rows: dict[bytes, bytes] = {}
    for number in range(1, JOINED_MAX + 20):
        apply(rows, book.invite(invitation(number, made_ms=number), number))
        apply(rows, book.use(invitation(number).key, "aa" * 32, number)[1])
    assert len(book.all()) == len(rows) == JOINED_MAX
    apply(rows, book.invite(invitation(5000, made_ms=9999), 9999))
    late_ms = 9999 + 24 * HOUR_MS + FORGOTTEN_AFTER_MS
    apply(rows, book.invite(invitation(5001, made_ms=late_ms), late_ms))
    assert invitation(5000).key not in rows


def test_a_row_that_is_none_is_an_error() -> None:
    for value in (b"", b"[]", b'{"name": "bob"}', b'{"name":"b","made_ms":0,"expires_ms":1,"token":"x"}'):
        with pytest.raises(StoreError, match="can't be read"):
            Invitations([(bytes(32), value)], OPEN_MAX)
