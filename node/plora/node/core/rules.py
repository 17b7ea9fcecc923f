"""Today's policy and trust, as all parts of a peer see them that judge, merge and audit. Pure.

The digest of the policy is held with it: verdicts, merges and the audit name it all the time.

>>> rules = Rules(Policy(), Trust())
>>> rules.policy = Policy(rank_max=8)
>>> rules.policy_digest == Policy(rank_max=8).policy_digest()
True
"""

from __future__ import annotations

from plora.gate import Policy, Trust


class Rules:
    """What is in force at this moment; both may be changed at any time."""

    def __init__(self, policy: Policy, trust: Trust) -> None:
        self.trust = trust
        self.policy = policy

    @property
    def policy(self) -> Policy:
        """What the gate asks for."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._policy, self.policy_digest = policy, policy.policy_digest()
