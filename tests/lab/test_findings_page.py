"""docs/findings.md says what docs/findings.json says, and that is of today's settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plora.lab.experiment.config import read_config
from plora.lab.findings import material
from plora.lab.findings.document import rule_digest, settings_digest
from plora.lab.findings.page import with_findings
from plora.lab.findings.settings import Settings, rule_of
from plora.sim.sweep import Numbers

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "findings.md"


def numbers() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(PAGE.with_suffix(".json").read_text(encoding="utf-8"))
    return found


def test_the_page_says_what_the_numbers_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_findings(text, numbers()) == text, "make findings-page makes it anew"


def test_the_numbers_are_of_todays_settings() -> None:
    settings = Settings.read(ROOT / "config" / "findings.yml")
    rule, found = rule_of(settings, ROOT), numbers()
    made = found["provenance"]
    assert made["config_hash"] == settings_digest(settings), "make findings-page makes it anew"
    assert made["rule"] == rule_digest(rule)
    asked = read_config(ROOT / settings.material)
    assert found["value"]["command"] == material.command_of(material.STUDY, asked)
    limits = [rule.t90_ratio_max, rule.trojan_accepted_upper_max, rule.value_kept_lower_min]
    assert [part["limit"] for part in found["parts"]] == limits
    seeds = settings.sweeps.gate.axes["seed"]
    assert isinstance(seeds, Numbers) and len(found["provenance"]["seed"]) == seeds.count
    assert {name: found["layers"][name] for name in ("peers", "quorum", "seeds")} == settings.layers.model_dump()
