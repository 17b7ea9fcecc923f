"""Event logs of many peers, gathered into arrays: who knew, judged, linked and heard what, and when.

Rules:

- Peers are numbered as they are met, those of other peers' records too; `own` says whose log was read.
- Contents are manifests' ids; `plasmids` says what was published about each. What is clean and what a trojan no peer
  knows: a simulation's `truth.json` in the folder or above it says so.
- An event is a few numbers in arrays, 30 bytes or so; most kinds are only counted.

Not handled here: figures (`plora.analysis.log_summary`), lines (`plora.analysis.log_lines`).

>>> gathered = Gathered()
>>> gathered.take(1000, Line("verdict", "ab", "b1", 0, 0, 1000, id="cd", outcome="accept"))
>>> gathered.verdicts.rows().tolist()
[[0, 0, 0, 0, 1000]]
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from heapq import heappush, heappushpop
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from plora.analysis.log_lines import TOLD, UNREADABLE, Line, Lines, sound_lines

NOBODY = -1
_OUTCOME = {"accept": 0, "quarantine": 1, "pending": 2, "defer": 2, "reject": 3}
TOLD_MAX = 20_000
TRUTH_FILE = "truth.json"


class Table:
    """Rows of whole numbers that only grow."""

    __slots__ = ("_values", "add", "width")

    def __init__(self, width: int) -> None:
        self._values, self.width = array("q"), width
        self.add = self._values.extend

    def rows(self) -> NDArray[np.int64]:
        """(rows, width), a copy."""
        return np.array(self._values, dtype=np.int64).reshape(-1, self.width)


class Numbers(dict[str, int]):
    """Names by the order in which they were met."""

    def __missing__(self, name: str) -> int:
        self[name] = len(self)
        return self[name]


@dataclass(frozen=True, slots=True)
class Plasmid:
    """What is known of a content. `kind` is "" where nobody said: peers don't know it."""

    name: str = ""
    version: int = 0
    domain: str = ""
    owner: str = ""
    kind: str = ""

    @property
    def trojan(self) -> bool:
        """Whether it is known to be one."""
        return self.kind not in ("", "clean")


@dataclass
class Gathered:
    """What logs say together.

    `verdicts`: peer, content, index into `OUTCOMES` or -1 for none any more, reason, ms. `seen`: content, peer, sender
    or `NOBODY`, ms. `links`: peer, neighbour, 1 or -1, ms. `spans`: of each peer first and last record, ms.
    `stops`: ms, peer, and whether a boot began (else it ended in good order). `told`: ms, how many came before, and the
    line, as a heap of the newest; `untold` older ones aren't there.
    """

    peers: Numbers = field(default_factory=Numbers)
    contents: Numbers = field(default_factory=Numbers)
    reasons: Numbers = field(default_factory=Numbers)
    plasmids: dict[int, Plasmid] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    traffic: Counter[str] = field(default_factory=Counter)
    spans: dict[int, list[int]] = field(default_factory=dict)
    stops: list[tuple[int, int, bool]] = field(default_factory=list)
    verdicts: Table = field(default_factory=lambda: Table(5))
    seen: Table = field(default_factory=lambda: Table(4))
    links: Table = field(default_factory=lambda: Table(4))
    told: list[tuple[int, int, bytes]] = field(default_factory=list)
    untold: int = 0
    lines: Lines = field(default_factory=Lines)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._boot: tuple[str, str] = ("", "")
        self._boots: set[tuple[str, str]] = set()
        self._take: dict[str, Callable[[int, int, Line], None]] = {
            "boot": lambda row, at, line: self.names.__setitem__(row, line.name),
            "stop": lambda row, at, line: self.stops.append((at, row, False)),
            "published": self._published,
            "statement_seen": self._seen,
            "duplicate": lambda row, at, line: self._useless(1),
            "suppressed": lambda row, at, line: self._useless(line.count * (line.suppressed_kind == "duplicate")),
            "verdict": self._judged,
            "revoked": lambda row, at, line: self._gone(row, at, line.target),
            "superseded": lambda row, at, line: self._gone(row, at, line.id),
            "expired": lambda row, at, line: self._gone(row, at, line.id),
            "link_up": lambda row, at, line: self.links.add((row, self.peers[line.neighbour], 1, at)),
            "link_down": lambda row, at, line: self.links.add((row, self.peers[line.neighbour], -1, at)),
            "fetch_done": self._fetched,
            "wire": self._sent,
        }

    @property
    def own(self) -> list[int]:
        """The peers whose logs were read."""
        return sorted(self.spans)

    def take(self, at: int, line: Line, raw: bytes = b"") -> None:
        """One record, after those that its peer wrote before, and as it stands in the log."""
        row, kind = self.peers[line.peer], line.kind
        if (span := self.spans.get(row)) is None:
            span = self.spans[row] = [at, at]
        if (line.peer, line.boot) != self._boot:
            self._boot = (line.peer, line.boot)
            if self._boot not in self._boots:
                self._boots.add(self._boot)
                self.stops.append((at, row, True))
        if at > span[1]:
            span[1] = at
        elif at < span[0]:
            span[0] = at
        self.kinds[kind] += 1
        if (take := self._take.get(kind)) is not None:
            take(row, at, line)
        if kind in TOLD:
            self._tell(at, raw)

    def _tell(self, at: int, raw: bytes) -> None:
        one = (at, len(self.told) + self.untold, raw)
        if len(self.told) < TOLD_MAX:
            heappush(self.told, one)
        else:
            heappushpop(self.told, one)
            self.untold += 1

    def _published(self, row: int, at: int, line: Line) -> None:
        number = self.contents[line.id]
        kind = self.plasmids.get(number, Plasmid()).kind
        self.plasmids[number] = Plasmid(line.plasmid_id, line.version, line.domain, line.owner, kind)
        self.seen.add((number, row, NOBODY, at))

    def _seen(self, row: int, at: int, line: Line) -> None:
        published = line.via == "publish" or not line.sender
        self.traffic["heard"] += not published
        if line.statement_kind == "manifest":
            sender = NOBODY if published else self.peers[line.sender]
            self.seen.add((self.contents[line.id], row, sender, at))

    def _useless(self, count: int) -> None:
        self.traffic["heard"] += count
        self.traffic["useless"] += count

    def _judged(self, row: int, at: int, line: Line) -> None:
        outcome = _OUTCOME.get(line.outcome)
        if outcome is not None:
            self.verdicts.add((row, self.contents[line.id], outcome, self.reasons[line.reason], at))

    def _gone(self, row: int, at: int, content: str) -> None:
        if content in self.contents:
            self.verdicts.add((row, self.contents[content], -1, self.reasons[""], at))

    def _fetched(self, row: int, at: int, line: Line) -> None:
        self.traffic["fetched"] += 1
        self.traffic["fetched_bytes"] += line.wire_bytes
        self.traffic["wasted_bytes"] += line.wasted_bytes

    def _sent(self, row: int, at: int, line: Line) -> None:
        self.traffic["sent_frames"] += sum((line.sent_frames or {}).values())
        self.traffic["sent_bytes"] += sum((line.sent_bytes or {}).values())


def gather(folder: Path) -> Gathered:
    """All that the logs below a folder say."""
    found, folder = Gathered(), folder.resolve()
    for at, line, raw in sound_lines(found.lines, folder):
        found.take(at, line, raw)
    if found.untold:
        found.notes.append(f"of records that are shown one by one, {found.untold:,} older ones are only counted")
    for place in (folder, folder.parent):
        if (place / TRUTH_FILE).is_file():
            _learn_truth(found, place / TRUTH_FILE)
            break
    return found


class _Truth(msgspec.Struct):
    content: str
    plasmid: str
    domain: str
    owner: str
    kind: str


def _learn_truth(found: Gathered, path: Path) -> None:
    try:
        told = msgspec.json.decode(path.read_bytes(), type=list[_Truth])
    except (OSError, *UNREADABLE) as error:
        found.notes.append(f"{path.name} can't be read, so nothing is known of trojans: {error!r}")
        return
    for one in told:
        if one.content in found.contents:
            number = found.contents[one.content]
            known = found.plasmids.get(number, Plasmid(one.plasmid, 0, one.domain, one.owner))
            found.plasmids[number] = replace(known, kind=one.kind)
