"""Event logs slice by slice: what changed of verdicts, links and who is up, and over which links news came.

Rules:

- Frame 0 is before everything; frame k has what changed in slice k (`plora.analysis.log_summary.Slices`).
- Peers are numbered among those whose logs were read. Two are linked while both say so; a boot begins without links.
- A peer is up from a boot's first record until it stops. One that was killed is up until its next boot: its log can't
  tell.

>>> flat([(1, 2), (3, 4)])
[1, 2, 3, 4]
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from plora.analysis.log_summary import Rows, Slices, states
from plora.analysis.logs import NOBODY, Gathered

LINES_MAX = 12


@dataclass(slots=True)
class Frame:
    """What changed; links are pairs, the smaller first; `lines`: records that tell people something, `untold` more."""

    verdicts: list[int] = field(default_factory=list)
    linked: list[tuple[int, int]] = field(default_factory=list)
    unlinked: list[tuple[int, int]] = field(default_factory=list)
    moved: list[tuple[int, int]] = field(default_factory=list)
    up: list[int] = field(default_factory=list)
    down: list[int] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    untold: int = 0


def frames_of(gathered: Gathered, slices: Slices) -> list[Frame]:
    """All frames."""
    place = {peer: number for number, peer in enumerate(gathered.own)}
    frames = [Frame() for _ in range(slices.count + 1)]
    for frame, state in zip(frames[1:], states(gathered, slices), strict=True):
        frame.verdicts = flat(
            (place[peer], content, out) for peer, content, out in state.changed.tolist() if peer in place
        )
    for frame, rows in zip(frames[1:], slices.of(gathered.seen.rows(), 3), strict=True):
        pairs = {(sender, peer) for _, peer, sender, _ in rows.tolist() if sender != NOBODY}
        frame.moved = sorted({_pair(place[a], place[b]) for a, b in pairs if a in place and b in place})
    _link(frames, gathered, slices, place)
    _tell(frames, gathered, slices)
    return frames


def flat(rows: Iterable[Sequence[int]]) -> list[int]:
    """One after the other."""
    return [value for row in rows for value in row]


def _pair(a: int, b: int) -> tuple[int, int]:
    return (min(a, b), max(a, b))


def _link(frames: Sequence[Frame], gathered: Gathered, slices: Slices, place: Mapping[int, int]) -> None:
    """Links and boots in the order of time, a peer's boot before what it then says of links."""
    counts: Counter[tuple[int, int]] = Counter()
    near: dict[int, set[int]] = defaultdict(set)
    linked: set[tuple[int, int]] = set()
    for frame, rows in zip(frames[1:], slices.of(_changes(gathered), 3), strict=True):
        before, touched, is_up = set(linked), set(), {}
        for peer, other, change, _ in rows.tolist():
            if other == NOBODY:
                is_up[peer] = change > 0
                touched |= {_pair(peer, one) for one in near[peer]}
                for one in near.pop(peer, set()):
                    del counts[peer, one]
            else:
                counts[peer, other] += change
                near[peer].add(other)
                touched.add(_pair(peer, other))
        for a, b in touched:
            (linked.add if counts[a, b] > 0 and counts[b, a] > 0 else linked.discard)((a, b))
        frame.linked, frame.unlinked = (_placed(place, links) for links in (linked - before, before - linked))
        frame.up = sorted(place[peer] for peer, up in is_up.items() if up)
        frame.down = sorted(place[peer] for peer, up in is_up.items() if not up)


def _changes(gathered: Gathered) -> Rows:
    """Links, and boots as links to `NOBODY`."""
    boots = [(peer, NOBODY, 1 if begins else -1, at) for at, peer, begins in gathered.stops]
    return np.concatenate((np.array(boots, np.int64).reshape(-1, 4), gathered.links.rows()))


def _placed(place: Mapping[int, int], links: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    return sorted(_pair(place[a], place[b]) for a, b in links if a in place and b in place)


def _tell(frames: Sequence[Frame], gathered: Gathered, slices: Slices) -> None:
    """The newest records of each slice."""
    told = sorted(gathered.told)
    at = np.searchsorted(slices.edges(), [when for when, _, _ in told])
    for number, (_, _, raw) in zip(at.tolist(), told, strict=True):
        frame = frames[min(number, slices.count - 1) + 1]
        frame.lines.append(raw)
    for frame in frames:
        frame.untold = max(0, len(frame.lines) - LINES_MAX)
        frame.lines = frame.lines[-LINES_MAX:]


def links_over_time(frames: Iterable[Frame]) -> Iterator[tuple[int, int]]:
    """All pairs that were ever linked."""
    yield from sorted({link for frame in frames for link in frame.linked})
