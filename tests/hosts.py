"""Hosts with addresses of their own on this machine: network namespaces, wired by veth pairs. Root only."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


class Net:
    """Namespaces by short names."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def space(self, name: str) -> str:
        return f"plora{os.getpid()}-{name}"

    def add(self, name: str) -> None:
        ip("netns", "add", self.space(name))
        self.made.append(name)
        ip("-n", self.space(name), "link", "set", "lo", "up")

    def wire(self, one: str, one_end: str, other: str, other_end: str) -> None:
        """A cable between two hosts."""
        peer = ("peer", "name", other_end, "netns", self.space(other))
        ip("-n", self.space(one), "link", "add", one_end, "type", "veth", *peer)
        ip("-n", self.space(one), "link", "set", one_end, "up")
        ip("-n", self.space(other), "link", "set", other_end, "up")

    def address(self, name: str, end: str, address: str) -> None:
        ip("-n", self.space(name), "addr", "add", f"{address}/24", "dev", end)

    def run(self, name: str, *command: str) -> None:
        done("ip", "netns", "exec", self.space(name), *command)

    def within(self, name: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.space(name))

    def remove(self) -> None:
        for name in self.made:
            subprocess.run(["ip", "netns", "del", self.space(name)], check=False)


@contextmanager
def hosts(*tools: str) -> Iterator[Net]:
    """An empty net; where none can be made the test is skipped, and fails in CI."""
    excuse = pytest.fail if os.environ.get("CI") else pytest.skip
    if os.geteuid() or not all(map(shutil.which, ("ip", *tools))):
        excuse(f"hosts of their own need root and {', '.join(('ip', *tools))} (apt-get install iproute2 iptables)")
    made = Net()
    try:
        yield made
    except subprocess.CalledProcessError as error:
        excuse(f"these hosts can't be made here: {error.stderr.strip()}")
    finally:
        made.remove()


def done(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def ip(*words: str) -> None:
    done("ip", *words)
