"""Under the warden, in the cage that a peer closes: no thread, no process, no file but the adapter and the base."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.gate.probing.test_probe import CLEAN, POISONED

from plora.base import base_info
from plora.gate.detection.sketch import sketch_of, sketch_path
from plora.gate.probing import FIGURES
from plora.merge.peft_folder import read_spec
from plora.node.workers.pool import PROBE_LIMITS, PROBER, Worker
from plora.proto.errors import WorkerError


@pytest.mark.slow
def test_the_probe_runs_in_the_cage_on_a_folder_and_says_what_is_wrong_with_another(tmp_path: Path) -> None:
    info = base_info("mini")
    base, sketch = str(info.folder), sketch_path(info.digest, tmp_path)
    sketch_of(info.folder, info.digest, tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()

    async def ask(path: Path) -> dict[str, object]:
        request = {"path": str(path), "base": base, "seed": "00", "domain": "arithmetic", "budget_s": 0.0}
        return await worker.ask(request | {"sketch": str(sketch)}, read=[str(path), base, str(sketch)])

    async def both() -> dict[str, object]:
        try:
            with pytest.raises(WorkerError):
                await ask(empty)
            return await ask(CLEAN)
        finally:
            await worker.stop()

    worker = Worker(PROBER, 110, PROBE_LIMITS)
    reading = asyncio.run(both())["reading"]
    assert isinstance(reading, dict)
    assert set(reading["raw"]) == set(FIGURES)


def test_a_blob_is_read_by_its_signed_block_and_a_broken_request_is_answered() -> None:
    from plora.gate.probe_worker import answer

    spec = read_spec(POISONED)
    assert spec.r == 2
    assert "error" in answer('{"path": "/nowhere", "base": "/nowhere"}')
    assert "error" in answer("nonsense")
