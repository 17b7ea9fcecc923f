"""A finished run, read again from its folder: who knew what after each round, who was linked, what happened.

Rules:

- Everything comes from `report.json`, `truth.json` and the event logs in `logs`; a run without logs (the fleet's) has
  no frames, and no peers to be seen.
- Frame 0 is the state when round 1 begins; frame k says what changed until round k had passed.
- Peers are numbered as their logs are; two are linked while both say so and both are up. A peer is down from its
  `stop`, or the last record of a boot, to the next boot's first. Silence for `SILENT_ROUNDS` of a peer that still had
  links is down, too, since each of its rounds would be a record; one that had none has nothing to say.

Not handled here: pictures (`picture`), the page (`page`), the terminal (`plora sim --trace`).
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plora.proto import records
from plora.proto.errors import UsageError
from plora.proto.record_lines import record_from_line
from plora.sim.event_log import log_files
from plora.sim.plans import planned
from plora.sim.scenario import Scenario
from plora.sim.tally import Tally, take
from plora.sim.truth import Truth, from_plain

REPORT_FILE, TRUTH_FILE, LOGS_FOLDER = "report.json", "truth.json", "logs"
SILENT_ROUNDS = 3
ALARMS_MAX = 3
LINES_MAX = 12
"""Of a frame: the newest records that tell a person something, those of what happens all the time only if there is
room."""

_KIND = re.compile(r'"kind":"(\w+)","mono_ns":(\d+)')
_JUDGING = frozenset({"verdict", "revoked", "superseded", "expired"})
_STEPS = frozenset({"statement_seen", "fetch_started", "fetch_done", "examined", "inspected", "stage", "vote"})
"""Each is a step to a verdict, which is told itself."""

_UNTOLD = records.QUIET | _STEPS | {"link_up", "neighbours", "merge", "reputation"}
_USUAL = re.compile(r'"kind":"(knowledge|merge_probed)"|"outcome":"accept"')


@dataclass(slots=True)
class Frame:
    """What changed in a round.

    `verdicts`: (peer, adapter, index into `outcomes.OUTCOMES` or -1 for none any more). Links are pairs of numbers, the
    smaller first; over those that `moved` new statements came. `lines`: records as the logs have them, the oldest
    first; `untold` more were left out. `planned`: what the scenario did to peers, in words.
    """

    number: int
    verdicts: list[tuple[int, int, int]] = field(default_factory=list)
    linked: list[tuple[int, int]] = field(default_factory=list)
    unlinked: list[tuple[int, int]] = field(default_factory=list)
    moved: list[tuple[int, int]] = field(default_factory=list)
    up: list[int] = field(default_factory=list)
    down: list[int] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    untold: int = 0
    planned: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Trace:
    """A run. `peers` is how many there are, none where no logs were kept; `numbers` are theirs by id, or ids: whoever
    comes back under a new name is the same one here."""

    report: Mapping[str, Any]
    truth: tuple[Truth, ...]
    peers: int = 0
    numbers: Mapping[str, int] = field(default_factory=dict)
    frames: tuple[Frame, ...] = ()

    @property
    def liars(self) -> dict[int, str]:
        """What those are called who break rules, by number."""
        return {one["peer"]: one["kind"] for one in self.report.get("adversaries", ())}

    @property
    def alarms(self) -> list[str]:
        """What a run must not have, the first of it: invariants that broke, an end that the scenario didn't expect."""
        said = [f"not as expected: {one}" for one in self.report.get("unexpected", ())]
        said += [f"an invariant broke: {one}" for one in self.report.get("broken", ())]
        return said[:ALARMS_MAX] + ([f"and {len(said) - ALARMS_MAX} more"] if len(said) > ALARMS_MAX else [])


def read_report(folder: Path) -> dict[str, Any]:
    """The report of a run; `UsageError` where the folder has none."""
    return dict(_json(folder / REPORT_FILE))


def read_trace(folder: Path) -> Trace:
    """All of a run; `UsageError` where the folder has no report."""
    report = read_report(folder)
    truth = tuple(from_plain(_json(folder / TRUTH_FILE)))
    logs = log_files(folder / LOGS_FOLDER)
    if not logs or "clock" not in report:
        return Trace(report, truth)
    reader = _Reader(report, truth)
    for number, path in enumerate(logs):
        with path.open(encoding="utf-8") as lines:
            reader.read(number, lines)
    return Trace(report, truth, len(logs), reader.numbers, reader.frames())


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        mend = "name the report folder of a `plora sim --report-dir`"
        raise UsageError(f"no run of a simulation: {error}", where=str(path), mend=mend) from None


class _Reader:
    """Takes logs peer by peer."""

    def __init__(self, report: Mapping[str, Any], truth: tuple[Truth, ...]) -> None:
        self._begin_ns: int = report["clock"]["begin_ns"]
        self._round_ns: int = report["clock"]["round_ns"]
        self._rounds = len(report["rounds"])
        self._scenario = Scenario.parse(report["scenario"])
        self._frames = [Frame(number) for number in range(self._rounds + 1)]
        self._truth = truth
        self._lines: list[list[tuple[int, int, str]]] = [[] for _ in self._frames]
        self._links: list[Mapping[str, list[tuple[int, int]]]] = []
        self._heard: list[list[tuple[str, int]]] = [[] for _ in self._frames]
        self.numbers: dict[str, int] = {}

    def read(self, number: int, lines: Iterator[str]) -> None:
        """The whole log of one peer."""
        one = _Peer(self._truth)
        for line in lines:
            if (found := _KIND.search(line)) is not None:
                at = self._frame_at(int(found[2]))
                one.take(at, found[1], line)
                if at <= self._rounds and _tells(found[1], line):
                    self._lines[at].append((int(found[2]), number, line))
        one.end(self._rounds)
        self.numbers |= dict.fromkeys(one.ids, number)
        self._links.append(one.links)
        for at, sender in one.heard:
            if at <= self._rounds:
                self._heard[at].append((sender, number))
        for at, adapter, outcome in one.verdicts:
            if at <= self._rounds:
                self._frames[at].verdicts.append((number, adapter, outcome))
        for at, is_up in one.states(self._rounds):
            (self._frames[at].up if is_up else self._frames[at].down).append(number)

    def frames(self) -> tuple[Frame, ...]:
        """All frames, when all logs were read."""
        claims = self._claims()
        for pair in sorted(claims):
            if pair[0] < pair[1]:
                self._pair(pair, claims[pair], claims.get((pair[1], pair[0]), []))
        for round_, words in planned(self._scenario):
            if round_ < self._rounds:
                self._frames[int(round_) + 1].planned.append(words)
        for frame, lines, heard in zip(self._frames, self._lines, self._heard, strict=True):
            if frame.number:
                frame.lines, frame.untold = _told(lines), max(0, len(lines) - LINES_MAX)
            frame.linked.sort()
            frame.unlinked.sort()
            ways = {(self.numbers[sender], hearer) for sender, hearer in heard if sender in self.numbers}
            frame.moved = sorted({(min(way), max(way)) for way in ways})
        return tuple(self._frames)

    def _frame_at(self, mono_ns: int) -> int:
        """Round k lasts from just after k - 1 rounds since the beginning to k of them."""
        return max(0, -(-(mono_ns - self._begin_ns) // self._round_ns))

    def _claims(self) -> dict[tuple[int, int], list[list[tuple[int, int]]]]:
        """What each peer says of its links with another, under each name that the other had."""
        claims: dict[tuple[int, int], list[list[tuple[int, int]]]] = defaultdict(list)
        for number, links in enumerate(self._links):
            for other, changes in links.items():
                if other in self.numbers:
                    claims[number, self.numbers[other]].append(changes)
        return claims

    def _pair(
        self, pair: tuple[int, int], mine: list[list[tuple[int, int]]], theirs: list[list[tuple[int, int]]]
    ) -> None:
        linked = False
        for frame in self._frames:
            now = all(any(_last(one, frame.number) > 0 for one in side) for side in (mine, theirs))
            if now != linked:
                (frame.linked if now else frame.unlinked).append(pair)
            linked = now


class _Peer:
    """What one peer's log says: all by the number of the frame."""

    def __init__(self, truth: tuple[Truth, ...]) -> None:
        self.id = ""
        self.ids: list[str] = []
        self.verdicts: list[tuple[int, int, int]] = []
        self.links: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.heard: list[tuple[int, str]] = []
        self._tally, self._truth = Tally((), truth), truth
        self._before = self._tally.verdicts
        self._counts: Counter[str] = Counter()
        self._ups: list[tuple[int, bool]] = []
        self._boot = ""
        self._last = self._at = 0

    def take(self, at: int, kind: str, line: str) -> None:
        """One line of the log."""
        if at != self._at:
            self._judge()
            self._at = at
        boot = _boot(line)
        if boot != self._boot:
            self._restart(at, boot, line)
        self._last = at
        if kind == records.Stop.kind:
            self._ups.append((at, False))
        elif kind in (records.LinkUp.kind, records.LinkDown.kind):
            self._link(at, json.loads(line)["neighbour"], 1 if kind == records.LinkUp.kind else -1)
        elif kind == records.StatementSeen.kind:
            sender = json.loads(line)["from"]
            if sender not in self.ids:  # what it published itself came from nowhere
                self.heard.append((at, sender))
        elif kind in _JUDGING:
            take(self._tally, record_from_line(line), self.id)

    def end(self, rounds: int) -> None:
        """There are no more lines."""
        self._judge()
        if rounds - self._last >= SILENT_ROUNDS and any(count > 0 for count in self._counts.values()):
            self._fall(self._last + 1)

    def states(self, rounds: int) -> Iterator[tuple[int, bool]]:
        """The frames in which it came up or went down."""
        by_frame = dict(self._ups)
        is_up = False
        for at in range(rounds + 1):
            now = by_frame.get(at, is_up)
            if now != is_up:
                yield at, now
            is_up = now

    def _restart(self, at: int, boot: str, line: str) -> None:
        name = json.loads(line)["peer"]
        if name not in self.ids:
            self.ids.append(name)
        if not self._boot:
            self.id = name
            self._tally = Tally((self.id,), self._truth)
            self._before = self._tally.verdicts.copy()
        elif at > self._last + 1:
            self._fall(self._last + 1)
        self._boot = boot
        for neighbour in self._counts:
            self.links[neighbour].append((at, 0))
        self._counts.clear()
        self._ups.append((at, True))

    def _fall(self, at: int) -> None:
        self._ups.append((at, False))
        for neighbour in self._counts:
            self.links[neighbour].append((at, 0))

    def _link(self, at: int, neighbour: str, change: int) -> None:
        self._counts[neighbour] += change
        self.links[neighbour].append((at, self._counts[neighbour]))

    def _judge(self) -> None:
        """Put down what changed while frame `_at` lasted."""
        after = self._tally.verdicts
        for _, adapter in zip(*(after != self._before).nonzero(), strict=True):
            self.verdicts.append((self._at, int(adapter), int(after[0, adapter])))
        self._before = after.copy()


def _boot(line: str) -> str:
    """The boot in a line, whose keys are sorted."""
    place = line.find('"boot":"') + 8
    return line[place : line.find('"', place)]


def _tells(kind: str, line: str) -> bool:
    """Whether a person would be told; what is being waited for and what wasn't probed say little."""
    return kind not in _UNTOLD and not any(f'"outcome":"{one}"' in line for one in ("pending", "unprobed"))


def _told(lines: list[tuple[int, int, str]]) -> list[str]:
    """Of the lines (when, who, record) of a frame those to be told, in their order."""
    by_worth = sorted(lines, key=lambda one: (_USUAL.search(one[2]) is None, *one))
    return [line for _, _, line in sorted(by_worth[-LINES_MAX:])]


def _last(changes: list[tuple[int, int]], frame: int) -> int:
    """The last value at or before a frame."""
    return next((value for at, value in reversed(changes) if at <= frame), 0)
