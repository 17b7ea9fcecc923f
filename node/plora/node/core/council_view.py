"""The consensus as people ask about it: who votes, what was decided, who lied, what waits. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from plora.gate.certificate_file import certificate_text
from plora.gate.certified import CONSENSUS
from plora.gate.consensus import Guilt, Member, Membership, vote_of
from plora.gate.tally import Tally
from plora.node.core.peer import PeerCore
from plora.node.core.plasmid import Plasmid
from plora.proto.errors import RefusedError
from plora.proto.payloads import Slot

Json = dict[str, Any]

DECIDED_SHOWN = 50


def consensus(core: PeerCore) -> Json:
    """The whole of it. Without members in peer.yaml only `on` and `required` are there."""
    council, required = core.council, core.desk.policy.consensus
    if council.members is None or council.tally is None:
        return {"on": False, "required": required}
    members, tally, voter = council.members, council.tally, council.voter
    return {
        "on": True,
        "required": required,
        "epoch": members.epoch,
        "number": members.number,
        "needed": members.quorum,
        "faults": members.faults,
        "members": [_member(core, members, tally, one) for one in members.members],
        "votes_here": voter is not None,
        "to_read": voter.missing if voter is not None else 0,
        "ballots": len(voter.ballots) if voter is not None else 0,
        "certificates": len(tally.certificates),
        "compromised": [sorted(one.content for one in pair) for pair in tally.broken.values()],
        "waiting": waiting(core),
        "votes": [_votes(core, plasmid) for plasmid in _waiting(core)],
        "decided": _decided(core, members, tally),
        "lies": [_lie(core, members, guilt) for guilt in tally.guilty.values()],
    }


def certificate_of(core: PeerCore, plasmid: Plasmid) -> str:
    """The file of a plasmid's certificate. Raises RefusedError where it has none here."""
    council = core.council
    if council.members is None or council.tally is None:
        raise RefusedError("no members vote here", where="consensus.members", mend="ask a peer where some do")
    slot = council.members.slot(plasmid.manifest)
    found = council.tally.standing(slot, plasmid.content_id.hex())
    if found.certificate is None:
        said = f"{len(found.accepts)} of the {council.members.quorum} members that it takes accepted it"
        name = core.desk.showing.title(plasmid)
        raise RefusedError(said, where=name, mend=f"see `plora why {name}`")
    return certificate_text(council.members, plasmid.statement, found.certificate)


def waiting(core: PeerCore) -> list[str]:
    """Names of the plasmids that wait for a certificate."""
    return [core.desk.showing.title(plasmid) for plasmid in _waiting(core)]


def counts(core: PeerCore) -> Mapping[str, int]:
    """The numbers of it, for metrics."""
    tally = core.council.tally
    if tally is None:
        return {}
    return {
        "certificates": len(tally.certificates),
        "guilty": len(tally.guilty),
        "compromised": len(tally.broken),
        "waiting": len(waiting(core)),
    }


def troubles(core: PeerCore) -> Iterator[str]:
    """What its person must do something about, the worst first."""
    council = core.council
    if council.members is None or council.tally is None:
        return
    if core.config.vote_key and council.voter is None:
        yield "this peer's vote key is none of consensus.members: compare them with what `plora consensus key` prints"
    if council.tally.broken:
        yield (
            "consensus compromised: two certificates of one slot exist; nothing is accepted until all peers agree on "
            "other members or another consensus.number"
        )
    for member in council.tally.guilty:
        yield f"member {council.members.name(member)} voted for two contents of one slot; its votes no longer count"
    if core.gossip.diverged:
        names = ", ".join(core.gossip.diverged)
        yield f"{names} votes under another configuration: the block `consensus` must be the same at every peer"
    if council.voter is not None and council.voter.missing:
        yield (
            f"this member doesn't vote yet: it must read from {council.voter.missing} more members, so be linked with "
            "them (consensus.members.peer, neighbours)"
        )


def _waiting(core: PeerCore) -> list[Plasmid]:
    verdicts = ((one, one.verdict) for one in core.desk.book.live.values())
    found = [one for one, verdict in verdicts if verdict and verdict.stage == CONSENSUS and not verdict.accepted]
    return sorted(found, key=core.desk.showing.title)


def _votes(core: PeerCore, plasmid: Plasmid) -> Json:
    """Who voted what about one that waits, as the gate counted it."""
    said = plasmid.verdict.evidence if plasmid.verdict is not None else {}
    counted = ("accepted_by", "rejected_by", "accepted_another", "guilty", "silent")
    return {
        "name": core.desk.showing.title(plasmid),
        "content_id": plasmid.content_id.hex(),
        "reason": plasmid.verdict.reason if plasmid.verdict is not None else "",
        **{name: said[name] for name in counted if name in said},
    }


def _decided(core: PeerCore, members: Membership, tally: Tally) -> list[Json]:
    """The newest certificates first."""
    newest = list(reversed(tally.certificates.values()))[:DECIDED_SHOWN]
    return [
        {
            "name": _title(core, one.slot, one.content),
            "content_id": one.content,
            "members": list(members.names(vote.key_id for vote in one.votes)),
        }
        for one in newest
    ]


def _lie(core: PeerCore, members: Membership, guilt: Guilt) -> Json:
    """What a member was caught at: two contents of one slot."""
    votes = [vote for vote in map(vote_of, guilt.votes) if vote is not None]
    slot = _title(core, votes[0].slot, votes[0].content) if votes else ""
    return {"member": members.name(guilt.member), "slot": slot, "contents": [vote.content for vote in votes]}


def _title(core: PeerCore, slot: Slot, content: str) -> str:
    """The name of a content; of one that isn't live here, the slot with its owner's id."""
    plasmid = core.desk.book.live.get(bytes.fromhex(content))
    return core.desk.showing.title(plasmid) if plasmid else f"{slot.owner[:12]}/{slot.plasmid_id}@{slot.version}"


def _member(core: PeerCore, members: Membership, tally: Tally, member: Member) -> Json:
    voter = core.council.voter
    return {
        "name": member.name,
        "key": member.key.to_text(),
        "peer": member.peer,
        "here": voter is not None and voter.key_id == member.key.key_id,
        "linked": member.peer in core.desk.larder.ready,
        "guilty": member.key.key_id in tally.guilty,
        "diverged": member.name in core.gossip.diverged,
    }
