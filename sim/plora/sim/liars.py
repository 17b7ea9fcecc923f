"""Adversaries of the consensus: what they say as members, or of members, is false.

Members, whose vote keys are real:

- `YesSayer` votes ACCEPT for the first content of every slot that it hears of, at once, whatever its gate would say.
- `DoubleVoter` votes ACCEPT for every content, and tells each half of its neighbours another one of a slot.
- `StaleVoter` votes by an older configuration, so in an epoch that is over.
- `FalseAccuser` votes as its gate does, and signs evidence against whoever voted in two slots, as everybody does.

Anybody:

- `Impostor` brings a whole certificate with each manifest, in the names of all members and signed by none of them.
- `Stuffer` brings a whole certificate of validly signed votes, by keys that are no member's.
- `Silencer` passes on no vote and no evidence, its own included. `HalfPasser` passes on fewer votes than a quorum.

Not handled here: how members are chosen among a swarm's peers (`Swarm.add`), what `adversaries` do.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from plora.gate.consensus import Membership, accusation, membership, vote_of
from plora.node.core.effects import SignWord
from plora.node.core.events import Event, Publish, Received, WordSigned
from plora.node.core.messages import Have, Message, Push
from plora.proto.dsse import StatementKind
from plora.proto.keys import PrivateKey, PublicKey, private_key_from_seed
from plora.proto.manifest import Manifest
from plora.proto.payloads import Choice, Slot, Vote
from plora.proto.statement import Statement, open_statement, sign_statement
from plora.sim.adversary import Adversary, Speaker

WORDS = (StatementKind.VOTE, StatementKind.EVIDENCE)


class Liar(Speaker):
    """Hears of every statement once, and has something to say about it."""

    def boot(self) -> None:
        """Start without a memory."""
        self._heard: dict[bytes, None] = {}
        super().boot()

    def handle(self, event: Event) -> None:
        """Go on as a peer does, then lie."""
        super().handle(event)
        for statement in _brought(event):
            if self.up and self.betraying and statement.id not in self._heard:
                self._heard[statement.id] = None
                self.hear(statement)

    def hear(self, statement: Statement) -> None:
        """A manifest, as `propose`; other liars listen to other things."""
        payload = open_statement(statement)
        if isinstance(payload, Manifest):
            self.propose(payload, statement.id.hex())

    def propose(self, manifest: Manifest, content: str) -> None:
        """Somebody wants a content (id in hex) to be accepted."""

    @property
    def members(self) -> Membership:
        """Those whose votes count, as this peer's configuration has them."""
        if self.config.members is None:
            raise ValueError("a liar about the consensus takes a configuration that has one")
        return self.config.members


class LyingMember(Liar):
    """A member whose gate has no say."""

    def _sign_word(self, effect: SignWord) -> None:
        if not self.betraying:
            super()._sign_word(effect)

    def accept(self, manifest: Manifest, content: str) -> Statement:
        """Its ACCEPT."""
        key = _key_of(self)
        return _signed(acceptance(self.members, manifest, content, key.public), key)


class YesSayer(LyingMember):
    """Accepts whatever is offered first."""

    def boot(self) -> None:
        """Start with no slot taken."""
        self._slots: dict[Slot, None] = {}
        super().boot()

    def propose(self, manifest: Manifest, content: str) -> None:
        """Vote for it."""
        slot = self.members.slot(manifest)
        if slot not in self._slots:
            self._slots[slot] = None
            self.handle(WordSigned(self.accept(manifest, content)))


class DoubleVoter(LyingMember):
    """Accepts everything, and shows nobody two votes for one slot."""

    def boot(self) -> None:
        """Start with no slot taken."""
        self._votes: dict[Slot, int] = {}
        super().boot()

    def propose(self, manifest: Manifest, content: str) -> None:
        """Vote for it before one half of the neighbours; the next content of that slot is for the other half."""
        slot = self.members.slot(manifest)
        turn = self._votes.get(slot, 0)
        self._votes[slot] = turn + 1
        self.say(self.accept(manifest, content), half=turn % 2)


class StaleVoter(Liar):
    """Votes as if the members had never agreed on a number."""

    def boot(self) -> None:
        """Start with the oldest block."""
        now = self.members
        self.config = replace(self.config, members=membership(now.swarm, now.members, now.quorum, 0))
        super().boot()


class FalseAccuser(Liar):
    """Makes liars of those who vote in more than one slot."""

    def boot(self) -> None:
        """Start without anything against anybody."""
        self._accepts: dict[str, Statement] = {}
        super().boot()

    def hear(self, statement: Statement) -> None:
        """Keep a first ACCEPT of everybody, and put the next one beside it."""
        vote = vote_of(statement) if statement.kind == StatementKind.VOTE else None
        if vote is None or vote.choice is not Choice.ACCEPT or vote.key_id == _key_of(self).public.key_id:
            return
        first, key = self._accepts.setdefault(vote.key_id, statement), _key_of(self)
        if first is not statement:
            charge = accusation(first, statement, key.public.key_id)
            self.say(sign_statement(StatementKind.EVIDENCE, charge, key))


class Impostor(Liar):
    """Speaks in the names of all members."""

    def propose(self, manifest: Manifest, content: str) -> None:
        """Vote for it as everybody."""
        keys = [member.key for member in self.members.members]
        self.say(*(_unsigned(acceptance(self.members, manifest, content, key), key) for key in keys))


class Stuffer(Liar):
    """Has as many votes as it takes, of people who don't exist."""

    def propose(self, manifest: Manifest, content: str) -> None:
        """Vote for it as a quorum of strangers."""
        names = (f"plora/sim/stranger\x00{self.id}\x00{number}".encode() for number in range(self.members.quorum))
        keys = [private_key_from_seed(hashlib.sha256(name).digest()) for name in names]
        self.say(*(_signed(acceptance(self.members, manifest, content, key.public), key) for key in keys))


class Silencer(Adversary):
    """Nobody learns from it what members say."""

    def passes(self, statement: Statement) -> bool:
        """Whether it passes a statement on."""
        return statement.kind not in WORDS

    def tampered(self, message: Message) -> tuple[Message, ...]:
        """The same without what it keeps for itself."""
        if not isinstance(message, Have | Push):
            return (message,)
        items = tuple(item for item in message.items if self.passes(item.statement))
        return (replace(message, items=items),) if items else ()


class HalfPasser(Silencer):
    """Nobody learns from it of a quorum."""

    def passes(self, statement: Statement) -> bool:
        """Only votes of the first few members."""
        members = self.config.members
        few = members.members[: members.quorum - 1] if members is not None else ()
        return statement.kind not in WORDS or statement.key_id in {member.key.key_id for member in few}


def acceptance(members: Membership, manifest: Manifest, content: str, key: PublicKey) -> Vote:
    """What an ACCEPT says that names a key, whoever signs it."""
    return Vote(
        swarm=manifest.swarm,
        issued=manifest.issued,
        key_id=key.key_id,
        slot=members.slot(manifest),
        content=content,
        choice=Choice.ACCEPT,
    )


def _signed(vote: Vote, key: PrivateKey) -> Statement:
    return sign_statement(StatementKind.VOTE, vote, key)


def _unsigned(vote: Vote, key: PublicKey) -> Statement:
    return Statement(StatementKind.VOTE, vote.to_bytes(), key.key_id, key.algorithm, bytes(64))


def _key_of(peer: Liar) -> PrivateKey:
    if peer.vote_key is None:
        raise ValueError("a lying member takes a vote key")
    return peer.vote_key


def _brought(event: Event) -> tuple[Statement, ...]:
    """The statements that an event brings."""
    if isinstance(event, Publish):
        return event.statements
    if isinstance(event, Received) and isinstance(event.message, Have | Push):
        return tuple(item.statement for item in event.message.items)
    return ()
