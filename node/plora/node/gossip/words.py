"""Whether a vote, or evidence of two votes, is the word of a member as the configuration knows them. Pure.

- Refused for what its payload is, never for who sent it: another epoch, a key that is no member's, another slot than
  the manifest's, evidence that proves nothing. Peers with another configuration are no liars.
- Not handled here: the word's own signature (`seen`), counting (`plora.gate.tally`).
"""

from __future__ import annotations

from plora.gate.consensus import Membership, guilt_in, vote_fault
from plora.node.gossip.entries import Entry
from plora.proto.manifest import Manifest
from plora.proto.payload import Payload
from plora.proto.payloads import Evidence

NO_MEMBERS = "no_members"


def word_fault(entry: Entry, members: Membership | None, about: Payload | None) -> str:
    """What is wrong with it, as a code of `plora.gate.consensus.FAULTS` or `NO_MEMBERS`; empty for nothing.

    `about` is the payload that a vote names, if it is seen.
    """
    if members is None:
        return NO_MEMBERS
    if isinstance(entry.payload, Evidence):
        return _evidence_fault(entry.payload, members)
    if about is not None and not isinstance(about, Manifest):
        return "other_slot"
    return vote_fault(entry.statement, members, about)


def _evidence_fault(evidence: Evidence, members: Membership) -> str:
    if members.member(evidence.key_id) is None:
        return "not_a_member"
    proven = guilt_in(evidence, members)
    return proven if isinstance(proven, str) else ""
