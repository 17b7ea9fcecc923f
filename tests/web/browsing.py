"""The page in a real browser: tabs that stay at home, what axe-core finds, and pictures of what was seen."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, expect
from playwright.sync_api import Page as Tab
from tests.swarm.conftest import NODE
from tests.web.conftest import CHROMIUM, Page

WAIT_MS = 20_000
SCHEMES: dict[Literal["light", "dark"], list[str] | None] = {"dark": None, "light": ["color-contrast"]}
"""What axe-core looks at in each: the other rules don't depend on colours."""
SHOWN = os.environ.get("PLORA_SCREENSHOTS", "")
"""A folder that `make web-pictures` names: what the tests saw is kept there."""
NEEDS_CHROMIUM = pytest.mark.skipif(
    not CHROMIUM, reason="the page is looked at in Chromium, which is not on this machine"
)

expect.set_options(timeout=WAIT_MS)


@contextmanager
def tab_of(browser: Browser, page: Page, *, token: bool = True, **view: Any) -> Iterator[Tab]:
    """A tab whose every request stays within the origin, and whose console stays silent."""
    context: BrowserContext = browser.new_context(**view)
    asked: list[str] = []
    said: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    tab = context.new_page()
    tab.set_default_timeout(WAIT_MS)
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("console", lambda message: said.append(message.text) if "Content Security" in message.text else None)
    tab.goto(page.url_with_token if token else page.url)
    yield tab
    assert {urlsplit(url).netloc for url in asked} == {urlsplit(page.url).netloc}
    assert not [url for url in asked if page.token in url]
    assert said == []
    context.close()


def go(tab: Tab, screen: str) -> None:
    tab.evaluate("place => { location.hash = '#/' + place }", screen)
    expect(tab.locator("h1")).to_be_visible()
    expect(tab.locator("main")).not_to_contain_text("Asking the peer")


def faults(tab: Tab, axe: str, rules: list[str] | None = None) -> list[str]:
    """What axe-core finds, by rule and element; `rules` are those to run, all by default."""
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(axe)  # the page's policy lets no script in; the debugger may
    found = tab.evaluate(
        "async (only) => (await axe.run(document, only)).violations", {"runOnly": rules} if rules else {}
    )
    return [f"{one['id']}: {node['html'][:120]} {node['failureSummary']}" for one in found for node in one["nodes"]]


def shoot(tab: Tab, name: str) -> None:
    if SHOWN:
        tab.screenshot(path=Path(SHOWN) / f"{name}.png", full_page=True)


def look(tab: Tab, axe: str, name: str) -> None:
    """What is on the screen fits, and axe-core finds nothing in it, dark and light."""
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"
    for scheme, rules in SCHEMES.items():
        tab.emulate_media(color_scheme=scheme)
        shoot(tab, f"{name}-{scheme}")
        assert faults(tab, axe, rules) == [], f"{name}, {scheme}"


def plora(*arguments: object, code: int = 0) -> str:
    """What the command prints; it must end with that code."""
    command = [str(NODE.with_name("plora")), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout
