"""The block `consensus` of peer.yaml: unsafe quorums, keys that can't vote, a switch without members; the vote key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.council import vote_key

from plora.node.daemon.config import PeerConfig, faults_of, load_config
from plora.node.daemon.main import main
from plora.node.daemon.node import check, core_config
from plora.proto.home import Home
from plora.proto.keys import generate_private_key

RSA = generate_private_key("RSA-PSS-SHA256").public.to_text()


def listed(count: int) -> list[dict[str, str]]:
    return [{"name": f"m{number}", "key": vote_key(number).public.to_text()} for number in range(count)]


def write(home: Path, block: object, **policy: object) -> Path:
    path = home / "peer.yaml"
    path.write_text(yaml.safe_dump({"name": "ada", "consensus": block, "policy": policy}))
    return path


@pytest.mark.parametrize(
    ("block", "policy", "where", "words"),
    [
        (
            {"members": listed(4), "quorum": 2},
            {},
            "consensus.quorum",
            "a quorum of 2 of 4 members lets two certificates",
        ),
        ({"members": listed(4), "quorum": 5}, {}, "consensus.quorum", "can never be reached"),
        ({"members": [*listed(2), *listed(1)]}, {}, "consensus.members", "two members have one"),
        ({"members": [{"name": "m", "key": "AAAA"}]}, {}, "consensus.members", "plora consensus key"),
        ({"members": [{"name": "m", "key": RSA}]}, {}, "consensus.members", "votes are Ed25519"),
        ({"member": []}, {}, "consensus.member", "did you mean 'members'"),
        ({}, {"consensus": True}, "policy.consensus", "nobody votes"),
    ],
)
def test_what_isnt_safe_is_one_line(
    tmp_path: Path, block: object, policy: dict[str, object], where: str, words: str
) -> None:
    (fault,) = faults_of(write(tmp_path, block, **policy))
    assert f"{tmp_path}/peer.yaml: {where}" in str(fault) and words in str(fault)


def test_four_members_and_no_quorum_mean_three(tmp_path: Path) -> None:
    loaded = load_config(write(tmp_path, {"members": listed(4)}, consensus=True))
    members = loaded.peer.consensus.membership("ab" * 32)
    assert members is not None and (members.quorum, members.faults) == (3, 1)
    assert PeerConfig(name="ada").consensus.membership("ab" * 32) is None


@pytest.fixture
def home(make_daemon: Callable[[str], Any]) -> Home:
    made: Home = make_daemon("ada").home
    return made


def test_the_core_learns_which_key_is_its_own(home: Home) -> None:
    assert core_config(check(home.config), "0", ()).vote_key == ""
    vote_key(0).save(home.vote_key)
    home.config.write_text(home.config.read_text() + yaml.safe_dump({"consensus": {"members": listed(4)}}))
    config = core_config(check(home.config), "0", ())
    assert config.members is not None and config.members.member(config.vote_key) is not None


def test_a_vote_key_that_others_can_read_prevents_the_start(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    vote_key(0).save(home.vote_key)
    home.vote_key.chmod(0o640)
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(home.config)])
    assert ended.value.code == 1
    assert "vote.pem: readable by others" in capsys.readouterr().err
