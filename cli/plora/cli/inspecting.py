"""Detectors on a folder, without a peer: what `plora gate`, `plora sign` and `plora publish` learn of an adapter.

The same instruments, workers and limits as the home's peer has. Probes are drawn from its secret where it has one,
which is read and never changed; else from a fresh one.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

from plora.gate import Policy
from plora.gate.findings import Findings, poisoning_score
from plora.node.core.detectors import PROBES, WEIGHTS
from plora.node.core.effects import Inspect
from plora.node.core.events import Detector
from plora.node.core.plasmid import subject_of
from plora.node.daemon.config import DetectionBlock, load_config
from plora.node.driver.instruments import Instruments, survey
from plora.node.driver.probe_secret import SECRET_BYTES, ProbeSecret, kept_secret
from plora.node.workers.pool import Workers
from plora.proto.errors import ConfigError, PloraError
from plora.proto.home import Home, default_home
from plora.proto.manifest import ARTIFACT_FILENAME, Manifest


def inspect_folder(
    folder: Path, manifest: Manifest, detectors: Sequence[str], home: Path | None = None
) -> dict[str, Findings]:
    """What these detectors find in a folder's adapter under a manifest, by detector; why not, where one can't look."""
    return asyncio.run(_inspect(folder / ARTIFACT_FILENAME, manifest, detectors, Home(home or default_home())))


def own_score(folder: Path, manifest: Manifest, *, probes: bool, home: Path | None = None) -> float | None:
    """The score that a publisher claims of their own adapter; None where no detector is calibrated for its base.

    Weights are measured wherever they can be; probes, which take longer, where they are asked for. Raises ConfigError
    where they are and can't be had: a score that leaves them out would claim more than was seen.
    """
    known = survey(Home(home or default_home()), (manifest.base_model,))
    wanted = [WEIGHTS] if any(not one.trouble(WEIGHTS) for one in known) else []
    wanted += [PROBES] if probes else []
    found = inspect_folder(folder, manifest, wanted, home) if wanted else {}
    probed = found.get(PROBES)
    if probed is not None and (probed.failure or probed.p_value is None):
        why = probed.failure or probed.note or "no p-value came of it"
        raise ConfigError(f"can't be probed: {why}", where=str(folder), mend="mend that, or leave --probes out")
    return poisoning_score(found.values())


async def _inspect(blob: Path, manifest: Manifest, detectors: Sequence[str], home: Home) -> dict[str, Findings]:
    workers, now_ms = Workers(), int(time.time() * 1000)
    detection = load_config(home.config).peer.detection if home.config.exists() else DetectionBlock()
    secret = kept_secret(home.probe_secret) or ProbeSecret(os.urandom(SECRET_BYTES), now_ms)
    instruments = Instruments(home, workers, lambda _: secret, detection.probe_s)
    policy = Policy(tensor_outliers=WEIGHTS in detectors, probes=PROBES in detectors)
    try:
        able = await asyncio.to_thread(instruments.ready, policy, (manifest.base_model,), now_ms)
        of_base = {one.detector: one for one in able.detectors if one.base_digest == manifest.base_digest}
        return {name: await _one(instruments, of_base.get(name), manifest, blob, name) for name in detectors}
    finally:
        await workers.stop()


async def _one(
    instruments: Instruments, able: Detector | None, manifest: Manifest, blob: Path, detector: str
) -> Findings:
    if able is None:
        return Findings("", note=f"{manifest.base_model} is not on this machine, or has other bytes here")
    if able.trouble:
        return Findings("", note=able.trouble)
    asked = Inspect(detector, subject_of(manifest), manifest.artifacts.sha256, manifest.to_bytes(), manifest.owner)
    try:
        found = (await instruments.inspect(asked, blob)).findings
    except PloraError as error:
        return Findings("", failure=str(error))
    return found or Findings("", failure="no answer")
