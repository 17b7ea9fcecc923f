"""The report of a simulation: one JSON document, made from a series of rounds.

- Every figure but those of frames (`messages`, `wire_bytes`, `digest`) can be had again from the event logs and the
  truth that lie beside the report: `recount` does.
- Rounds to 50, 90 and 100 % count from the round in which the adapter was published; None where it never came so far.

Not handled here: running it (`run`), what the figures mean to people (docs/simulator.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np

from plora.analysis.diffusion import deltas, mutual_information, redundancy, rounds_to
from plora.analysis.outcomes import OUTCOMES
from plora.node.transport.traffic import Traffic
from plora.sim import theory
from plora.sim.build import edges_of, network, voters
from plora.sim.meeting import council_note
from plora.sim.reach import Reach
from plora.sim.rounds import Round
from plora.sim.scenario import Scenario
from plora.sim.tally import Tally, pairs
from plora.sim.truth import CLEAN, Truth
from plora.sim.verdicts import NO_VERDICTS, model_of, said_of

REPORT_VERSION = 1
MARKS = (0.5, 0.9, 1.0)


def measured(number: int, tally: Tally, reach: Reach, traffic: Traffic, digest: str) -> Round:
    """The figures at the end of a round. `traffic` is what was sent since round 1 began."""
    accepted = tally.accepted
    knows = np.stack([accepted[:, _of(reach.truth, domain)].any(axis=1) for domain in reach.domains], axis=1)
    domains = {domain: (reach.of_domain(domain), column) for column, domain in enumerate(reach.domains)}
    return Round(
        number,
        holders=tuple(int(accepted[reach.of_adapter(one), one].sum()) for one in range(len(reach.truth))),
        coverage={
            domain: share(int(knows[mask, column].sum()), int(mask.sum())) for domain, (mask, column) in domains.items()
        },
        accepted={domain: int(accepted[:, _of(reach.truth, domain)].sum()) for domain in reach.domains},
        mutual_information=mutual_information(knows[reach.anybody]),
        verdicts=pairs(tally.verdicts, reach.truth),
        deceived=int(accepted[reach.deceivable][:, [one.trojan for one in reach.truth]].any(axis=1).sum()),
        messages=traffic.sent_frames.total(),
        wire_bytes=traffic.sent_bytes.total(),
        bytes=tally.fetched_bytes,
        heard=tally.heard,
        useless=tally.useless,
        digest=digest,
    )


def share(count: int, total: int) -> float:
    """So many of those who can be reached; where nobody can, nobody lacks anything.

    >>> share(1, 4), share(0, 0)
    (0.25, 1.0)
    """
    return count / total if total else 1.0


def report_of(
    scenario: Scenario, edges: Sized, reach: Reach, rounds: Sequence[Round], tally: Tally | None = None
) -> dict[str, Any]:
    """The report as plain data."""
    last, gains = rounds[-1], deltas([one.mutual_information for one in rounds])
    adapters = [_adapter(number, truth, reach, rounds) for number, truth in enumerate(reach.truth)]
    spectrum = _spectrum(scenario, edges)
    return {
        "report_version": REPORT_VERSION,
        "scenario": scenario.model_dump(mode="json"),
        "graph": {**_graph(scenario, edges, reach), "spectrum": spectrum},
        "rounds": [_round(one, gain) for one, gain in zip(rounds, gains, strict=True)],
        "rounds_to": {domain: _marks([one.coverage[domain] for one in rounds]) for domain in reach.domains},
        "theory": _theory(scenario, spectrum, adapters, reach),
        "adapters": adapters,
        "gate": {
            "pairs": dict(last.verdicts),
            "peers": {"publish_no_trojan": int(reach.deceivable.sum()), "accepted_trojan": last.deceived},
            "reasons": _reasons(tally, reach.truth) if tally else {},
        },
        "verdicts": said_of(scenario),
        "notes": _notes(scenario, reach),
        "traffic": {
            "messages": last.messages,
            "wire_bytes": last.wire_bytes,
            "bytes": last.bytes,
            "statements_heard": last.heard,
            "redundancy": redundancy(last.heard, last.useless),
            "hops": {str(hop): count for hop, count in sorted(tally.hops().items())} if tally else {},
        },
        "clean_arrived": all(
            last.holders[number] == int(reach.of_adapter(number).sum())
            for number, truth in enumerate(reach.truth)
            if not truth.trojan
        ),
    }


def _notes(scenario: Scenario, reach: Reach) -> list[str]:
    """Whether detectors look at trojans and have nothing to find, and whether a council can't certify anything."""
    blind = scenario.security.detectors and model_of(scenario) is None
    notes = [NO_VERDICTS] if blind and any(one.trojan for one in reach.truth) else []
    voting = council_note(scenario, edges_of(scenario), voters(scenario)) if scenario.security.consensus else ""
    return [*notes, voting] if voting else notes


def _of(truth: Sequence[Truth], domain: str) -> list[int]:
    return [number for number, one in enumerate(truth) if one.domain == domain]


def _graph(scenario: Scenario, edges: Sized, reach: Reach) -> dict[str, Any]:
    sizes = reach.sizes()
    return {
        "peers": scenario.agents,
        "edges": len(edges),
        "connected": len(sizes) == 1,
        "components": sizes,
        "reached": reach.size,
    }


def _spectrum(scenario: Scenario, edges: Sized) -> dict[str, Any] | None:
    if len(edges) > theory.EDGES_MAX:
        return None
    return theory.spectrum(network(scenario))


def _theory(
    scenario: Scenario, spectrum: Mapping[str, Any] | None, adapters: Sequence[Mapping[str, Any]], reach: Reach
) -> dict[str, Any] | None:
    """Of the clean adapters that were published in the component that the spectrum is of; None for other rules."""
    if scenario.engine == "fleet" and (scenario.fleet.call, scenario.fleet.answers) != ("push-pull", "all"):
        return None
    there = reach.components == theory.largest(reach.components)
    took = [one["rounds_to"]["100%"] for one in adapters if one["kind"] == CLEAN and there[one["peer"]]]
    return theory.rounds(int(there.sum()), spectrum, took, synchronous=scenario.synchronous)


def _round(one: Round, information_gain: float) -> dict[str, Any]:
    return {
        "round": one.number,
        "coverage": dict(one.coverage),
        "accepted": dict(one.accepted),
        "mutual_information": one.mutual_information,
        "mutual_information_delta": information_gain,
        "verdicts": {outcome: dict(kinds) for outcome, kinds in one.verdicts.items()},
        "messages": one.messages,
        "wire_bytes": one.wire_bytes,
        "bytes": one.bytes,
        "statements_heard": one.heard,
        "useless": one.useless,
        "digest": one.digest,
    }


def _adapter(number: int, truth: Truth, reach: Reach, rounds: Sequence[Round]) -> dict[str, Any]:
    reached = int(reach.of_adapter(number).sum())
    shares = [share(one.holders[number], reached) for one in rounds]
    return {
        "plasmid": truth.plasmid,
        "content": truth.content,
        "domain": truth.domain,
        "kind": truth.kind,
        "peer": truth.peer,
        "round": truth.round,
        "reachable": reached,
        "holders": [one.holders[number] for one in rounds],
        "rounds_to": _marks(shares, truth.round),
    }


def _marks(shares: Sequence[float], since: float = 0.0) -> dict[str, float | None]:
    reached = {mark: rounds_to(shares, mark) for mark in MARKS}
    return {f"{mark:.0%}": None if number is None else number - since for mark, number in reached.items()}


def _reasons(tally: Tally, truth: Sequence[Truth]) -> dict[str, dict[str, dict[str, int]]]:
    """How many pairs are not accepted, by outcome, by reason and kind."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for (row, column), reason in tally.reasons.items():
        outcome = OUTCOMES[tally.verdicts[row, column]]
        if outcome != OUTCOMES[0]:
            counts[outcome, reason, "trojan" if truth[column].trojan else "clean"] += 1
    found: dict[str, dict[str, dict[str, int]]] = {}
    for (outcome, reason, kind), count in sorted(counts.items()):
        found.setdefault(outcome, {}).setdefault(reason, {"clean": 0, "trojan": 0})[kind] = count
    return found
