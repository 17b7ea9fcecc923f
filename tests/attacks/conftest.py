"""The fixture `attack`: a test of an attack says through it what it saw, and `make attacks` shows it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from tests.attacks.catalogue import ATTACKS, Attack
from tests.gate.conftest import ada, bob, policy, world  # noqa: F401 - fixtures
from tests.swarm.conftest import make_peer, swarm  # noqa: F401 - fixtures

_NUMBER = re.compile(r"test_attack_([0-9]{3})_")


class Watched:
    """What one test saw of its attack. An input whose verdict isn't one of the attack's fails the test."""

    def __init__(self, attack: Attack, seen: list[tuple[str, object]]) -> None:
        self.attack = attack
        self._seen = seen
        self._since = time.perf_counter()

    @property
    def silent(self) -> bool:
        """Whether nothing was said yet."""
        return not any(name == "attack" for name, _ in self._seen)

    def saw(self, verdict: str, reason: str = "", milliseconds: float | None = None) -> None:
        """One input met this verdict (a letter of the catalogue, or a gate's outcome), for this reason.

        Without `milliseconds`, those since the test began or since it last said something.
        """
        now = time.perf_counter()
        letter = verdict[:1].upper()
        assert letter in self.attack.verdicts, f"attack {self.attack.number}: {verdict} ({reason})"
        took = (now - self._since) * 1000 if milliseconds is None else milliseconds
        self._since = now
        self._seen.append(("attack", [self.attack.number, letter, reason, took]))


@pytest.fixture
def attack(request: pytest.FixtureRequest) -> Iterator[Watched]:
    """The attack of the number in the test's name."""
    match = _NUMBER.match(request.node.name)
    assert match, "a test of an attack is named test_attack_NNN_words"
    watched = Watched(ATTACKS[int(match[1])], request.node.user_properties)
    yield watched
    assert not watched.silent, "the test didn't say what it saw"
