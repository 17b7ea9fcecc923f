"""Three of docker-compose.yml's peers, in short: `python -m tests.smoke_container IMAGE`, by `.ci/with-image`.

Makes the homes, starts three containers on a network of their own, publishes drawn adapters in one and sees them
accepted in the others; kills one, which comes back by itself with what it had; stops all in good order. The whole
swarm, with networks that are cut, is `tests/containers.py`.
"""

from __future__ import annotations

import json
import sys
from functools import partial

from tests.compose import ROOT, Swarm, must, tell, until

PEERS = ("ada", "bob", "cyd")
DRAWN = 3
LOOK_INSIDE = """
import importlib.util, json, os, pathlib
try:
    pathlib.Path("/opt/plora/written").touch()
    written = True
except OSError:
    written = False
torch = importlib.util.find_spec("torch") is not None
from plora.node.workers.cage import lacks
offline = os.environ["HF_HUB_OFFLINE"] + os.environ["TRANSFORMERS_OFFLINE"]
print(json.dumps({"uid": os.getuid(), "torch": torch, "written": written, "lacks": lacks(), "offline": offline}))
"""
INSIDE = {"uid": 10001, "torch": False, "written": False, "lacks": [], "offline": "11"}


def linked(swarm: Swarm, peer: str) -> bool:
    """Whether the peer has a link."""
    return bool(swarm.plora(peer, "status")["links"])


def all_accepted(swarm: Swarm, peer: str) -> bool:
    """Whether the peer has what was published."""
    return len(swarm.accepted(peer)) == DRAWN


def kill_and_return(swarm: Swarm) -> None:
    """Bob's process is killed while nobody else runs: what he has afterwards, he had on his disk."""
    swarm.compose("stop", "publisher", "ada", "cyd")
    boot = swarm.plora("bob", "status")["boot"]
    swarm.kill("bob")
    until("bob comes back", lambda: swarm.plora("bob", "status")["boot"] != boot)
    must("bob still has ada's adapters after SIGKILL", all_accepted(swarm, "bob"))
    must("bob is alone", not linked(swarm, "bob"))
    swarm.compose("start", "ada", "cyd")
    until("bob is linked again", partial(linked, swarm, "bob"))


def story(swarm: Swarm) -> None:
    """Everything that the smoke shows, in order."""
    swarm.make_homes()
    swarm.start(*PEERS)
    for peer in PEERS:
        until(f"{peer} is linked", partial(linked, swarm, peer))
        seen = json.loads(swarm.inside(peer, "python", "-", script=LOOK_INSIDE))
        must(f"{seen} shows a user of its own, no torch, nothing written outside /data, offline", seen == INSIDE)
    must("each container has an address of its own", len({swarm.address(peer) for peer in PEERS} - {""}) == len(PEERS))
    swarm.start("publisher")
    for peer in PEERS[1:]:
        until(f"{peer} accepts ada's adapters", partial(all_accepted, swarm, peer))
    kill_and_return(swarm)
    swarm.check_health("bob")
    swarm.stop()


def main(image: str) -> None:
    """Tell the story, and say so."""
    tell(Swarm(image, PEERS, [ROOT / "docker-compose.yml"]), story)
    sys.stdout.write(f"{len(PEERS)} containers: published, accepted, killed and back with what it had, stopped\n")


if __name__ == "__main__":
    main(sys.argv[1])
