"""How new this peer may believe to be: the latest signed time, durably, and whether the pinned root was heard lately.

- The *signed time* only ever rises. It comes from freshness statements that enough owners of the pinned root made, and
  from manifests that were accepted here under the signatures of two owners or more. A clock that is behind it is wrong.
- With a root, it is told once when this peer turns STALE, and once when it is fresh again.
- Not handled here: what counts (`plora.gate.root`), what follows for a verdict (stage "replay").
"""

from __future__ import annotations

from collections.abc import Iterable

from plora.gate import FreshnessState, Policy, Trust, Verdict, freshness_state
from plora.gate.root import signed_time_ms
from plora.node.core.docket import Docket
from plora.node.core.effects import Emit, SetTimer
from plora.node.core.notices import Outputs
from plora.node.core.now import Now
from plora.node.store.disk import Put, RowOp
from plora.proto.errors import StoreError
from plora.proto.fields import parse_timestamp
from plora.proto.manifest import Manifest
from plora.proto.records import FreshnessChanged

SIGNED_TIME = "signed_time"
FRESHNESS_TIMER = "desk:freshness"
LOOK_MS_MAX = 3_600_000
OWNERS_MIN = 2
_KEY = b"ms"


def freshness_here(docket: Docket, policy: Policy, trust: Trust, now: Now) -> FreshnessState | None:
    """How fresh the peer is; None where no root is pinned."""
    return freshness_state(docket.freshness, trust.root, policy, now.wall_ms) if trust.root is not None else None


class FreshnessWatch:
    """Watches one docket, whose `signed_time_ms` it raises."""

    def __init__(self, docket: Docket, rows: Iterable[tuple[bytes, bytes]]) -> None:
        self._docket = docket
        self._told: bool | None = None
        try:
            docket.signed_time_ms = max((int(value) for _, value in rows), default=0)
        except ValueError as error:
            raise StoreError("the signed time can't be read", where=f"state.db: {SIGNED_TIME}") from error

    def look(self, policy: Policy, trust: Trust, now: Now) -> tuple[list[RowOp], Outputs]:
        """Rows to write and what to tell now; `FRESHNESS_TIMER` asks for the next look."""
        if trust.root is None:
            self._told = None
            return [], []
        rows = self._raise(signed_time_ms(self._docket.freshness, trust.root))
        found = freshness_state(self._docket.freshness, trust.root, policy, now.wall_ms)
        out = _timer(now, found)
        if found.fresh == self._told:
            return rows, out
        self._told = found.fresh
        state = "fresh" if found.fresh else "stale"
        return rows, [Emit(FreshnessChanged(state, found.signed, found.required, found.until_ms)), *out]

    def holds(self, policy: Policy, now: Now) -> bool:
        """Whether nothing new is accepted now: the clock is wrong, or the root wasn't heard lately."""
        behind = now.wall_ms + policy.clock_skew_ms_max < self._docket.signed_time_ms
        return behind or self._told is False

    def accepted(self, manifest: Manifest, verdict: Verdict) -> list[RowOp]:
        """What an accepted manifest says about the time: as much as all who signed it."""
        owners = next((len(one.evidence.get("owners", ())) for one in verdict.stages if "owners" in one.evidence), 0)  # type: ignore[arg-type]
        return self._raise(parse_timestamp(manifest.issued) * 1000) if owners >= OWNERS_MIN else []

    def _raise(self, time_ms: int) -> list[RowOp]:
        if time_ms <= self._docket.signed_time_ms:
            return []
        self._docket.signed_time_ms = time_ms
        return [Put(SIGNED_TIME, _KEY, str(time_ms).encode())]


def _timer(now: Now, found: FreshnessState) -> Outputs:
    """Look again when it ends; wall clocks jump, so no later than in an hour."""
    left_ms = min(found.until_ms - now.wall_ms, LOOK_MS_MAX)
    return [SetTimer(FRESHNESS_TIMER, now.after_ms(left_ms))] if found.fresh else []
