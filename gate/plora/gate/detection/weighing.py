"""Weight statistics of one artifact, judged: what a worker does for the stage "weight statistics".

Not handled: finding sketch and calibration (`plora.gate.detection.sketch`, `plora.gate.detection.shelf`), limits.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from plora.gate.detection.calibration import Calibration, Shape
from plora.gate.detection.sketch import BaseSketch
from plora.gate.detection.statistics import weight_statistics
from plora.gate.findings import Findings


def weigh(path: Path, lora: Shape, sketch: BaseSketch, calibration: Calibration) -> Findings:
    """What the weights of the artifact at `path` show; `lora` is its signed block.

    `seconds` is the CPU time that it took. Raises AdapterError where nothing can be measured.
    """
    began_s = time.process_time()
    statistics = weight_statistics(path, lora, sketch)
    return replace(calibration.judge_weights(statistics, lora), seconds=round(time.process_time() - began_s, 4))
