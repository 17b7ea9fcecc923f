"""Probes adapters on behalf of another process: one JSON request, one JSON reply. Needs the extra `probes`.

- `{"path": "/…/blob or folder", "base": "/…/folder", "lora": {…}, "seed": hex, "domain": "legal", "budget_s": 60,
  "sketch": "/…"}` gives `{"reading": {"raw": {…}, "details": {…}, "seconds": 3.2, "complete": true}}`. `lora` is needed
  for a blob; without `sketch`, the base's, an adapter's weights give no leads.
- Whatever goes wrong gives `{"error": {"what": …, "where": …}}`.
- It starts no thread, no process and no connection, so that it runs in a cage; torch is loaded with this module, before
  a warden forks, and the base with each request.

Not handled: limits, and what a probe may touch (the caller's: `plora.node.workers`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_DEACTIVATE_ASYNC_LOAD", "1")  # transformers would load weights in threads
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("PLORA_FORCE_CPU", "1")

import torch._dynamo  # noqa: F401  transformers would load it in the cage, where it finds no temporary folder

from plora.gate.answering import answered
from plora.gate.detection.sketch import load_sketch
from plora.gate.probing import ProbePlan, ProbeReading, load_probed, probe, source_of


def answer(line: str) -> str:
    """The reply to one request line, as one line of JSON."""
    return answered(line, lambda request: {"reading": json.loads(_reading(request).to_json())})


def _reading(request: Mapping[str, Any]) -> ProbeReading:
    seed, domain = bytes.fromhex(request.get("seed", "")), str(request.get("domain", ""))
    plan = ProbePlan(seed, domain, float(request.get("budget_s", ProbePlan().budget_s)))
    sketch = load_sketch(Path(request["sketch"])) if "sketch" in request else None
    source = source_of(Path(request["path"]), request.get("lora"))
    return probe(load_probed(str(request["base"])), source, plan, sketch)
