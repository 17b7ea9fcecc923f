"""`plora invite` and `plora join` as people call them: what works, and every way it doesn't."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run
from tests.cli.test_running_peer import running, wait_for
from tests.ports import free_port

from plora.proto.errors import PeerNotRunningError
from plora.proto.ticket import Ticket, read_ticket

pytestmark = pytest.mark.slow
PLORA = Path(sys.executable).with_name("plora")
DAY_S = 86_400
WORDS = r"[a-z]+-[a-z]+-[a-z]+"


@dataclass(frozen=True)
class Inviter:
    """Ada's running peer."""

    home: Path
    address: str

    def ticket(self, name: str = "bob") -> str:
        command = [str(PLORA), "invite", name, "--home", str(self.home), "--address", self.address, "-q"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return str(done.stdout).strip()


@pytest.fixture(scope="module")
def ada() -> Iterator[Inviter]:
    with tempfile.TemporaryDirectory(prefix="plora-") as folder:
        home, address = Path(folder) / "a", f"127.0.0.1:{free_port()}"
        init = [str(PLORA), "init", "--name", "ada", "--swarm", "team", "--listen", address, "--home", str(home)]
        subprocess.run(init, check=True, capture_output=True)
        with running("up", "--home", str(home), ready=home / "run/admin.sock"):
            yield Inviter(home, address)


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="plora-") as folder:
        yield Path(folder)


def test_both_sides_see_the_same_three_words(plora: Run, ada: Inviter, place: Path, monkeypatch: Any) -> None:
    ticket = ada.ticket()
    waiting = [str(PLORA), "invite", "bea", "--wait", "--home", str(ada.home), "--address", ada.address]
    with subprocess.Popen(waiting, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        second = process.stdout.readline().strip()
        bea = plora("join", second, "--home", place / "bea", "--json").document
        said, _ = process.communicate(timeout=20)
        assert said == f"bea joined: {bea['words']}\n"

    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{ticket[:50]}\n{ticket[50:]}\n"))
    listen = f"127.0.0.1:{free_port()}"
    joined = plora("join", "-", "--home", place / "b", "--listen", listen, "--json")
    bob = joined.document
    assert (bob["name"], bob["swarm"], bob["inviter"]) == ("bob", "team", "ada")
    assert re.fullmatch(WORDS, bob["words"])
    assert bob["words"] != bea["words"]
    listed = {one["name"]: one for one in plora("invite", "--list", "--home", ada.home, "--json").document}
    assert (listed["bob"]["state"], listed["bob"]["words"], listed["bob"]["peer"]) == (
        "joined",
        bob["words"],
        bob["peer"],
    )
    secrets = [place / "b" / name for name in ("swarm.json", "joined.json", "identity/key.pem", "owner/bob.pem")]
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}
    with running("up", "--home", str(place / "b"), ready=place / "b/run/admin.sock"):
        for home, other in ((ada.home, "bob"), (place / "b", "ada")):
            (row,) = wait_for(partial(linked, plora, home, other))
            assert row["words"] == bob["words"]
        for home, other in ((ada.home, "bob"), (place / "b", "ada")):  # known by name, once a round has passed
            wait_for(partial(trusted, plora, home, other))


def trusted(plora: Run, home: Path, other: str) -> bool:
    return plora("trust", "add", other, "--home", home, "--yes").code == 0


def linked(plora: Run, home: Path, other: str) -> list[Any]:
    done = plora("peers", "--home", home, "--json")
    return [one for one in json.loads(done.out or "[]") if (one["nickname"], one["state"]) == (other, "up")]


def test_a_ticket_is_good_once_and_can_be_taken_back(plora: Run, ada: Inviter, place: Path) -> None:
    used, revoked = ada.ticket(), ada.ticket("eve")
    assert plora("join", used, "--home", place / "b").code == 0
    assert plora("invite", "eve", "--revoke", "--home", ada.home).out == "took back 1 ticket for eve\n"
    again = plora("invite", "eve", "--revoke", "--home", ada.home)
    assert (again.code, again.err) == (2, "plora: eve: has no open ticket; see `plora invite --list`\n")
    for ticket in (used, revoked):
        refused = plora("join", ticket, "--home", place / "c")
        assert refused.code == 3
        assert refused.err == (
            f"plora: {ada.address}: the inviter answers and doesn't take this ticket: it was used, taken back, "
            "or has expired there; ask for another one: `plora invite NAME` at the inviter\n"
        )
    assert not list((place / "c").iterdir())


Change = Callable[[Ticket, Inviter], Ticket]
BAD: dict[str, tuple[int, str, Change]] = {
    "expired": (
        3,
        r"the ticket expired at 20..-..-..T..:..:..Z, and this host's clock says .*; ask for another one",
        lambda ticket, _: replace(ticket, made_s=int(time.time()) - 2 * DAY_S, expires_s=int(time.time()) - DAY_S),
    ),
    "clock": (
        3,
        r"the ticket was made at .*, and this host's clock says .*; set the clock that is off",
        lambda ticket, _: replace(ticket, made_s=int(time.time()) + DAY_S, expires_s=int(time.time()) + 2 * DAY_S),
    ),
    "unreachable": (
        1,
        r"127\.0\.0\.1:\d+: the inviter can't be reached: nobody listens there; see that the inviter's peer runs",
        lambda ticket, _: replace(ticket, addresses=(f"127.0.0.1:{free_port()}",)),
    ),
    "no such host": (
        1,
        r"nowhere\.invalid:4700: the inviter can't be reached: no host has that name",
        lambda ticket, _: replace(ticket, addresses=("nowhere.invalid:4700",)),
    ),
    "another peer": (
        1,
        r"another peer than the inviter answers there \([0-9a-f]{12}, not abababababab\)",
        lambda ticket, _: replace(ticket, peer="ab" * 32),
    ),
    "made up": (
        3,
        r"the inviter answers and doesn't take this ticket",
        lambda ticket, _: replace(ticket, token=bytes(16)),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_ticket_is_one_line(plora: Run, ada: Inviter, place: Path, case: str) -> None:
    code, sentence, change = BAD[case]
    ticket = change(read_ticket(ada.ticket("zoe")), ada).text()
    done = plora("join", ticket, "--home", place / "b")
    assert re.search(sentence, done.err), done.err
    assert (done.code, done.err.count("\n"), done.out) == (code, 1, "")
    assert not (place / "b").exists() or not list((place / "b").iterdir())
    assert plora("invite", "zoe", "--revoke", "--home", ada.home).code == 0, "it is still open"


def test_an_inviter_of_another_swarm_is_not_joined(plora: Run, ada: Inviter, place: Path) -> None:
    other = replace(read_ticket(ada.ticket("yan")), swarm="00000000")
    done = plora("join", other.text(), "--home", place / "b")
    assert (done.code, "is for another swarm than the one that answered (team)" in done.err) == (3, True)
    assert not list((place / "b").iterdir())


def test_text_that_is_no_ticket_is_one_line(plora: Run, ada: Inviter, place: Path) -> None:
    ticket = ada.ticket("xen")
    garbled = ticket[:40] + ("q" if ticket[40] != "q" else "p") + ticket[41:]
    for text, sentence in (
        (garbled, "the ticket is garbled: a character is wrong or missing; copy it again, all of it"),
        (ticket[:-1], "the ticket is garbled: a character is wrong or missing; copy it again, all of it"),
        ("hello", "that is no ticket; a ticket begins with plora1; `plora invite` makes one"),
    ):
        done = plora("join", text, "--home", place / "b")
        assert (done.code, done.err) == (2, f"plora: {sentence}\n")


def test_a_member_does_not_join_again(plora: Run, ada: Inviter, place: Path) -> None:
    assert plora("join", ada.ticket("wim"), "--home", place / "b").code == 0
    ticket = ada.ticket("wim")
    same = plora("join", ticket, "--home", place / "b")
    assert same.code == 2
    assert "this home is a member of that swarm (team) already; start it by `plora up --home" in same.err
    assert plora("init", "--name", "vic", "--swarm", "blue", "--home", place / "c").code == 0
    other = plora("join", ticket, "--home", place / "c")
    assert other.code == 2
    assert "is a member of swarm blue already, and the ticket is for another swarm; choose another --home" in other.err
    (place / "d").mkdir()
    (place / "d/file").touch()
    assert "is not empty" in plora("join", ticket, "--home", place / "d").err
    (place / "e").touch()
    assert "no home can be made here" in plora("join", ticket, "--home", place / "e/f").err
    assert plora("join", ticket, "--home", place / "g").code == 0, "none of that used the ticket up"


def test_invite_says_what_is_missing(plora: Run, ada: Inviter, place: Path) -> None:
    assert (
        plora("invite", "--home", ada.home).err == "plora: plora invite: nobody is named; say whom: plora invite bob\n"
    )
    local = plora("invite", "bob", "--home", ada.home)
    assert (local.code, local.err.count("\n")) == (3, 1)
    port = ada.address.rpartition(":")[2]
    assert f"only this machine reaches; set `listen: 0.0.0.0:{port}` and `advertise: [HOST:{port}]`" in local.err
    assert local.err.endswith(f"; for a peer on this machine, say `--address {ada.address}`\n")
    assert plora("invite", "bob", "--home", place / "none").code == PeerNotRunningError.exit_code


def test_init_says_where_others_reach_it(plora: Run, place: Path) -> None:
    from plora.node.daemon.config import load_config

    options = ("--listen", "0.0.0.0:4700", "--advertise", "ada.example:4700", "--advertise", "[2001:db8::1]:4700")
    made = plora("init", "--name", "ada", "--swarm", "team", *options, "--home", place / "a")
    assert made.code == 0
    config = load_config(place / "a/peer.yaml").peer
    assert (config.listen, config.advertise) == ("0.0.0.0:4700", ("ada.example:4700", "[2001:db8::1]:4700"))
    assert json.loads((place / "a/swarm.json").read_text())["name"] == "team"
    assert "Only this machine" not in made.err
    local = plora("init", "--name", "bob", "--home", place / "bob").err
    assert "Only this machine reaches 127.0.0.1:4700, so peers on other hosts can't be invited; " in local
    assert f"to change that, set `listen` and `advertise` in {place / 'bob/peer.yaml'}.\n" in local
    wrong = plora("init", "--name", "ada", "--advertise", "nonsense", "--home", place / "b")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert wrong.err.startswith("plora: --advertise: 'nonsense' is no address; write HOST:PORT, ")
    missing = plora("init", "--name", "ada", "--swarm", "no/such.json", "--home", place / "b")
    assert (missing.code, "can't be read" in missing.err) == (2, True)
