"""When this peer looks for what its detectors need: at reloads, after a failure, when its secret has had its time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.node.driver.test_instruments import calibrated
from tests.swarm.calibrated import calibrate, probe_part

from plora.gate import Policy
from plora.node.core.events import DetectorsChanged
from plora.node.daemon.config import PeerConfig
from plora.node.daemon.detecting import Detecting
from plora.node.driver.clock import read_clocks
from plora.node.driver.instruments import Instruments
from plora.node.driver.probe_secret import ProbeSecret, current_secret
from plora.node.workers.pool import Workers
from plora.proto.home import Home
from plora.proto.records import Body, ErrorMet

PROBED, WEIGHED = Policy(probes=True, base_model="mini"), Policy(tensor_outliers=True, base_model="mini")
DAY_MS = 86_400_000


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Home(tmp_path / "h")


class Ear:
    """Hears what the core and the log are told."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[DetectorsChanged] = asyncio.Queue()
        self.notes: list[Body] = []

    def handle(self, event: DetectorsChanged) -> None:
        self.told.put_nowait(event)

    def note(self, body: Body) -> None:
        self.notes.append(body)

    async def stamps(self) -> list[str]:
        """What the core is told next."""
        event = await asyncio.wait_for(self.told.get(), 30)
        return [one.stamp for one in event.detectors]


@asynccontextmanager
async def looking(
    home: Home, policy: Policy, secret: Callable[[int], ProbeSecret], ear: Ear
) -> AsyncIterator[Detecting]:
    config = PeerConfig(name="ada", policy=policy)
    detecting = Detecting(Instruments(home, Workers(), secret, 60), lambda: config, ear, retry_s=0.01)
    try:
        yield detecting
    finally:
        await detecting.stop()


def no_secret(now_ms: int) -> ProbeSecret:
    raise AssertionError("weights need none")


async def test_a_calibration_that_came_since_counts_after_a_reload_of_unchanged_settings(home: Home) -> None:
    home.root.mkdir()
    ear = Ear()
    async with looking(home, WEIGHED, no_secret, ear) as detecting:
        assert await ear.stamps() == [""]
        assert len(ear.notes) == 1
        calibrated(home)
        detecting.look_again()
        (stamp,) = await ear.stamps()
        assert len(stamp) == 12
        detecting.look_again()  # told again, so that what failed is tried again
        assert await ear.stamps() == [stamp] and len(ear.notes) == 1


async def test_a_look_that_fails_is_made_again(home: Home) -> None:
    calibrate(home, None, probe_part())
    faults = [OSError("no space")]

    def draw(now_ms: int) -> ProbeSecret:
        if faults:
            raise faults.pop()
        return ProbeSecret(bytes(32), now_ms)

    ear = Ear()
    async with looking(home, PROBED, draw, ear):
        (stamp,) = await ear.stamps()
    (note,) = ear.notes
    assert stamp.endswith("/0") and isinstance(note, ErrorMet) and "no space" in note.what


async def test_a_secret_has_its_time_from_when_it_was_made_whenever_the_peer_started(home: Home) -> None:
    calibrate(home, None, probe_part())
    old = {"secret": "ab" * 32, "made_ms": read_clocks().wall_ms - DAY_MS + 1500, "generation": 4}
    home.probe_secret.parent.mkdir()
    home.probe_secret.write_text(json.dumps(old))
    home.probe_secret.chmod(0o600)
    ear = Ear()
    async with looking(home, PROBED, lambda now_ms: current_secret(home.probe_secret, now_ms, DAY_MS), ear):
        (first,), (second,) = await ear.stamps(), await ear.stamps()
    assert (first[-2:], second[-2:]) == ("/4", "/5")
