"""The swarm of docker-compose.yml, for real: `python tests/smoke_container.py IMAGE`, run by `.ci/smoke-container`.

Makes the homes, starts three containers on a network of their own, publishes a tiny adapter in one and sees it accepted
in the others; kills one, which comes back by itself with what it had; stops all in good order.
Only the standard library and `podman` here; everything of Plora's runs inside the containers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROJECT = f"plora-smoke-{os.getpid()}"
PEERS = ("ada", "bob", "cyd")
WITHIN_S = 60.0
COMMAND_S = 180.0
PAUSE = threading.Event()
MAKE_ADAPTER = "\nmake_adapter(Path('/tmp/out/legal'))\n"
LOOK_INSIDE = """
import importlib.util, json, os, pathlib
try:
    pathlib.Path("/opt/plora/written").touch()
    written = True
except OSError:
    written = False
torch = importlib.util.find_spec("torch") is not None
from plora.node.workers.cage import lacks
print(json.dumps({"uid": os.getuid(), "torch": torch, "written": written, "lacks": lacks()}))
"""
SAID: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
INSIDE = {"uid": 10001, "torch": False, "written": False, "lacks": []}


class Swarm:
    """The containers of one project of podman-compose."""

    def __init__(self, image: str) -> None:
        self._compose = ["podman-compose", "-p", PROJECT, "-f", str(ROOT / "docker-compose.yml")]
        self._environment = {**os.environ, "PLORA_IMAGE": image}

    def compose(self, *arguments: str) -> None:
        """A command of podman-compose that must do."""
        ran([*self._compose, *arguments], environment=self._environment)

    def inspect(self, peer: str, field: str) -> str:
        """What podman knows of a container, by a template such as `{{.State.Pid}}`."""
        return ran(["podman", "inspect", "-f", field, container(peer)]).strip()

    def plora(self, peer: str, *arguments: str) -> Any:
        """The document that a command prints in a peer's container."""
        return json.loads(inside(peer, "plora", *arguments, "--json"))

    def accepted(self, peer: str) -> bool:
        """Whether the peer has accepted the adapter."""
        return any(row["state"] == "accepted" for row in self.plora(peer, "ls"))

    def linked(self, peer: str) -> bool:
        """Whether the peer has a link to each of the others."""
        return bool(self.plora(peer, "status")["links"] == len(PEERS) - 1)

    def ended(self, peer: str) -> bool:
        """Whether the peer's container has exited with code 0."""
        return self.inspect(peer, "{{.State.Status}} {{.State.ExitCode}}") == "exited 0"


def container(peer: str) -> str:
    """The container's name, as podman-compose gives it."""
    return f"{PROJECT}_{peer}_1"


def inside(peer: str, *command: str, script: str = "") -> str:
    """What a command in a peer's container prints."""
    return ran(["podman", "exec", "-i", container(peer), *command], script)


def ran(command: list[str], script: str = "", environment: dict[str, str] | None = None) -> str:
    """Standard output of a command; raises CalledProcessError, which holds what it said, when it fails."""
    pipes: dict[str, Any] = {"input": script, "env": environment, "capture_output": True, "text": True}
    return str(subprocess.run(command, timeout=COMMAND_S, check=True, **pipes).stdout)


def until(what: str, look: Callable[[], bool]) -> None:
    """Return once `look` is true; a command that fails meanwhile (nobody answers yet) is another no."""
    end, said = time.monotonic() + WITHIN_S, ""
    while time.monotonic() < end:
        try:
            if look():
                return
        except subprocess.CalledProcessError as error:
            said = str(error.stderr).strip()
        PAUSE.wait(0.2)
    sys.exit(f"waited {WITHIN_S:.0f} s in vain: {what}. {said}")


def must(what: str, holds: bool) -> None:
    """End with a sentence if something isn't as it must be."""
    if not holds:
        sys.exit(f"not so: {what}")


def spread(swarm: Swarm) -> None:
    """Ada signs and publishes; bob and cyd accept."""
    script = (ROOT / "tests" / "smoke_base.py").read_text("utf-8").partition("\nif __name__")[0]
    inside("ada", "python", "-", script=script + MAKE_ADAPTER)
    facts = ("--domain", "legal", "--base-digest", "ba" * 32)
    inside("ada", "plora", "sign", "/tmp/out/legal", "--key", "/data/owner/ada.pem", *facts)
    swarm.plora("ada", "publish", "/tmp/out/legal")
    for peer in PEERS[1:]:
        until(f"{peer} accepts ada's adapter", partial(swarm.accepted, peer))


def kill_and_return(swarm: Swarm) -> None:
    """Bob's process is killed while nobody else runs: what he has afterwards, he had on his disk."""
    swarm.compose("stop", "ada", "cyd")
    boot = swarm.plora("bob", "status")["boot"]
    os.kill(int(swarm.inspect("bob", "{{.State.Pid}}")), 9)
    until("bob comes back", lambda: swarm.plora("bob", "status")["boot"] != boot)
    must("bob still has ada's adapter after SIGKILL", swarm.accepted("bob"))
    must("bob is alone", swarm.plora("bob", "status")["links"] == 0)
    swarm.compose("start", "ada", "cyd")
    until("bob is linked again", partial(swarm.linked, "bob"))


def story(swarm: Swarm) -> None:
    """Everything that the smoke shows, in order."""
    swarm.compose("run", "--rm", "init")
    swarm.compose("run", "--rm", "init")  # homes that are there already stay as they are
    swarm.compose("up", "-d", "--no-build", "--no-deps", *PEERS)
    for peer in PEERS:
        until(f"{peer} is linked with the others", partial(swarm.linked, peer))
        seen = json.loads(inside(peer, "python", "-", script=LOOK_INSIDE))
        must(f"{seen} shows a user of its own, no torch, nothing written outside /data", seen == INSIDE)
    addresses = {swarm.inspect(peer, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}") for peer in PEERS}
    must("each container has an address of its own", len(addresses - {""}) == len(PEERS))
    spread(swarm)
    kill_and_return(swarm)
    ran(["podman", "healthcheck", "run", container("bob")])
    swarm.compose("stop")
    for peer in PEERS:
        until(f"{peer} ended with code 0 after SIGTERM", partial(swarm.ended, peer))


def main(image: str) -> None:
    """The story, and an end of all that it made; exits with what the peers said if it isn't as it must be."""
    swarm = Swarm(image)
    try:
        story(swarm)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd))}: exit code {error.returncode}\n{error.stdout}{error.stderr}")
    except SystemExit as end:
        logs = [
            subprocess.run(["podman", "logs", "--tail", "20", container(peer)], check=False, **SAID).stdout
            for peer in PEERS
        ]
        sys.exit("\n".join([*logs, str(end)]))
    finally:
        swarm.compose("down", "-v")
    sys.stdout.write(f"{len(PEERS)} containers: published, accepted, killed and back with what it had, stopped\n")


if __name__ == "__main__":
    main(sys.argv[1])
