"""Randomness as an argument: named streams, so that a new draw for one purpose shifts no other.

A stream is derived from (seed, peer, purpose) by SHA-256; the same triple gives the same numbers on every machine and
under every PYTHONHASHSEED.

>>> a, b = Streams(7, "ada").stream("rounds"), Streams(7, "ada").stream("rounds")
>>> [a.randrange(100) for _ in range(3)] == [b.randrange(100) for _ in range(3)]
True
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Streams:
    """The source of every stream of one peer."""

    seed: int
    peer: str

    def stream(self, purpose: str) -> Random:
        """A fresh generator for one purpose."""
        name = f"{self.seed}\x00{self.peer}\x00{purpose}".encode()
        return Random(int.from_bytes(hashlib.sha256(name).digest(), "big"))  # noqa: S311 - not a secret
