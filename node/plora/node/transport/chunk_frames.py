"""The one frame that carries bulk bytes, written and read without protobuf's extra copies of its data.

`write_chunk` gives exactly protobuf's canonical bytes of `BulkFrame{chunk: Chunk{digest, index, data}}` with one copy
of the data. `read_chunk` reads that layout with one copy, and gives None for every other, which protobuf then reads.

>>> frame = write_chunk(bytes(32), 300, b"abc")
>>> read_chunk(frame) == (bytes(32), 300, b"abc"), read_chunk(frame + b"x")
(True, None)
"""

from __future__ import annotations

DIGEST_BYTES = 32
INDEX_MAX = (1 << 32) - 1

_FRAME_CHUNK = b"\x1a"
_DIGEST = b"\x0a\x20"
_INDEX = b"\x10"
_DATA = b"\x1a"
_VARINT_BYTES_MAX = 5


def write_chunk(digest: bytes, index: int, data: bytes) -> bytes:
    """The frame of a chunk; `digest` has 32 bytes, `data` at least one."""
    place = _INDEX + _varint(index) if index else b""
    head = b"".join((_DIGEST, digest, place, _DATA, _varint(len(data))))
    return b"".join((_FRAME_CHUNK, _varint(len(head) + len(data)), head, data))


def read_chunk(frame: bytes) -> tuple[bytes, int, bytes] | None:
    """Digest, index and data of a frame in the layout that `write_chunk` writes; None for any other bytes."""
    if not frame.startswith(_FRAME_CHUNK):
        return None
    size, at = _read_varint(frame, 1)
    if at == 0 or at + size != len(frame) or not frame.startswith(_DIGEST, at):
        return None
    digest = frame[at + 2 : at + 2 + DIGEST_BYTES]
    at += 2 + DIGEST_BYTES
    index = 0
    if frame.startswith(_INDEX, at):
        index, at = _read_varint(frame, at + 1)
        if at == 0 or not 0 < index <= INDEX_MAX:
            return None
    if not frame.startswith(_DATA, at):
        return None
    size, at = _read_varint(frame, at + 1)
    if at == 0 or at + size != len(frame) or size == 0:
        return None
    return digest, index, frame[at:]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(frame: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and the place behind it; (0, 0) when it is cut short or too long."""
    number = 0
    for shift, byte in enumerate(frame[at : at + _VARINT_BYTES_MAX]):
        number |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return number, at + shift + 1
    return 0, 0
