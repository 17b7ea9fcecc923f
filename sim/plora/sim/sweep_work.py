"""Runs of a sweep on all cores of this machine or on a Ray cluster: the same function for each, in no order.

Rules:

- A run is a function of its scenario, so where it ran changes nothing in its row but the provenance.
- A run that fails says why and stops no other one. A process that dies (no memory) ends the sweep.
- When the caller stops, nothing goes on: processes are ended, also when it is killed (Linux), tasks are cancelled.
- Each process has one thread: there are as many of them as cores.

Not handled here: what is written where (`plora.sim.sweep_rows`).
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from typing import Any

from plora.base.lifeline import end_with_pool
from plora.proto.errors import PloraError, UsageError, WorkerError
from plora.sim.sweep import Run

Row = Mapping[str, Any]
PACKAGES = ("plora", "numpy", "numba", "networkx", "scipy")
KNOCK_S = 10.0
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where rows come from: the sweep's name and digest, and the command that was given."""

    sweep: str
    digest: str
    command: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A run that has no row, and why."""

    run: Run
    reason: str


def measured(run: Run, origin: Origin) -> Row | Failed:
    """Run it here: its row, or why there is none."""
    from plora.sim.run import run as simulate

    began_s = time.process_time()
    try:
        report = simulate(run.scenario).report
    except PloraError as error:
        return Failed(run, str(error))
    except Exception as error:  # whatever is wrong with one run, hundreds of others are to be done
        return Failed(run, f"{type(error).__name__}: {error}")
    cost_s = round(time.process_time() - began_s, 3)
    return {"digest": run.digest, "at": dict(run.at), "report": report, "provenance": _provenance(run, origin, cost_s)}


def on_processes(runs: Sequence[Run], origin: Origin, count: int) -> Iterator[Row | Failed]:
    """The runs on so many processes of this machine; WorkerError where one of them dies."""
    with _one_thread(), ProcessPoolExecutor(count, get_context("spawn"), _begin) as pool:
        try:
            for future in as_completed([pool.submit(measured, run, origin) for run in runs]):
                yield future.result()
        except BrokenProcessPool:
            raise WorkerError("a process of the sweep died, of too little memory perhaps", mend="--jobs 1") from None
        except BaseException:
            _end(pool)
            raise


def on_ray(runs: Sequence[Run], origin: Origin, address: str) -> Iterator[Row | Failed]:
    """The runs on the Ray cluster at this address ("local": one on this machine), whose nodes have Plora."""
    try:
        import ray
    except ModuleNotFoundError:
        raise UsageError("Ray is not installed", where="--ray", mend="pip install 'plora[sweep]'") from None
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, include_dashboard=False if address == "local" else None)
    except (OSError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise UsageError(f"no cluster answers at {address}: {said}", where="--ray", mend="ray start --head") from None
    task = ray.remote(num_cpus=1)(measured)
    try:
        waiting = [task.remote(run, origin) for run in runs]
        while waiting:
            (done, *_), waiting = ray.wait(waiting)
            yield ray.get(done)
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """OSError where nobody listens at host:port; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), KNOCK_S).close()


def _provenance(run: Run, origin: Origin, cpu_s: float) -> dict[str, Any]:
    versions = {name: importlib.metadata.version(name) for name in PACKAGES if _is_there(name)}
    return {
        "sweep": origin.sweep,
        "config_sha256": origin.digest,
        "seed": run.scenario.seed,
        "command": origin.command,
        "versions": {"python": platform.python_version(), **versions},
        "cpu_s": cpu_s,
    }


def _is_there(package: str) -> bool:
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _begin() -> None:
    """Ctrl-C reaches every process of a terminal; the one that started the others decides, and takes them with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_pool()


def _end(pool: ProcessPoolExecutor) -> None:
    pool.shutdown(wait=False, cancel_futures=True)
    for child in active_children():
        child.terminate()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes that are started meanwhile have one thread each; libraries read it when they are imported."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
