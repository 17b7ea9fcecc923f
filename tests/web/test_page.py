"""The page in a real browser, before a real swarm of five: every screen, wide and narrow, light and dark.

Nothing sleeps: a wait is a wait for the page.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect
from tests.ports import free_port
from tests.swarm.conftest import NODE, Peer
from tests.web.browsing import NEEDS_CHROMIUM, faults, go, look, shoot, tab_of
from tests.web.conftest import MakePeer, Page

from plora.gate import STAGES
from plora.v1 import admin_pb2 as pb

SCREENS = ("now", "plasmids", "swarm", "transfers", "merges", "trust", "consensus", "decisions", "events")
KILLED_SEEN_MS = 3000
SLOW = 32_000
ONE_LINE_PX = 30
MARKUP = '<script>document.title="owned"</script><img src=x onerror=alert(1)>'
HOSTILE = MARKUP + "\u202egnp.exe\u0007" + "x" * 400

pytestmark = [pytest.mark.timeout(180), NEEDS_CHROMIUM]


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_every_screen_fits_is_accessible_and_stays_at_home(
    browser: Browser, five: list[Peer], axe: str, width: int
) -> None:
    ada = five[0]
    page = Page(ada)
    accepted, waiting = next(iter(ada.plasmids("accepted"))), next(iter(ada.plasmids("waiting")))
    places = {screen: screen for screen in SCREENS}
    places |= {"plasmid": f"plasmids/{accepted}", "stranger": f"plasmids/{waiting}"}
    with tab_of(browser, page, viewport={"width": width, "height": 800}) as tab:
        expect(tab.locator("h1")).to_contain_text("4 neighbours are linked, 4 adapters are in use")
        for screen, place in places.items():
            go(tab, place)
            look(tab, axe, f"{screen}-{width}")
        go(tab, "plasmids")
        domain = tab.locator("tbody tr", has_text="bob/medical").get_by_text("medical", exact=True).filter(visible=True)
        expect(domain).to_have_count(1)
        box = domain.bounding_box()
        assert box is not None and box["height"] < ONE_LINE_PX, "the domain's name is broken"


def test_the_screens_say_what_the_peer_says(browser: Browser, five: list[Peer]) -> None:
    ada, eve = five[0], five[-1]
    (waiting,) = ada.plasmids("waiting").values()
    with tab_of(browser, Page(ada)) as tab:
        go(tab, "plasmids")
        expect(tab.locator("tbody tr")).to_have_count(5)
        tab.get_by_label("state").select_option("accepted")
        expect(tab.locator("tbody tr")).to_have_count(3)
        tab.get_by_label("name, base or digest").fill("bob/")
        expect(tab.locator("tbody tr")).to_have_count(1)
        tab.get_by_role("link", name="bob/medical@1").click()
        expect(tab.locator(".gate > li")).to_have_count(len(STAGES))
        expect(tab.locator(".gate > li").nth(4)).to_contain_text("owners: bob")
        expect(tab.locator("dl")).to_contain_text("bob, 1 hop from its publisher")
        go(tab, "decisions")
        expect(tab.locator("main")).to_contain_text(f"plora trust add {waiting.owner[:12]}")
        go(tab, "swarm")
        expect(tab.locator("svg.graph g.up")).to_have_count(4)
        expect(tab.locator("tbody tr", has_text=eve.id[:12])).to_contain_text("up")
        go(tab, "merges")
        expect(tab.locator("main")).to_contain_text("4 adapters in one")
        rows = tab.get_by_role("region", name="what the merge brings").locator("tbody tr")
        expect(rows).to_have_count(2)
        expect(rows.first).to_contain_text("legalbetter than the base117 [96.2, 140]30.5 [26.2, 34.9]28.4 [24.1, 33.2]")
        expect(rows.last).to_contain_text("no clear change")
        expect(tab.locator("main")).to_contain_text("200 held-out answers a domain")
        expect(tab.locator("main")).to_contain_text("Measured by ada@host, ")


def test_read_only_without_the_token(browser: Browser, five: list[Peer]) -> None:
    with tab_of(browser, Page(five[0]), token=False) as tab:
        expect(tab.locator("#mode")).to_have_text("read-only")
        go(tab, "merges")
        expect(tab.get_by_role("button", name=re.compile("Roll back"))).to_have_count(0)


def test_the_token_acts_and_leaves_the_address(browser: Browser, five: list[Peer]) -> None:
    """A merge is rolled back and served again from the page, and the peer did it."""
    ada = five[0]
    page = Page(ada)

    def served() -> int:
        (merge,) = ada.call("Merges", pb.MergesRequest()).merges
        return int(merge.generation)

    newest = served()
    with tab_of(browser, page) as tab:
        expect(tab.locator("#mode")).to_have_text("can change this peer")
        assert page.token not in tab.url
        go(tab, "merges")
        tab.get_by_role("button", name=re.compile("^Roll back")).click()
        tab.get_by_role("button", name=re.compile("^Really")).click()
        ada.until(lambda: served() < newest)
        expect(tab.locator("main")).to_contain_text("Not measured yet")
        expect(tab.locator("main")).to_contain_text("plora measure mini")
        tab.get_by_role("button", name=re.compile("again$")).click()
        ada.until(lambda: served() == newest)
        expect(tab.locator("main")).to_contain_text("rolled back")
        expect(tab.get_by_role("region", name="what the merge brings")).to_contain_text("28.4")


def test_pin_remove_and_fetch(browser: Browser, make_peer: MakePeer, tmp_path: Path) -> None:
    kim, lee = make_peer("kim"), make_peer("lee")
    kim.dials(lee)
    kim.trusts(lee)
    for peer in (lee, kim):
        peer.start()
    lee.signed_folder(tmp_path / "law", seed=1)
    lee.publish(tmp_path / "law")
    ((content_id, _),) = kim.until(lambda: kim.plasmids("accepted")).items()
    with tab_of(browser, Page(kim)) as tab:
        go(tab, f"plasmids/{content_id}")
        tab.get_by_role("button", name="Pin").click()
        expect(tab.get_by_role("button", name="Unpin")).to_be_visible()
        assert kim.plasmids()[content_id].pinned
        tab.get_by_role("button", name="Unpin").click()
        tab.get_by_role("button", name="Remove").click()
        assert kim.plasmids("accepted"), "the first click only asks"
        tab.get_by_role("button", name=re.compile("^Really")).click()
        expect(tab.locator("main")).to_contain_text("removed")
        kim.until(lambda: kim.plasmids("removed"))
        tab.get_by_role("button", name="Fetch it now").click()
        kim.until(lambda: kim.plasmids("accepted"))
        expect(tab.locator("main")).to_contain_text("passed the gate and is in use")


def test_a_transfer_is_a_strip_of_chunks(browser: Browser, make_peer: MakePeer, tmp_path: Path) -> None:
    oda, pia = make_peer("oda"), make_peer("pia")
    oda.dials(pia)
    oda.trusts(pia)
    pia.settings["limits"] |= {"upload_rate": SLOW, "lan_exempt": False}
    for peer in (pia, oda):
        peer.start()
    pia.signed_folder(tmp_path / "law", seed=1, width=SLOW // 32 * 30)  # half a minute of it
    pia.publish(tmp_path / "law")
    with tab_of(browser, Page(oda)) as tab:
        go(tab, "transfers")
        expect(tab.locator("svg.strip rect.stored")).not_to_have_count(0)
        expect(tab.get_by_role("img", name=re.compile(r"\d+ of \d+ chunks stored"))).to_be_visible()
        expect(tab.locator("main")).to_contain_text("pia (asked now)")
        expect(tab.locator(".chart canvas")).to_be_visible()


@pytest.mark.slow
def test_what_dies_is_seen_within_three_seconds_and_comes_back(
    browser: Browser, make_peer: MakePeer, tmp_path: Path
) -> None:
    gil, hal = make_peer("gil"), make_peer("hal")
    gil.dials(hal)
    gil.trusts(hal)
    gil.settings["limits"]["artifact_max"] = 100
    gil.settings["web"] = {"listen": f"127.0.0.1:{free_port()}"}
    for peer in (hal, gil):
        peer.start()
    hal.signed_folder(tmp_path / "law", seed=1)
    hal.publish(tmp_path / "law")
    with tab_of(browser, Page(gil)) as tab:
        go(tab, "plasmids")
        expect(tab.locator("main")).to_contain_text("limits.artifact_max")
        go(tab, "swarm")
        row = tab.locator("tbody tr", has_text=hal.id[:12])
        expect(row).to_contain_text("up")
        hal.kill()
        expect(row).not_to_contain_text("up", timeout=KILLED_SEEN_MS)
        hal.start()
        expect(row).to_contain_text("up")
        gil.kill()
        expect(tab.get_by_role("alert")).to_contain_text("stopped answering", timeout=KILLED_SEEN_MS)
        shoot(tab, "lost")
        gil.start()
        expect(tab.get_by_role("alert")).to_have_count(0)
        expect(row).to_contain_text("up")


def test_a_new_peer_says_what_to_do(browser: Browser, make_peer: MakePeer, axe: str) -> None:
    ivy = make_peer("ivy")
    ivy.start()
    with tab_of(browser, Page(ivy), viewport={"width": 390, "height": 800}) as tab:
        for screen, says in {
            "now": "knows no neighbours yet",
            "plasmids": "No plasmid has been seen yet",
            "swarm": "plora invite NAME",
            "transfers": "Nothing is being fetched",
            "merges": "Nothing is merged yet",
            "decisions": "Nothing waits for you",
        }.items():
            go(tab, screen)
            expect(tab.locator("main")).to_contain_text(says)
            shoot(tab, f"empty-{screen}")
            assert faults(tab, axe) == [], screen


def test_a_hostile_revocation_is_text(browser: Browser, make_peer: MakePeer, tmp_path: Path) -> None:
    """What others may really write: why they take something back."""
    max_, ned = make_peer("max"), make_peer("ned")
    ned.dials(max_)
    ned.trusts(max_)
    for peer in (max_, ned):
        peer.start()
    max_.signed_folder(tmp_path / "law", seed=1)
    max_.publish(tmp_path / "law")
    ned.until(lambda: ned.plasmids("accepted"))
    command = [NODE.with_name("plora"), "revoke", "law", "--yes", "--home", max_.home.root, "--reason", f"{MARKUP}שלום"]
    subprocess.run([*map(str, command)], check=True, capture_output=True, timeout=60)
    with tab_of(browser, Page(ned), viewport={"width": 390, "height": 800}) as tab:
        expect(tab.locator("main")).to_contain_text(f"was revoked: {MARKUP}שלום")
        assert tab.evaluate("document.querySelectorAll('main script, main img').length") == 0
        assert "owned" not in tab.title()


def test_hostile_words_are_words(browser: Browser, five: list[Peer]) -> None:
    """Names can't hold such words today; were a schema ever laxer, the page would still show text."""

    def answer(route: Route) -> None:
        document = json.loads(route.fetch().body())
        for one in document.get("plasmids", []):
            one.update(name=HOSTILE, domain=HOSTILE, base_model=HOSTILE, state=HOSTILE, sentence=HOSTILE)
        for one in document.get("peers", []):
            one.update(nickname=HOSTILE, address=HOSTILE, state="down", last_error=HOSTILE)
        route.fulfill(json=document)

    with tab_of(browser, Page(five[0]), viewport={"width": 390, "height": 800}) as tab:
        tab.route(re.compile("/api/(plasmids|peers)$"), answer)
        for screen in ("now", "plasmids", "swarm"):
            go(tab, screen)
            expect(tab.locator("main")).to_contain_text("<script>")
            assert tab.evaluate("document.querySelectorAll('main script, main img').length") == 0
            assert "\u202e" not in tab.inner_text("main")
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{screen} scrolls sideways"
            assert "owned" not in tab.title()
            shoot(tab, f"hostile-{screen}")
        tab.unroute_all(behavior="ignoreErrors")  # an answer may be on its way when the tab closes
