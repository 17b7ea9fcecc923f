"""Alert rules and dashboard name only metrics and commands that there are, and each alert has a test of its own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from plora.cli.reference import help_texts
from plora.node.metrics.table import METRICS, series_of

OBSERVE = Path(__file__).resolve().parents[2] / "deploy/observe"
DASHBOARD = OBSERVE / "grafana/dashboards/plora.json"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((OBSERVE / "rules.yml").read_text())["groups"] for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
SERIES = {series for metric in METRICS for series in series_of(metric)} | {rule.get("record") for rule in RULES}


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def queries() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    yield from (target["expr"] for panel in panels() for target in panel.get("targets", ()))


def test_every_metric_that_is_named_exists() -> None:
    named = {name for query in queries() for name in re.findall(r"\b(?:plora|process)[_:][a-z0-9_:]+", query)}
    assert len(named) > 30
    assert sorted(named - SERIES) == []


def test_every_label_that_is_named_exists() -> None:
    known = {label for metric in METRICS for label in metric.labels} | {"instance", "job", "le"}
    for query in queries():
        inside = ",".join(re.findall(r"\{([^}]*)\}", query)) + "," + ",".join(re.findall(r"\bby \(([^)]*)\)", query))
        assert set(re.findall(r"([a-z]+)\s*(?:=|!=|,|$)", re.sub(r'"[^"]*"', "", inside))) - known == set(), query


def test_every_command_that_an_alert_names_exists() -> None:
    commands = {name.removeprefix("plora ") for name in help_texts()}
    said = " ".join(text for alert in ALERTS for text in alert["annotations"].values())
    named = re.findall(r"`plora ([a-z]+(?: [a-z]+)?)(?: NAME)?`", said)
    assert len(named) > 15
    assert [one for one in named if one not in commands] == []
    assert said.count("`plora ") == len(named)


def test_every_alert_has_a_severity_and_a_test() -> None:
    assert {alert["labels"]["severity"] for alert in ALERTS} == {"critical", "warning", "info"}
    cases = yaml.safe_load((OBSERVE / "rules_test.yml").read_text())["tests"]
    fires = {case["name"]: case["promql_expr_test"][0] for case in cases}
    for alert in ALERTS:
        name = alert["alert"]
        assert fires[name]["expr"] == f'count(ALERTS{{alertname="{name}", alertstate="firing"}})'
        assert fires[name]["exp_samples"] == [{"value": 1}]


@pytest.mark.parametrize(
    "words", [("check", "config", "prometheus.yml"), ("test", "rules", "rules_test.yml")], ids=lambda words: words[1]
)
def test_promtool_agrees(words: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here: apt-get install prometheus")
    done = subprocess.run([promtool, *words], cwd=OBSERVE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_answers_three_questions() -> None:
    rows = [panel["title"] for panel in panels() if panel["type"] == "row"]
    assert rows == ["Is it spreading?", "Is it safe?", "Is it healthy?"]
    shown = [panel for panel in panels() if panel["type"] != "row"]
    assert len({panel["id"] for panel in panels()}) == len(panels())
    assert all(panel["description"] and panel["targets"] for panel in shown)
    places = [(one["gridPos"]["x"], one["gridPos"]["y"]) for one in panels()]
    assert len(set(places)) == len(places) and all(one["gridPos"]["x"] + one["gridPos"]["w"] <= 24 for one in panels())


def test_provisioning_fits_together() -> None:
    (source,) = yaml.safe_load((OBSERVE / "grafana/datasources/prometheus.yml").read_text())["datasources"]
    asked = {target["datasource"]["uid"] for panel in panels() for target in panel.get("targets", ())}
    assert asked == {source["uid"]}
    (provider,) = yaml.safe_load((OBSERVE / "grafana/dashboards/plora.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/provisioning/dashboards"
