"""Lines of event logs, of daemons and of simulated peers alike, as far as they are sound.

Rules:

- Logs are all `*.jsonl` below a folder; those of one folder are read in the order of their names, the shorter first.
- A line is a record if it is JSON with the header of one (`plora.proto.record_lines`). Of its body only what is asked
  for here is read (`Line`), so that ten million lines take seconds. Unknown kinds are records.
- Everything else is left out and told: lines that are torn or of another kind of file, records that came already, by
  peer, boot and number. Records that must have been there, for numbers have no gaps, are told as missing.
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

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

Sound = tuple[int, "Line", bytes]
"""When (milliseconds since 1970), what, and the line itself."""

REPEATED, UNSOUND = "record that came already", "line that is no record"


class Line(msgspec.Struct, gc=False):
    """What is read of a record: the header, and fields of bodies by the names that they have there."""

    kind: str
    peer: str
    boot: str
    seq: int
    mono_ns: int
    wall_ms: int
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
    seq: int
    mono_ns: int
    wall_ms: int


@dataclass(slots=True)
class LeftOut:
    """So many lines of a file weren't used, and why."""

    file: str
    why: str
    first_line: int
    count: int = 0

    def __str__(self) -> str:
        """One line for people."""
        what = self.why if self.count == 1 else self.why.replace("record ", "records ").replace("line ", "lines ")
        what = what if self.count == 1 else what.replace("that is no record", "that are no records")
        return f"{self.file}: {self.count:,} {what}, first in line {self.first_line:,}"


@dataclass(slots=True)
class _Boot:
    last: int
    began_ms: int
    began_ns: int


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
            try:
                line = self._decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError):
                known = self._header(raw)
                if known is None:
                    self.leave(file, number, UNSOUND)
                    continue
                line = known
            if line.boot != key[1] or line.peer != key[0]:
                key = (line.peer, line.boot)
                boot = self._boots.setdefault(key, _Boot(-1, line.wall_ms, line.mono_ns))
            if line.seq <= boot.last:
                self.leave(file, number, REPEATED)
                continue
            self.missing += line.seq - boot.last - 1
            boot.last = line.seq
            self.used += 1
            yield boot.began_ms + (line.mono_ns - boot.began_ns) // 1_000_000, line, raw

    def _header(self, raw: bytes) -> Line | None:
        try:
            found = self._decode_header(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return Line(found.kind, found.peer, found.boot, found.seq, found.mono_ns, found.wall_ms)


def log_files(folder: Path) -> list[Path]:
    """All logs below a folder, in the order in which they are read."""
    return sorted(folder.rglob("*.jsonl"), key=lambda path: (str(path.parent), len(path.name), path.name))


def sound_lines(lines: Lines, folder: Path) -> Iterator[Sound]:
    """The records of all logs below a folder."""
    for path in log_files(folder):
        with path.open("rb") as file:
            yield from lines.sound(path.relative_to(folder).as_posix(), file)
