"""Measuring a zoo: both detectors over all its adapters, in processes of one thread, resumable.

Rules:

- What is kept is not measured again (`plora.lab.readings`); each reading is kept as soon as it is there, so a run may
  be stopped anywhere and goes on where it was.
- Probes draw their secret families from a seed that the artifact's digest gives: every adapter is asked other secrets,
  as each peer would ask it, and the same adapter the same ones again.
- An adapter that a detector can't measure, or doesn't finish within its budget, stops nothing: it is told to `progress`
  and stands among the readings with the failure, since a peer would hold it. A failure isn't kept; the next run tries
  again.
- What it took is CPU seconds of one thread.
- The order of the result is that of the adapters, whatever finishes first.

Not handled here: which adapters a zoo has (`plora.lab.zoo`), what figures mean.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from time import process_time
from typing import Any, Protocol

from plora.base import base_info
from plora.base.cache import cache_folder
from plora.base.lifeline import end_with_pool
from plora.gate.detection.calibration import PROBES_VERSION
from plora.gate.detection.sketch import BaseSketch, sketch_of
from plora.gate.detection.statistics import STATISTICS_VERSION, weight_statistics
from plora.gate.probing import ProbePlan, load_probed, probe
from plora.lab.readings import Reading, ReadingStore
from plora.lab.threads import use_threads
from plora.merge.peft_folder import TENSORS_NAME, read_spec
from plora.proto.errors import PloraError

WORKERS = 2
SECONDS = "seconds"
FAILURE_MAX = 200
VERSIONS: Mapping[str, int] = {"weights": STATISTICS_VERSION, "probes": PROBES_VERSION}


@dataclass(frozen=True, slots=True)
class Listed:
    """One adapter of a zoo: its folder and its recipe."""

    folder: Path
    recipe: Mapping[str, Any]


class Detector(Protocol):
    """What measures one adapter."""

    version: int

    def measure(self, folder: Path, recipe: Mapping[str, Any], digest: str) -> Mapping[str, float]:
        """Figures by name. Raises for an adapter that can't be measured whole; by PloraError where that is foreseen."""


@dataclass(frozen=True, slots=True)
class Job:
    """One adapter for one detector."""

    detector: str
    digest: str
    listed: Listed


Failures = dict[tuple[str, str], str]
"""Why a detector failed on an adapter, by its name and the artifact's digest."""

Progress = Callable[[int, int, str], None]
"""Told how many are done, of how many, and what went wrong with the last one ("" for nothing)."""


def measure_zoo(
    zoo: Sequence[Listed], base: str, kept: Path, *, workers: int = WORKERS, progress: Progress = lambda *_: None
) -> list[Reading]:
    """A reading of each of these adapters; those that are kept are taken from there.

    Args:
        zoo: the adapters, each a PEFT folder of this base.
        base: its name.
        kept: folder of kept readings.
        workers: processes, of one thread each.
        progress: see `Progress`.
    """
    stores = {name: ReadingStore(kept, name, version) for name, version in VERSIONS.items()}
    digests = [digest_of(listed.folder) for listed in zoo]
    jobs = [
        Job(name, digest, listed)
        for name, store in stores.items()
        for digest, listed in zip(digests, zoo, strict=True)
        if store.find(digest) is None
    ]
    failures = _measure_all(jobs, base, kept, workers, progress)
    return [_reading(listed, digest, stores, failures) for digest, listed in zip(digests, zoo, strict=True)]


def digest_of(folder: Path) -> str:
    """`sha256:<hex>` of an adapter's tensors."""
    with (folder / TENSORS_NAME).open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _measure_all(jobs: Sequence[Job], base: str, kept: Path, workers: int, progress: Progress) -> Failures:
    failures: Failures = {}
    if not jobs:
        return failures
    count, context = min(workers, len(jobs)), get_context("spawn")
    with one_thread(os.environ), ProcessPoolExecutor(count, context, _start, (base, kept)) as pool:
        waiting = {pool.submit(_work, job): job for job in jobs}
        for done, future in enumerate(as_completed(waiting), start=1):
            job, failure = waiting[future], future.result()
            progress(done, len(jobs), failure and f"{job.listed.folder.name}: {failure}")
            if failure:
                failures[job.detector, job.digest] = failure
    return failures


@contextmanager
def one_thread(environ: MutableMapping[str, str]) -> Iterator[None]:
    """Processes that are started meanwhile have one thread: numpy and torch read it when they are imported."""
    before = environ.get("OMP_NUM_THREADS")
    environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        environ.pop("OMP_NUM_THREADS")
        environ.update({} if before is None else {"OMP_NUM_THREADS": before})


class _Weights:
    """Statistics of weights, by the sketch of a base."""

    version = STATISTICS_VERSION

    def __init__(self, base: str) -> None:
        self._sketch = _sketch(base)

    def measure(self, folder: Path, recipe: Mapping[str, Any], digest: str) -> Mapping[str, float]:
        return weight_statistics(folder / TENSORS_NAME, read_spec(folder), self._sketch)


class _Probes:
    """Behaviour on a base that is loaded once."""

    version = PROBES_VERSION

    def __init__(self, base: str, budget_s: float = ProbePlan().budget_s) -> None:
        use_threads(1)
        self._base, self._sketch, self._budget_s = load_probed(base), _sketch(base), budget_s

    def measure(self, folder: Path, recipe: Mapping[str, Any], digest: str) -> Mapping[str, float]:
        plan = ProbePlan(f"calibration {digest}".encode(), str(recipe.get("domain", "")), self._budget_s)
        reading = probe(self._base, folder, plan, self._sketch)
        if not reading.complete:  # the figures of stages that were left out are 0: perfectly clean
            raise PloraError(f"the probe was not done within {plan.budget_s:g} s of CPU time")
        return reading.raw


def _sketch(base: str) -> BaseSketch:
    info = base_info(base)
    return sketch_of(info.folder, info.digest, cache_folder(os.environ))


Makers = Mapping[str, Callable[[str], Detector]]
MAKERS: Makers = {"weights": _Weights, "probes": _Probes}


class _Process:
    """One process of a pool: the detectors that it was asked for, each made once."""

    def __init__(self, base: str, kept: Path, makers: Makers) -> None:
        self._base, self._kept, self._makers = base, kept, makers
        self._detectors: dict[str, Detector] = {}

    def work(self, job: Job) -> str:
        """Measure and keep one; what went wrong, or ""."""
        if job.detector not in self._detectors:
            self._detectors[job.detector] = self._makers[job.detector](self._base)
        detector, folder = self._detectors[job.detector], job.listed.folder
        began = process_time()
        try:
            figures = detector.measure(folder, job.listed.recipe, job.digest)
        except PloraError as error:
            return str(error)
        except Exception as error:  # a peer's worker would fail as well, and the peer hold the adapter
            return f"{type(error).__name__}: {error}"[:FAILURE_MAX]
        found = {**figures, SECONDS: process_time() - began}
        ReadingStore(self._kept, job.detector, detector.version).keep(job.digest, found)
        return ""


_process: _Process | None = None


def _start(base: str, kept: Path) -> None:
    global _process
    end_with_pool()
    _process = _Process(base, kept, MAKERS)


def _work(job: Job) -> str:
    if _process is None:
        raise RuntimeError("the pool started this process without its base")
    return _process.work(job)


def _reading(listed: Listed, digest: str, stores: Mapping[str, ReadingStore], failures: Failures) -> Reading:
    found = {name: store.find(digest) for name, store in stores.items()}
    figures = {name: dict(one) for name, one in found.items() if one is not None}
    failed = {name: failures[name, digest] for name in stores if (name, digest) in failures}
    seconds = {name: one.pop(SECONDS) for name, one in figures.items()}
    spec = read_spec(listed.folder) if "weights" in figures else None
    return Reading(
        recipe=listed.recipe,
        digest=digest,
        rank=spec.r if spec else 0,
        targets=spec.target_modules if spec else (),
        statistics=figures.get("weights", {}),
        probes=figures.get("probes", {}),
        seconds=seconds,
        failures=failed,
        versions={name: VERSIONS[name] for name in figures},
    )
