"""Who votes, and whose votes make a certificate. Pure.

Rules:

- Members stand in the configuration, each with the vote key of a daemon. Of n members f = (n-1)//3 may lie; a quorum
  is q = (n+f)//2 + 1 or more, so that two quorums share f+1 members, one of them honest.
- An *epoch* is one reading of that block in one swarm: its id is a hash over all of it. A vote of another epoch counts
  for nothing, and whoever changes the block starts anew.
- A *slot* is one version of one plasmid in an epoch; its value is a content id.
- A *certificate* is q ACCEPTs of different members for one content of one slot. Anybody who knows the members can
  check it.
- *Evidence* against a member is two ACCEPTs of theirs for two contents of one slot.
- Not handled here: counting (`tally`), a member's own votes (`voter`), keys and gossip (room `node`).

Source: G. Bracha and S. Toueg, "Asynchronous consensus and broadcast protocols", J. ACM 32(4), 1985 (consistent
broadcast); C. Cachin et al., "Secure and efficient asynchronous broadcast protocols", CRYPTO 2001 (external validity).

>>> [faults_of(n) for n in (1, 3, 4, 7)], [quorum_of(n) for n in (1, 3, 4, 7)]
([0, 0, 1, 2], [1, 2, 3, 5])
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from plora.proto.canonical import canonical_bytes, sha256_hex
from plora.proto.dsse import EPOCH_TAG, StatementKind
from plora.proto.errors import ConfigError, FormatError
from plora.proto.keys import PublicKey
from plora.proto.manifest import Manifest
from plora.proto.payloads import Choice, Evidence, Slot, Vote
from plora.proto.statement import Statement, statement_from_json, statement_to_json, verify_statement

MEMBERS_MAX = 64
OTHER_EPOCH = "other_epoch"

FAULTS: Mapping[str, str] = {
    "not_a_member": "the key is not one of a member",
    "other_swarm": "it was made for another swarm",
    OTHER_EPOCH: "the member votes under another configuration of the consensus",
    "other_slot": "it is not about the slot of the content that it names",
    "other_content": "it is about another content",
    "bad_signature": "the signature is not valid",
    "not_a_vote": "it is no vote",
    "not_an_accept": "it is no ACCEPT",
    "counted_twice": "one member stands in it twice",
    "too_few": "fewer members stand in it than a quorum",
    "no_proof": "it doesn't bring the two votes that it names",
    "two_slots": "its votes are of two slots, as every member casts them",
    "one_content": "its votes are for one and the same content",
    "other_member": "its votes are not of the member whom it accuses",
}
"""What may be wrong with a vote, a certificate or evidence, for people."""


def faults_of(count: int) -> int:
    """How many of so many members may lie."""
    return (count - 1) // 3


def quorum_of(count: int) -> int:
    """The smallest safe quorum of so many members."""
    return (count + faults_of(count)) // 2 + 1


@dataclass(frozen=True, slots=True)
class Member:
    """One who votes: a local name, the vote key, and the id of the peer that holds it ("" where nobody said)."""

    name: str
    key: PublicKey
    peer: str = ""


@dataclass(frozen=True)
class Membership:
    """The members of one epoch. Make it by `membership`, which refuses what isn't safe."""

    swarm: str
    members: tuple[Member, ...]
    quorum: int
    number: int = 1
    _by_key: Mapping[str, Member] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_key", {member.key.key_id: member for member in self.members})

    @property
    def faults(self) -> int:
        """f: how many members may lie without two certificates of one slot coming about."""
        return faults_of(len(self.members))

    @cached_property
    def block(self) -> bytes:
        """All that makes the epoch, RFC 8785 JSON."""
        members = [
            {"name": one.name, "key": one.key.to_text(), "peer": one.peer}
            for one in sorted(self.members, key=lambda one: one.key.key_id)
        ]
        fields = {"swarm": self.swarm, "number": self.number, "quorum": self.quorum, "members": members}
        return canonical_bytes(fields)

    @cached_property
    def epoch(self) -> str:
        """The epoch's id, 64 hexadecimal digits."""
        return sha256_hex(EPOCH_TAG + self.block)

    def member(self, key_id: str) -> Member | None:
        """The member whose vote key that is."""
        return self._by_key.get(key_id)

    def name(self, key_id: str) -> str:
        """What the member is called here; the beginning of the key id for anybody else."""
        found = self.member(key_id)
        return found.name if found else key_id[:12]

    def names(self, key_ids: Iterable[str]) -> tuple[str, ...]:
        """Names of members, in order."""
        return tuple(sorted(map(self.name, key_ids)))

    def slot(self, manifest: Manifest) -> Slot:
        """The slot that a manifest proposes a value for."""
        return Slot(
            epoch=self.epoch,
            owner=manifest.owner,
            lineage=manifest.lineage,
            plasmid_id=manifest.plasmid_id,
            version=manifest.version,
        )


def membership(swarm: str, members: Iterable[Member], quorum: int | None = None, number: int = 1) -> Membership:
    """The members of an epoch, safe or not at all. Raises ConfigError; `quorum` left out means the smallest."""
    listed = tuple(members)
    count = len(listed)
    if not 1 <= count <= MEMBERS_MAX:
        raise ConfigError(f"{count} members, it takes 1 to {MEMBERS_MAX}", where="consensus.members")
    for what, values in (("name", [one.name for one in listed]), ("key", [one.key.key_id for one in listed])):
        if len(frozenset(values)) != count:
            raise ConfigError(f"two members have one {what}", where="consensus.members", mend="list each member once")
    least = quorum_of(count)
    chosen = least if quorum is None else quorum
    if not least <= chosen <= count:
        what = f"a quorum of {chosen} of {count} members"
        why = "lets two certificates of one slot come about" if chosen < least else "can never be reached"
        mend = f"set {least} to {count}, or leave it out for {least}"
        raise ConfigError(f"{what} {why}", where="consensus.quorum", mend=mend)
    return Membership(swarm, listed, chosen, number)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A quorum's ACCEPTs for one content of one slot; `content` in hex."""

    slot: Slot
    content: str
    votes: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Guilt:
    """A member, by key id, and two ACCEPTs of theirs in one slot, by id in ascending order."""

    member: str
    votes: tuple[Statement, Statement]


def vote_of(statement: Statement) -> Vote | None:
    """The vote in a statement, unverified; None where there is none."""
    try:
        payload = statement.opened
    except FormatError:
        return None
    return payload if isinstance(payload, Vote) else None


def vote_fault(statement: Statement, members: Membership, manifest: Manifest | None = None) -> str:
    """What is wrong with a vote apart from its signature, as a code of `FAULTS`; empty for nothing.

    With the manifest that it names, also whether it is about that manifest's slot.
    """
    vote = vote_of(statement)
    if vote is None:
        return "not_a_vote"
    if members.member(vote.key_id) is None:
        return "not_a_member"
    if vote.swarm != members.swarm:
        return "other_swarm"
    if vote.slot.epoch != members.epoch:
        return OTHER_EPOCH
    return "other_slot" if manifest is not None and members.slot(manifest) != vote.slot else ""


def certificate_fault(certificate: Certificate, members: Membership) -> str:
    """What is wrong with a certificate, signatures included, as a code of `FAULTS`; empty for nothing."""
    for statement in certificate.votes:
        fault = _accept_fault(statement, members)
        if fault:
            return fault
        vote = vote_of(statement)
        if vote is None or vote.slot != certificate.slot:
            return "other_slot"
        if vote.content != certificate.content:
            return "other_content"
    voters = frozenset(statement.key_id for statement in certificate.votes)
    if len(voters) != len(certificate.votes):
        return "counted_twice"
    return "too_few" if len(voters) < members.quorum else ""


def content_fault(certificate: Certificate, members: Membership, content: str, manifest: Manifest) -> str:
    """What is wrong with a certificate as one of that manifest, whose content id is `content`; likewise."""
    if certificate.slot.epoch != members.epoch:
        return OTHER_EPOCH
    if certificate.slot != members.slot(manifest):
        return "other_slot"
    if certificate.content != content:
        return "other_content"
    return certificate_fault(certificate, members)


def guilt_in(evidence: Evidence, members: Membership) -> Guilt | str:
    """Whom evidence proves guilty; a code of `FAULTS` where it proves nothing. Signatures of the votes included."""
    votes = _proof(evidence)
    if votes is None:
        return "no_proof"
    first, second = (vote_of(statement) for statement in votes)
    if first is None or second is None:
        return "not_a_vote"
    fault = _accept_fault(votes[0], members) or _accept_fault(votes[1], members)
    if fault:
        return fault
    if not first.key_id == second.key_id == evidence.accused:
        return "other_member"
    if first.slot != second.slot:
        return "two_slots"
    return "one_content" if first.content == second.content else Guilt(evidence.accused, votes)


def accusation(one: Statement, other: Statement, accuser: str) -> Evidence:
    """What the key of that id signs against the member who cast both votes; issued as the first of them was.

    Whether it proves anything says `guilt_in`. Raises ValueError where one of the two is no vote.
    """
    first, second = sorted((one, other), key=lambda each: each.id)
    vote, again = vote_of(first), vote_of(second)
    if vote is None or again is None:
        raise ValueError("an accusation is made of votes")
    return Evidence(
        swarm=vote.swarm,
        issued=vote.issued,
        key_id=accuser,
        offence="two_votes",
        accused=vote.key_id,
        first=first.id.hex(),
        second=second.id.hex(),
        statements=(statement_to_json(first), statement_to_json(second)),
    )


@lru_cache(maxsize=4096)
def _accept_fault(statement: Statement, members: Membership) -> str:
    fault = vote_fault(statement, members)
    if fault:
        return fault
    vote, member = vote_of(statement), members.member(statement.key_id)
    if member is None or not verify_statement(statement, member.key):
        return "bad_signature"
    return "" if vote is not None and vote.choice is Choice.ACCEPT else "not_an_accept"


def _proof(evidence: Evidence) -> tuple[Statement, Statement] | None:
    if evidence.statements is None or len(evidence.statements) != 2:
        return None
    try:
        first, second = map(statement_from_json, evidence.statements)
    except FormatError:
        return None
    named = (evidence.first, evidence.second)
    kinds = {first.kind, second.kind}
    return (first, second) if (first.id.hex(), second.id.hex()) == named and kinds == {StatementKind.VOTE} else None
