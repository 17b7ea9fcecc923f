"""`plora trust`: adding, listing and removing whom a peer believes."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from plora.cli.main import app
from plora.gate import load_trust
from plora.node.home import init_home
from plora.proto.errors import StatementError, UsageError
from plora.proto.home import Home
from plora.proto.owner_files import create_owner
from plora.proto.swarm import open_swarm

SWARM = open_swarm("walk")
NOW_S = 1_790_000_000


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return init_home(tmp_path / "ada", name="ada", swarm=SWARM, listen="127.0.0.1:4700", now_s=NOW_S).home


@pytest.fixture
def record(tmp_path: Path) -> Path:
    create_owner(tmp_path / "bob.pem", name="bob", swarm=SWARM.id, issued_s=NOW_S)
    return tmp_path / "bob.owner"


def run(home: Home, *words: str, answer: str = "") -> int:
    result = CliRunner().invoke(app, ["trust", *words, "--home", str(home.root)], input=answer)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code


def test_an_owner_is_added_in_scope_and_removed(home: Home, record: Path) -> None:
    assert run(home, "add", str(record), "--domains", "legal, medical", "--nickname", "robert", "--yes") == 0
    trust = load_trust(home.trust)
    robert = trust.named("robert")
    assert robert is not None
    assert (robert.domains, robert.who, trust.version) == (("legal", "medical"), "plora trust add", 2)
    assert run(home, "ls", "--json") == 0
    assert run(home, "rm", "robert") == 0
    assert [owner.nickname for owner in load_trust(home.trust).owners] == ["ada"]
    assert load_trust(home.trust).version == 3


def test_it_asks_and_a_no_changes_nothing(home: Home, record: Path) -> None:
    before = home.trust.read_bytes()
    assert run(home, "add", str(record), answer="n\n") != 0
    assert home.trust.read_bytes() == before
    assert run(home, "add", str(record), answer="y\n") == 0
    assert load_trust(home.trust).named("bob") is not None


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
