"""Scenarios that come along: naming them, finding one, and saying where one didn't end as it must.

Not handled here: what is looked at (`plora.sim.expectations`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plora.cli.output import Output
from plora.proto.errors import PloraError

if TYPE_CHECKING:
    from plora.sim.scenario import Scenario


def list_scenarios(output: Output) -> None:
    """Name all that come along, each with what it is about."""
    from plora.sim import scenarios

    found = [scenarios.find(name) for name in scenarios.names()]
    rows = [{"name": one.name, "agents": one.agents, "rounds": one.rounds, "about": one.about} for one in found]
    output.table(("name", "agents", "rounds", "about"), rows, {"scenarios": rows})


def told_by(path: Path | None) -> Scenario:
    """The scenario of a file, or by a name that comes along; the usual one where neither is given."""
    from plora.sim import scenarios
    from plora.sim.scenario import Scenario

    if path is None:
        return Scenario()
    return Scenario.read(scenarios.path_of(str(path)))


def raise_if_unexpected(output: Output, report: Mapping[str, Any]) -> None:
    """`PloraError` where the run didn't end as its scenario says; each thing that isn't so goes to stderr."""
    missed = report.get("unexpected", ())
    for sentence in missed:
        output.failure(sentence)
    if missed:
        name = report["scenario"]["name"]
        raise PloraError(f"{name} did not end as it must", mend="the scenario's `expect` says how; see the report")
