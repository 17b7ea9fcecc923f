"""The page of a run in Chromium, from a file: the slider, the keys, playing, and nothing that axe-core finds."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
from playwright.sync_api import Page as Tab
from playwright.sync_api import expect, sync_playwright
from tests.sim.kept import keep
from tests.web.browsing import NEEDS_CHROMIUM, SCHEMES, faults
from tests.web.conftest import CHROMIUM, FLAGS

from plora.cli.sim_replay import Sayings
from plora.sim.page import LINKS_MAX, data_of, page_of, write_page
from plora.sim.page.layout import places_of
from plora.sim.trace import Frame, Trace, read_trace


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    found = read_trace(keep(tmp_path_factory.mktemp("run")))
    return replace(found, report={**found.report, "adversaries": [{"peer": 2, "kind": "forger", "from_round": 0.0}]})


def test_equal_runs_give_equal_pages_that_ask_for_nothing(trace: Trace) -> None:
    text = page_of(trace, Sayings(trace))
    assert text == page_of(trace, Sayings(trace))
    assert "default-src &#x27;none&#x27;" in text and "://" not in text.replace("http://www.w3.org/2000/svg", "")


def test_what_a_run_says_is_never_markup(trace: Trace) -> None:
    assert "<img" not in page_of(trace, lambda line: "</script><img src=x onerror=alert(1)>")


def test_of_very_many_links_some_are_drawn_and_the_page_says_so(trace: Trace) -> None:
    links = [(a, b) for a in range(6) for b in range(a + 1, 6)]
    frames = (Frame(0, linked=links), *trace.frames[1:])
    few = data_of(Trace(trace.report, trace.truth, trace.peers, trace.numbers, frames), str)
    assert few["note"] == "" and len(few["frames"][0]["linked"]) == 2 * len(links)
    many = [(a, b) for a in range(300) for b in range(a + 1, 300)]
    report = {**trace.report, "scenario": {**trace.report["scenario"], "graph": {"kind": "complete"}}}
    data = data_of(Trace(report, trace.truth, 300, {}, (Frame(0, linked=many),)), str)
    assert len(data["frames"][0]["linked"]) // 2 <= LINKS_MAX and f"of {len(many):,} links" in data["note"]


def test_parts_of_a_graph_are_drawn_apart() -> None:
    clique = [(a, b) for a in range(20) for b in range(a + 1, 20)]
    places = places_of(23, [*clique, (20, 21)], "er")
    assert places == places_of(23, [*clique, (20, 21)], "er")
    right = max(x for x, _ in places[:20])
    assert all(x > right or y > max(y for _, y in places[:20]) for x, y in places[20:])
    assert right > 500  # the many have most of the room


def coverage_in(tab: Tab) -> list[str]:
    return tab.locator("#coverage-rows td:nth-child(2)").all_inner_texts()


@NEEDS_CHROMIUM
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_page_is_scrubbed_by_slider_and_keys(trace: Trace, tmp_path: Path) -> None:
    write_page(tmp_path / "run.html", trace, Sayings(trace))
    said: list[str] = []
    last = len(trace.report["rounds"])
    with sync_playwright() as driver, driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser:
        tab = browser.new_page()
        tab.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: said.append(request.url) if not request.url.startswith("file:") else None)
        tab.goto((tmp_path / "run.html").as_uri())
        expect(tab.locator("#when")).to_have_text(f"Round {last} of {last}")
        slider = tab.get_by_role("slider", name="Round")
        slider.fill("0")
        expect(tab.locator("#when")).to_have_text(f"Before round 1 of {last}")
        slider.fill(str(last))
        shares = [f"{100 * share:.0f} %" for share in trace.report["rounds"][-1]["coverage"].values()]
        assert coverage_in(tab) == shares
        expect(tab.locator("#verdicts-rows tr").first).to_contain_text(
            str(trace.report["rounds"][-1]["verdicts"]["accepted"]["clean"])
        )
        tab.get_by_role("heading", level=1).click()
        tab.keyboard.press("ArrowLeft")
        expect(tab.locator("#when")).to_have_text(f"Round {last - 1} of {last}")
        took = trace.report["theory"]["observed"]
        expect(tab.locator("#theory-rows td").first).to_have_text(f"{took:.1f}".removesuffix(".0"))
        tab.keyboard.press("Home")
        assert set(coverage_in(tab)) == {"0 %"}
        tab.get_by_role("button", name="Play").click()
        expect(tab.locator("#when")).to_have_text(f"Round {last} of {last}")
        expect(tab.get_by_role("button", name="Play")).to_be_visible()
        tab.get_by_label("Peer", exact=True).fill("2")
        expect(tab.get_by_role("heading", name="Peer 2, breaks rules as forger")).to_be_visible()
        assert tab.locator("#chosen-rows tr").count() == len(trace.truth)
        axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
        for scheme, rules in SCHEMES.items():
            tab.emulate_media(color_scheme=scheme)
            assert faults(tab, axe, rules) == [], scheme
    assert said == []
