"""Scenarios are read strictly: what isn't understood is named, with the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from plora.proto.errors import UsageError
from plora.sim.scenario import Scenario


def test_a_file_is_a_scenario(tmp_path: Path) -> None:
    path = tmp_path / "late.toml"
    path.write_text('agents = 7\n[graph]\nkind = "ws"\nk = 4\n[[happenings]]\nround = 3.5\ndo = "kill"\npeers = [2]\n')
    scenario = Scenario.read(path)
    assert (scenario.name, scenario.agents, scenario.graph.k) == ("late", 7, 4)
    assert scenario.happenings[0].do == "kill" and scenario.happenings[0].peers == (2,)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("agents = 0", "agents"),
        ("[graph]\nkind = 'torus'", "graph.kind"),
        ("[links]\nloss = 1.1", "links.loss"),
        ("[[happenings]]\nround = 1\ndo = 'explode'", "happenings.0.do"),
        ("[churn]\nrate = 3", "churn.rate"),
        ("[[happenings]]\nround = 1\ndo = 'jump_clock'\nby = nan", "happenings.0.by"),
        ("[publish]\nevery = inf", "publish.every"),
        ("agents = ", "no scenario"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=named) as caught:
        Scenario.read(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml"):
        Scenario.read(tmp_path / "none.toml")
