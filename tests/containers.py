"""The swarm of docker-compose.yml, its network at its worst: `python -m tests.containers IMAGE`, by `.ci/with-image`.

Rules:

- Five containers with addresses of their own. Eve sits in a network of her own, from which she reaches the others
  through a router that translates her address, and into which nobody can dial.
- Bob is cut off from the network while an adapter is published, and comes back. Dee is killed by SIGKILL meanwhile,
  and comes back by herself.
- At the end all five have the same root (they know the same), the same adapters accepted, and the same merge of them,
  bit for bit; a browser sees bob's page through the port that is published on this machine's loopback.
- The picture of the page goes into the folder `PLORA_SCREENSHOTS`, where that is set.

Needs root, iptables, Chromium, and playwright in the Python that runs it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from playwright.sync_api import expect, sync_playwright
from tests.compose import ROOT, Swarm, must, ran, tell, until

PEERS = ("ada", "bob", "cyd", "dee", "eve")
AWAY = "10.89.191.0/24"
FILES = [ROOT / "docker-compose.yml", ROOT / "tests" / "away.yml"]
PORT = 4700
PAGE = "http://127.0.0.1:9482/"
MERGED = "/data/adapters/merged--mini/adapter_model.safetensors"
UP = "http://127.0.0.1:9090/api/v1/query?query=up"
WAIT_MS = 60_000
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
CHROMIUM = next((path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(path).exists()), "")
DIAL = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close()"
PUBLISH_ONE = """\
import sys
sys.path.append("/usr/local/bin")
from publisher import HOME, draw, publish
late = HOME / "outbox" / "late"
draw(9, late)
sys.exit(publish(late))
"""
BEGAN_S = time.monotonic()


def say(what: str) -> None:
    """One line with the seconds since the beginning."""
    sys.stdout.write(f"{time.monotonic() - BEGAN_S:6.1f} s  {what}\n")
    sys.stdout.flush()


@contextmanager
def nobody_dials_into(network: str) -> Iterator[None]:
    """What a home router does: connections begin inside, and no packet that begins one comes in.

    The rule stands in a table that packets pass before podman's own, which puts its rules first in `filter`.
    """
    rule = ["FORWARD", "!", "-s", network, "-d", network, "-m", "conntrack", "--ctstate", "NEW", "-j", "DROP"]
    ran(["iptables", "-t", "mangle", "-I", *rule])
    try:
        yield
    finally:
        ran(["iptables", "-t", "mangle", "-D", *rule])


def can_dial(swarm: Swarm, peer: str, address: str, port: int = PORT) -> bool:
    """Whether a TCP connection from the peer's container to there is made within 3 s."""
    try:
        swarm.inside(peer, "python", "-c", DIAL, address, str(port))
    except subprocess.CalledProcessError:
        return False
    return True


def linked(swarm: Swarm, peer: str) -> bool:
    """Whether the peer has a link."""
    return bool(swarm.plora(peer, "status")["links"])


def has(swarm: Swarm, peer: str, count: int) -> bool:
    """Whether the peer has accepted so many adapters."""
    return len(swarm.accepted(peer)) == count


def root(swarm: Swarm, peer: str) -> str:
    """The digest of all statements that the peer knows."""
    return str(swarm.plora(peer, "status")["root"])


def merged(swarm: Swarm, peer: str) -> str:
    """The digest of the weights of the merge that the peer serves."""
    return swarm.inside(peer, "sha256sum", MERGED).split()[0]


def agree(swarm: Swarm) -> bool:
    """Whether all have the same root, adapters and merge."""
    seen = {(root(swarm, peer), *swarm.accepted(peer), merged(swarm, peer)) for peer in PEERS}
    return len(seen) == 1


def start(swarm: Swarm) -> None:
    """Homes by invitation, five containers, eve out of reach."""
    swarm.make_homes()
    swarm.start(*PEERS)
    addresses = {peer: swarm.address(peer) for peer in PEERS}
    must(f"each container has an address of its own: {addresses}", len(set(addresses.values()) - {""}) == len(PEERS))
    say(f"five containers: {', '.join(f'{peer} {address}' for peer, address in addresses.items())}")
    for peer in PEERS:
        until(f"{peer} is linked", partial(linked, swarm, peer))
    must("nobody can dial eve", not any(can_dial(swarm, peer, addresses["eve"]) for peer in PEERS[:-1]))
    must("eve can dial ada", can_dial(swarm, "eve", addresses["ada"]))
    say("eve dials out and can't be dialed; all five are linked")


def spread(swarm: Swarm) -> None:
    """The publisher's three adapters come to all."""
    swarm.start("publisher")
    for peer in PEERS:
        until(f"{peer} has three adapters", partial(has, swarm, peer, 3))
    say("three adapters are accepted by all five")


def cut_and_kill(swarm: Swarm) -> None:
    """Bob is cut off and dee killed while a fourth adapter spreads; then bob comes back."""
    network, boot = f"{swarm.project}_default", swarm.plora("dee", "status")["boot"]
    ran(["podman", "network", "disconnect", network, swarm.container("bob")])
    until("bob has lost his links", lambda: not linked(swarm, "bob"))
    swarm.kill("dee")
    swarm.inside("ada", "python", "-", script=PUBLISH_ONE)
    until("dee came back", lambda: swarm.plora("dee", "status")["boot"] != boot)
    for peer in ("cyd", "dee", "eve"):
        until(f"{peer} has four adapters", partial(has, swarm, peer, 4))
    must("bob, who is cut off, still has three", has(swarm, "bob", 3))
    must("bob knows less than ada", root(swarm, "bob") != root(swarm, "ada"))
    say("bob is cut off and dee was killed and came back: a fourth adapter is with cyd, dee and eve, and not with bob")
    ran(["podman", "network", "connect", "--alias", "bob", network, swarm.container("bob")])
    until("bob has four adapters", partial(has, swarm, "bob", 4))
    say(f"bob is back, at {swarm.address('bob')}, and has what he missed")


def watched() -> bool:
    """Whether the compose file's Prometheus has scraped all five."""
    with urllib.request.urlopen(UP, timeout=10) as reply:
        found = json.load(reply)["data"]["result"]
    return {one["metric"]["instance"] for one in found if one["value"][1] == "1"} == set(PEERS)


def watch(swarm: Swarm) -> None:
    """Prometheus as the compose file has it, where `.ci/with-image` could make its image."""
    if "PROMETHEUS_IMAGE" not in os.environ:
        say("NOT RUN for want of prometheus: the swarm as Prometheus sees it")
        return
    swarm.start("prometheus")
    until("Prometheus scrapes all five", watched)
    say("Prometheus scrapes all five")


def look(folder: Path) -> None:
    """Bob's page in a browser, through the published port."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(f"{PAGE}#/plasmids", timeout=WAIT_MS)
        for number in (1, 2, 3):
            expect(tab.locator("main")).to_contain_text(f"drawn-{number}", timeout=WAIT_MS)
        expect(tab.locator("main")).to_contain_text("late", timeout=WAIT_MS)
        tab.screenshot(path=folder / "container-plasmids.png")
        tab.goto(f"{PAGE}#/now", timeout=WAIT_MS)
        expect(tab.locator("h1")).to_be_visible(timeout=WAIT_MS)
        tab.screenshot(path=folder / "container-now.png")
        browser.close()


def story(swarm: Swarm) -> None:
    """Everything, in order."""
    with nobody_dials_into(AWAY):
        start(swarm)
        spread(swarm)
        cut_and_kill(swarm)
        until("all five agree", partial(agree, swarm))
        known, weights = root(swarm, "ada")[:16], merged(swarm, "ada")[:16]
        say(f"all five: root {known}, {len(swarm.accepted('ada'))} adapters, merge {weights}")
        watch(swarm)
        with tempfile.TemporaryDirectory() as folder:
            look(Path(os.environ.get("PLORA_SCREENSHOTS") or folder))
        say("Chromium shows bob's page")
        for peer in PEERS:
            swarm.check_health(peer)
        swarm.stop()
        say("all five were healthy, and ended with code 0 after SIGTERM")


def main(image: str) -> None:
    """Tell the story."""
    tell(Swarm(image, PEERS, FILES), story)
    sys.stdout.write("1 passed, 0 failed\n")


if __name__ == "__main__":
    main(sys.argv[1])
