"""The console's (or JSON) view of the event log, on standard error, by structlog.

- Only what a person running a peer wants to read: links, verdicts, bytes, merges, faults. Rounds and traffic stay in
  the event log.
- structlog is loaded without rich, which it would take for tracebacks that a peer never prints: 4 MB of every peer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

if "rich" in sys.modules:
    import structlog
else:
    sys.modules["rich"] = None  # type: ignore[assignment] # an import of it fails, as if it weren't installed
    import structlog

    del sys.modules["rich"]

SHOWN: Mapping[str, tuple[str, ...]] = {
    "boot": ("name", "software"),
    "stop": ("reason",),
    "link_up": ("neighbour", "outbound"),
    "link_down": ("neighbour", "reason"),
    "invited": ("name",),
    "joined": ("name", "member", "words"),
    "published": ("plasmid_id", "version", "domain"),
    "fetch_started": ("digest", "size_bytes"),
    "fetch_done": ("digest", "wire_bytes", "wasted_bytes", "resumed_bytes"),
    "fetch_failed": ("digest", "reason"),
    "verdict": ("id", "outcome", "stage", "reason"),
    "knowledge": ("domain", "change"),
    "merge": ("base", "after", "discarded_energy"),
    "rollback": ("base", "reason"),
    "serving": ("name", "change", "server"),
    "revoked": ("target_kind", "target", "reason"),
    "penalty": ("subject", "reason"),
    "bound_hit": ("setting", "limit", "value"),
    "suppressed": ("suppressed_kind", "subject", "count"),
    "evicted": ("digest", "size_bytes", "reason"),
    "wished": ("id", "wish"),
    "repair": ("what", "subject"),
    "error": ("what", "where", "mend"),
}
"""The kinds that are shown, with their fields in order."""

_DIGITS_SHOWN = 12
_FULL_DIGITS = 64


def log_view(form: str, name: str) -> Callable[[str], None]:
    """A follower of the event log that writes to standard error; `form` is "console" or "json"."""
    renderer: Any = structlog.processors.JSONRenderer()
    if form == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    logger: Any = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False), renderer],
        peer=name,
    )

    def show(line: str) -> None:
        record = json.loads(line)
        fields = SHOWN.get(record["kind"])
        if fields is not None:
            shown = {field: _short(record.get(field)) for field in fields if record.get(field) not in ("", None)}
            logger.info(record["kind"], **shown)

    return show


def _short(value: object) -> object:
    if isinstance(value, str) and len(value) == _FULL_DIGITS:
        return value[:_DIGITS_SHOWN]
    return value
