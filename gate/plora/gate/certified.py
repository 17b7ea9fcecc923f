"""The last stage: a quorum of the consensus' members accepted this content of its slot.

- With a certificate it passes, and the certificate is checked here again, signatures included: whoever brought it.
- Without one it waits, and the evidence says who voted what. After `policy.certificate_wait_ms` the wait is overdue:
  another reason, so that people are told; a certificate that comes later counts all the same.
- Two certificates of one slot mean that more members lie than may: nothing is accepted until the next epoch.
- Where no members are known (a folder judged without a peer) it waits: the switch is on, so nothing passes.

Not handled here: counting (`tally`), which members there are (peer.yaml).
"""

from __future__ import annotations

from plora.gate.case import Case
from plora.gate.consensus import FAULTS, Membership, content_fault
from plora.gate.policy import Policy
from plora.gate.ruling import Ruling, objection, passed
from plora.gate.tally import Standing
from plora.gate.trust import Trust

CONSENSUS = "consensus"
"""What people call this stage."""


def consensus(case: Case, policy: Policy, trust: Trust) -> Ruling:
    """A certificate for the case's content, unless the policy doesn't ask for one."""
    if not policy.consensus:
        return passed(state="off")
    if case.members is None:
        return objection("awaiting_certificate", needed=0, members=0)
    evidence = _said(case.members, case.standing)
    if case.standing.broken:
        return objection("consensus_compromised", **evidence)
    if case.standing.certificate is not None:
        fault = content_fault(case.standing.certificate, case.members, case.statement.id.hex(), case.manifest)
        return (
            objection("bad_certificate", fault=fault, says=FAULTS[fault], **evidence) if fault else passed(**evidence)
        )
    overdue = case.now_ms - case.seen_ms >= policy.certificate_wait_ms
    return objection("certificate_overdue" if overdue else "awaiting_certificate", **evidence)


def _said(members: Membership, standing: Standing) -> dict[str, object]:
    """Who voted what, by name."""
    rejects = dict(standing.rejects)
    heard = {*standing.accepts, *rejects, *standing.elsewhere, *standing.guilty}
    return {
        "epoch": members.epoch[:12],
        "needed": members.quorum,
        "members": len(members.members),
        "accepted_by": list(standing.accepts),
        "rejected_by": rejects,
        "accepted_another": list(standing.elsewhere),
        "guilty": list(standing.guilty),
        "silent": sorted(one.name for one in members.members if one.name not in heard),
    }
