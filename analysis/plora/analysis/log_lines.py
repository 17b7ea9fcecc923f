"""Lines of event logs, of daemons and of simulated peers alike, as far as they are sound.

Rules:

- Logs are all `*.jsonl` below a folder; those of one folder are read in the order of their names, the shorter first.
- A line is a record if it is JSON with the header of one (`plora.proto.record_lines`). Of its body only what is asked
  for here is read (`Line`), so that ten million lines take seconds. Unknown kinds are records. Kinds of which single
  records are shown (`TOLD`) are read whole.
- Everything else is left out and told: files that can't be read; lines that are torn or of another kind of file;
  records that came already, by peer, boot and number, or that came after later ones. Records that must have been there,
  for numbers have no gaps, are told as missing.
- Time is milliseconds since 1970 at a boot's first record, and monotonic from there: a clock that is set while a peer
  runs moves nothing. Clocks of different peers are believed.

Not handled here: what records mean together (`plora.analysis.logs`), compressed logs.

>>> line = b'{"boot":"b1","kind":"stop","mono_ns":7000000,"peer":"ab","reason":"done","seq":3,"wall_ms":1000}'
>>> lines = Lines()
>>> [(at, one.kind) for at, one, _ in lines.sound("peer.jsonl", [line, line, line[:40]])]
[(1000, 'stop')]
>>> lines.missing
3
>>> for one in lines.left_out(): print(one)
peer.jsonl: 1 record that came already, first in line 2
peer.jsonl: 1 line that is no record, first in line 3
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec

Sound = tuple[int, "Line", bytes]
"""When (milliseconds since 1970), what, and the line itself."""

REPEATED, LATE, UNSOUND = "record that came already", "record that came after later ones", "line that is no record"
TOLD = frozenset(
    (
        *("alarm", "boot", "certificate", "error", "evidence", "freshness", "joined", "penalty", "published"),
        *("revoked", "rollback", "rotated", "stop", "trust"),
    )
)
"""Kinds of which single records are shown."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
WallMs = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]
"""Until the year 9999, so that sums of times fit 64 bits."""


class Line(msgspec.Struct, gc=False):
    """What is read of a record: the header, and fields of bodies by the names that they have there."""

    kind: str
    peer: str
    boot: str
    seq: Count
    mono_ns: Count
    wall_ms: WallMs
    id: str = ""
    sender: str = msgspec.field(default="", name="from")
    statement_kind: str = ""
    via: str = ""
    neighbour: str = ""
    outcome: str = ""
    reason: str = ""
    target: str = ""
    name: str = ""
    plasmid_id: str = ""
    domain: str = ""
    owner: str = ""
    version: int = 0
    wire_bytes: int = 0
    wasted_bytes: int = 0
    suppressed_kind: str = ""
    count: int = 0
    sent_frames: dict[str, int] | None = None
    sent_bytes: dict[str, int] | None = None


class _Header(msgspec.Struct, gc=False):
    """Of a kind whose fields mean something else than those of `Line`."""

    kind: str
    peer: str
    boot: str
    seq: Count
    mono_ns: Count
    wall_ms: WallMs


@dataclass(slots=True)
class LeftOut:
    """So many lines of a file weren't used, and why; all of a file that can't be read, `first_line` being 0."""

    file: str
    why: str
    first_line: int
    count: int = 0

    def __str__(self) -> str:
        """One line for people."""
        if not self.first_line:
            return f"{self.file}: {self.why}"
        what = self.why if self.count == 1 else self.why.replace("record ", "records ").replace("line ", "lines ")
        what = what if self.count == 1 else what.replace("that is no record", "that are no records")
        return f"{self.file}: {self.count:,} {what}, first in line {self.first_line:,}"


@dataclass(slots=True)
class _Boot:
    """`gaps`: numbers below `last` that haven't come, the first and the last of each run of them, in order."""

    last: int
    began_ms: int
    began_ns: int
    gaps: list[tuple[int, int]] = field(default_factory=list)

    def closes_gap(self, seq: int) -> bool:
        """Whether a number hadn't come; now it has."""
        at = bisect_right(self.gaps, seq, key=lambda gap: gap[0]) - 1
        if at < 0 or self.gaps[at][1] < seq:
            return False
        low, high = self.gaps[at]
        self.gaps[at : at + 1] = [gap for gap in ((low, seq - 1), (seq + 1, high)) if gap[0] <= gap[1]]
        return True


class Lines:
    """What was read so far: `used` lines of how many `total`, and how many records are `missing` between them."""

    def __init__(self) -> None:
        self.total = self.used = self.missing = self.bytes = 0
        self._boots: dict[tuple[str, str], _Boot] = {}
        self._left: dict[tuple[str, str], LeftOut] = {}
        self._decode = msgspec.json.Decoder(Line).decode
        self._decode_header = msgspec.json.Decoder(_Header).decode

    def left_out(self) -> list[LeftOut]:
        """What wasn't used."""
        return list(self._left.values())

    def leave(self, file: str, number: int, why: str) -> None:
        """A line isn't used."""
        self._left.setdefault((file, why), LeftOut(file, why, number)).count += 1

    def sound(self, file: str, lines: Iterable[bytes]) -> Iterator[Sound]:
        """The records of a file, each once, in their order."""
        boot, key = _Boot(-1, 0, 0), ("", "")
        for number, raw in enumerate(lines, 1):
            self.total += 1
            self.bytes += len(raw)
            if (line := self._line(raw)) is None:
                self.leave(file, number, UNSOUND)
                continue
            if line.boot != key[1] or line.peer != key[0]:
                key = (line.peer, line.boot)
                boot = self._boots.setdefault(key, _Boot(-1, line.wall_ms, line.mono_ns))
            if line.seq <= boot.last:
                late = boot.closes_gap(line.seq)
                self.missing -= late
                self.leave(file, number, LATE if late else REPEATED)
                continue
            if line.seq > boot.last + 1:
                self.missing += line.seq - boot.last - 1
                boot.gaps.append((boot.last + 1, line.seq - 1))
            boot.last = line.seq
            self.used += 1
            yield boot.began_ms + (line.mono_ns - boot.began_ns) // 1_000_000, line, raw

    def _line(self, raw: bytes) -> Line | None:
        try:
            line = self._read(raw)
            if line.kind in TOLD:
                whole(raw)
        except UNREADABLE:
            return None
        return line

    def _read(self, raw: bytes) -> Line:
        try:
            return self._decode(raw)
        except UNREADABLE:
            found = self._decode_header(raw)
            return Line(found.kind, found.peer, found.boot, found.seq, found.mono_ns, found.wall_ms)


def whole(raw: bytes) -> dict[str, Any]:
    """All fields of a record. Raises `UNREADABLE` where one isn't sound, which reading some of them doesn't see."""
    return _decode_whole(raw)


_decode_whole = msgspec.json.Decoder(dict[str, Any]).decode


def log_files(folder: Path) -> list[Path]:
    """All logs below a folder, in the order in which they are read."""
    return sorted(folder.rglob("*.jsonl"), key=lambda path: (str(path.parent), len(path.name), path.name))


def sound_lines(lines: Lines, folder: Path) -> Iterator[Sound]:
    """The records of all logs below a folder."""
    for path in log_files(folder):
        name = path.relative_to(folder).as_posix()
        try:
            with path.open("rb") as file:
                yield from lines.sound(name, file)
        except OSError as error:
            lines.leave(name, 0, f"can't be read ({error.strerror})")
