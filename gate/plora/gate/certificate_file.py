"""A certificate as a file, which anybody can check without a peer, and without believing whoever made it.

- Lines of RFC 8785 JSON: the epoch's block, {members, number, quorum, swarm} as it is hashed into the epoch's id; the
  manifest; then the votes, each in the envelope of `statement_to_json`.
- It shows that so many of the members whom *it* names accepted that content. Whether those are the right ones is shown
  by the epoch's id, which whoever checks must have from elsewhere.
- Not handled here: who signed the manifest, whether the bytes are those that it names (room `cli`).

>>> read_certificate("")
Traceback (most recent call last):
plora.proto.errors.StatementError: is no certificate: a block, a manifest and votes make one
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import ValidationError

from plora.gate.consensus import Certificate, Member, Membership, certificate_fault, membership
from plora.proto.canonical import parse_canonical
from plora.proto.errors import ConfigError, FormatError, StatementError
from plora.proto.fields import Counter, HexDigest, Id, ListAsTuple
from plora.proto.keys import PublicKey
from plora.proto.manifest import Manifest
from plora.proto.payload import StrictModel
from plora.proto.statement import Statement, open_statement, statement_from_json, statement_to_json

CERTIFICATE_BYTES_MAX = 1024 * 1024
LINES_MIN = 3


class _Member(StrictModel):
    name: Id
    key: str
    peer: str


class _Block(StrictModel):
    swarm: HexDigest
    number: Counter
    quorum: Counter
    members: Annotated[tuple[_Member, ...], ListAsTuple]

    def membership(self) -> Membership:
        members = (Member(one.name, PublicKey.from_text(one.key), one.peer) for one in self.members)
        return membership(self.swarm, members, self.quorum, self.number)


@dataclass(frozen=True, slots=True)
class Certified:
    """A manifest, and the votes of a quorum for it under one epoch, as a file has them. Nothing of it is verified."""

    members: Membership
    statement: Statement
    manifest: Manifest
    votes: tuple[Statement, ...]

    @property
    def fault(self) -> str:
        """What is wrong with the votes, signatures included, as a code of `FAULTS`; empty for nothing."""
        certificate = Certificate(self.members.slot(self.manifest), self.statement.id.hex(), self.votes)
        return certificate_fault(certificate, self.members)

    @property
    def voters(self) -> tuple[str, ...]:
        """Names of the members whose votes it has, in order."""
        return self.members.names(vote.key_id for vote in self.votes)


def certificate_text(members: Membership, manifest: Statement, certificate: Certificate) -> str:
    """The file of a certificate; `read_certificate` reads it back."""
    envelopes = map(statement_to_json, (manifest, *certificate.votes))
    return "\n".join((members.block.decode("utf-8"), *envelopes, ""))


def read_certificate(text: str) -> Certified:
    """What a certificate's file says. Raises StatementError for what is none; see `Certified.fault` for its votes."""
    lines = text.splitlines()
    if len(lines) < LINES_MIN or len(text) > CERTIFICATE_BYTES_MAX:
        raise StatementError("is no certificate: a block, a manifest and votes make one")
    statement, *votes = map(statement_from_json, lines[1:])
    manifest = open_statement(statement)
    if not isinstance(manifest, Manifest):
        raise StatementError("its second line is no manifest")
    return Certified(_members(lines[0]), statement, manifest, tuple(votes))


def _members(line: str) -> Membership:
    try:
        parse_canonical(line.encode("utf-8"), CERTIFICATE_BYTES_MAX)
        members = _Block.model_validate_json(line).membership()
    except (ConfigError, FormatError, ValidationError) as error:
        raise StatementError("its first line is no block of members") from error
    if members.block.decode("utf-8") != line:
        raise StatementError("its members don't stand in the order of their key ids")
    return members
