"""Range-based set reconciliation: two peers find what each lacks, in a few small frames.

Rules (see `Range` for the four meanings a range may have):

- The opening is one range over everything with its fingerprint. A side that sees an equal fingerprint calls the range
  settled; otherwise it splits its part into `BRANCH` ranges, or lists its ids where it has at most `LEAF`.
- A listed range is answered with the ids that the list lacked, a reply is answered by nothing. No ranges end it.
- A frame stays within `RECONCILE_BYTES_MAX`. Ranges are answered from one on that moves with the session's number, each
  within its share of the room that is left; what finds no room is called settled and left to a later session. A reply
  beyond its share is a window that moves likewise. So ids that the other side refuses hide nothing for ever.
- Answering keeps no state; `legs` are counted by the caller.
- Ranges that don't ascend, or have fields of a wrong size, are a `ProtocolError`.

Source: A. Meyer, "Range-Based Set Reconciliation", SRDS 2023.

>>> from plora.node.gossip.ordered import order_key
>>> mine, theirs = OrderedKeys([order_key(1, b"a" * 32)]), OrderedKeys([order_key(1, b"b" * 32)])
>>> first = respond(mine, open_ranges(theirs), session=0)
>>> second = respond(theirs, first.ranges, session=0)
>>> third = respond(mine, second.ranges, session=0)
>>> second.need == (b"a" * 32,), third.need == (b"b" * 32,), third.ranges
(True, True, ())
"""

from __future__ import annotations

from dataclasses import dataclass

from plora.node.core.messages import RECONCILE_BYTES_MAX, Range
from plora.node.gossip.ordered import FINGERPRINT_BYTES, KEY_BYTES, OrderedKeys, id_of
from plora.proto.errors import ProtocolError

BRANCH = 16
LEAF = 16
LIST_AIM = 4
"""A range just over a leaf is split into parts of about this many ids rather than into `BRANCH` crumbs."""
ID_BYTES = 32
SHARE_BYTES_MIN = 1024
"""Enough for a full list or a full split, so that many open ranges don't starve one another."""

_RANGE_OVERHEAD = 6
_LIST_OVERHEAD = 4
_ID_OVERHEAD = 2
_FRAME_OVERHEAD = 32


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back, and what the question told: ids that this side lacks (`need`) and the other (`lacking`)."""

    ranges: tuple[Range, ...]
    need: tuple[bytes, ...] = ()
    lacking: tuple[bytes, ...] = ()


def open_ranges(keys: OrderedKeys) -> tuple[Range, ...]:
    """The opening of a session."""
    return (Range(b"", fingerprint=keys.root()),)


def respond(
    keys: OrderedKeys, ranges: tuple[Range, ...], *, session: int, bytes_max: int = RECONCILE_BYTES_MAX
) -> Answer:
    """Answer one leg; raises `ProtocolError` for ranges that nobody honest sends."""
    check_ranges(ranges)
    spans = _spans(keys, ranges)
    answers = [[Range(asked.upper)] for asked in ranges]
    need: list[bytes] = []
    lacking: list[bytes] = []
    room = bytes_max - _FRAME_OVERHEAD - sum(range_bytes(settled) for (settled,) in answers)
    first = _scatter(session, len(ranges))
    for left, number in zip(range(len(ranges), 0, -1), _rotated(len(ranges), first), strict=True):
        share = min(room, max(room // left, SHARE_BYTES_MIN))
        made = _answer(keys, ranges[number], spans[number], share, session, need, lacking)
        room -= sum(range_bytes(each) for each in made) - range_bytes(answers[number][0])
        answers[number] = made
    return Answer(_settled_merged([each for made in answers for each in made]), tuple(need), tuple(lacking))


def check_ranges(ranges: tuple[Range, ...]) -> None:
    """Refuse ranges that don't ascend, go on after the end, or carry fields of a wrong size."""
    lower = b""
    for number, each in enumerate(ranges):
        last = number == len(ranges) - 1
        if len(each.upper) > KEY_BYTES or (each.upper <= lower and not (last and each.upper == b"")):
            raise ProtocolError("ranges don't ascend")
        if each.fingerprint is not None and len(each.fingerprint) != FINGERPRINT_BYTES:
            raise ProtocolError("a fingerprint has a wrong length")
        if any(len(identity) != ID_BYTES for identity in (*(each.ids or ()), *(each.reply or ()))):
            raise ProtocolError("an id has a wrong length")
        lower = each.upper


def range_bytes(each: Range) -> int:
    """What a range takes on the wire at most, with the lengths and tags of protobuf."""
    ids = each.ids if each.ids is not None else each.reply
    listed = 0 if ids is None else _LIST_OVERHEAD + len(ids) * (ID_BYTES + _ID_OVERHEAD)
    return _RANGE_OVERHEAD + len(each.upper) + len(each.fingerprint or b"") + listed


def _answer(
    keys: OrderedKeys,
    asked: Range,
    span: tuple[int, int],
    share: int,
    session: int,
    need: list[bytes],
    lacking: list[bytes],
) -> list[Range]:
    if asked.fingerprint is not None:
        return _compare(keys, asked, span, share)
    theirs = asked.ids if asked.ids is not None else asked.reply
    if theirs is None:
        return [Range(asked.upper)]
    mine = [id_of(key) for key in keys.between(*span)]
    known = frozenset(mine)
    need += [identity for identity in theirs if identity not in known]
    if asked.ids is None:
        return [Range(asked.upper)]
    listed = frozenset(theirs)
    missing = _window([identity for identity in mine if identity not in listed], share - len(asked.upper), session)
    lacking += missing
    return [Range(asked.upper, reply=tuple(missing)) if missing else Range(asked.upper)]


def _compare(keys: OrderedKeys, asked: Range, span: tuple[int, int], share: int) -> list[Range]:
    start, stop = span
    if keys.fingerprint(start, stop) == asked.fingerprint:
        return [Range(asked.upper)]
    made = _listed(keys, asked.upper, span) if stop - start <= LEAF else _split(keys, asked.upper, span)
    return made if sum(range_bytes(each) for each in made) <= share else [Range(asked.upper)]


def _listed(keys: OrderedKeys, upper: bytes, span: tuple[int, int]) -> list[Range]:
    return [Range(upper, ids=tuple(id_of(key) for key in keys.between(*span)))]


def _split(keys: OrderedKeys, upper: bytes, span: tuple[int, int]) -> list[Range]:
    start, stop = span
    parts = min(BRANCH, -(-(stop - start) // LIST_AIM))
    cuts = [start + (stop - start) * part // parts for part in range(parts + 1)]
    bounds = [_separator(*keys.between(cut - 1, cut + 1)) for cut in cuts[1:-1]]
    spans = zip([*bounds, upper], cuts, cuts[1:], strict=False)
    return [Range(bound, fingerprint=keys.fingerprint(first, after)) for bound, first, after in spans]


def _separator(before: bytes, after: bytes) -> bytes:
    """The shortest prefix of `after` that is greater than `before`."""
    same = next(place for place in range(KEY_BYTES) if before[place] != after[place])
    return after[: same + 1]


def _window(identities: list[bytes], room: int, session: int) -> list[bytes]:
    most = max(0, room - _RANGE_OVERHEAD - _LIST_OVERHEAD) // (ID_BYTES + _ID_OVERHEAD)
    first = _scatter(session, max(1, len(identities) - most + 1))
    return identities[first : first + most]


def _spans(keys: OrderedKeys, ranges: tuple[Range, ...]) -> list[tuple[int, int]]:
    """The positions [start, stop) that each range covers here."""
    stops = [keys.position(asked.upper) if asked.upper else len(keys) for asked in ranges]
    return list(zip([0, *stops], stops, strict=False))


def _rotated(count: int, first: int) -> list[int]:
    return [*range(first, count), *range(first)]


def _scatter(session: int, count: int) -> int:
    """A number in [0, count) that neighbouring sessions spread evenly (multiplicative hashing)."""
    return (session * 0x9E3779B1 % 2**32) * count >> 32


def _settled_merged(ranges: list[Range]) -> tuple[Range, ...]:
    """Neighbouring settled ranges as one; none at the end."""
    merged: list[Range] = []
    for each in ranges:
        if merged and _is_settled(merged[-1]) and _is_settled(each):
            merged.pop()
        merged.append(each)
    if merged and _is_settled(merged[-1]):
        merged.pop()
    return tuple(merged)


def _is_settled(each: Range) -> bool:
    return each.fingerprint is None and each.ids is None and each.reply is None
