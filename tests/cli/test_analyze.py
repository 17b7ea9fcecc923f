"""`plora analyze` on the logs of a simulated run: the summary is that of the run's report; the page in Chromium."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright
from tests.sim.kept import keep
from tests.web.browsing import NEEDS_CHROMIUM, faults
from tests.web.conftest import CHROMIUM, FLAGS

from plora.cli.main import main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = keep(tmp_path_factory.mktemp("run"))
    with pytest.raises(SystemExit) as ended:
        main(["analyze", str(folder), "-q"])
    assert not ended.value.code
    return folder


def test_it_says_what_the_runs_own_report_says(run: Path) -> None:
    found, report = (json.loads((run / name).read_text("utf-8")) for name in ("analysis.json", "report.json"))
    assert found["read"]["left_out"] == [] and found["read"]["missing"] == 0
    last = report["rounds"][-1]
    assert {domain: series[-1] for domain, series in found["coverage"].items()} == last["coverage"]
    pairs = {
        outcome: {kind: kinds[kind] for kind in ("clean", "trojan")}
        for outcome, kinds in found["gate"]["pairs"].items()
    }
    assert pairs == report["gate"]["pairs"]
    assert found["mutual_information"][-1] == pytest.approx(last["mutual_information"])
    assert found["traffic"]["redundancy"] == report["traffic"]["redundancy"]
    assert found["traffic"]["heard"] == report["traffic"]["statements_heard"]
    assert found["graph"]["links"] == report["graph"]["edges"]
    assert found["graph"]["lambda2_normalized"] == pytest.approx(report["graph"]["spectrum"]["lambda2_normalized"])


@NEEDS_CHROMIUM
def test_the_page_can_be_scrubbed_and_asks_for_nothing(run: Path) -> None:
    page = run / "analysis.html"
    assert "://" not in page.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    with sync_playwright() as driver, driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser:
        tab, said = browser.new_page(), list[str]()
        tab.on("console", lambda message: said.append(message.text))
        tab.goto(page.as_uri())
        at_the_end = tab.locator("#coverage-rows").inner_text()
        tab.keyboard.press("Home")
        expect(tab.locator("#when")).to_have_text("0 s")
        assert tab.locator("#coverage-rows").inner_text() != at_the_end
        assert tab.locator("#more img").evaluate("one => one.naturalWidth") > 800
        assert tab.locator("#more tbody tr").count() == 3 and said == []
        axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
        assert faults(tab, axe) == []


def test_folders_without_logs_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SystemExit) as ended:
            main(["analyze", str(place)])
        assert ended.value.code == 2
    assert "HOME/events" in capsys.readouterr().err
