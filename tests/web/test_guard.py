"""Who may ask the page for what: the rules by themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plora.node.web.guard import BODY_BYTES_MAX, HEADERS, HOSTS, refusal

TOKEN = "t" * 43
HOST = "127.0.0.1:9480"
GOOD = {
    "host": HOST,
    "origin": f"http://{HOST}",
    "authorization": f"Bearer {TOKEN}",
    "content-type": "application/json",
    "content-length": "20",
}
ACTION = "/api/actions/fetch"


def status(method: str, path: str, **changes: str | None) -> int:
    """200 stands for no refusal; a header set to None is left out."""
    headers = GOOD | {name.replace("_", "-"): value for name, value in changes.items()}
    sent = {name: value for name, value in headers.items() if value is not None}
    refused = refusal(method, path, sent, token=TOKEN)
    return refused.status if refused else 200


def test_the_page_itself_may_act() -> None:
    assert status("POST", ACTION) == 200
    assert status("POST", ACTION, sec_fetch_site="same-origin") == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:1", "[::1]:9480", "[::1]"])
def test_loopback_names_are_answered(host: str) -> None:
    assert status("GET", "/", host=host, origin=None) == 200


@pytest.mark.parametrize(
    ("site", "path", "expected"),
    [
        ("cross-site", "/api/events", 403),  # an image elsewhere, say, which has no Origin
        ("same-site", "/api/events", 403),  # another port of this machine
        ("cross-site", "/api/status", 403),
        ("same-origin", "/api/events", 200),
        ("none", "/api/status", 200),
        ("cross-site", "/", 200),  # a link to the page
    ],
)
def test_what_another_page_embeds_gets_no_answer(site: str, path: str, expected: int) -> None:
    assert status("GET", path, origin=None, sec_fetch_site=site) == expected


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_no_other_name_is_answered(host: str) -> None:
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    expected = 200 if name in HOSTS else 421
    assert status("GET", "/", host=host, origin=None) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"origin": None}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://localhost:9480"}, 403),
        ({"origin": f"https://{HOST}"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "none"}, 403),
        ({"authorization": None}, 401),
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer "}, 401),
        ({"authorization": f"Bearer {TOKEN}x"}, 401),
        ({"authorization": "Bearer ü"}, 401),
        ({"content_type": None}, 415),
        ({"content_type": "text/plain"}, 415),
        ({"content_length": None}, 413),
        ({"content_length": str(BODY_BYTES_MAX + 1)}, 413),
        ({"content_length": "-1"}, 413),
    ],
)
def test_an_action_wants_all_of_it(changes: dict[str, str | None], expected: int) -> None:
    assert status("POST", ACTION, **changes) == expected


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
def test_there_are_two_methods(method: str) -> None:
    assert status(method, ACTION) == 405


def test_only_actions_are_posted() -> None:
    assert status("POST", "/api/status") == 405
    assert status("POST", "/") == 405


def test_a_foreign_page_may_not_even_read() -> None:
    assert status("GET", "/api/plasmids", origin="http://evil.example") == 403


def test_nothing_may_come_from_elsewhere() -> None:
    policy = HEADERS["content-security-policy"]
    assert policy.split("; ")[0] == "default-src 'self'"
    assert "unsafe" not in policy
    assert "access-control-allow-origin" not in HEADERS
