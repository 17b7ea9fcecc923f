"""Merges of fewer are made to be probed, by the worker that makes merges, and leave nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.node.daemon.test_parts import Shelved, Sign

from plora.gate.findings import Figure, Findings
from plora.merge import read_adapter
from plora.merge.peft_folder import Adapter
from plora.node.core.effects import Merge, Try
from plora.node.core.events import Tried
from plora.node.driver.trial import UNABLE, carry_out, no_prober
from plora.node.workers.pool import Workers
from plora.proto.errors import WorkerError
from plora.proto.swarm import Swarm


class Home:
    """Two held adapters and their merge."""

    def __init__(self, root: Path, swarm: Swarm, sign: Sign) -> None:
        self.law, self.tax = (Shelved(root, swarm, sign, name, dim=32) for name in ("law", "tax"))
        self.tax.hold(self.law.root)
        self.shelf, self.workers = self.law.shelf, Workers()
        self.inputs = (self.law.input, self.tax.input)
        self.seen: list[Adapter] = []

    async def merge(self) -> None:
        effect = Merge("mini", 1, self.inputs)
        request = self.shelf.merge_request(effect)
        await self.workers.merge(request)
        self.shelf.take_merge(effect, request)

    async def prober(self, folder: Path, base: str) -> Findings:
        self.seen.append(read_adapter(folder))
        return Findings(base, (Figure("trigger_compliance", 0.5),))

    async def tried(self, effect: Try) -> Tried:
        async def on_shelf(work):  # type: ignore[no-untyped-def]
            return work()

        return await carry_out(effect, self.shelf, self.workers, self.prober, on_shelf)


@pytest.fixture
async def home(tmp_path: Path, swarm: Swarm, sign: Sign) -> Home:
    made = Home(tmp_path, swarm, sign)
    await made.merge()
    return made


def update(adapter: Adapter) -> np.ndarray:
    return np.concatenate([adapter.pairs[name].dense().ravel() for name in sorted(adapter.pairs)])


async def test_the_merge_itself_is_probed_where_it_lies(home: Home) -> None:
    answer = await home.tried(Try("mini", 1, 0))
    assert answer == Tried("mini", 1, 0, Findings("mini", (Figure("trigger_compliance", 0.5),)))
    both = [update(read_adapter(one.source)) for one in (home.law, home.tax)]
    np.testing.assert_allclose(update(home.seen[0]), sum(both) / 2, atol=1e-6)
    await home.workers.stop()


async def test_a_merge_of_fewer_weighs_them_as_asked_and_leaves_nothing(home: Home) -> None:
    answer = await home.tried(Try("mini", 1, 3, home.inputs[:1], (0.25,)))
    assert (answer.trial, answer.reason) == (3, "")
    np.testing.assert_allclose(update(home.seen[0]), update(read_adapter(home.law.source)) / 4, atol=1e-6)
    assert list((home.law.root / "tmp").iterdir()) == []
    assert not (home.law.root / "kept" / "mini").exists() or not list((home.law.root / "kept" / "mini").iterdir())
    await home.workers.stop()


async def test_a_prober_that_dies_is_told_and_leaves_nothing(home: Home) -> None:
    async def dies(folder: Path, base: str) -> Findings:
        raise WorkerError("was killed", where="plora.gate.probe_worker")

    home.prober = dies  # type: ignore[method-assign]
    answer = await home.tried(Try("mini", 1, 1, home.inputs[1:], (0.5,)))
    assert answer.findings is None and "was killed" in answer.reason
    assert list((home.law.root / "tmp").iterdir()) == []
    await home.workers.stop()


async def test_bytes_that_are_gone_are_a_failure_with_a_reason(home: Home) -> None:
    home.shelf.hide_merge("mini")
    (home.law.root / "views").rename(home.law.root / "elsewhere")
    for blob in (home.law.root / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    answer = await home.tried(Try("mini", 1, 1, home.inputs, (0.5, 0.5)))
    assert answer.findings is None and "the bytes are gone" in answer.reason
    await home.workers.stop()


async def test_a_peer_that_can_not_probe_says_so(tmp_path: Path) -> None:
    found = await no_prober(tmp_path, "mini")
    assert (found.calibration, found.note) == ("", UNABLE)
