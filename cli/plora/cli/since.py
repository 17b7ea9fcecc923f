"""Points in time as people type them: a while ago (`90s`, `10m`, `2h`, `1d`), a time of today, or a date and time.

>>> since_ms("10m", datetime.fromtimestamp(1000, UTC))
400000
>>> since_ms("1970-01-01T00:10Z", datetime.fromtimestamp(1000, UTC))
600000
>>> since_ms("00:05", datetime.fromtimestamp(1000, UTC))
300000
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

from plora.proto.errors import UsageError

__all__ = ["UTC", "since_ms"]

_AGO = re.compile(r"([0-9]{1,6})\s*([smhd])")
_TIME = re.compile(r"[0-9:]{3,8}")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def since_ms(text: str, now: datetime) -> int:
    """Milliseconds of wall-clock time. `now` carries the time zone that times without one are in.

    A time of day that is still to come is yesterday's. Raises UsageError for anything else.
    """
    said = text.strip()
    ago = _AGO.fullmatch(said)
    if ago:
        return _ms(now - timedelta(**{_UNITS[ago[2]]: int(ago[1])}))
    try:
        moment = _time_of_day(said, now) if _TIME.fullmatch(said) else datetime.fromisoformat(said)
    except ValueError as error:
        mend = "write 10m, 2h, 1d, 14:05, or 2026-01-31T14:05"
        raise UsageError(f"'{text}' is no point in time", where="--since", mend=mend) from error
    return _ms(moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo))


def _time_of_day(text: str, now: datetime) -> datetime:
    moment = datetime.combine(now.date(), time.fromisoformat(text), now.tzinfo)
    return moment if moment <= now else moment - timedelta(days=1)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
