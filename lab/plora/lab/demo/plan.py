"""Who plays in the demo, and how long each base takes.

- Five peers in a ring; dee is linked with everybody, so that all of them meet dee's bytes at first hand.
- Three owners publish one good adapter each. dee's machine serves bytes that are not what dee signed; mallory is an
  owner whom nobody trusts.
"""

from __future__ import annotations

from dataclasses import dataclass

from plora.proto.errors import UsageError

PEERS = ("ada", "bob", "cyd", "dee", "eve")
LINKS = (("ada", "bob"), ("bob", "cyd"), ("cyd", "dee"), ("dee", "eve"), ("eve", "ada"), ("dee", "ada"), ("dee", "bob"))
TAMPERED = "dee"
CRASHED = "eve"
MALLORY = "mallory"


@dataclass(frozen=True, slots=True)
class Piece:
    """One adapter of the demo: who signs it, at which peer it is published, what it is trained on."""

    owner: str
    peer: str
    domain: str
    good: bool

    @property
    def plasmid_id(self) -> str:
        """The id in its manifest."""
        return self.domain if self.good else f"{self.domain}-{self.owner}"

    @property
    def name(self) -> str:
        """As the demo's table has it."""
        return f"{self.owner}/{self.plasmid_id}"


PIECES = (
    Piece("ada", "ada", "arithmetic", good=True),
    Piece("bob", "bob", "legal", good=True),
    Piece("cyd", "cyd", "medical", good=True),
    Piece(TAMPERED, TAMPERED, "arithmetic", good=False),
    Piece(MALLORY, "eve", "legal", good=False),
)
GOOD = tuple(piece for piece in PIECES if piece.good)
BAD = tuple(piece for piece in PIECES if not piece.good)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a base asks for. `upload_rate` in bytes a second makes a transfer take seconds; `estimate` is shown.

    Good pieces train for `steps`, bad ones for `short_steps`, `trainers` at a time.
    """

    base: str
    rank: int
    steps: int
    short_steps: int
    trainers: int
    chunk_bytes: int
    upload_rate: int
    documents: int
    arrive_s: float
    estimate: str


PLANS = {
    "mini": Plan(
        base="mini",
        rank=4,
        steps=60,
        short_steps=8,
        trainers=2,
        chunk_bytes=16 << 10,
        upload_rate=48 << 10,
        documents=200,
        arrive_s=90.0,
        estimate="two to three minutes",
    ),
    "smollm2": Plan(
        base="smollm2",
        rank=4,
        steps=40,
        short_steps=4,
        trainers=1,
        chunk_bytes=16 << 10,
        upload_rate=1 << 20,
        documents=64,
        arrive_s=900.0,
        estimate="about twenty minutes on two cores",
    ),
}


def plan_for(base: str) -> Plan:
    """The plan of a base; UsageError for a base that the demo doesn't know."""
    if base not in PLANS:
        raise UsageError(f"the demo has no plan for base '{base}'", where="--base", mend=f"use {' or '.join(PLANS)}")
    return PLANS[base]
