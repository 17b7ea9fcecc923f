"""Every command against real peers: `plora up` runs ada, who publishes, and bob, who gets it from her."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run
from tests.ports import free_port

pytestmark = pytest.mark.slow
PLORA = Path(sys.executable).with_name("plora")
WAIT_S = 20.0
TERMINAL = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}


def wait_for(what: Callable[[], Any]) -> Any:
    """The first true value, within 20 seconds."""
    end, pause = time.monotonic() + WAIT_S, threading.Event()
    while not (value := what()):
        assert time.monotonic() < end, "it took too long"
        pause.wait(0.05)
    return value


@contextmanager
def running(*arguments: str, ready: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that runs until SIGTERM, from the moment that `ready` exists; it must then end with 0."""
    process = subprocess.Popen(
        [str(PLORA), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        wait_for(lambda: ready.exists() or process.poll() is not None)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, said


def make_pair(plora: Run) -> None:
    """Homes `a` and `b` of one swarm; b dials a, and trusts a's owner."""
    ports = {"a": free_port(), "b": free_port()}
    for home, swarm in (("a", ""), ("b", "a/swarm.json")):
        listen = f"127.0.0.1:{ports[home]}"
        assert plora("init", "--name", home, "--home", home, "--listen", listen, "--swarm", swarm).code == 0
    peer = Path("a/identity/peer_id").read_text().strip()
    settings = Path("b/peer.yaml").read_text()
    neighbour = f"neighbours: [{{peer: {peer}, address: '127.0.0.1:{ports['a']}'}}]\n#"
    Path("b/peer.yaml").write_text(settings.replace("neighbours: []", neighbour))
    Path("b/trust.yaml").write_bytes(Path("a/trust.yaml").read_bytes())


def test_two_peers_answer_every_command(plora: Run, world: Path) -> None:
    make_pair(plora)
    folder = "out/medical"
    assert plora("sign", folder, "--key", "a/owner/a.pem", "--domain", "medical").code == 0
    a, b = Path("a/run/admin.sock"), Path("b/run/admin.sock")
    with running("up", "--home", "a", ready=a), running("up", "--home", "b", ready=b):
        published = plora("publish", folder, "--home", "a")
        assert (published.code, published.out) == (0, "published a/medical@1\n")

        wait_for(lambda: [one for one in plora("ls", "--home", "b", "--json").document if one["state"] == "accepted"])
        _, row = plora("ls", "--home", "b", "--domain", "medical").out.splitlines()
        assert row.split()[:6] == ["a/medical@1", "medical", "mini", "504", "B", "accepted"]
        assert plora("ls", "--home", "b", "--state", "refused", "--json").document == []
        empty = plora("ls", "--home", "b", "--state", "refused", "--domain", "law")
        assert "None is of domain 'law' and in state 'refused'; the states here: accepted.\n" in empty.err
        own = plora("ls", "--home", "a").out.splitlines()
        assert (own[0].split()[-1], own[1].split()[5:]) == ("yours", ["own", "100", "%", "published"])

        assert "plasmid_id: medical\n" in plora("show", "medical", "--home", "b").out
        why = plora("why", "a/medical", "--home", "b")
        assert why.code == 0
        assert "a/medical@1: passed the gate and is in use" in why.out
        assert "✓ weights" in why.out
        unknown = plora("why", "nothing", "--home", "b")
        assert (unknown.code, unknown.err) == (2, "")
        assert unknown.out.startswith("nothing: no manifest of that name has been seen; 1 neighbour is linked\n")

        status = plora("status", "--home", "b", "--json").document
        assert (status["name"], status["links"], status["plasmids_accepted"]) == ("b", 1, 1)
        assert (status["plasmids"], status["warnings"], status["neighbours"]) == ({"accepted": 1}, [], 1)
        screen = plora("status", "--home", "b").out.splitlines()
        assert screen[0].startswith("b  ·  up ")
        assert "neighbours  1 of 1 connected" in screen
        assert "plasmids    1 accepted" in screen
        (peer,) = plora("peers", "--home", "b", "--json").document
        assert (peer["state"], peer["outbound"], peer["configured"]) == ("up", True, True)
        counted = str(status["statements"])
        row = wait_for(lambda: (said := plora("peers", "--home", "b").out.splitlines()[1].split())[4:] and said)
        assert row == ["a", peer["peer"][:12], peer["address"], "up", counted]

        records = [json.loads(line) for line in plora("events", "--home", "b", "--json").out.splitlines()]
        assert [one["seq"] for one in records] == list(range(len(records)))
        verdicts = plora("events", "--home", "b", "--kind", "verdict").out.splitlines()
        assert "accept: a/medical@1 at weights" in verdicts[-1]
        told = plora("events", "--home", "b", "--since", "10m")
        assert "connected with" in told.out and " round " not in told.out and "--all" in told.err
        misspelt = plora("events", "--home", "b", "--kind", "verdct")
        assert (misspelt.code, "did you mean 'verdict'?" in misspelt.err) == (2, True)

        nowhere = plora("fetch", "medical", "--home", "b", "--out", "b/peer.yaml")
        assert (nowhere.code, nowhere.err.count("\n")) == (1, 1)
        assert "b/peer.yaml: can't be written (File exists); name another folder\n" in nowhere.err
        foreign_base = plora("path", "merged--nix", "--home", "b")
        assert (foreign_base.code, "nix: nothing was merged of that base; there are" in foreign_base.err) == (2, True)

        fetched = plora("fetch", "medical", "--home", "b", "--out", "copy")
        assert fetched.code == 0
        assert plora("verify", "copy", "--owner", "a/owner/a.owner").out == "copy: valid\n"
        assert plora("reload", "--home", "b").out == "reloaded: nothing changed\n"
        good = Path("b/peer.yaml").read_text()
        Path("b/peer.yaml").write_text(good.replace("fanout:", "fanuot:", 1))
        bad = plora("reload", "--home", "b")
        assert (bad.code, bad.out) == (2, "")
        assert "did you mean 'fanout'?" in bad.err
        Path("b/peer.yaml").write_text(good)

        foreign = plora("revoke", "medical", "--home", "b", "--reason", "mine", "--yes")
        assert (foreign.code, foreign.out) == (3, "")
        assert "belongs to owner" in foreign.err
        asking = [str(PLORA), "revoke", "medical", "--home", "a", "--reason", "leaked"]
        unanswered = subprocess.run(asking, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert (unanswered.returncode, "--yes" in unanswered.stderr) == (2, True)
        revoked = plora("revoke", "medical", "--home", "a", "--reason", "leaked", "--yes")
        assert (revoked.code, revoked.out) == (0, "revoked a/medical@1\n")
        refused = wait_for(lambda: (done := plora("why", "medical", "--home", "b")).code == 3 and done)
        assert "REVOKED" in refused.out.upper()


def test_top_draws_until_q_and_gives_the_terminal_back(plora: Run, world: Path) -> None:
    make_pair(plora)
    with running("up", "--home", "a", ready=Path("a/run/admin.sock")):
        once = plora("top", "--home", "a")
        assert (once.code, once.out.split()[0]) == (0, "a")
        assert "a started, plora" in once.out and "\x1b" not in once.out
        ours, theirs = pty.openpty()
        before = termios.tcgetattr(theirs)
        with subprocess.Popen([str(PLORA), "top", "--home", "a"], stdin=theirs, stdout=theirs, env=TERMINAL) as top:
            shown = read_until(ours, "a started, plora")
            os.write(ours, b"xq")
            assert top.wait(WAIT_S) == 0
        shown += read_until(ours, "\x1b[?1049l")
        assert "\x1b[?1049h" in shown and "\x1b[2J" not in shown.partition("a started")[2]
        assert termios.tcgetattr(theirs) == before
        with subprocess.Popen([str(PLORA), "top", "--home", "a"], stdin=theirs, stdout=theirs, env=TERMINAL) as top:
            read_until(ours, "a started, plora")
            os.close(ours)
            os.close(theirs)
            top.wait(WAIT_S)  # its terminal is gone, and so is it


def read_until(terminal: int, text: str) -> str:
    """What a program wrote to a terminal, up to a text that must come within 20 seconds."""
    end, said = time.monotonic() + WAIT_S, ""
    while text not in said:
        ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
        assert ready, f"it took too long: {said}"
        said += os.read(terminal, 1 << 16).decode(errors="replace")
    return said


def test_events_follow_shows_what_happens_next(plora: Run, world: Path) -> None:
    make_pair(plora)
    assert plora("sign", "out/medical", "--key", "a/owner/a.pem", "--domain", "medical").code == 0
    with running("up", "--home", "a", ready=Path("a/run/admin.sock")):
        command = [str(PLORA), "events", "-f", "--json", "--kind", "published", "--home", "a"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as follower:
            assert follower.stdout is not None
            assert plora("publish", "out/medical", "--home", "a").code == 0
            assert json.loads(follower.stdout.readline())["plasmid_id"] == "medical"
            follower.send_signal(signal.SIGINT)
            _, said = follower.communicate()
        assert follower.returncode == 130 and said == "plora: interrupted\n"


def test_publish_refuses_bytes_that_were_not_signed(plora: Run, world: Path) -> None:
    make_pair(plora)
    assert plora("sign", "out/legal", "--key", "a/owner/a.pem", "--domain", "legal").code == 0
    artifact = Path("out/legal/adapter_model.safetensors")
    artifact.write_bytes(artifact.read_bytes()[:-1] + b"\x07")
    with running("up", "--home", "a", ready=Path("a/run/admin.sock")):
        done = plora("publish", "out/legal", "--home", "a")
        assert done.code == 3
        assert "plora sign" in done.err
        assert plora("ls", "--home", "a", "--json").document == []


def test_publish_says_that_a_folder_is_of_another_swarm(plora: Run, world: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    assert plora("init", "--name", "zed", "--home", "z", "--swarm", "open:elsewhere", "--listen", listen).code == 0
    with running("up", "--home", "z", ready=Path("z/run/admin.sock")):
        done = plora("publish", "out/legal", "--home", "z", "--owner", "keys/ada.owner")
        assert (done.code, "another swarm" in done.err) == (3, True)


def test_offer_serves_and_fetch_verifies(plora: Run, world: Path) -> None:
    assert plora("sign", "out/medical", "--key", "keys/ada.pem", "--domain", "medical").code == 0
    owner = ("--owner", "keys/ada.owner")
    serving = Path(".plora/offer/serving")
    arguments = ("offer", "out/legal", "out/medical", *owner, "--port", str(free_port()))
    with running(*arguments, ready=serving):
        everything = plora("fetch", "--all", "--offer", *owner, "--json")
        assert [one["plasmid_id"] for one in everything.document] == ["legal", "medical"]
        for name in ("legal", "medical"):
            assert folder_bytes(Path("received", name)) == folder_bytes(Path("out", name))
        assert plora("fetch", "nothing", "--offer", *owner, "--wait", "0").code == 1
        stranger = plora("fetch", "legal", "--offer", "--owner", "keys/eve.owner", "--wait", "0")
        assert stranger.code == 3
        assert "is offered by owner" in stranger.err
        peer, address = serving.read_text().split()
        assert plora("init", "--name", "x", "--home", "another", "-q").code == 0
        other = Path("another/identity/peer_id").read_text().strip()
        wrong = plora("fetch", "legal", "--offer", *owner, "--wait", "0", "--peer", other, "--address", address)
        assert (wrong.code, "not the peer that was expected" in wrong.err) == (1, True)
        named = plora("fetch", "legal", "--offer", *owner, "--peer", peer, "--address", address, "--out", "again")
        assert named.code == 0
        assert plora(*arguments).err.count("another peer works on this home") == 1
    assert not serving.exists()
    gone = plora("fetch", "legal", "--offer", *owner, "--wait", "0")
    assert (gone.code, "nobody offers here" in gone.err) == (1, True)


def test_fetch_keeps_what_was_there_when_the_bytes_are_wrong(plora: Run, world: Path) -> None:
    owner = ("--owner", "keys/ada.owner")
    with running("offer", "out/legal", *owner, "--port", str(free_port()), ready=Path(".plora/offer/serving")):
        assert plora("fetch", "legal", "--offer", *owner).code == 0
        before = folder_bytes(Path("received/legal"))
        (blob,) = [path for path in Path(".plora/offer/blobs").rglob("*") if path.is_file()]
        blob.chmod(0o600)
        blob.write_bytes(blob.read_bytes()[:-1] + b"\x07")
        done = plora("fetch", "legal", "--offer", *owner, "--wait", "20")
        assert done.code == 3
        assert "chunk 0 is not what the manifest says" in done.err
        assert folder_bytes(Path("received/legal")) == before
        assert [path.name for path in Path("received").iterdir()] == ["legal"]


def test_offer_ends_when_the_gate_refuses_a_folder(world: Path) -> None:
    artifact = Path("out/legal/adapter_model.safetensors")
    artifact.write_bytes(artifact.read_bytes()[:-1] + b"\x07")
    command = [str(PLORA), "offer", "out/legal", "--owner", "keys/ada.owner", "--port", str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert "out/legal" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not Path(".plora/offer/serving").exists()


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
