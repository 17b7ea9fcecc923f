"""`plora consensus verify`: a certificate is checked from files alone, under the epoch that a person means."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.council import Ballots, member, vote_key

from plora.gate.certificate_file import certificate_text
from plora.gate.consensus import Certificate, Membership, membership
from plora.proto.swarm import open_swarm
from plora.proto.yaml_view import read_plora_yml

FILE, FOLDER = Path("legal.certificate"), Path("out/legal")


@pytest.fixture
def members(world: Path) -> Membership:
    """Four members, three of whom accepted `out/legal`, as a file says."""
    swarm = open_swarm("walk").id
    made = membership(swarm, map(member, range(4)))
    signed = read_plora_yml(FOLDER / "plora.yml")
    sign, content = Ballots(made.slot(signed.manifest)), signed.statement().id.hex()
    votes = tuple(sign.signed(vote_key(number), content, swarm=swarm) for number in range(3))
    FILE.write_text(certificate_text(made, signed.statement(), Certificate(sign.slot, content, votes)))
    return made


def test_votes_signature_and_bytes_are_checked_without_a_peer(plora: Run, members: Membership) -> None:
    done = plora("consensus", "verify", FILE, FOLDER, "--epoch", members.epoch, "--owner", "keys/ada.owner")
    assert (done.code, "legal@1 of owner" in done.out) == (0, True)
    assert "accepted by 3 of 4 members (m0, m1, m2)" in done.out


def test_a_peers_own_block_names_the_epoch(plora: Run, members: Membership) -> None:
    listed = [f"  - {{name: {one.name}, key: {one.key.to_text()}, peer: '{one.peer}'}}" for one in members.members]
    text = "\n".join(("name: ada", "consensus:", "  members:", *(f"  {line}" for line in listed)))
    Path("peer.yaml").write_text(text)
    assert plora("consensus", "verify", FILE, "--config", "peer.yaml").code == 0
    Path("peer.yaml").write_text(f"{text}\n  number: 2")
    assert plora("consensus", "verify", FILE, "--config", "peer.yaml").code == 3
    Path("peer.yaml").write_text("name: ada")
    assert plora("consensus", "verify", FILE, "--config", "peer.yaml").code == 2


def test_whose_word_counts_must_be_said(plora: Run, members: Membership) -> None:
    silent = plora("consensus", "verify", FILE)
    assert (silent.code, "names its own members" in silent.err) == (2, True)
    other = plora("consensus", "verify", FILE, "--epoch", "0" * 64, "--json")
    assert (other.code, other.document["valid"]) == (3, False)


@pytest.mark.parametrize("wrong", ["another owner", "other bytes", "a vote less"])
def test_what_it_does_not_show_is_said(plora: Run, members: Membership, wrong: str) -> None:
    if wrong == "other bytes":
        weights = FOLDER / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x07")
    if wrong == "a vote less":
        FILE.write_text("".join(FILE.read_text().splitlines(keepends=True)[:-1]))
    owner = "keys/eve.owner" if wrong == "another owner" else "keys/ada.owner"
    done = plora("consensus", "verify", FILE, FOLDER, "--epoch", members.epoch, "--owner", owner)
    said = {"another owner": "no key of the owner", "other bytes": "sha256: the manifest says", "a vote less": "fewer"}
    assert (done.code, said[wrong] in done.out) == (3, True)


@pytest.mark.parametrize("content", [b"", b"accepted\n" * 3, b"\xff\xfe"])
def test_a_file_that_is_no_certificate_is_an_error_that_names_it(
    plora: Run, members: Membership, content: bytes
) -> None:
    FILE.write_bytes(content)
    done = plora("consensus", "verify", FILE, "--epoch", members.epoch)
    assert (done.code, done.err.startswith(f"plora: {FILE}: ")) == (1, True)
    missing = plora("consensus", "verify", "nowhere", "--epoch", members.epoch)
    assert (missing.code, "can't be read" in missing.err) == (2, True)
