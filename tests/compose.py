"""The swarm of docker-compose.yml in real containers, by podman-compose, for programs that `.ci/with-image` runs.

Only the standard library; everything of Plora's runs inside the containers. A wait is a look at the swarm every fifth
of a second until something is so; what isn't so in time ends the program with a sentence, and what the peers said.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WITHIN_S = 300.0
COMMAND_S = 300.0
PAUSE = threading.Event()
SAID: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}


class Swarm:
    """The containers of one project of podman-compose; `files` are its compose files, the later over the former."""

    def __init__(self, image: str, peers: Sequence[str], files: Sequence[Path]) -> None:
        self.project = f"plora-test-{os.getpid()}"
        self.peers = tuple(peers)
        self._started: list[str] = []
        named = [word for file in files for word in ("-f", str(file))]
        self._compose = ["podman-compose", "-p", self.project, *named]
        self._environment = {**os.environ, "PLORA_IMAGE": image}

    def compose(self, *arguments: str) -> None:
        """A command of podman-compose that must do."""
        ran([*self._compose, *arguments], environment=self._environment)

    def make_homes(self) -> None:
        """Make the homes, and see that a second time leaves them as they are."""
        self.compose("run", "--rm", "init")
        self.compose("run", "--rm", "init")

    def start(self, *services: str) -> None:
        """Start services; podman-compose would tie each to the finished `init`, and podman not restart it then."""
        self._started += services
        self.compose("up", "-d", "--no-build", "--no-deps", *services)

    def container(self, service: str) -> str:
        """The container's name, as podman-compose gives it."""
        return f"{self.project}_{service}_1"

    def inspect(self, peer: str, field: str) -> str:
        """What podman knows of a container, by a template such as `{{.State.Pid}}`."""
        return ran(["podman", "inspect", "-f", field, self.container(peer)]).strip()

    def address(self, peer: str) -> str:
        """The container's own address; empty while no network has it."""
        return self.inspect(peer, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")

    def inside(self, peer: str, *command: str, script: str = "") -> str:
        """What a command in a peer's container prints."""
        return ran(["podman", "exec", "-i", self.container(peer), *command], script)

    def plora(self, peer: str, *arguments: str) -> Any:
        """The document that a command prints in a peer's container."""
        return json.loads(self.inside(peer, "plora", *arguments, "--json"))

    def accepted(self, peer: str) -> list[str]:
        """The names of the adapters that a peer has accepted or published, in order."""
        return sorted(row["name"] for row in self.plora(peer, "ls") if row["state"] in ("accepted", "own"))

    def kill(self, peer: str) -> None:
        """SIGKILL to the peer's process, behind podman's back; 0, as of a stopped container, would be ourselves."""
        pid = int(self.inspect(peer, "{{.State.Pid}}"))
        must(f"{peer} runs (its process is {pid})", pid > 1)
        os.kill(pid, 9)

    def check_health(self, peer: str) -> None:
        """Run the image's own health check."""
        ran(["podman", "healthcheck", "run", self.container(peer)])

    def said(self) -> str:
        """The last lines of everything that was started."""
        logs = [["podman", "logs", "--tail", "20", self.container(one)] for one in self._started]
        return "\n".join(str(subprocess.run(log, check=False, **SAID).stdout) for log in logs)

    def stop(self) -> None:
        """SIGTERM to all that was started; each peer ends with code 0."""
        self.compose("stop", *self._started)
        for peer in self.peers:
            ended = self.inspect(peer, "{{.State.Status}} {{.State.ExitCode}}")
            must(f"{peer} ends with code 0 after SIGTERM (it is {ended})", ended == "exited 0")


def ran(command: list[str], script: str = "", environment: dict[str, str] | None = None) -> str:
    """Standard output of a command; raises CalledProcessError, which holds what it said, when it fails."""
    pipes: dict[str, Any] = {"input": script, "env": environment, "capture_output": True, "text": True}
    return str(subprocess.run(command, timeout=COMMAND_S, check=True, **pipes).stdout)


def until(what: str, look: Callable[[], bool]) -> None:
    """Return once `look` is true; what fails meanwhile, since nobody answers yet, is another no."""
    end, said = time.monotonic() + WITHIN_S, ""
    while time.monotonic() < end:
        try:
            if look():
                return
        except subprocess.CalledProcessError as error:
            said = str(error.stderr).strip()
        except OSError as error:
            said = str(error)
        PAUSE.wait(0.2)
    sys.exit(f"waited {WITHIN_S:.0f} s in vain: {what}. {said}")


def must(what: str, holds: bool) -> None:
    """End with a sentence if something isn't as it must be."""
    if not holds:
        sys.exit(f"not so: {what}")


def tell(swarm: Swarm, story: Callable[[Swarm], None]) -> None:
    """The story, and an end of all that it made; exits with what the peers said if it isn't as it must be."""
    try:
        story(swarm)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd))}: exit code {error.returncode}\n{error.stdout}{error.stderr}")
    except SystemExit as end:
        sys.exit(f"{swarm.said()}\n{end}")
    finally:
        swarm.compose("down", "-v")
