"""Tickets: the text is bech32m, nothing is lost on the way, and no mistyped character gets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plora.proto.errors import FormatError
from plora.proto.ticket import PREFIX, Ticket, decode, encode, read_ticket

ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
TICKET = Ticket(
    "ab" * 32, ("192.0.2.10:4700", "[2001:db8::1]:4700"), bytes(range(16)), "01020304", 1_790_000_000, 2**32 - 1, "bob"
)

names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)
addresses = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,60}:[1-9][0-9]{0,3}", fullmatch=True)
tickets = st.builds(
    Ticket,
    peer=st.binary(min_size=32, max_size=32).map(bytes.hex),
    addresses=st.lists(addresses, min_size=1, max_size=4).map(tuple),
    token=st.binary(min_size=16, max_size=16),
    swarm=st.binary(min_size=4, max_size=4).map(bytes.hex),
    made_s=st.integers(0, 2**32 - 1),
    expires_s=st.integers(0, 2**32 - 1),
    name=names,
)


@given(tickets)
def test_nothing_is_lost(ticket: Ticket) -> None:
    text = ticket.text()
    assert read_ticket(text) == ticket
    assert read_ticket(text.upper()) == ticket
    assert read_ticket(f" {text[:40]}\n  {text[40:]}\n") == ticket


def test_the_checksum_is_bech32m() -> None:
    assert decode("A1LQFN3A", prefix="a") == b""  # BIP-350's own vectors
    assert (
        decode("split1checkupstagehandshakeupstreamerranterredcaperredlc445v", prefix="split")
        .hex()
        .startswith("c5f38b70")
    )
    with pytest.raises(FormatError):
        decode("A12UEL5L", prefix="a")  # valid in the older bech32


@given(st.data())
def test_up_to_three_wrong_characters_are_always_found(data: st.DataObject) -> None:
    text = list(TICKET.text())
    places = data.draw(st.sets(st.integers(len(PREFIX) + 1, len(text) - 1), min_size=1, max_size=3))
    for place in places:
        text[place] = data.draw(st.sampled_from(ALPHABET.replace(text[place], "")))
    with pytest.raises(FormatError, match="garbled"):
        read_ticket("".join(text))


@pytest.mark.parametrize("cut", range(6, 30))
def test_a_ticket_that_was_cut_is_garbled(cut: int) -> None:
    with pytest.raises(FormatError, match="garbled"):
        read_ticket(TICKET.text()[:-cut])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "that is no ticket; a ticket begins with plora1; `plora invite` makes one"),
        ("bob", "that is no ticket; a ticket begins with plora1; `plora invite` makes one"),
        (TICKET.text()[:30] + TICKET.text()[30:].upper(), "the ticket is garbled: a character is wrong or missing"),
        (encode(b"\x02" + bytes(80)), "the ticket is of another version of plora"),
        (encode(b"\x01" + bytes(20)), "the ticket is cut short"),
        (encode(b"\x01" + bytes(60) + b"\x09bob"), "the ticket is cut short"),
        (encode(b"\x01" + bytes(60) + b"\x03bob"), "the ticket names no address to dial"),
        (encode(b"\x01" + bytes(60) + b"\x03bob\x06unix:x"), "the ticket names no address to dial"),
    ],
)
def test_what_is_wrong_is_said(text: str, sentence: str) -> None:
    with pytest.raises(FormatError) as refused:
        read_ticket(text)
    assert str(refused.value).startswith(sentence)


def test_the_token_is_not_shown() -> None:
    assert TICKET.token.hex() not in repr(TICKET)
    assert repr(TICKET.token) not in repr(TICKET)


@given(st.text(max_size=200) | st.binary(max_size=120).map(encode))
def test_nothing_else_than_a_ticket_is_read(text: str) -> None:
    try:
        ticket = read_ticket(text)
    except FormatError:
        return
    assert read_ticket(ticket.text()) == ticket
