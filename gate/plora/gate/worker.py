"""Examines artifacts on behalf of another process: one JSON request, one JSON reply. Without torch.

- `{"path": "/…/blob", "chunk_bytes": 262144}` (the latter may be left out) gives `{"features": {…}, "cpu_ms": 3.2}`,
  with the CPU time that it took;
- whatever goes wrong gives `{"error": {"what": …, "where": …}}`.

Not handled: what weights show (`plora.gate.weight_worker`); limits, and what an examination may touch (the caller's:
`plora.node.workers`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plora.gate.answering import answered
from plora.gate.features import Features
from plora.gate.tensors import examine_file


def answer(line: str) -> str:
    """The reply to one request line, as one line of JSON."""
    return answered(line, _examined)


def _examined(request: Mapping[str, Any]) -> Mapping[str, Any]:
    began_s = time.process_time()
    features = json.loads(_features(request).to_json())
    return {"features": features, "cpu_ms": round((time.process_time() - began_s) * 1000, 3)}


def _features(request: Mapping[str, Any]) -> Features:
    return examine_file(Path(request["path"]), chunk_bytes=int(request.get("chunk_bytes", 0)))
