"""Peers of other releases, for a swarm that is upgraded one peer after the other. They keep the rules of their time.

- `Elder` says nothing that the first release didn't know: no name in greetings, no clock in signs of life, no calling
  back. `Newer` speaks a version that isn't there yet beside the common one, and has features that nobody knows.

Not handled here: wire versions without a common one, which the greeting refuses (tests of gossip).
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from plora.node.core.messages import WIRE_VERSION, DialBack, DialedBack, Heartbeat, Hello, Message
from plora.sim.adversary import Adversary


class Elder(Adversary):
    """The first release."""

    keeps_rules: ClassVar[bool] = True

    def tampered(self, message: Message) -> tuple[Message, ...]:
        """Without what came later."""
        match message:
            case Hello():
                return (replace(message, nickname="", features=()),)
            case Heartbeat():
                return (replace(message, wall_ms=0),)
            case DialBack() | DialedBack():
                return ()
        return (message,)


class Newer(Adversary):
    """The next release."""

    keeps_rules: ClassVar[bool] = True

    def tampered(self, message: Message) -> tuple[Message, ...]:
        """With what is to come."""
        if isinstance(message, Hello):
            return (replace(message, versions=(WIRE_VERSION, WIRE_VERSION + 1), features=("what-is-to-come",)),)
        return (message,)
