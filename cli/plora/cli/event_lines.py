"""One record of the event log as one line for people: when, what, and its fields."""

from __future__ import annotations

import json
from datetime import datetime

HEADER = ("v", "peer", "boot", "seq", "mono_ns", "wall_ms", "round", "kind", "cause")


def event_line(line: str) -> str:
    """The line of a record as the log has it.

    >>> event_line('{"kind":"round","seq":3,"wall_ms":0,"neighbour":"ab"}').split()[2:]
    ['round', 'neighbour=ab']
    """
    record = json.loads(line)
    when = datetime.fromtimestamp(record["wall_ms"] / 1000).strftime("%H:%M:%S.%f")[:-3]
    seen = " ".join(f"{name}={_short(value)}" for name, value in record.items() if name not in HEADER)
    return f"{when} {record['seq']:>6} {record['kind']:<15} {seen}".rstrip()


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 24 else f"{text[:12]}…"
