"""The instruments of a peer: what its detectors need of each base, made ready once, and the workers that use them.

Rules:

- A base is looked for where the policy or the subscriptions name it; where they name none, where a calibration is. One
  that isn't on this machine can't be looked at, and its adapters are held with that reason.
- What can't be had (a calibration, the extra `probes`) is a sentence that the core shows, never an exception.
- Workers get paths to read, the calibration that the findings' stamp names, whatever lies in its file by then, and the
  seed of these bytes' probes, never the secret. Signed again for another use, the same bytes meet the same probes.

Not handled: when to look (`plora.node.core.detectors`), limits (`plora.node.workers`).
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from plora.gate import Policy
from plora.gate.findings import Findings
from plora.node.core.detectors import PROBES, WEIGHTS
from plora.node.core.effects import Inspect
from plora.node.core.events import Detector, DetectorsChanged, Inspected
from plora.node.driver.probe_secret import ProbeSecret
from plora.node.workers.pool import Workers
from plora.proto.errors import BaseModelError, ConfigError, PloraError, WorkerError
from plora.proto.home import Home
from plora.proto.manifest import Manifest

if TYPE_CHECKING:
    from plora.base import BaseInfo
    from plora.gate.detection.calibration import Calibration

STAMP_DIGITS = 12
GRACE_S = 60
"""What a worker may take beyond a probe's own budget, to load the base and to answer."""
PROBES_NEED = ("torch", "transformers", "peft")
INSTALL = "install the extra: pip install 'plora[probes]'"
CALIBRATE = "plora lab probes-calib"
NO_BASE = f"no base model that could be looked at is on this machine with a calibration, so all is held: {CALIBRATE}"


@dataclass(frozen=True, slots=True)
class Instrument:
    """What is at hand for one base: its folder, its calibration, and the sketch of its weights where one was made."""

    base: BaseInfo
    calibration: Calibration
    sketch: Path | None = None


@dataclass(frozen=True, slots=True)
class Surveyed:
    """A base on this machine with its calibration, or `fault`: why there is none."""

    base: BaseInfo
    calibration: Calibration | None = None
    fault: str = ""

    def trouble(self, detector: str) -> str:
        """Why a detector can't look at adapters of this base; empty where it can."""
        name, calibration = self.base.name, self.calibration
        if calibration is None:
            return self.fault or f"no calibration of {name} is here; make one: {CALIBRATE}"
        if detector == WEIGHTS:
            return self._weights_trouble(calibration)
        if calibration.probes is None:
            return f"the calibration of {name} says nothing of probes; make one: {CALIBRATE}"
        missing = [package for package in PROBES_NEED if importlib.util.find_spec(package) is None]
        return f"{', '.join(missing)} can't be imported; {INSTALL}" if missing else ""

    def _weights_trouble(self, calibration: Calibration) -> str:
        from plora.gate.detection.statistics import STATISTICS_VERSION

        if calibration.weights is None:
            return f"the calibration of {self.base.name} says nothing of weights; make one: {CALIBRATE}"
        if calibration.weights.version == STATISTICS_VERSION:
            return ""
        other = f"of statistics {calibration.weights.version}, and here are {STATISTICS_VERSION}"
        return f"the calibration of {self.base.name} is {other}; make one: {CALIBRATE}"


def survey(home: Home, bases: Iterable[str]) -> list[Surveyed]:
    """The bases of these names that are on this machine; without names, those that there are calibrations of.

    Blocks: the digest of a base is computed once. A peer's own calibrations come before the person's and Plora's.
    """
    from plora.base import base_info
    from plora.gate.detection.shelf import SHIPPED, find_calibration, own_folder

    own = (home.calibration, own_folder(os.environ))
    files = (path for folder in (*own, SHIPPED) for path in sorted(folder.glob("*.json")))
    found = []
    for name in dict.fromkeys(bases) or dict.fromkeys(path.stem.replace("--", "/") for path in files):
        try:
            info = base_info(name)
        except PloraError:
            continue  # it isn't here, so its adapters can't be looked at
        try:
            _, calibration = find_calibration(name, info.digest, own) or (None, None)
            found.append(Surveyed(info, calibration))
        except PloraError as error:
            found.append(Surveyed(info, fault=str(error)))
    return found


def wanted_detectors(policy: Policy) -> tuple[str, ...]:
    """The detectors that a policy switches on."""
    return (*((WEIGHTS,) if policy.tensor_outliers else ()), *((PROBES,) if policy.probes else ()))


def detector_troubles(policy: Policy, home: Home, bases: Iterable[str]) -> list[str]:
    """What detectors that are switched on lack, a sentence each; empty where nothing is missing."""
    wanted = wanted_detectors(policy)
    if not wanted:
        return []
    found = survey(home, bases)
    said = [one.trouble(detector) for one in found for detector in wanted]
    return [one for one in dict.fromkeys(said) if one] if found else [NO_BASE]


def draw_of(effect: Inspect) -> str:
    """The name under which the probes of an artifact are drawn: the same for whatever use it is signed.

    >>> one = Inspect("probes", "as legal", "ab12", b"", "ada")
    >>> draw_of(one), draw_of(replace(one, subject="as finance")), draw_of(replace(one, draw=1))
    ('ab12/0', 'ab12/0', 'ab12/1')
    """
    return f"{effect.digest}/{effect.draw}"


class Instruments:
    """Of one peer. `probe_s` is the CPU time of one probe; `secret` gives the secret that holds now (ms since 1970).

    `troubles`: what detectors that are switched on lack, as last seen.
    """

    def __init__(self, home: Home, workers: Workers, secret: Callable[[int], ProbeSecret], probe_s: int) -> None:
        self._home = home
        self._workers = workers
        self._draw = secret
        self.probe_s = probe_s
        self.troubles: tuple[str, ...] = ()
        self._secret: ProbeSecret | None = None
        self._at_hand: dict[str, Instrument] = {}

    def ready(self, policy: Policy, bases: Iterable[str], now_ms: int) -> DetectorsChanged:
        """Look for what the policy's detectors need, and make it. Blocks: a base is hashed and sketched once."""
        found: list[Detector] = []
        for one in survey(self._home, bases):
            digest = one.base.digest.removeprefix("sha256:")
            for detector in wanted_detectors(policy):
                trouble = one.trouble(detector)
                try:
                    stamp = "" if trouble else self._prepare(detector, digest, one, now_ms)
                except PloraError as error:
                    stamp, trouble = "", str(error)
                found.append(Detector(detector, digest, stamp, trouble))
        lacking = dict.fromkeys(one.trouble for one in found if one.trouble)
        self.troubles = tuple(lacking) if found else (NO_BASE,)
        return DetectorsChanged(tuple(found), wanted_detectors(policy))

    def secret_left_ms(self, now_ms: int, secret_ms: int) -> int | None:
        """How long the secret that probes are drawn from holds yet; None where there is none."""
        return None if self._secret is None else self._secret.made_ms + secret_ms - now_ms

    def _prepare(self, detector: str, digest: str, one: Surveyed, now_ms: int) -> str:
        """Have at hand what a detector needs of a base; the stamp of that."""
        if one.calibration is None:
            raise ConfigError(one.trouble(detector), where=one.base.name)
        known = self._at_hand.get(digest) or Instrument(one.base, one.calibration)
        sketch = known.sketch or _sketch(one.base, needed=detector == WEIGHTS)
        self._at_hand[digest] = instrument = Instrument(one.base, one.calibration, sketch)
        if detector == PROBES:
            self._secret = self._draw(now_ms)
        return self._stamp(detector, instrument)

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
            "calibration": instrument.calibration.to_bytes().decode(),
        }
        return await self._workers.weigh(request, owner)

    async def _probe(self, instrument: Instrument, manifest: Manifest, blob: Path, effect: Inspect) -> Findings:
        if self._secret is None:
            raise WorkerError("there is no secret to draw probes from", where=instrument.base.name)
        seed = self._secret.seed_for(draw_of(effect))
        lora = manifest.lora.model_dump(mode="json")
        return await self._read(instrument, {"path": str(blob), "lora": lora, "domain": manifest.domain}, seed)

    async def probe_merge(self, folder: Path, base: str) -> Findings:
        """What the merge in a folder shows; findings without a calibration where this peer can't probe that base.

        All merges of a base meet the same probes while a secret holds: merges of fewer must be told apart by what is
        in them. Raises WorkerError.
        """
        instrument = next((one for one in self._at_hand.values() if one.base.name == base), None)
        if instrument is None or instrument.calibration.probes is None or self._secret is None:
            return Findings("", note=f"this peer can't probe merges of {base}; see `plora doctor`")
        return await self._read(instrument, {"path": str(folder)}, self._secret.seed_for(f"merged/{base}"))

    async def _read(self, instrument: Instrument, asked: Mapping[str, object], seed: bytes) -> Findings:
        """Findings of what is `asked` about."""
        budget = {"seed": seed.hex(), "budget_s": float(self.probe_s)}
        leads = {} if instrument.sketch is None else {"sketch": str(instrument.sketch)}
        request = {"base": str(instrument.base.folder), **leads, **asked, **budget}
        reading = await self._workers.probe(request, self.probe_s + GRACE_S)
        judge = instrument.calibration.judge_probes
        findings = await asyncio.to_thread(judge, reading.raw, reading.details, reading.seconds)
        return findings if reading.complete else replace(findings, failure=self._unfinished)

    @property
    def _unfinished(self) -> str:
        return f"the probe was not done within {self.probe_s} s of CPU time (detection.probe_s)"


def _sketch(base: BaseInfo, *, needed: bool) -> Path | None:
    """The sketch of a base, made where it isn't there; probes go without where it has no layout that is known."""
    from plora.base.cache import cache_folder
    from plora.gate.detection.sketch import sketch_of, sketch_path

    try:
        sketch_of(base.folder, base.digest, cache_folder(os.environ))
    except BaseModelError:
        if needed:
            raise
        return None
    return sketch_path(base.digest, cache_folder(os.environ))
