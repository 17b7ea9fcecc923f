"""A certificate on a file: it reads back, and whatever was changed in it, or under other members, proves nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.council import Ballots, member, vote_key
from tests.gate.conftest import SWARM, Owner, World

from plora.gate.certificate_file import Certified, certificate_text, read_certificate
from plora.gate.consensus import Certificate, membership
from plora.proto.canonical import sha256_hex
from plora.proto.errors import StatementError
from plora.proto.payloads import Choice
from plora.proto.statement import Statement, statement_to_json

MEMBERS = membership(SWARM, map(member, range(4)))


@pytest.fixture
def text(world: World, ada: Owner) -> str:
    """Three of four accepted it."""
    case = world.case(ada)
    sign, content = Ballots(MEMBERS.slot(case.manifest)), case.statement.id.hex()
    votes = tuple(sign.signed(vote_key(number), content, swarm=SWARM) for number in (3, 0, 1))
    return certificate_text(MEMBERS, case.statement, Certificate(sign.slot, content, votes))


def without_line(text: str, number: int) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(lines[:number] + lines[number + 1 :])


def test_a_certificate_reads_back_and_holds(text: str, world: World, ada: Owner) -> None:
    found = read_certificate(text)
    assert (found.fault, found.voters, found.members.epoch) == ("", ("m0", "m1", "m3"), MEMBERS.epoch)
    assert found.manifest == world.case(ada).manifest
    assert sha256_hex(b"plora/epoch/v1\0" + text.splitlines()[0].encode()) == MEMBERS.epoch


def test_a_vote_less_or_twice_is_no_quorum(text: str) -> None:
    assert read_certificate(without_line(text, 3)).fault == "too_few"
    assert read_certificate(text + text.splitlines()[-1]).fault == "counted_twice"


def test_votes_count_under_their_own_members_only(text: str) -> None:
    """Whoever lists members of their own gets another epoch, and no vote is of that one."""
    other = membership(SWARM, map(member, range(4)), number=2)
    changed = read_certificate(text.replace(MEMBERS.block.decode(), other.block.decode()))
    assert changed.members.epoch != MEMBERS.epoch and changed.fault == "other_epoch"


def test_votes_prove_nothing_of_another_manifest(text: str, world: World, ada: Owner) -> None:
    found, other = read_certificate(text), world.case(ada, version=2)
    assert replace(found, statement=other.statement, manifest=other.manifest).fault == "other_slot"
    twin = world.case(ada, domain="medical")
    assert replace(found, statement=twin.statement, manifest=twin.manifest).fault == "other_content"


def test_a_refusal_or_a_forgery_among_the_votes_is_found(text: str) -> None:
    found = read_certificate(text)
    sign, content = Ballots(MEMBERS.slot(found.manifest)), found.statement.id.hex()
    refusal = sign.signed(vote_key(2), content, Choice.REJECT, swarm=SWARM, reason="x")
    forged = replace(found.votes[0], signature=bytes(64))
    for vote, fault in ((refusal, "not_an_accept"), (forged, "bad_signature")):
        assert _voted(found, vote).fault == fault


def _voted(found: Certified, vote: Statement) -> Certified:
    return replace(found, votes=(vote, *found.votes[1:]))


@pytest.mark.parametrize("broken", ["no lines", "two lines", "a block of nobody", "blanks", "votes first", "words"])
def test_what_is_no_certificate_is_refused(text: str, broken: str) -> None:
    lines = text.splitlines()
    changed = {
        "no lines": [],
        "two lines": lines[:2],
        "a block of nobody": [lines[0].replace("m0", "M 0"), *lines[1:]],
        "blanks": [lines[0].replace(",", ", ", 1), *lines[1:]],
        "votes first": [lines[0], lines[2], lines[1]],
        "words": [lines[0], "accepted", *lines[2:]],
    }[broken]
    with pytest.raises(StatementError):
        read_certificate("\n".join(changed))


def test_a_quorum_that_is_unsafe_is_no_block(text: str) -> None:
    block = text.splitlines()[0]
    with pytest.raises(StatementError, match="no block of members"):
        read_certificate(text.replace(block, block.replace('"quorum":3', '"quorum":2')))


def test_the_second_line_is_the_manifest(text: str) -> None:
    found = read_certificate(text)
    assert text.splitlines()[1] == statement_to_json(found.statement)
