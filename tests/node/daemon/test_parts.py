"""The daemon's parts one by one: folders, thread pool, event log, workers, metrics, one-way calls."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from plora.node.core.effects import Expose, Merge, MergeInput, ServeMerge
from plora.node.core.ledger import Ledger
from plora.node.core.now import Now
from plora.node.driver.keyed import KeyedPool
from plora.node.driver.shelf import Shelf, copy_folder
from plora.node.eventlog import EventLog
from plora.node.logs import log_view
from plora.node.metrics.endpoint import Collector, serve_metrics
from plora.node.store.store import blob_path
from plora.node.workers import cage
from plora.node.workers.pool import EXAMINE_LIMITS, EXAMINER, Worker, Workers, lacks
from plora.proto.errors import SpoiltBytesError, StoreError, TransportError, WorkerError
from plora.proto.owner_files import create_owner
from plora.proto.records import ErrorMet, Round, Stop
from plora.proto.statement import Statement
from plora.proto.swarm import Swarm

NAME = "ada--legal"
Sign = Callable[..., Statement]


class Shelved:
    """A home with one held blob, its shelf, and the effect that exposes it."""

    def __init__(self, root: Path, swarm: Swarm, sign: Sign, plasmid_id: str = "legal", dim: int = 64) -> None:
        self.root = root / f"home-{plasmid_id}"
        owner = create_owner(root / f"{plasmid_id}.pem", name="ada", swarm=swarm.id, issued_s=1_700_000_000)
        self.source = root / plasmid_id
        self.statement = sign(self.source, owner, plasmid_id=plasmid_id, dim=dim)
        self.digest = json.loads(self.statement.payload)["artifacts"]["sha256"]
        self.shelf = Shelf(self.root, {})
        self.hold(self.root)
        self.expose = Expose(NAME, self.statement.id, self.digest, self.statement.payload)
        self.input = MergeInput(self.statement.id, self.digest, self.statement.payload)

    def hold(self, root: Path) -> None:
        blob = root / blob_path(self.digest)
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes((self.source / "adapter_model.safetensors").read_bytes())


@pytest.fixture
def shelved(tmp_path: Path, swarm: Swarm, sign: Sign) -> Shelved:
    return Shelved(tmp_path, swarm, sign)


def test_an_exposed_plasmid_is_a_peft_folder_of_the_same_bytes(shelved: Shelved) -> None:
    shelved.shelf.expose(shelved.expose)
    shelved.shelf.expose(shelved.expose)
    folder = shelved.root / "adapters" / NAME
    assert folder.is_symlink()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (folder / name).read_bytes() == (shelved.source / name).read_bytes()
    blob = shelved.root / blob_path(shelved.digest)
    assert (folder / "adapter_model.safetensors").stat().st_ino == blob.stat().st_ino
    copy_folder(folder, shelved.root / "copy", "text")
    assert (shelved.root / "copy" / "plora.yml").read_text() == "text"


def test_only_the_bases_name_is_mapped(shelved: Shelved) -> None:
    Shelf(shelved.root, {}).expose(shelved.expose)
    Shelf(shelved.root, {"mini": "/models/mini"}).expose(shelved.expose)
    config = json.loads((shelved.root / "adapters" / NAME / "adapter_config.json").read_text())
    plain = json.loads((shelved.source / "adapter_config.json").read_text())
    assert config == {**plain, "base_model_name_or_path": "/models/mini"}


def test_a_name_moves_to_another_version_and_away(shelved: Shelved, tmp_path: Path, swarm: Swarm, sign: Sign) -> None:
    newer = Shelved(tmp_path, swarm, sign, "law", dim=32)
    newer.hold(shelved.root)
    shelved.shelf.expose(shelved.expose)
    shelved.shelf.expose(newer.expose)
    link, views = shelved.root / "adapters" / NAME, shelved.root / "views"
    assert link.readlink().name == newer.statement.id.hex()
    assert [view.name for view in views.iterdir()] == [newer.statement.id.hex()]
    shelved.shelf.hide(NAME)
    shelved.shelf.hide(NAME)
    assert not link.is_symlink()
    assert not list(views.iterdir())


def test_the_sweep_removes_what_a_crash_left(shelved: Shelved) -> None:
    shelved.shelf.sweep()
    shelved.shelf.expose(shelved.expose)
    half = shelved.root / "views" / ".half.new"
    half.mkdir()
    shelved.shelf.sweep()
    assert not half.exists()
    assert (shelved.root / "adapters" / NAME / "adapter_config.json").exists()


def test_a_missing_blob_leaves_the_old_folder(shelved: Shelved) -> None:
    shelved.shelf.expose(shelved.expose)
    gone = Expose(NAME, b"\x01" * 32, "ab" * 32, shelved.statement.payload)
    with pytest.raises(OSError, match="No such file"):
        shelved.shelf.expose(gone)
    assert (shelved.root / "adapters" / NAME).readlink().name == shelved.statement.id.hex()


async def test_merges_are_generations_that_are_served_apart_from_being_made(shelved: Shelved) -> None:
    workers, shelf = Workers(), shelved.shelf
    merged, beside = shelved.root / "merged" / "org--mini", shelved.root / "adapters" / "merged--org--mini"
    for generation in (1, 2, 3):
        effect = Merge("org/mini", generation, (shelved.input,))
        request = shelf.merge_request(effect)
        assert "modules" in await workers.merge(request)
        shelf.take_merge(effect, request)
        assert beside.exists() == (generation > 1)
        shelf.serve_merge(ServeMerge("org/mini", 1 if generation < 3 else 2, generation, (2, 1)))
        assert beside.resolve() == (merged / f"gen-{1 if generation < 3 else 2}").resolve()
    assert sorted(path.name for path in merged.iterdir()) == ["current", "gen-1", "gen-2"]
    assert shelf.merged_folder("org/mini") == str(beside)
    assert (beside / "adapter_model.safetensors").exists()
    with pytest.raises(OSError, match="gen-3"):
        shelf.serve_merge(ServeMerge("org/mini", 3, 3, (3,)))
    with pytest.raises(WorkerError, match=r"plora\.merge\.worker"):
        await workers.merge({"inputs": [], "out": str(shelved.root / "out"), "base_model_name": "mini"})
    shelf.hide_merge("org/mini")
    shelf.hide_merge("org/mini")
    assert sorted(path.name for path in merged.iterdir()) == ["gen-1", "gen-2"]
    assert shelf.merged_folder("org/mini") == "" and not beside.is_symlink()
    shelf.serve_merge(ServeMerge("org/mini", 0, 4, ()))
    assert not list(merged.iterdir())
    await workers.stop()


async def test_a_merge_names_the_bytes_that_are_spoilt_or_gone(shelved: Shelved) -> None:
    workers, shelf = Workers(), shelved.shelf
    effect = Merge("mini", 1, (shelved.input,))
    request = shelf.merge_request(effect)
    blob = shelved.root / blob_path(shelved.digest)
    blob.write_bytes(blob.read_bytes()[:-1] + b"\xff")
    with pytest.raises(SpoiltBytesError) as spoilt:
        await workers.merge(request)
    assert spoilt.value.where == shelved.digest
    blob.unlink()
    with pytest.raises(SpoiltBytesError, match="gone") as gone:
        shelf.merge_request(effect)
    assert gone.value.where == shelved.digest
    shelved.hold(shelved.root)  # fetched again: the view must not keep the spoilt file alive
    assert "modules" in await workers.merge(shelf.merge_request(effect))
    await workers.stop()


async def test_the_examiner_outlives_bad_files_and_its_own_death(shelved: Shelved) -> None:
    workers = Workers()
    blob = str(shelved.root / blob_path(shelved.digest))
    features, cpu_ms = await workers.examine(blob)
    assert cpu_ms >= 0  # the clock of a process may move in steps that are longer than this examination
    assert (features.sha256, features.header_error) == (shelved.digest, "")
    with pytest.raises(WorkerError):
        await workers.examine(str(shelved.root / "missing"))
    process = workers._examiner._process
    assert process is not None
    process.kill()
    await process.wait()
    assert (await workers.examine(blob))[0] == features
    await workers.stop()
    await workers.stop()


async def test_a_peer_hears_what_its_cage_lacks_from_another_process() -> None:
    assert await lacks() == cage.lacks()


async def test_a_worker_that_hangs_or_talks_nonsense_is_killed() -> None:
    slow = Worker(EXAMINER, 0.0, EXAMINE_LIMITS)
    with pytest.raises(WorkerError, match="gave no answer within 0 s"):
        await slow.ask({"path": "/dev/null"})
    assert slow._process is None
    silent = Worker("this", 30, EXAMINE_LIMITS)  # prints a poem, and ends for lack of `answer`
    with pytest.raises(WorkerError, match="died"):
        await silent.ask({})
    await silent.stop()


async def test_jobs_of_one_key_keep_their_order_and_keys_run_side_by_side() -> None:
    pool = KeyedPool(2, "test")
    done: list[tuple[str, int]] = []
    failures: list[Exception] = []
    gate = threading.Event()
    pool.submit("slow", lambda: gate.wait(10), lambda _: done.append(("slow", 0)), failures.append)
    for index in range(50):
        pool.submit("quick", partial(int, index), lambda result: done.append(("quick", result)), failures.append)
    pool.submit("slow", lambda: None, lambda _: done.append(("slow", 1)), failures.append)
    pool.submit("quick", gate.set, lambda _: None, failures.append)
    async with asyncio.timeout(10):
        await pool.drain()
    assert [item for item in done if item[0] == "quick"] == [("quick", index) for index in range(50)]
    assert done[-2:] == [("slow", 0), ("slow", 1)]
    assert not failures
    pool.close()


async def test_a_job_that_raises_is_told_and_holds_up_nobody() -> None:
    pool = KeyedPool(1, "test")
    done: list[object] = []
    failures: list[Exception] = []
    pool.submit("one", lambda: 1 // 0, done.append, failures.append)
    pool.submit("one", lambda: 2, done.append, failures.append)
    async with asyncio.timeout(10):
        await pool.drain()
    assert done == [2]
    assert [type(error) for error in failures] == [ZeroDivisionError]
    pool.close()


def log_in(folder: Path) -> EventLog:
    return EventLog(folder, Ledger("ab" * 32, "cd" * 16), Now(1, 2), "cd" * 16)


def test_the_event_log_numbers_its_lines_and_tells_followers(tmp_path: Path) -> None:
    log, heard = log_in(tmp_path / "events"), list[str]()
    leave = log.follow(heard.append)
    log.write(Round((), 0, "00"), Now(3, 4))
    leave()
    log.write(Stop("done"), Now(5, 6))
    assert log.round_number == 1
    log.close()
    lines = log.path.read_text().splitlines(keepends=True)
    assert [json.loads(line)["seq"] for line in lines] == [0, 1]
    assert heard == lines[:1]
    assert log.path.name == "0000000000002-cdcdcdcd.jsonl"
    assert log.path.stat().st_mode & 0o777 == 0o600
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="can't be written"):
        log_in(tmp_path / "file")


def test_a_log_goes_on_in_segments_and_drops_the_oldest(tmp_path: Path) -> None:
    (tmp_path / "0000000000001-abababab.jsonl").write_text("{}\n" * 400)
    (tmp_path / "0000000000001-abababab.inputs").write_text("a recording")
    log = EventLog(tmp_path, Ledger("ab" * 32, "cd" * 16), Now(1, 2), "cd" * 16, events_max=8000)
    told: list[tuple[int, int]] = []
    log.dropped = lambda limit, size_bytes: told.append((limit, size_bytes))
    for number in range(100):
        log.write(Stop(f"{number}"), Now(number, 2))  # the clock stands still, or goes back
    segments = sorted(tmp_path.glob("*.jsonl"))
    assert segments == log.segments() and segments[-1] == log.path
    assert sum(segment.stat().st_size for segment in segments) <= 8000
    seqs = [json.loads(line)["seq"] for segment in segments for line in segment.read_text().splitlines()]
    assert seqs == list(range(seqs[0], 100)) and 0 < seqs[0] < 90
    assert told and all(limit == 8000 < size_bytes + 1000 for limit, size_bytes in told)
    assert not list(tmp_path.glob("*.inputs"))
    log.limit(4000)
    assert sum(segment.stat().st_size for segment in log.segments()) <= 4000
    log.close()


def test_a_log_that_cannot_be_written_is_given_up_with_a_reason(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    os.dup2(full := os.open("/dev/full", os.O_WRONLY), log._fd)
    os.close(full)
    log.write(Stop("done"), Now(5, 6))
    assert "No space left" in log.trouble
    log.write(Stop("again"), Now(5, 6))
    log.close()


def test_a_log_without_another_segment_closes_nobody_elses_file(tmp_path: Path) -> None:
    log = EventLog(tmp_path, Ledger("ab" * 32, "cd" * 16), Now(1, 2), "cd" * 16, events_max=800)
    (tmp_path / "0000000000003-cdcdcdcd.jsonl").mkdir()  # where the next segment would be
    for _ in range(3):
        log.write(Stop("done"), Now(5, 3))
    assert "directory" in log.trouble
    other = os.open("/dev/null", os.O_RDONLY)
    log.close()
    os.fstat(other)
    os.close(other)


def test_the_console_shows_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger("ab" * 32, "cd" * 16)
    show = log_view("json", "ada")
    show(ledger.line(Round((), 0, "00"), Now(1, 1)))
    show(ledger.line(ErrorMet("broken", "ef" * 32), Now(1, 1)))
    (line,) = capsys.readouterr().err.splitlines()
    shown = json.loads(line)
    assert (shown["event"], shown["what"], shown["where"], shown["peer"]) == ("error", "broken", "efefefefefef", "ada")
    log_view("console", "ada")(ledger.line(Stop("done"), Now(1, 1)))
    assert "reason=done" in capsys.readouterr().err


async def _ask(port: int, line: bytes, host: bytes = b"") -> tuple[bytes, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(line + b" HTTP/1.0\r\n" + host + b"\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return head.splitlines()[0], body.decode()


async def test_metrics_answer_one_path_only() -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(lambda: [("plora_plasmids", ("accepted",), 2.0), ("plora_cut_off_total", (), 3.0)]))
    server = await serve_metrics("127.0.0.1:0", registry)
    port = server.sockets[0].getsockname()[1]
    head, body = await _ask(port, b"GET /metrics")
    assert head == b"HTTP/1.0 200 OK"
    assert {'plora_plasmids{state="accepted"} 2.0', "plora_cut_off_total 3.0"} <= set(body.splitlines())
    assert (await _ask(port, b"GET /metrics", b"Host: localhost:%d\r\n" % port))[0] == b"HTTP/1.0 200 OK"
    for rebound in (
        b"Host: evil.example\r\n",
        b"HOST: 127.0.0.1.evil.example:1\r\n",
        b"host: localhost\r\nHost: x\r\n",
    ):
        assert await _ask(port, b"GET /metrics", rebound) == (b"HTTP/1.0 421 Misdirected Request", "")
    assert (await _ask(port, b"GET /secret"))[0] == b"HTTP/1.0 404 Not Found"
    assert (await _ask(port, b"POST /metrics"))[0] == b"HTTP/1.0 404 Not Found"
    with pytest.raises(TransportError, match="change `metrics`"):
        await serve_metrics(f"127.0.0.1:{port}", registry)
    server.close()
    await server.wait_closed()
