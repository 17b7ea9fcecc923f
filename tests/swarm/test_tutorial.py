"""docs/tutorial.md, executed: its own commands, on two hosts with addresses of their own (network namespaces).

A block ```sh HOST is run on that host; `running` after it: it stays. A block ```text HOST is what the last command
there must have printed: each line somewhere in its output, blanks as they come, `…` for anything.
"""

from __future__ import annotations

import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/tutorial.md"
BIN = Path(sys.executable).parent
WAIT_S = 60.0
LOOK_S = 0.1
COMMANDS_MAX = 10
ADDRESSES = {"ada": "192.0.2.1", "bob": "192.0.2.2"}
BLOCK = re.compile(r"^```(sh|text) (\w+)(?: (running))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@dataclass
class Host:
    """A host of the page: a network namespace, a home folder, what runs, and what was said last."""

    name: str
    space: str
    folder: Path
    said: str = ""
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def command(self, line: str) -> list[str]:
        return ["ip", "netns", "exec", self.space, *shlex.split(line)]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "COLUMNS": "200",
            "OMP_NUM_THREADS": "1",
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
        }

    def keep_running(self, line: str) -> None:
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                self.command(line), cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
        self.running.append(process)
        self.until(lambda: self.run("plora status").returncode == 0)

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a command on a terminal where `y` is typed; its output and errors are what it said."""
        ours, theirs = pty.openpty()
        os.write(ours, b"y\n")
        done = subprocess.run(
            self.command(line),
            cwd=self.folder,
            env=self.environment,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=WAIT_S * 2,
        )
        os.close(ours)
        os.close(theirs)
        return done

    def until(self, look: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not look():
            log = self.folder / "log"
            assert time.monotonic() < deadline, f"{self.name}: {self.said}\n{log.read_text() if log.exists() else ''}"
            for process in self.running[-1:]:
                try:
                    code = process.wait(LOOK_S)
                except subprocess.TimeoutExpired:
                    continue
                pytest.fail(f"{self.name} ended with {code}: {log.read_text()}")

    def leave(self) -> None:
        for process in self.running:
            process.terminate()
            assert process.wait(WAIT_S) == 0
        self.running.clear()


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts() -> Iterator[dict[str, Host]]:
    """Two hosts that see nothing but each other. Where they can't be made though they should, a run by CI fails."""
    promised = os.environ.get("CI") and not os.geteuid() and Path("/etc/debian_version").exists()
    excuse = pytest.fail if promised else pytest.skip
    if os.geteuid() or shutil.which("ip") is None:
        excuse("hosts with addresses of their own need root and `ip` (apt-get install iproute2)")
    spaces = {name: f"plora-{os.getpid()}-{name}" for name in ADDRESSES}
    try:
        for space in spaces.values():
            ip("netns", "add", space)
    except subprocess.CalledProcessError as error:
        excuse(f"network namespaces can't be made here: {error.stderr.strip()}")
    try:
        with tempfile.TemporaryDirectory(prefix="plora-") as folder:
            yield wired(spaces, Path(folder))
    finally:
        for space in spaces.values():
            subprocess.run(["ip", "netns", "del", space], check=False)


def wired(spaces: dict[str, str], folder: Path) -> dict[str, Host]:
    ends = {name: f"pl{os.getpid() % 10**6}{name}" for name in spaces}
    ip("link", "add", ends["ada"], "type", "veth", "peer", "name", ends["bob"])
    for name, space in spaces.items():
        ip("link", "set", ends[name], "netns", space)
        ip("-n", space, "addr", "add", f"{ADDRESSES[name]}/24", "dev", ends[name])
        for link in (ends[name], "lo"):
            ip("-n", space, "link", "set", link, "up")
        (folder / name).mkdir()
    return {name: Host(name, space, folder / name) for name, space in spaces.items()}


@dataclass
class Walk:
    """What the page leaves to the reader's eyes: the ticket that was printed, and the three words."""

    ticket: str = ""
    words: str = ""

    def fill(self, line: str) -> str:
        return line.replace("TICKET", self.ticket)

    def notice(self, host: Host) -> None:
        if found := re.search(r"^plora1\S+$", host.said, re.MULTILINE):
            self.ticket = found[0]
        if found := re.search(r"^words +(\S+)$", host.said, re.MULTILINE):
            self.words = found[1]

    def pattern(self, line: str) -> str:
        words = re.escape(line).replace("…", ".*").replace("WORDS", self.words)
        return re.sub(r"(\\ )+", r"\\s+", words)


def blocks() -> list[tuple[str, str, bool, list[str]]]:
    return [(kind, host, bool(stays), body.splitlines()) for kind, host, stays, body in BLOCK.findall(PAGE.read_text())]


def test_from_init_to_an_accepted_plasmid_are_few_commands_and_no_editor() -> None:
    commands = [line for kind, _, _, lines in blocks() if kind == "sh" for line in lines]
    first, last = (
        next(i for i, line in enumerate(commands) if line.startswith(start)) for start in ("plora init", "plora ls")
    )
    assert last - first + 1 <= COMMANDS_MAX
    assert all(line.startswith("plora ") for line in commands)


def test_the_page_on_two_hosts(hosts: dict[str, Host]) -> None:
    walk = Walk()
    repeat: dict[str, str] = {}
    for kind, name, stays, lines in blocks():
        host = hosts[name]
        for line in lines:
            if kind == "text":
                assert_said(host, walk, line, repeat[name])
            elif stays:
                host.keep_running(line)
            else:
                repeat[name] = walk.fill(line)
                done = host.run(repeat[name])
                host.said = done.stdout
                assert done.returncode == 0, f"{name}: {line}\n{done.stdout}"
                walk.notice(host)
    for host in hosts.values():
        host.leave()


def assert_said(host: Host, walk: Walk, line: str, command: str) -> None:
    """The line is in what the host said; what takes a few seconds (`peers`, `ls`) is looked at again."""
    wanted = re.compile(walk.pattern(line))

    def look() -> bool:
        if not wanted.search(host.said) and command in ("plora peers", "plora ls"):
            host.said = host.run(command).stdout
        return bool(wanted.search(host.said))

    if command in ("plora peers", "plora ls"):
        host.until(look)
    assert look(), f"{host.name}: {line!r} is not in {host.said}"
