"""The one grammar of addresses, where options, files, tickets and frames all read them."""

from __future__ import annotations

import re

import pytest
from pydantic import TypeAdapter, ValidationError

from plora.proto.errors import UsageError
from plora.proto.host_port import PATTERN, HostPort, ListenAt, checked, join, split

GOOD = {
    "192.0.2.1:4700": ("192.0.2.1", 4700),
    "ada.example:1": ("ada.example", 1),
    "my_container-2:65535": ("my_container-2", 65535),
    "[::1]:4700": ("::1", 4700),
    "[2001:db8::192.0.2.1]:80": ("2001:db8::192.0.2.1", 80),
}
BAD = [
    *("", ":", "ada", "ada:", ":4700", "ada:65536", "ada:99999", "ada:04700", "ada:-1", "ada:+1", "ada: 1", "ada:1 "),
    *("ada:1\n", "ada:٣", "::1:4700", "[::1]", "[::1]4700", "[]:1", "[ada]:1", "[192.0.2.1]:1", "[::1:1", "::1]:1"),
    *("unix:/tmp/x", "dns:///ada:1", "ada/b:1", "-ada:1", ".ada:1", "ä.example:1", "ada@b:1", f"{'a' * 254}:1"),
]


@pytest.mark.parametrize(("text", "parts"), GOOD.items())
def test_an_address_comes_apart_and_together(text: str, parts: tuple[str, int]) -> None:
    assert split(text) == checked(text, "--x") == parts
    assert join(*parts) == text
    assert TypeAdapter(HostPort).validate_python(text) == text and re.fullmatch(PATTERN, text)


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_address(text: str) -> None:
    assert split(text) is None and split(text, listening=True) is None
    with pytest.raises(ValidationError):
        TypeAdapter(HostPort).validate_python(text)
    with pytest.raises(UsageError, match=r"(?s)--x: .* is no address; write HOST:PORT"):
        checked(text, "--x")


def test_port_0_is_for_listening_alone() -> None:
    assert split("127.0.0.1:0") is None and split("127.0.0.1:0", listening=True) == ("127.0.0.1", 0)
    assert TypeAdapter(ListenAt).validate_python("127.0.0.1:0")
    with pytest.raises(ValidationError):
        TypeAdapter(HostPort).validate_python("127.0.0.1:0")
