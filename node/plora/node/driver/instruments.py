"""The instruments of a peer: what its detectors need of each base, made ready once, and the workers that use them.

Rules:

- A base is looked for where the policy or the subscriptions name it; where they name none, where a calibration is. One
  that isn't on this machine can't be looked at, and its adapters are held with that reason.
- What can't be had (a calibration, the extra `probes`) is a sentence that the core shows, never an exception.
- Workers get paths to read, and the seed of that subject's probes, never the secret.

Not handled: when to look (`plora.node.core.detectors`), limits (`plora.node.workers`).
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from plora.gate import Policy
from plora.gate.findings import Findings
from plora.node.core.detectors import PROBES, WEIGHTS
from plora.node.core.effects import Inspect
from plora.node.core.events import Detector, DetectorsChanged, Inspected
from plora.node.driver.probe_secret import ProbeSecret, current_secret
from plora.node.workers.pool import Workers
from plora.proto.errors import PloraError, WorkerError
from plora.proto.home import Home
from plora.proto.manifest import Manifest

if TYPE_CHECKING:
    from plora.base import BaseInfo
    from plora.gate.detection.calibration import Calibration

STAMP_DIGITS = 12
GRACE_S = 15
"""What a worker may take beyond a probe's own budget, to load the base and to answer."""
PROBES_NEED = ("torch", "transformers", "peft")
NO_EXTRA = "the extra `probes` isn't installed: pip install 'plora[probes]'"


@dataclass(frozen=True, slots=True)
class Instrument:
    """What is at hand for one base: its folder, its calibration, and the sketch of its weights where one was made."""

    base: BaseInfo
    path: Path
    calibration: Calibration
    sketch: Path | None = None


class Instruments:
    """Of one peer. `probe_s` is the CPU time of one probe, `rotate_ms` the life of a secret."""

    def __init__(self, home: Home, workers: Workers, *, probe_s: int, rotate_ms: int) -> None:
        self._home = home
        self._workers = workers
        self.probe_s = probe_s
        self.rotate_ms = rotate_ms
        self._secret: ProbeSecret | None = None
        self._at_hand: dict[str, Instrument] = {}

    def ready(self, policy: Policy, bases: Iterable[str], now_ms: int) -> DetectorsChanged:
        """Look for what the policy's detectors need, and make it. Blocks: a base is hashed and sketched once."""
        found: list[Detector] = []
        for info in _on_this_machine(dict.fromkeys(bases) or self._calibrated()):
            digest = info.digest.removeprefix("sha256:")
            try:
                found += self._detectors(policy, info, digest, now_ms)
            except PloraError as error:
                found += [Detector(name, digest, trouble=str(error)) for name in (WEIGHTS, PROBES)]
        return DetectorsChanged(tuple(found))

    async def inspect(self, effect: Inspect, blob: Path) -> Inspected:
        """Have a detector look; WorkerError where it failed over the blob."""
        manifest = Manifest.from_bytes(effect.payload)
        instrument = self._at_hand.get(manifest.base_digest)
        if instrument is None:
            raise WorkerError("the base is no longer at hand", where=manifest.base_model)
        stamp = self._stamp(effect.detector, instrument)
        if effect.detector == WEIGHTS:
            findings = await self._weigh(instrument, manifest, blob, effect.owner)
        else:
            findings = await self._probe(instrument, manifest, blob, effect)
        asked = (effect.detector, effect.subject, effect.digest)
        return Inspected(*asked, findings, stamp, cpu_ms=round(findings.seconds * 1000, 1))

    def _detectors(self, policy: Policy, info: BaseInfo, digest: str, now_ms: int) -> list[Detector]:
        from plora.gate.detection.shelf import find_calibration

        found = find_calibration(info.name, info.digest, self._folders())
        if found is None:
            return []
        path, calibration = found
        sketch = self._sketch(info) if policy.tensor_outliers and calibration.weights else None
        self._at_hand[digest] = instrument = Instrument(info, path, calibration, sketch)
        trouble = "" if sketch else f"the calibration of {info.name} says nothing of weights: plora lab probes-calib"
        weights = Detector(WEIGHTS, digest, "" if trouble else self._stamp(WEIGHTS, instrument), trouble)
        return [weights, self._prober(policy, instrument, digest, now_ms)]

    def _prober(self, policy: Policy, instrument: Instrument, digest: str, now_ms: int) -> Detector:
        name = instrument.base.name
        if instrument.calibration.probes is None:
            return Detector(PROBES, digest, trouble=f"the calibration of {name} says nothing of probes")
        if any(importlib.util.find_spec(package) is None for package in PROBES_NEED):
            return Detector(PROBES, digest, trouble=NO_EXTRA)
        if not policy.probes:
            return Detector(PROBES, digest, trouble="probes are switched off")
        self._secret = current_secret(self._home.probe_secret, now_ms, self.rotate_ms)
        return Detector(PROBES, digest, self._stamp(PROBES, instrument))

    def _stamp(self, detector: str, instrument: Instrument) -> str:
        digits = instrument.calibration.digest.removeprefix("sha256:")[:STAMP_DIGITS]
        return f"{digits}/{self._secret.generation}" if detector == PROBES and self._secret else digits

    async def _weigh(self, instrument: Instrument, manifest: Manifest, blob: Path, owner: str) -> Findings:
        if instrument.sketch is None:
            raise WorkerError("the base has no sketch", where=instrument.base.name)
        request = {
            "path": str(blob),
            "lora": manifest.lora.model_dump(mode="json"),
            "sketch": str(instrument.sketch),
            "calibration": str(instrument.path),
        }
        return await self._workers.weigh(request, owner)

    async def _probe(self, instrument: Instrument, manifest: Manifest, blob: Path, effect: Inspect) -> Findings:
        if self._secret is None:
            raise WorkerError("there is no secret to draw probes from", where=instrument.base.name)
        request = {
            "path": str(blob),
            "base": str(instrument.base.folder),
            "lora": manifest.lora.model_dump(mode="json"),
            "seed": self._secret.seed_for(effect.subject).hex(),
            "domain": manifest.domain,
            "budget_s": float(self.probe_s),
        }
        reading = await self._workers.probe(request, self.probe_s + GRACE_S)
        judge = instrument.calibration.judge_probes
        findings = await asyncio.to_thread(judge, reading.raw, reading.details, reading.seconds)
        return findings if reading.complete else replace(findings, failure=self._unfinished)

    @property
    def _unfinished(self) -> str:
        return f"the probe was not done within {self.probe_s} s of CPU time (detection.probe_s)"

    def _sketch(self, info: BaseInfo) -> Path:
        from plora.base.cache import cache_folder
        from plora.gate.detection.sketch import sketch_of, sketch_path

        sketch_of(info.folder, info.digest, cache_folder(os.environ))
        return sketch_path(info.digest, cache_folder(os.environ))

    def _folders(self) -> tuple[Path, ...]:
        from plora.gate.detection.shelf import own_folder

        return (self._home.calibration, own_folder(os.environ))

    def _calibrated(self) -> Mapping[str, None]:
        """The bases that there are calibrations of."""
        from plora.gate.detection.shelf import SHIPPED

        files = (path for folder in (*self._folders(), SHIPPED) for path in sorted(folder.glob("*.json")))
        return dict.fromkeys(path.stem.replace("--", "/") for path in files)


def _on_this_machine(names: Iterable[str]) -> list[BaseInfo]:
    from plora.base import base_info

    found = []
    for name in names:
        try:
            found.append(base_info(name))
        except PloraError:
            continue
    return found
