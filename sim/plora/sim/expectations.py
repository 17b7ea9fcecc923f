"""Whether a simulation ended as its scenario says that it must: a sentence for everything that isn't so.

- Asked are the peers that keep the rules. Who is down at the end counts by what it had accepted.
- What is expected and can't be looked at, as agreement in the fleet, is not passed over: it is a `UsageError`.

Not handled here: what must hold all the time, whatever the scenario (`invariants`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from plora.proto.errors import UsageError
from plora.proto.records import Penalty
from plora.sim.invariants import CONTENT_FAULTS
from plora.sim.peer import SimPeer
from plora.sim.scenario import Expect

if TYPE_CHECKING:
    from plora.sim.run import Outcome, Simulation

Accepted = np.ndarray[Any, np.dtype[np.bool_]]


def failures(outcome: Outcome) -> list[str]:
    """What is not as expected, in the order of the fields of `Expect`; nothing where all is."""
    expect = outcome.scenario.expect
    if expect == Expect():
        return []
    if outcome.simulation is None:
        raise UsageError("only the swarm's end can be looked at", where="expect", mend='set engine = "swarm"')
    simulation = outcome.simulation
    peers, (clean, poisoned) = honest(simulation), shares(simulation)
    return [
        *_out_of("clean_accepted", clean, least=expect.clean_accepted),
        *_out_of("trojans_accepted_max", poisoned, most=expect.trojans_accepted_max),
        *(_disagreement(peers) if expect.agree else ()),
        *(_too_many_blamed(peers, expect.blamed_max) if expect.blamed_max is not None else ()),
        *_not_met(peers, expect.met),
    ]


def honest(simulation: Simulation) -> list[SimPeer]:
    """The peers that keep the rules, by number."""
    breaking = simulation.line_up.breaking
    return [simulation.swarm.peer(name) for number, name in enumerate(simulation.ids) if number not in breaking]


def shares(simulation: Simulation) -> tuple[float, float]:
    """Of pairs of an honest peer and a clean adapter those accepted; of pairs with a trojan of somebody else, the same.

    1 and 0 of none.
    """
    rows = [number for number in range(len(simulation.ids)) if number not in simulation.line_up.breaking]
    truths = list(simulation.truth.values())
    accepted: Accepted = simulation.tally.accepted[rows]
    trojan = np.array([truth.trojan for truth in truths], dtype=bool)
    others = np.array([[row != truth.peer for truth in truths] for row in rows], dtype=bool).reshape(accepted.shape)
    clean, poisoned = accepted[:, ~trojan], accepted[others & trojan]
    return float(clean.mean()) if clean.size else 1.0, float(poisoned.mean()) if poisoned.size else 0.0


def _out_of(field: str, share: float, least: float | None = None, most: float | None = None) -> Iterator[str]:
    if least is not None and share < least:
        yield f"{field}: {share:.3f}, at least {least} was expected"
    if most is not None and share > most:
        yield f"{field}: {share:.3f}, at most {most} was expected"


def _disagreement(peers: Sequence[SimPeer]) -> Iterator[str]:
    roots = {peer.core.live_root for peer in peers if peer.up}
    if not roots:
        yield "agree: nobody is up at the end"
    elif len(roots) > 1:
        yield f"agree: {len(roots)} different sets of live statements"


def _too_many_blamed(peers: Sequence[SimPeer], most: int) -> Iterator[str]:
    blamed = _blamed(peers)
    if len(blamed) > most:
        reasons = ", ".join(sorted(dict.fromkeys(blamed.values())))
        yield f"blamed_max: {len(blamed)} honest peers were penalised by others, for {reasons}"


def _not_met(peers: Sequence[SimPeer], reasons: Sequence[str]) -> Iterator[str]:
    for reason in reasons:
        if not any(reason in line for peer in peers for line in peer.log):
            yield f"met: nobody's log names {reason}"


def _blamed(peers: Sequence[SimPeer]) -> dict[str, str]:
    """Honest peers that others penalised for contents, and for what."""
    ids = {name for peer in peers for name in peer.called}
    bodies = (record.body for peer in peers for record in peer.log.since(0))
    told = (body for body in bodies if isinstance(body, Penalty) and body.reason in CONTENT_FAULTS)
    return {body.subject: body.reason for body in told if body.subject in ids}
