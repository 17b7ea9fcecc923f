"""Dial-backs: a peer asks its neighbour to dial it, and hears whether that worked.

Rules:

- Answering, a peer dials only what the asker's Hello named on this very link, and only where the host is the one that
  it sees the asker at: nobody can have others scan a third party. What is left out is answered as "not_tried".
- One dial-back a peer in `ASKED_MS_MIN`, over reconnects too, and `PROBES_MAX` at once in all; else "too_often".
- Asking, a peer believes only the answer to its newest question.

Not handled here: the dialing itself (effect `Probe`).
"""

from __future__ import annotations

from random import Random

from plora.node.core.effects import Probe, Send
from plora.node.core.messages import TRIES_MAX, DialBack, DialedBack, DialTry
from plora.node.core.notices import Outputs
from plora.node.core.now import Now
from plora.node.gossip.addresses import same_host, told
from plora.node.gossip.link import Link
from plora.node.reach import NOT_TRIED, TOO_OFTEN

ASKED_MS_MIN = 10_000
ASKERS_MAX = 1024
PROBES_MAX = 4
DIAL_BACK = "dial_back"


class DialBacks:
    """The dial-backs of one peer, in both roles."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._questions: dict[str, int] = {}
        self._answers: dict[str, DialedBack] = {}
        self._due_ns: dict[str, int] = {}
        self._probing: dict[str, DialedBack] = {}

    def ask(self, peer: str) -> Outputs:
        """Have a linked peer dial this one."""
        self._answers.pop(peer, None)
        self._questions[peer] = number = self._rng.getrandbits(32)
        return [Send(peer, DialBack(number))]

    def answer(self, peer: str) -> DialedBack | None:
        """What came back to the newest question, if it did."""
        return self._answers.get(peer)

    def answered(self, peer: str, message: DialedBack) -> None:
        """An answer came."""
        if self._questions.get(peer) == message.number:
            del self._questions[peer]
            self._answers[peer] = message

    def lost(self, peer: str) -> None:
        """The link with a peer is gone, and with it what was asked and answered."""
        self._questions.pop(peer, None)
        self._answers.pop(peer, None)

    def asked(self, link: Link, number: int, now: Now) -> Outputs:
        """A neighbour asks: probe it, or say why not."""
        addresses = link.hello.addresses[:TRIES_MAX] if link.hello else ()
        fit = {one: told((one,), link.host) for one in addresses}
        good = tuple(dict.fromkeys(found[0] for found in fit.values() if found and same_host(found[0], link.host)))
        left = [one for one, found in fit.items() if not found or found[0] not in good]
        if good and not self._may_probe(link.peer, now):
            return self._told(link, number, [DialTry(one, TOO_OFTEN) for one in addresses])
        tries = [DialTry(one, NOT_TRIED) for one in left]
        if not good:
            return self._told(link, number, tries)
        self._probing[link.peer] = DialedBack(number, link.host, tuple(tries))
        return [Probe(link.peer, good, DIAL_BACK)]

    def probed(self, peer: str, tries: tuple[DialTry, ...]) -> Outputs:
        """A probe is over: answer who asked for it."""
        begun = self._probing.pop(peer, None)
        if begun is None:
            return []
        return [Send(peer, DialedBack(begun.number, begun.seen_host, (*tries, *begun.tries)[:TRIES_MAX]))]

    def _may_probe(self, peer: str, now: Now) -> bool:
        if peer in self._probing or len(self._probing) >= PROBES_MAX or self._due_ns.get(peer, 0) > now.mono_ns:
            return False
        self._due_ns.pop(peer, None)
        self._due_ns[peer] = now.after_ms(ASKED_MS_MIN)
        while len(self._due_ns) > ASKERS_MAX:
            del self._due_ns[next(iter(self._due_ns))]
        return True

    def _told(self, link: Link, number: int, tries: list[DialTry]) -> Outputs:
        return [Send(link.peer, DialedBack(number, link.host, tuple(tries)))]
