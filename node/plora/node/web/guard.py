"""Who may ask the web page for what. Pure: a request's method, path and headers in, a refusal or None out.

- The page is for browsers on this machine. `Host` must name loopback, so that a name that was rebound to 127.0.0.1
  gets nothing; any port will do, for `ssh -L`.
- `Origin`, where a browser sends it, must be the page itself. Nothing here answers CORS. What another page embeds has
  no `Origin`; `Sec-Fetch-Site` tells it, so that no other page can hold the streams.
- GET changes nothing and needs no token. POST goes to `/api/actions/` alone, with the origin, the token and JSON.
- `HEADERS` are on every response: scripts, styles and requests stay within the origin, nobody frames the page.

>>> request = {"host": "127.0.0.1:9480"}
>>> refusal("GET", "/", request, token="t") is None
True
>>> refusal("GET", "/", {"host": "rebound.example:9480"}, token="t")
Refusal(status=421, sentence='this page answers to loopback names only')
>>> refusal("POST", "/api/actions/pin", request | {"origin": "http://evil.example"}, token="t").status
403
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

API = "/api/"
ACTIONS = "/api/actions/"
OWN_SITES = ("same-origin", "none")
BODY_BYTES_MAX = 4096
HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP status, and what is wrong in one sentence."""

    status: int
    sentence: str


def is_own_host(host: str) -> bool:
    """Whether a `Host` header names this machine, with or without a port."""
    return host in HOSTS or host.rpartition(":")[0] in HOSTS


def refusal(method: str, path: str, headers: Mapping[str, str], *, token: str) -> Refusal | None:
    """Why a request gets no answer; None if it may have one. Names of headers are in lower case."""
    host = headers.get("host", "")
    if not is_own_host(host):
        return Refusal(421, "this page answers to loopback names only")
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return Refusal(403, "another page may not ask")
    if path.startswith(API) and headers.get("sec-fetch-site", "none") not in OWN_SITES:
        return Refusal(403, "another page may not ask")
    if method in ("GET", "HEAD"):
        return None
    if method != "POST" or not path.startswith(ACTIONS):
        return Refusal(405, "only actions are posted")
    return _refused_action(headers, origin, token)


def _refused_action(headers: Mapping[str, str], origin: str | None, token: str) -> Refusal | None:
    if origin is None or headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return Refusal(403, "actions are posted by the page itself")
    if not holds_token(headers, token):
        return Refusal(401, "read-only: `plora web` opens the page with the token that actions need")
    if headers.get("content-type") != "application/json":
        return Refusal(415, "actions are posted as application/json")
    length = headers.get("content-length", "")
    if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
        return Refusal(413, f"an action has at most {BODY_BYTES_MAX} bytes, and says how many")
    return None


def holds_token(headers: Mapping[str, str], token: str) -> bool:
    """Whether a request shows the token."""
    shown = headers.get("authorization", "").removeprefix("Bearer ")
    return hmac.compare_digest(shown.encode(), token.encode())
