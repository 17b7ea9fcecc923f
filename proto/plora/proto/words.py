"""Words that two people compare aloud: fingerprints of owners, and the three words of a join.

- The list is the English one of BIP-39: 2,048 words that differ in their first four letters, so eleven bits a word.
- A fingerprint is the first eight words (88 bits) of an owner id, which is a SHA-256 already.
- Three words (33 bits) follow from both peers and the ticket that brought them together: whoever used a ticket that was
  meant for another shows other words.
- Words are for people. Nothing in the protocol compares them.

>>> fingerprint("00" * 32)
'abandon-abandon-abandon-abandon-abandon-abandon-abandon-abandon'
"""

from __future__ import annotations

import hashlib
from functools import cache

BITS_PER_WORD = 11
FINGERPRINT_WORDS = 8
MEETING_WORDS = 3
_MEETING = b"plora/meeting/v1"


def words_of(data: bytes, count: int) -> tuple[str, ...]:
    """The first `count` words of some bytes, the highest bits first. ValueError where there are too few bits."""
    spare = 8 * len(data) - BITS_PER_WORD * count
    if spare < 0:
        raise ValueError(f"{len(data)} bytes are too few for {count} words")
    bits = int.from_bytes(data) >> spare
    places = reversed(range(count))
    return tuple(_word_list()[bits >> BITS_PER_WORD * place & (1 << BITS_PER_WORD) - 1] for place in places)


def fingerprint(owner_id: str) -> str:
    """An owner id (64 hexadecimal digits) as eight words, joined by hyphens."""
    return "-".join(words_of(bytes.fromhex(owner_id), FINGERPRINT_WORDS))


def meeting_words(inviter: str, joiner: str, invitation: bytes) -> str:
    """The three words of a join: two peer ids in hexadecimal, and the public key that the ticket stands for."""
    parts = (_MEETING, bytes.fromhex(inviter), bytes.fromhex(joiner), invitation)
    return "-".join(words_of(hashlib.sha256(b"\x00".join(parts)).digest(), MEETING_WORDS))


@cache
def _word_list() -> tuple[str, ...]:
    from mnemonic import Mnemonic

    return tuple(Mnemonic("english").wordlist)
