"""Invitation tickets: what a person needs to join a swarm, as one line of text that survives a mistyped character.

    plora1 | version 1 | peer 32 | token 16 | swarm 4 | made 4 | expires 4 | name | addresses | checksum

- The text is bech32m (BIP-350) with the prefix `plora`, without its limit of 90 characters: lower-case letters and
  digits, or all upper-case as in a QR code. Blanks and line breaks inside are ignored.
- Numbers are big endian, times are seconds since 1970; `swarm` is the start of the swarm's id; name and addresses are
  ASCII, each with its length in one byte before it.
- The token is the secret: whoever has the text can join once. The peer that made it keeps only a public key (see
  `plora.node.transport.invitation`).
- Not handled here: whether the ticket is still good.

>>> ticket = Ticket("ab" * 32, ("192.0.2.1:4700",), bytes(16), "00000000", 1_700_000_000, 1_700_086_400, "bob")
>>> read_ticket(ticket.text()) == ticket
True
>>> read_ticket(ticket.text().replace("q", "p", 1))
Traceback (most recent call last):
...
plora.proto.errors.FormatError: the ticket is garbled: a character is wrong or missing; copy it again, all of it
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from plora.proto.errors import FormatError
from plora.proto.host_port import split

PREFIX = "plora"
VERSION = 1
TOKEN_BYTES = 16
ADDRESSES_MAX = 4
TEXT_CHARACTERS_MAX = 2048

_HEAD = struct.Struct(">B32s16s4sII")
_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32M = 0x2BC830A3
_CHECKSUM_LENGTH = 6
_COPY_AGAIN = "copy it again, all of it"


@dataclass(frozen=True, slots=True)
class Ticket:
    """An invitation. `peer`: the inviter's id; `swarm`: eight hexadecimal digits; `name`: who is invited."""

    peer: str
    addresses: tuple[str, ...]
    token: bytes = field(repr=False)
    swarm: str
    made_s: int
    expires_s: int
    name: str

    def text(self) -> str:
        """The ticket as one line of lower-case text."""
        fixed = (VERSION, bytes.fromhex(self.peer), self.token, bytes.fromhex(self.swarm), self.made_s, self.expires_s)
        texts = (text.encode("ascii") for text in (self.name, *self.addresses))
        return encode(_HEAD.pack(*fixed) + b"".join(bytes([len(text)]) + text for text in texts))


def read_ticket(text: str) -> Ticket:
    """The ticket in a text; `FormatError` says what is wrong with it."""
    data = decode(text)
    if data[:1] != bytes([VERSION]):
        raise FormatError("the ticket is of another version of plora", mend="use the version of whoever invited you")
    try:
        _, peer, token, swarm, made_s, expires_s = _HEAD.unpack_from(data)
        name, *addresses = _texts(data[_HEAD.size :])
    except (struct.error, ValueError) as error:
        raise FormatError("the ticket is cut short", mend=_COPY_AGAIN) from error
    if not 0 < len(addresses) <= ADDRESSES_MAX or not all(map(split, addresses)):
        raise FormatError("the ticket names no address to dial", mend="ask for another one")
    return Ticket(peer.hex(), tuple(addresses), token, swarm.hex(), made_s, expires_s, name)


def encode(data: bytes, prefix: str = PREFIX) -> str:
    """Bytes as bech32m text."""
    values = _regroup(data, 8, 5, pad=True)
    checked = _polymod([*_expanded(prefix), *values, *[0] * _CHECKSUM_LENGTH]) ^ _BECH32M
    checksum = [checked >> 5 * (_CHECKSUM_LENGTH - 1 - place) & 31 for place in range(_CHECKSUM_LENGTH)]
    return f"{prefix}1" + "".join(_ALPHABET[value] for value in (*values, *checksum))


def decode(text: str, prefix: str = PREFIX) -> bytes:
    """The bytes of a bech32m text; `FormatError` where prefix, alphabet or checksum are wrong."""
    packed = "".join(text.split())
    lowered = packed.lower()
    if not lowered.startswith(f"{prefix}1") or len(packed) > TEXT_CHARACTERS_MAX:
        raise FormatError("that is no ticket", mend=f"a ticket begins with {prefix}1; `plora invite` makes one")
    body = lowered[len(prefix) + 1 :]
    garbled = FormatError("the ticket is garbled: a character is wrong or missing", mend=_COPY_AGAIN)
    if packed not in (lowered, packed.upper()) or len(body) < _CHECKSUM_LENGTH or set(body) - set(_ALPHABET):
        raise garbled
    values = [_ALPHABET.index(character) for character in body]
    if _polymod([*_expanded(prefix), *values]) != _BECH32M:
        raise garbled
    try:
        return bytes(_regroup(values[:-_CHECKSUM_LENGTH], 5, 8, pad=False))
    except ValueError:
        raise garbled from None


def _texts(data: bytes) -> list[str]:
    texts = []
    while data:
        length = data[0]
        if len(data) <= length:
            raise ValueError("a text is cut short")
        texts.append(data[1 : length + 1].decode("ascii"))
        data = data[length + 1 :]
    return texts


def _expanded(prefix: str) -> list[int]:
    return [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]


def _polymod(values: Iterable[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate(_GENERATORS):
            check ^= generator if top >> place & 1 else 0
    return check


def _regroup(values: Sequence[int], wide: int, narrow: int, *, pad: bool) -> list[int]:
    """Groups of `wide` bits as groups of `narrow` bits. ValueError where what is left over isn't zero padding."""
    bits = "".join(f"{value:0{wide}b}" for value in values)
    left = len(bits) % narrow
    if pad:
        bits += "0" * (-len(bits) % narrow)
    elif left >= wide or "1" in bits[len(bits) - left :]:
        raise ValueError("the padding isn't zero")
    else:
        bits = bits[: len(bits) - left]
    return [int(bits[start : start + narrow], 2) for start in range(0, len(bits), narrow)]
