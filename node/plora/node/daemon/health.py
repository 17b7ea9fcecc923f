"""How the daemon itself does: loop lag for the core's failure detection, its pace, health and wire records a minute."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

from plora.node.core.events import LoopLag
from plora.node.driver.driver import Driver
from plora.node.transport.pace import Pace
from plora.node.transport.traffic import Traffic
from plora.proto.records import Health as HealthRecord
from plora.proto.records import Wire

SAMPLE_S = 0.5
PACE_S = 5.0
RECORD_S = 60.0
LAG_MS_TOLD = 50


class Health:
    """Samples on the event loop from construction to `stop`; each lag in seconds is told to `on_lag`."""

    def __init__(self, driver: Driver, traffic: Traffic, on_lag: Callable[[float], None] = lambda lag_s: None) -> None:
        self._driver = driver
        self._on_lag = on_lag
        self._traffic = traffic
        self._loop = asyncio.get_running_loop()
        self._lags: deque[float] = deque(maxlen=int(RECORD_S / SAMPLE_S))
        self._told_ms = 0
        self._pace = Pace(PACE_S)
        self._pace.note(self._loop.time(), *self._totals())
        self._before: tuple[Counter[str], ...] = self._counters()
        self._next_sample = self._expect()
        self._next_record = self._loop.call_later(RECORD_S, self._record)

    @property
    def bytes_per_second(self) -> tuple[int, ...]:
        """Bytes sent and received a second, over the last few seconds."""
        return self._pace.per_second

    def stop(self) -> None:
        """End it."""
        self._next_sample.cancel()
        self._next_record.cancel()

    def _expect(self) -> asyncio.TimerHandle:
        due_s = self._loop.time() + SAMPLE_S
        return self._loop.call_at(due_s, self._sample, due_s)

    def _sample(self, due_s: float) -> None:
        lag_ms = max(0.0, (self._loop.time() - due_s) * 1000)
        self._lags.append(lag_ms)
        self._on_lag(lag_ms / 1000)
        told_ms = int(lag_ms) if lag_ms >= LAG_MS_TOLD else 0
        if told_ms or self._told_ms:
            self._driver.handle(LoopLag(told_ms))
        self._told_ms = told_ms
        self._pace.note(self._loop.time(), *self._totals())
        self._next_sample = self._expect()

    def _record(self) -> None:
        lags = sorted(self._lags)
        p99 = lags[int(0.99 * (len(lags) - 1))] if lags else 0.0
        self._driver.note(HealthRecord(round(p99, 3), rss_bytes(), _open_files()))
        now = self._counters()
        spans = [dict(new - old) for new, old in zip(now, self._before, strict=True)]
        self._driver.note(Wire(int(RECORD_S * 1000), *spans))
        self._before = now
        self._next_record = self._loop.call_later(RECORD_S, self._record)

    def _totals(self) -> tuple[int, int]:
        return self._traffic.sent_bytes.total(), self._traffic.received_bytes.total()

    def _counters(self) -> tuple[Counter[str], ...]:
        traffic = self._traffic
        counters = (traffic.sent_frames, traffic.sent_bytes, traffic.received_frames, traffic.received_bytes)
        return tuple(Counter(one) for one in counters)


def rss_bytes() -> int:
    """Resident memory now where the system says so, else its peak."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _open_files() -> int:
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 0
