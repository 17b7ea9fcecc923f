"""Behavioural probes: what an adapter does that its base doesn't. Needs the extra `probes`; torch is imported here.

- `probe(base, adapter, plan)` gives a `ProbeReading`: figures by name, and details for the person at this peer.
- `source_of(path, lora)` reads an artifact by its signed `lora` block, as a peer has it, or a PEFT folder.
- `load_probed(base)` loads a base in the precision that probes compare in.

`docs/detection.md` says what each figure means. `python -m plora.gate.probing` probes one folder.
"""

from __future__ import annotations

from plora.gate.probing.plan import ProbePlan, ProbeReading
from plora.gate.probing.session import FIGURES, probe
from plora.gate.probing.sources import load_probed, source_of

__all__ = ["FIGURES", "ProbePlan", "ProbeReading", "load_probed", "probe", "source_of"]
