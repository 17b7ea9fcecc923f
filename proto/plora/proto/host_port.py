"""`HOST:PORT`, as every option, file, ticket and frame writes an address.

- HOST is a name or an IPv4 literal without colons, or an IPv6 literal in brackets: `ada.example:4700`, `[::1]:4700`.
- PORT is 0 to 65535 without leading zeros. 0 is for listening only: the system then chooses; nobody is dialed there.
- `PATTERN` and `LISTEN_PATTERN` are the grammar for schemas; they let brackets with something else than IPv6 in them
  through, which `split` refuses.

Not handled here: whether a host may be dialed or passed on (`plora.node.gossip.addresses`).

>>> split("[::1]:4700"), split("ada:0", listening=True), split("unix:/tmp/x"), split("ada:65536")
(('::1', 4700), ('ada', 0), None, None)
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Annotated

from pydantic import AfterValidator, Field

from plora.proto.errors import UsageError

_HOST = r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9][A-Za-z0-9._-]{0,252})"
_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
PATTERN = rf"^{_HOST}:{_PORT}$"
LISTEN_PATTERN = rf"^{_HOST}:(0|{_PORT})$"
MEND = "write HOST:PORT, such as 192.0.2.1:4700 or [2001:db8::1]:4700, the port at least 1 and at most 65535"

_GRAMMAR = re.compile(LISTEN_PATTERN)


def split(address: str, *, listening: bool = False) -> tuple[str, int] | None:
    """The host without brackets, and the port; None for what is no address, and for port 0 unless `listening`."""
    found = _GRAMMAR.fullmatch(address)
    if found is None or (found[2] == "0" and not listening):
        return None
    host = found[1].strip("[]")
    return (host, int(found[2])) if host == found[1] or _is_ipv6(host) else None


def join(host: str, port: int) -> str:
    """`HOST:PORT`, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def checked(address: str, where: str, *, listening: bool = False) -> tuple[str, int]:
    """Host and port; UsageError, which names `where` it was said, for what is no address."""
    found = split(address, listening=listening)
    if found is None:
        raise UsageError(f"'{address[:80]}' is no address", where=where, mend=MEND)
    return found


def _sound(address: str) -> str:
    if split(address, listening=True) is None:
        raise ValueError("must have an IPv6 address in its brackets")
    return address


def near(host: str) -> str:
    """What this machine dials where somebody listens at that host: loopback for a wildcard.

    >>> near("0.0.0.0"), near("::"), near("192.0.2.1")
    ('127.0.0.1', '::1', '192.0.2.1')
    """
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  dialed, not bound


HostPort = Annotated[str, Field(pattern=PATTERN), AfterValidator(_sound)]
"""An address to dial in a model that others or a person fill in."""

ListenAt = Annotated[str, Field(pattern=LISTEN_PATTERN), AfterValidator(_sound)]
"""One to listen on; port 0 takes a free one."""


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except AddressValueError:
        return False
    return True
