"""`plora trust`: adding, listing and removing whom a peer believes."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from plora.cli.main import app
from plora.gate import TrustedOwner, edit_trust, load_trust
from plora.node.home import init_home
from plora.proto.errors import PeerNotRunningError, StatementError, UsageError
from plora.proto.home import Home
from plora.proto.owner_files import Owner, create_owner, read_owner_record
from plora.proto.swarm import open_swarm
from plora.proto.words import fingerprint

SWARM = open_swarm("walk")
NOW_S = 1_790_000_000
PLORA = Path(sys.executable).with_name("plora")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return init_home(tmp_path / "ada", name="ada", swarm=SWARM, listen="127.0.0.1:4700", now_s=NOW_S).home


@pytest.fixture
def record(tmp_path: Path) -> Path:
    create_owner(tmp_path / "bob.pem", name="bob", swarm=SWARM.id, issued_s=NOW_S)
    return tmp_path / "bob.owner"


def run(home: Home, *words: str, answer: str = "") -> int:
    line = words if words[0] == "distrust" else ("trust", *words)
    result = CliRunner().invoke(app, [*line, "--home", str(home.root)], input=answer)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code


def test_an_owner_is_added_in_scope_and_removed(home: Home, record: Path) -> None:
    assert run(home, "add", str(record), "--domains", "legal, medical", "--nickname", "robert", "--yes") == 0
    trust = load_trust(home.trust)
    robert = trust.named("robert")
    assert robert is not None
    assert (robert.domains, trust.version) == (("legal", "medical"), 2)
    assert re.fullmatch(r"\S+@\S+, plora trust add", robert.who) and robert.when
    assert run(home, "ls", "--json") == 0
    assert run(home, "rm", "robert") == 0
    assert [owner.nickname for owner in load_trust(home.trust).owners] == ["ada"]
    assert load_trust(home.trust).version == 3


def test_it_asks_and_a_no_changes_nothing(home: Home, record: Path) -> None:
    before = home.trust.read_bytes()
    code, said = asked(home, record, "n\n")
    assert code == 1
    assert fingerprint(create_id(record)) in said
    assert "Believe bob (publish and cosign) about every domain on every base?" in said
    assert home.trust.read_bytes() == before
    assert asked(home, record, "y\n")[0] == 0
    assert load_trust(home.trust).named("bob") is not None


def test_a_pipe_is_not_asked(home: Home, record: Path) -> None:
    with pytest.raises(UsageError, match="no terminal is here to ask on, so nothing was done; say --yes"):
        run(home, "add", str(record), answer="y\n")
    assert load_trust(home.trust).named("bob") is None


def test_a_scope_that_is_not_named_stays(home: Home, record: Path) -> None:
    assert run(home, "add", str(record), "--domains", "legal", "--roles", "cosign", "--yes") == 0
    assert run(home, "distrust", "bob") == 0
    bob = create_id(record)
    assert load_trust(home.trust).owner(bob) is None
    assert run(home, "add", "bob", "--yes") == 0
    again = load_trust(home.trust).owner(bob)
    assert again is not None and (again.domains, again.roles) == (("legal",), ("cosign",))
    assert run(home, "add", bob[:8], "--domains", "any", "--nickname", "robert", "--yes") == 0
    widened = load_trust(home.trust).named("robert")
    assert widened is not None and (widened.domains, widened.roles) == ((), ("cosign",))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--domains", "legal,A b"), "--domains: 'A b' must be 1 to 64"),
        (("--bases", "mini,../x"), "--bases: '../x' must be a model's name"),
        (("--nickname", "Ro Bert"), "--nickname: 'Ro Bert' must be 1 to 64"),
        (("--roles", "publish,boss"), "--roles: 'boss' is no role; use publish, cosign"),
    ],
)
def test_a_word_that_the_trust_file_cannot_hold_is_refused_and_spoils_nothing(
    home: Home, record: Path, options: tuple[str, str], says: str
) -> None:
    before = home.trust.read_bytes()
    command = [str(PLORA), "trust", "add", str(record), *options, "--yes", "--home", str(home.root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"plora: {says}")
    assert home.trust.read_bytes() == before


def test_any_role_means_both(home: Home, record: Path) -> None:
    assert run(home, "add", str(record), "--roles", "cosign", "--yes") == 0
    assert run(home, "add", "bob", "--roles", "any", "--yes") == 0
    bob = load_trust(home.trust).named("bob")
    assert bob is not None and bob.roles == ("publish", "cosign")


def test_a_nickname_that_is_taken_is_refused(home: Home, tmp_path: Path) -> None:
    create_owner(tmp_path / "ada2.pem", name="ada", swarm=SWARM.id, issued_s=NOW_S)
    with pytest.raises(UsageError, match="--nickname"):
        run(home, "add", str(tmp_path / "ada2.owner"), "--yes")
    assert run(home, "add", str(tmp_path / "ada2.owner"), "--nickname", "ada2", "--yes") == 0


def test_a_stranger_needs_a_running_peer_or_a_record(home: Home) -> None:
    with pytest.raises(PeerNotRunningError, match="no peer is running that may have seen them"):
        run(home, "add", "eve", "--yes")
    with pytest.raises(PeerNotRunningError):
        run(home, "pending")


def test_commands_at_once_lose_no_change(home: Home, tmp_path: Path) -> None:
    owners = [create_owner(tmp_path / f"o{n}.pem", name=f"o{n}", swarm=SWARM.id, issued_s=NOW_S) for n in range(8)]
    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(believe, home, owner) for owner in owners]:
            done.result()
    trust = load_trust(home.trust)
    assert sorted(owner.nickname for owner in trust.owners) == ["ada", *(f"o{n}" for n in range(8))]
    assert trust.version == 9


def believe(home: Home, owner: Owner) -> None:
    edit_trust(home.trust, lambda trust: trust.with_owner(TrustedOwner.of_record(owner.statement)))


def create_id(record: Path) -> str:
    return read_owner_record(record)[0].id.hex()


def asked(home: Home, record: Path, answer: str) -> tuple[int, str]:
    """`plora trust add` on a terminal of its own, and what it said there."""
    ours, theirs = os.openpty()
    command = [str(PLORA), "trust", "add", str(record), "--home", str(home.root)]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        os.write(ours, answer.encode())
        said, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    return process.returncode, said.decode()


def test_a_forged_record_is_refused(home: Home, record: Path) -> None:
    forged = record.with_name("forged.owner")
    text = record.read_text()
    start = text.index('"signature') + len('"signature_b64":"') + 2
    forged.write_text(text[:start] + ("A" if text[start] != "A" else "B") + text[start + 1 :])
    with pytest.raises(StatementError):
        run(home, "add", str(forged), "--yes")


def test_removing_a_stranger_says_so(home: Home) -> None:
    with pytest.raises(UsageError, match="plora trust ls"):
        run(home, "rm", "nobody")
