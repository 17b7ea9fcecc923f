"""Replay: a daemon's recorded core inputs, fed to the same core again, give the same event log, byte for byte.

    python -m plora.sim.replay RECORDING LOG...     exit code 0 if the log is what the core says, else 1

A log of several segments is given whole, in order. A recording that is full is compared with the log's beginning.

Where it differs, either the code changed or the core is not pure.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from plora.node.core.codec import from_plain
from plora.node.core.effects import Emit
from plora.node.core.ledger import Ledger
from plora.node.core.now import Now
from plora.node.core.peer import PeerCore
from plora.node.recorder import RECORDING_VERSION
from plora.proto.errors import FormatError


def replay(lines: Iterable[str]) -> Iterator[str]:
    """The lines of the event log that a recording leads to."""
    entries = (json.loads(line) for line in lines)
    header: dict[str, Any] = next(entries, {})
    if header.get("v") != RECORDING_VERSION:
        raise FormatError("not a recording of this version", mend="record it again with `record: true`")
    parts: dict[str, Any] = {name: from_plain(part) for name, part in header["core"].items()}
    core = PeerCore(**parts)
    ledger = Ledger(core.config.peer, core.config.boot)
    for entry in entries:
        if "full" in entry:
            return
        yield from _lines(core, ledger, entry)


def first_difference(expected: Iterable[str], found: Iterable[str]) -> tuple[int, str, str] | None:
    """Number (from 1) and text of the first line that differs; an absent line is empty."""
    pairs = itertools.zip_longest(expected, found, fillvalue="")
    return next(((number, ours, theirs) for number, (ours, theirs) in enumerate(pairs, 1) if ours != theirs), None)


def _lines(core: PeerCore, ledger: Ledger, entry: Mapping[str, Any]) -> Iterator[str]:
    now = Now(*entry["at"])
    for effect in core.handle(from_plain(entry["event"]), now):
        if isinstance(effect, Emit):
            yield ledger.line(effect.body, now, effect.cause)


def main(arguments: list[str]) -> int:
    """The command line; one line on standard output says how it went."""
    if len(arguments) < 2:
        sys.stderr.write("usage: python -m plora.sim.replay RECORDING LOG...\n")
        return 2
    recording, *logs = (Path(argument) for argument in arguments)
    with recording.open(encoding="utf-8") as inputs:
        records = (line for log in logs for line in log.read_text(encoding="utf-8").splitlines(keepends=True))
        replayed = list(replay(inputs))
        inputs.seek(0)
        known = len(replayed) if any('"full"' in line[:20] for line in inputs) else None
        difference = first_difference(replayed, itertools.islice(records, known))
    if difference is None:
        sys.stdout.write("the replay gives the same records\n")
        return 0
    number, ours, theirs = difference
    sys.stdout.write(f"line {number} differs\n  replayed: {ours.rstrip()}\n  logged:   {theirs.rstrip()}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
