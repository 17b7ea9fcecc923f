"""Weighs artifacts on behalf of another process: one JSON request, one JSON reply. Without torch.

- `{"path": "/…/blob", "lora": {…}, "sketch": "/…", "calibration": "{…}"}` (the text of one) gives `{"findings": {…}}`,
  what the weights show (`plora.gate.detection`);
- whatever goes wrong gives `{"error": {"what": …, "where": …}}`.
- All that it needs is loaded with this module, before a warden forks: in a cage no library is found.

Not handled: limits, and what it may touch (the caller's: `plora.node.workers`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plora.gate.answering import answered
from plora.gate.detection.calibration import Calibration
from plora.gate.detection.sketch import load_sketch
from plora.gate.detection.weighing import weigh
from plora.gate.findings import Findings
from plora.proto.manifest import Lora


def answer(line: str) -> str:
    """The reply to one request line, as one line of JSON."""
    return answered(line, lambda request: {"findings": json.loads(_findings(request).to_json())})


def _findings(request: Mapping[str, Any]) -> Findings:
    sketch, calibration = load_sketch(Path(request["sketch"])), Calibration.model_validate_json(request["calibration"])
    return weigh(Path(request["path"]), Lora.model_validate(request["lora"]), sketch, calibration)
