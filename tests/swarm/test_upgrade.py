"""Peers of an older build and of this one form one swarm, and are upgraded one at a time, each on the home it has."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.ports import free_port
from tests.swarm.conftest import NODE, Peer, settings
from tests.swarm.older import install

from plora.node.home import MadeHome
from plora.proto.home import Home
from plora.proto.owner_files import load_owner
from plora.proto.swarm import Swarm

pytestmark = pytest.mark.slow
MakePeer = Callable[..., Any]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the older build's commands."""
    return install(tmp_path_factory.mktemp("older") / "venv")


@pytest.fixture
def make_older(
    programs: Path, swarm: Swarm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Peer]]:
    """A peer of the older build, its home made by that build's own command."""
    made: list[Peer] = []

    def make(name: str) -> Peer:
        root, port = tmp_path_factory.mktemp("h") / name, free_port()
        swarm.save(secret := root.with_name("swarm.json"))
        command: list[str | Path] = [programs / "plora", "init", "--home", root, "--name", name, "--swarm", secret]
        subprocess.run(command, check=True, capture_output=True)
        home = Home(root)
        owner = load_owner(home.owner_folder / f"{name}.pem")
        words = settings(name, port)
        del words["discovery"]  # what this build doesn't know
        new = MadeHome(home, home.peer_id.read_text().strip(), owner)
        made.append(Peer(new, port, words, node=programs / "plora-node"))
        return made[-1]

    yield make
    for peer in made:
        peer.discard()


def believes(programs: Path, peer: Peer, *others: Peer) -> None:
    """By the older build's own command, into its own file."""
    for other in others:
        record = other.home.owner_folder / f"{other.name}.owner"
        command: list[str | Path] = [programs / "plora", "trust", "add", record, "--yes", "--home", peer.home.root]
        subprocess.run(command, check=True, capture_output=True)


def published(peer: Peer, tmp_path: Path, number: int) -> str:
    """The content id of something new."""
    made = peer.signed_folder(tmp_path / f"{peer.name}{number}", seed=number)
    peer.publish(tmp_path / f"{peer.name}{number}")
    return made.statement.id.hex()


def accepted_by(peer: Peer, *contents: str) -> bool:
    found = peer.plasmids()
    return all(content in found and found[content].state in ("accepted", "own") for content in contents)


def agree(*peers: Peer, contents: list[str]) -> None:
    for peer in peers:
        peer.until(partial(accepted_by, peer, *contents), 60)
    peers[0].until(lambda: len({peer.status.root for peer in peers}) == 1, 60)


def test_an_older_build_and_this_one_form_one_swarm(
    make_older: Callable[[str], Peer], make_peer: MakePeer, programs: Path, tmp_path: Path
) -> None:
    ada, bob, cyd = make_older("ada"), make_older("bob"), make_peer("cyd")
    for peer in (ada, bob):
        believes(programs, peer, *[one for one in (ada, bob, cyd) if one is not peer])
    cyd.trusts(ada, bob)
    ada.dials(cyd)  # the older dials the newer, and the newer the older
    cyd.dials(bob)
    for peer in (ada, bob, cyd):
        peer.start()
    contents = [published(ada, tmp_path, 1), published(cyd, tmp_path, 2)]
    agree(ada, bob, cyd, contents=contents)

    # One peer is upgraded where it stands, while the others run on.
    ada.stop()
    contents.append(published(bob, tmp_path, 3))
    ada.node = NODE
    ada.start()
    contents.append(published(ada, tmp_path, 4))
    agree(ada, bob, cyd, contents=contents)
    assert not ada.records("repair", "penalty") and not cyd.records("penalty") and not bob.records("penalty")

    # And the last one.
    bob.stop()
    bob.node = NODE
    bob.start()
    contents.append(published(bob, tmp_path, 5))
    agree(ada, bob, cyd, contents=contents)
    for peer in (ada, bob, cyd):
        assert not peer.records("penalty", "error"), peer.records("penalty", "error")
