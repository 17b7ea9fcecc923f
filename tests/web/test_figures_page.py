"""What detectors measured, on a real peer's page: figures in a table, what is beyond its threshold, both scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from tests.ports import free_port
from tests.swarm.calibrated import measures, random_folder
from tests.web.browsing import NEEDS_CHROMIUM, go, look, tab_of
from tests.web.conftest import MakePeer, Page

pytestmark = [pytest.mark.timeout(180), pytest.mark.slow, NEEDS_CHROMIUM]


def test_figures_are_a_table_and_what_is_beyond_its_threshold_says_so(
    make_peer: MakePeer, browser: Browser, axe: str, tmp_path: Path
) -> None:
    peer = make_peer("ada")
    sketch = measures(peer, tmp_path)
    peer.settings |= {"policy": {"tensor_outliers": True}, "web": {"listen": f"127.0.0.1:{free_port()}"}}
    peer.start()
    peer.publish(random_folder(peer, tmp_path / "loud", sketch, seed=1, loudness=3.0))
    (content,) = peer.until(lambda: list(peer.plasmids("quarantined")))
    page = Page(peer)
    with tab_of(browser, page) as tab:
        go(tab, f"plasmids/{content}")
        row = tab.locator("table.figures tr", has_text="norm z")
        expect(row).to_contain_text("beyond it")
        expect(tab.locator(".facts")).to_contain_text("its publisher claims 0.00, which decides nothing")
        look(tab, axe, "figures")
    why = json.loads(page.get(f"/api/why?name={content}&found=true").document["document"])
    assert why["layers"][10]["evidence"]["figures"] and "found" not in why
