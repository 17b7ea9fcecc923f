"""Words for people: the list is the published one, and every bit counts."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mnemonic import Mnemonic

from plora.proto.words import fingerprint, meeting_words, words_of

ENGLISH_SHA256 = "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"


def test_the_list_is_the_published_one() -> None:
    text = "".join(f"{word}\n" for word in Mnemonic("english").wordlist)
    assert hashlib.sha256(text.encode()).hexdigest() == ENGLISH_SHA256


@pytest.mark.parametrize(
    ("entropy", "phrase"),
    [
        ("00000000000000000000000000000000", "abandon abandon abandon abandon abandon abandon abandon abandon"),
        ("7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f", "legal winner thank year wave sausage worth useful"),
        ("80808080808080808080808080808080", "letter advice cage absurd amount doctor acoustic avoid"),
        ("ffffffffffffffffffffffffffffffff", "zoo zoo zoo zoo zoo zoo zoo zoo"),
    ],
)
def test_words_are_those_of_the_standards_vectors(entropy: str, phrase: str) -> None:
    assert " ".join(words_of(bytes.fromhex(entropy), 8)) == phrase
    assert fingerprint(entropy + "00" * 16) == phrase.replace(" ", "-")


@given(st.binary(min_size=11, max_size=40), st.integers(0, 87))
def test_each_of_the_first_88_bits_changes_one_word(data: bytes, bit: int) -> None:
    flipped = (int.from_bytes(data) ^ 1 << 8 * len(data) - 1 - bit).to_bytes(len(data))
    pairs = list(zip(words_of(data, 8), words_of(flipped, 8), strict=True))
    assert [one != other for one, other in pairs].index(True) == bit // 11
    assert sum(one != other for one, other in pairs) == 1


def test_too_few_bits_are_an_error() -> None:
    with pytest.raises(ValueError, match="too few"):
        words_of(bytes(10), 8)


def test_the_three_words_depend_on_both_peers_and_the_ticket() -> None:
    a, b, ticket = "aa" * 32, "bb" * 32, bytes(32)
    words = {meeting_words(a, b, ticket), meeting_words(b, a, ticket), meeting_words(a, b, bytes([1] * 32))}
    assert len(words) == 3
    assert all(len(one.split("-")) == 3 for one in words)
