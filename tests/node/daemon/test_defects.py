"""Whatever goes wrong in the background is answered: nothing waits for ever, and nobody else is blamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from plora.gate import Features
from plora.node.core.effects import Effect, Emit, Examine, Expose, FinishBlob, Merge, MergeInput, Persist, StoreChunk
from plora.node.core.events import (
    BlobFailed,
    ChunkRefused,
    Event,
    Examined,
    Merged,
    Noted,
    Persisted,
    PersistFailed,
    TimerDue,
)
from plora.node.core.ledger import Ledger
from plora.node.core.now import Now
from plora.node.driver.clock import read_clocks
from plora.node.driver.driver import Driver
from plora.node.driver.shelf import Shelf
from plora.node.eventlog import EventLog
from plora.node.store.disk import Put, RowOp
from plora.node.store.rows import held_row
from plora.node.store.store import Store
from plora.node.workers.pool import Workers
from plora.proto.records import ErrorMet
from plora.sim.disk import SimDisk
from plora.sim.material import make_owner, make_plasmid, tiny_adapter

DIGEST = "ab" * 32


class Defective(Workers):
    """Workers with a defect of their own."""

    async def examine(self, path: str, source: str = "") -> tuple[Features, float]:
        raise KeyError("examine")

    async def merge(self, request: Mapping[str, Any]) -> dict[str, Any]:
        raise KeyError("merge")


class DefectiveStore(Store):
    """A store with defects."""

    def store_chunk(self, chunk: StoreChunk) -> Any:
        raise KeyError("store_chunk")

    def finish_blob(self, blob: FinishBlob) -> Any:
        raise KeyError("finish_blob")


class DefectiveDisk(SimDisk):
    """A disk whose transactions fail as no disk does."""

    def transact(self, rows: Any) -> None:
        raise KeyError("transact")


@dataclass
class Asking:
    """A core that asks for what it is told to, and remembers the answers."""

    effects: list[Effect] = field(default_factory=list)
    heard: list[Event] = field(default_factory=list)

    def handle(self, event: Event, now: Now) -> list[Effect]:
        if isinstance(event, Noted):
            return [Emit(event.body)]
        self.heard.append(event)
        return self.effects if isinstance(event, TimerDue) else []


Asked = Callable[..., Any]


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    """`await asked(effect)`: the events that answer it, and the errors that were recorded meanwhile."""
    core = Asking()
    log = EventLog(tmp_path / "events", Ledger("ab" * 32, "cd" * 16), read_clocks(), "cd" * 16)
    lines: list[str] = []
    log.follow(lines.append)
    driver = Driver(
        core,
        home=tmp_path,
        store=DefectiveStore(DefectiveDisk()),
        shelf=Shelf(tmp_path, {}),
        log=log,
        clock=read_clocks,
        workers=Defective(),
    )

    async def ask(effect: Effect) -> tuple[Event, list[str]]:
        core.effects = [effect]
        core.heard.clear()
        driver.handle(TimerDue("go"))
        async with asyncio.timeout(10):
            await driver.until(lambda: len(core.heard) > 1)
        return core.heard[-1], [line for line in lines if f'"kind":"{ErrorMet.kind}"' in line]

    yield ask
    await driver.stop()
    log.close()


class Persevering(Asking):
    """A core that has one more row written with each answer, up to a number of them."""

    def handle(self, event: Event, now: Now) -> list[Effect]:
        if isinstance(event, Persisted) and event.token < 5:
            return [Persist(event.token + 1, (Put("t", bytes([event.token + 1]), b"v"),))]
        return super().handle(event, now)


async def test_what_an_answer_asks_for_while_the_peer_stops_is_still_written(tmp_path: Path) -> None:
    core, disk = Persevering([Persist(1, (Put("t", bytes([1]), b"v"),))]), SimDisk()
    log = EventLog(tmp_path / "events", Ledger("ab" * 32, "cd" * 16), read_clocks(), "cd" * 16)
    lines: list[str] = []
    log.follow(lines.append)
    shelf = Shelf(tmp_path, {})
    driver = Driver(core, home=tmp_path, store=Store(disk), shelf=shelf, log=log, clock=read_clocks)
    driver.handle(TimerDue("go"))
    await driver.stop()
    log.close()
    assert [key for key, _ in disk.rows("t")] == [bytes([number]) for number in range(1, 6)]
    assert lines == []


@pytest.mark.parametrize("held", [False, True])
async def test_a_name_for_bytes_that_left_meanwhile_is_no_error_and_for_lost_bytes_is_one(
    tmp_path: Path, *, held: bool
) -> None:
    plasmid = make_plasmid(make_owner("ada", "ab" * 32), "legal", tiny_adapter(1))
    core, disk = Asking([Expose("ada--legal", bytes(32), DIGEST, plasmid.statement.payload)]), SimDisk()
    if held:
        disk.transact([held_row(DIGEST, 1)])
    log = EventLog(tmp_path / "events", Ledger("ab" * 32, "cd" * 16), read_clocks(), "cd" * 16)
    lines: list[str] = []
    log.follow(lines.append)
    driver = Driver(core, home=tmp_path, store=Store(disk), shelf=Shelf(tmp_path, {}), log=log, clock=read_clocks)
    driver.handle(TimerDue("go"))
    await driver.stop()
    log.close()
    assert ["exposing ada--legal" in line for line in lines] == [True] * held


async def test_an_examination_that_fails_by_a_defect_is_answered(asked: Asked) -> None:
    answer, errors = await asked(Examine(DIGEST))
    assert answer == Examined(DIGEST, None, "KeyError", defect=True)
    assert "examining abababababab" in errors[0]


async def test_a_merge_that_fails_by_a_defect_is_answered(asked: Asked) -> None:
    item = MergeInput(bytes(32), DIGEST, b"no manifest")
    answer, errors = await asked(Merge("mini", 1, (item,)))
    assert isinstance(answer, Merged) and answer.reason and not answer.culprit
    assert len(errors) <= 1


async def test_a_store_that_fails_by_a_defect_is_answered(asked: Asked) -> None:
    answer, errors = await asked(StoreChunk("bob", DIGEST, 3, 0, 1, bytes(32), b"x"))
    assert answer == ChunkRefused("bob", DIGEST, 3, "io_error") and "store_chunk" in errors[0]
    answer, errors = await asked(FinishBlob(DIGEST, 1))
    assert answer == BlobFailed(DIGEST, "io_error") and "finish_blob" in errors[1]


async def test_a_transaction_that_fails_by_a_defect_is_answered_and_the_next_is_too(asked: Asked) -> None:
    row: RowOp = Put("t", b"k", b"v")
    for token in (1, 2):
        answer, _ = await asked(Persist(token, (row,)))
        assert isinstance(answer, PersistFailed) and answer.token == token
