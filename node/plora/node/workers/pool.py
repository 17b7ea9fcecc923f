"""Worker processes: examinations, weighings and probes in one each that lives on, each merge in one of its own.

Rules:

- Started by exec of this Python (`-m`), never forked from it, with an environment that holds nothing of ours.
- One JSON line in, one JSON line out. A worker that takes too long, dies, or answers no JSON is killed with its
  children; the next request starts another.
- What looks at bytes does so in a cage (`plora.node.workers.cage`) that a warden closes around each request: it reads
  the artifact, or the folders to merge and what earlier merges kept, and writes the merge's folders; a probe reads its
  base and its sketch, too. No more.
- An examination has the longer the larger the file is (`examine_s`), and sources take turns: whoever signs what is slow
  to examine holds up mostly what they sign themselves.
- A worker ends when its standard input does and what it works on is done: none outlives a killed peer by more.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeGuard

from plora.gate import Features
from plora.gate.findings import Findings
from plora.node.core.merge_report import read_report
from plora.node.workers.limits import PROBE_S_MAX, REPLY_BYTES_MAX, Limits
from plora.node.workers.turns import Turns
from plora.proto.errors import PloraError, SpoiltBytesError, WorkerError

EXAMINE_S_MAX, EXAMINE_BASE_S, EXAMINE_BYTES_A_S = 120, 15, 8 << 20
MERGE_WAIT_S = 600.0
EXAMINE_LIMITS = Limits(memory_bytes=3 << 30, cpu_s=EXAMINE_S_MAX)
PATIENCE = 4
"""How much longer than its CPU time something may take by the clock, on a machine that does other things."""
PROBE_LIMITS = Limits(memory_bytes=12 << 30, cpu_s=PROBE_S_MAX + 60)
MERGE_LIMITS = Limits(memory_bytes=8 << 30, cpu_s=600, file_bytes=8 << 30)

EXAMINER, WEIGHER, PROBER = "plora.gate.worker", "plora.gate.weight_worker", "plora.gate.probe_worker"
MERGER = "plora.merge.worker"
WARDEN, CAGE = "plora.node.workers.warden", "plora.node.workers.cage"

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}


def examine_s(size_bytes: int) -> int:
    """Seconds of CPU time that an examination may take: a hundred times what it takes nowadays.

    >>> examine_s(64 << 20), examine_s(1 << 40)
    (23, 120)
    """
    return min(EXAMINE_S_MAX, EXAMINE_BASE_S + size_bytes // EXAMINE_BYTES_A_S)


async def lacks() -> tuple[str, ...]:
    """What this platform can't keep workers from, in sentences; told by a process that ends, with what it loaded."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", CAGE),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    told, _ = await process.communicate()
    try:
        return tuple(json.loads(told))
    except ValueError:
        return ("whether workers are isolated can't be told: they don't start; see `plora doctor`",)


class Worker:
    """One process that answers one request at a time. `patience`: how much longer than CPU time it may take."""

    def __init__(
        self,
        module: str,
        wait_s: float,
        limits: Limits,
        environment: Mapping[str, str] = ENVIRONMENT,
        patience: int = 1,
    ) -> None:
        self._module = module
        self._wait_s = wait_s
        self._limits = asdict(limits)
        self._environment = environment
        self._patience = patience
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def ask(
        self,
        request: Mapping[str, Any],
        read: Sequence[str] = (),
        write: Sequence[str] = (),
        *,
        within_s: int | None = None,
    ) -> dict[str, Any]:
        """The reply to a request; `WorkerError` when the worker failed, was killed, or said so itself.

        It can read the files and folders `read`, and write files in the folders `write`; `within_s` is a limit of this
        request, below the worker's own, of CPU time, and (times its patience) by the clock.
        `SpoiltBytesError` passes through: it names the bytes at fault.
        """
        limits, wait_s = dict(self._limits), self._wait_s
        if within_s is not None:
            limits["cpu_s"], wait_s = min(limits["cpu_s"], within_s), min(wait_s, within_s * self._patience)
        async with self._turn:
            try:
                async with asyncio.timeout(wait_s):
                    reply = await self._exchange({"request": request, "read": read, "write": write, **limits})
            except TimeoutError as error:
                await self.stop()
                raise WorkerError(f"gave no answer within {wait_s:g} s", where=self._module) from error
            except (OSError, ValueError) as error:
                await self.stop()
                raise WorkerError(f"died ({type(error).__name__})", where=self._module) from error
            except asyncio.CancelledError:
                await self.stop()
                raise
        if "error" in reply:
            raise _failure(reply["error"], self._module)
        return reply

    async def stop(self) -> None:
        """Kill the process with its children, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

    async def _exchange(self, order: Mapping[str, Any]) -> dict[str, Any]:
        process = await self._running()
        if process.stdin is None or process.stdout is None:
            raise OSError("no pipes")
        process.stdin.write(json.dumps(order).encode() + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
        reply = json.loads(line)
        if not isinstance(reply, dict):
            raise ValueError("no JSON object")
        return reply

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", WARDEN, self._module),  # -P: nothing is imported from the working folder
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=self._environment,
                limit=REPLY_BYTES_MAX,
                start_new_session=True,
            )
        return self._process


def _patient(module: str, limits: Limits) -> Worker:
    """A worker that a busy machine may keep waiting, whose own work is bounded by CPU time."""
    return Worker(module, limits.cpu_s * PATIENCE, limits, patience=PATIENCE)


def _size_bytes(path: str) -> int:
    with contextlib.suppress(OSError):  # the worker says what is wrong with it
        return Path(path).stat().st_size
    return 0


def _is_report(report: Any) -> TypeGuard[dict[str, Any]]:
    """Whether whoever reads what a merge's worker said finds figures there, whatever took that worker over."""
    try:
        read_report(json.dumps(report, allow_nan=False))
        return isinstance(report.get("kept", []), list)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return False


def _failure(error: Mapping[str, Any], module: str) -> PloraError:
    what = str(error.get("what", "failed"))
    if error.get("kind") == SpoiltBytesError.__name__:
        return SpoiltBytesError(what, where=str(error.get("where", "")))
    return WorkerError(what, where=module)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a probe read: figures by name, what they were found by, seconds of CPU time, whether all was done."""

    raw: Mapping[str, float]
    details: Mapping[str, str]
    seconds: float
    complete: bool


class Workers:
    """The peer's workers, of each kind one that is started at its first request; a process for each merge."""

    def __init__(
        self,
        examiner: Worker | None = None,
        merger: Callable[[], Worker] | None = None,
        prober: Worker | None = None,
    ) -> None:
        self._examiner = examiner or _patient(EXAMINER, EXAMINE_LIMITS)
        self._weigher = _patient(WEIGHER, EXAMINE_LIMITS)
        self._prober = prober or _patient(PROBER, PROBE_LIMITS)
        self._merger = merger or (lambda: Worker(MERGER, MERGE_WAIT_S, MERGE_LIMITS))
        self._turns = Turns()
        self._mergers: set[Worker] = set()

    async def examine(self, path: str, source: str = "") -> tuple[Features, float]:
        """The features of a file and the CPU milliseconds they took; `WorkerError` when the examination failed.

        `source` is whose file it is, empty for one's own.
        """
        async with self._turns.of(source):
            within_s = examine_s(await asyncio.to_thread(_size_bytes, path))
            reply = await self._examiner.ask({"path": path}, read=[path], within_s=within_s)
        try:
            return Features.from_json(json.dumps(reply["features"])), float(reply["cpu_ms"])
        except (KeyError, TypeError, ValueError) as error:
            raise WorkerError("answered nonsense", where=EXAMINER) from error

    async def weigh(self, request: Mapping[str, Any], source: str = "") -> Findings:
        """What the weights of a file show, by the sketch's file and the calibration in the request; see `examine`."""
        async with self._turns.of(source):
            read = [str(request[name]) for name in ("path", "sketch")]
            within_s = examine_s(await asyncio.to_thread(_size_bytes, read[0]))
            reply = await self._weigher.ask(request, read=read, within_s=within_s)
        try:
            return Findings.from_json(json.dumps(reply["findings"], allow_nan=False))
        except (KeyError, TypeError, ValueError) as error:
            raise WorkerError("answered nonsense", where=WEIGHER) from error

    async def probe(self, request: Mapping[str, Any], within_s: int) -> Reading:
        """What a probe reads in a file or folder (`path`), within so much CPU time; one at a time.

        `base` is a folder, and `sketch` that base's sketch, where there is one.

        WorkerError where it failed.
        """
        read = [str(request[name]) for name in ("path", "base", "sketch") if name in request]
        reply = await self._prober.ask(request, read=read, within_s=within_s)
        try:
            found = json.loads(json.dumps(reply["reading"], allow_nan=False))
            raw = {str(name): float(value) for name, value in found["raw"].items()}
            details = {str(name): str(value) for name, value in found["details"].items()}
            return Reading(raw, details, float(found["seconds"]), found["complete"] is True)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise WorkerError("answered nonsense", where=PROBER) from error

    async def merge(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The report of a merge whose folder was written; `WorkerError` or `SpoiltBytesError` when it failed."""
        worker = self._merger()
        read, write = [str(item["folder"]) for item in request["inputs"]], [str(request["out"])]
        if "kept" in request:
            read.append(request["kept"]["folder"])
            write.append(request["kept"]["fresh"])
        self._mergers.add(worker)
        try:
            report = (await worker.ask(request, read, write)).get("report", {})
        finally:
            self._mergers.discard(worker)
            await worker.stop()
        if not _is_report(report):
            raise WorkerError("answered nonsense", where=MERGER)
        return report

    async def stop(self) -> None:
        """Kill all of them."""
        for worker in (self._examiner, self._weigher, self._prober, *self._mergers):
            await worker.stop()
