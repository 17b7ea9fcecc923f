"""Weight statistics of one artifact, judged: what a worker does for the stage "weight statistics".

Rules:

- Nothing is passed over in silence. Where the calibration is of other statistics than these, or the adapter changes
  modules outside the base's layers (an `lm_head`), there is no p-value, and `note` says why.

Not handled: finding sketch and calibration (`plora.gate.detection.sketch`, `plora.gate.detection.shelf`), limits.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from plora.gate.detection.calibration import RECALIBRATE, Calibration
from plora.gate.detection.sketch import BaseSketch
from plora.gate.detection.statistics import STATISTICS_VERSION, weight_statistics
from plora.gate.findings import Findings


def weigh(path: Path, lora: object, sketch: BaseSketch, calibration: Calibration) -> Findings:
    """What the weights of the artifact at `path` show; `lora` is its signed block or a `LoraSpec`.

    `seconds` is the CPU time that it took. Raises AdapterError where nothing can be measured.
    """
    began_s = time.process_time()
    found = _judged(path, lora, sketch, calibration)
    return replace(found, seconds=round(time.process_time() - began_s, 4))


def _judged(path: Path, lora: object, sketch: BaseSketch, calibration: Calibration) -> Findings:
    part = calibration.weights
    if part is not None and part.version != STATISTICS_VERSION:
        versions = f"version {part.version} of the statistics, this build has {STATISTICS_VERSION}"
        return Findings("", note=f"the calibration of {calibration.base} is of {versions}; {RECALIBRATE}")
    statistics = weight_statistics(path, lora, sketch)
    if statistics["unread"]:
        return Findings(
            "", note=f"{statistics['unread']:g} modules lie outside the base's layers: they can't be judged"
        )
    return calibration.judge_weights(statistics)
