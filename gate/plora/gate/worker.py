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

from plora.gate.features import Features
from plora.gate.tensors import examine_file
from plora.proto.errors import PloraError


def answer(line: str) -> str:
    """The reply to one request line, as one line of JSON."""
    began_s = time.process_time()
    try:
        request = json.loads(line)
        features = json.loads(_features(request).to_json())
        cpu_ms = round((time.process_time() - began_s) * 1000, 3)
        return json.dumps({"features": features, "cpu_ms": cpu_ms}, sort_keys=True)
    except PloraError as error:
        return json.dumps({"error": {"what": error.what, "where": error.where}})
    except Exception as error:  # a crash must reach the caller as a reply
        return json.dumps({"error": {"what": f"{type(error).__name__}: {error}"[:200], "where": ""}})


def _features(request: Mapping[str, Any]) -> Features:
    return examine_file(Path(request["path"]), chunk_bytes=int(request.get("chunk_bytes", 0)))
