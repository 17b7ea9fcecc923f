"""`deploy/publisher.py` beside a real peer: what one try didn't publish, a later one does, and only once."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from tests.swarm.conftest import MakePeer, Peer, make_peer, swarm

__all__ = ("make_peer", "swarm")

PUBLISHER = Path(__file__).resolve().parents[2] / "deploy" / "publisher.py"
HERE = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


@pytest.fixture
def publisher_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Peer], ModuleType]:
    """The program as a module, for a peer."""

    def loaded(peer: Peer) -> ModuleType:
        monkeypatch.setenv("PATH", HERE)
        monkeypatch.setenv("PLORA_HOME", str(peer.home.root))
        found = importlib.util.spec_from_file_location("publisher", PUBLISHER)
        assert found is not None and found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        return module

    return loaded


@contextmanager
def publishing(peer: Peer, adapters: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The program as it runs in its container, but that it looks five times a second."""
    told = {"PLORA_HOME": str(peer.home.root), "ADAPTERS": str(adapters), "EVERY_S": "0.2", "DRAWN": "1"}
    process = subprocess.Popen([sys.executable, PUBLISHER], env={"PATH": HERE, **told})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def names(peer: Peer) -> list[str]:
    return sorted(one.name for one in peer.plasmids().values())


def test_what_a_stopped_peer_did_not_take_is_published_later_and_once(
    make_peer: MakePeer, publisher_of: Callable[[Peer], ModuleType], capfd: pytest.CaptureFixture[str]
) -> None:
    ada = make_peer("ada")
    publisher = publisher_of(ada)
    outbox, drawing = publisher.Outbox(ada.home.root), partial(publisher.draw, 1)
    outbox.send("drawn-1", drawing)
    assert (ada.home.root / "outbox" / "drawn-1").is_dir()
    ada.start()
    publisher.Outbox(ada.home.root).send("drawn-1", drawing)
    assert names(ada) == ["ada/drawn-1@1"]
    capfd.readouterr()
    publisher.Outbox(ada.home.root).send("drawn-1", drawing)
    assert capfd.readouterr() == ("", ""), "what is done isn't tried again"


def test_a_kill_leaves_no_folder_behind_that_is_never_published(
    make_peer: MakePeer, publisher_of: Callable[[Peer], ModuleType], tmp_path: Path
) -> None:
    ada = make_peer("ada")
    publisher = publisher_of(ada)
    publisher.draw(1, ada.home.root / "outbox" / "drawn-1")  # killed before it published
    (ada.home.root / "outbox-half").mkdir()  # killed while it copied
    publisher.draw(2, tmp_path / "adapters" / "mine")
    ada.start()
    with publishing(ada, tmp_path / "adapters") as process:
        ada.until(lambda: names(ada) == ["ada/drawn-1@1", "ada/mine@1"], within_s=90.0)
        process.terminate()
        assert process.wait(30.0) == 0, "as `docker compose stop` asks it"


def test_what_cant_be_shared_is_said_once(
    make_peer: MakePeer, publisher_of: Callable[[Peer], ModuleType], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    publisher = publisher_of(make_peer("ada"))
    outbox, drawing = publisher.Outbox(tmp_path), partial(publisher.draw, 1)
    outbox.send("drawn-1", drawing)
    assert capfd.readouterr().err.count("\n") == 1
    outbox.send("drawn-1", drawing)
    assert capfd.readouterr().err == ""
    lost = tmp_path / "lost"
    assert publisher.changed(lost) == {}
    assert f"{lost} can't be read: " in capfd.readouterr().err
    publisher.changed(lost)
    assert capfd.readouterr().err == ""
    lost.mkdir()
    publisher.changed(lost)
    lost.rmdir()
    publisher.changed(lost)
    assert f"{lost} can't be read: " in capfd.readouterr().err, "it went again"
