"""What a newcomer believes of an inviter's answer: nothing that wasn't checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plora.node.daemon.config import NeighbourBlock, PeerConfig
from plora.node.joined import Acquaintance, Told, introductions, load_told, save_told
from plora.node.joining import welcomed
from plora.proto.errors import ProtocolError, RefusedError
from plora.proto.home import Home
from plora.proto.owner_files import Owner, create_owner
from plora.proto.statement import Statement, statement_to_json
from plora.proto.swarm import new_swarm
from plora.proto.ticket import Ticket
from plora.proto.wire import statement_to_pb
from plora.v1 import peer_pb2 as pb

SWARM = new_swarm("team", bytes(range(64)))
OTHER = new_swarm("blue", bytes(64))
ADA, BOB = "aa" * 32, "bb" * 32
TICKET = Ticket(ADA, ("192.0.2.1:4700",), bytes(16), SWARM.id[:8], 0, 100, "bob")


def reply(**changes: Any) -> pb.JoinReply:
    fields = {"swarm": bytes.fromhex(SWARM.id), "swarm_name": "team", "secret": bytes.fromhex(SWARM.secret)}
    return pb.JoinReply(**(fields | {"inviter": "ada"} | changes))


def entry(peer: str, *addresses: str) -> pb.PeerEntry:
    return pb.PeerEntry(peer=bytes.fromhex(peer), addresses=addresses)


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return create_owner(tmp_path / "ada.pem", name="ada", swarm=SWARM.id, issued_s=1)


def test_a_good_answer(owner: Owner) -> None:
    neighbours = [entry("cc" * 32, "192.0.2.3:1", "c.example:2")]
    said = reply(neighbours=neighbours, denied=[b"\xdd" * 32], owners=[statement_to_pb(owner.statement)])
    welcome = welcomed(TICKET, said, BOB, 5)
    assert (welcome.swarm, welcome.inviter) == (SWARM, "ada")
    first, second = welcome.told.neighbours
    assert (first.peer, first.addresses, first.name, first.words) == (ADA, TICKET.addresses, "ada", welcome.words)
    assert (second.peer, second.addresses, second.words) == ("cc" * 32, ("192.0.2.3:1", "c.example:2"), "")
    assert welcome.told.deny == ("dd" * 32,)
    assert [statement for _, statement in welcome.owners] == [owner.statement]


@pytest.mark.parametrize(
    "changes",
    [{"swarm": b"x"}, {"secret": b""}, {"swarm_name": ""}, {"swarm_name": "a\x1b[2J"}, {"swarm_name": "x" * 65}],
)
def test_what_is_no_swarm_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="the inviter's answer is no swarm"):
        welcomed(TICKET, reply(**changes), BOB, 5)


def test_another_swarm_than_the_tickets_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"another swarm than the one that answered \(blue\)"):
        welcomed(TICKET, reply(swarm=bytes.fromhex(OTHER.id), swarm_name="blue"), BOB, 5)


def test_what_an_inviter_makes_up_is_left_out(owner: Owner, tmp_path: Path) -> None:
    bad = [
        entry("cc" * 32, "unix:/tmp/x", "no address"),
        entry(ADA, "192.0.2.66:1"),
        entry(BOB, "192.0.2.66:1"),
        pb.PeerEntry(peer=b"short", addresses=["192.0.2.1:1"]),
        *[entry(f"{number:064x}", "192.0.2.7:1") for number in range(100)],
    ]
    other = create_owner(tmp_path / "eve.pem", name="eve", swarm=OTHER.id, issued_s=1).statement
    genuine = owner.statement
    forged = Statement(genuine.kind, genuine.payload, genuine.key_id, genuine.algorithm, bytes(64))
    owners = [pb.Statement(), *map(statement_to_pb, (other, genuine, genuine, genuine))]
    welcome = welcomed(TICKET, reply(neighbours=bad, denied=[b"x"] * 2000, owners=owners, inviter="\x1b[2J"), BOB, 5)
    assert len(welcome.told.neighbours) == 1 + 16 - 4
    assert [one.addresses for one in welcome.told.neighbours if one.peer in (ADA, BOB)] == [TICKET.addresses]
    assert (welcome.told.deny, welcome.inviter) == ((), "")
    assert [statement for _, statement in welcome.owners] == [genuine]
    assert not welcomed(TICKET, reply(owners=[statement_to_pb(forged)]), BOB, 5).owners


def test_what_was_told_stands_beside_peer_yaml(tmp_path: Path, owner: Owner) -> None:
    two = Acquaintance(peer=ADA, addresses=("192.0.2.1:1", "a.example:1"), name="ada", words="a-b-c", when="now")
    told = Told(neighbours=(two, Acquaintance(peer=BOB, addresses=("192.0.2.2:1",))), deny=("dd" * 32,))
    path = tmp_path / "joined.json"
    save_told(path, told)
    assert load_told(path) == told
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_told(tmp_path / "none") == Told()
    mine = PeerConfig(name="x", neighbours=(NeighbourBlock(peer=BOB, address=None),), deny=("ee" * 32,))
    both = mine.with_told(told)
    assert [(one.peer, one.addresses) for one in both.peer_addresses()] == [(BOB, ()), (ADA, two.addresses)]
    assert both.deny == ("ee" * 32, "dd" * 32)
    home = Home(tmp_path)
    home.owners.mkdir()
    (home.owners / "ada.owner").write_text(statement_to_json(owner.statement))
    assert list(introductions(home)) == [owner.statement]
    assert json.loads(path.read_text())["deny"] == ["dd" * 32]
