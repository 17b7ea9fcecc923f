"""Amounts as people read them: sizes, rates, spans of time. One way to write each, wherever a person sees them.

>>> size_text(1 << 30), size_text(1536), size_text(999), size_text(0)
('1 GiB', '1.5 KiB', '999 B', '0 B')
>>> bound_text("limits.store_max", 20 << 30), bound_text("limits.upload_rate", 4 << 20), bound_text("callers", 64)
('20 GiB', '4 MiB/s', '64')
>>> rate_text(2_500_000)
'2.4 MiB/s'
>>> span_text(65_000), span_text(90_061_000), span_text(400)
('1 min 5 s', '1 d 1 h', '0 s')
>>> counted(1, "peer"), counted(2000, "peer")
('1 peer', '2,000 peers')
"""

from __future__ import annotations

_SIZES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
BYTE_BOUNDS = frozenset(
    {
        *(f"limits.{name}" for name in ("artifact_max", "disk_free_min", "events_max", "store_max")),
        *("outstanding_bytes_per_peer", "policy.artifact_bytes_max", "subscribe.size_max"),
    }
)
"""Bounds that count bytes. Those whose names end in `_rate` are bytes a second, and all others are plain numbers."""

_SPANS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def size_text(size_bytes: int) -> str:
    """Bytes in the largest unit that leaves at least 1, with one decimal where it tells something."""
    for unit, name in _SIZES:
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{size_bytes} B"


def counted(number: int, what: str) -> str:
    """So many of something whose plural ends in s."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def rate_text(bytes_s: int) -> str:
    """Bytes a second."""
    return f"{size_text(bytes_s)}/s"


def bound_text(setting: str, limit: int) -> str:
    """The value of a bound, in its own unit."""
    if setting.endswith("_rate"):
        return rate_text(limit)
    return size_text(limit) if setting in BYTE_BOUNDS else str(limit)


def span_text(span_ms: int) -> str:
    """A span of time in its two largest units."""
    left, parts = max(0, span_ms) // 1000, []
    for unit, name in _SPANS:
        if left >= unit:
            parts.append(f"{left // unit} {name}")
            left %= unit
    return " ".join(parts[:2]) or "0 s"
