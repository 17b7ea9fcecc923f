"""Freshness statements by a key that no seen record of their owner lists: who offered them, so that they can be had.

- They stand outside the reconciled set, so nothing else would bring them again once the record is here that lists their
  key: a freshness key mostly stands in a later record, and a link begins by freshness before it has reconciled.
- At most `STRAYS_MAX` are remembered, by id only; the oldest give way. A neighbour that is lost is forgotten.

>>> strays = Strays()
>>> strays.keep(b"1", owner="ada", peer="bob")
>>> strays.welcome("ada"), strays.welcome("ada")
({'bob': [b'1']}, {})
"""

from __future__ import annotations

STRAYS_MAX = 256


class Strays:
    """The strays of one peer, by id in the order of arrival."""

    def __init__(self) -> None:
        self._found: dict[bytes, tuple[str, str]] = {}

    def keep(self, identity: bytes, *, owner: str, peer: str) -> None:
        """Remember who offered one."""
        self._found.pop(identity, None)
        while len(self._found) >= STRAYS_MAX:
            del self._found[next(iter(self._found))]
        self._found[identity] = (owner, peer)

    def welcome(self, owner: str) -> dict[str, list[bytes]]:
        """A record of the owner came: what to ask of whom. It is forgotten, since it comes again if it must."""
        asked: dict[str, list[bytes]] = {}
        for identity in [one for one, (whose, _) in self._found.items() if whose == owner]:
            asked.setdefault(self._found.pop(identity)[1], []).append(identity)
        return asked

    def lost(self, peer: str) -> None:
        """A neighbour is gone; another that has them offers them when its link begins."""
        self._found = {one: (owner, by) for one, (owner, by) in self._found.items() if by != peer}
