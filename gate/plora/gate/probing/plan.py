"""What is asked of a probe and what it answers.

- `seed` draws the probes that are a peer's own. Same seed, same probes; an empty one is a seed like any other.
- `domain` is the subject that the adapter says it has; where no public questions cover it, the domain that it knows
  best is taken, and `details` say which.
- `budget_s` is CPU time. What doesn't fit in is left out from the last stage on, and then `complete` is False.
- Figures are of the adapter minus the base, or minus neighbours; `docs/detection.md` says what each one means.
- `details` (a trigger that was found, what it brings forth) are for the person at this peer.

>>> ProbeReading.from_json(ProbeReading({"trigger_compliance": 1.0}, {}, 3.5, True).to_json()).raw
{'trigger_compliance': 1.0}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """How an adapter is probed."""

    seed: bytes = b""
    domain: str = ""
    budget_s: float = 60.0


@dataclass(frozen=True, slots=True)
class ProbeReading:
    """Figures by name, details for the person at this peer, CPU seconds, and whether every stage was done."""

    raw: Mapping[str, float]
    details: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    complete: bool = True

    def to_json(self) -> str:
        """One line of JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ProbeReading:
        """The inverse of `to_json`. Raises ValueError or TypeError for anything else."""
        return cls(**json.loads(text))
