"""Nobody but its signer can keep a statement away: a spoilt envelope is not held against the true statement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from plora.node.core.config import Bounds
from plora.node.gossip.seen import Entrance, SeenSet
from plora.proto.statement import Statement
from plora.sim.clock import WALL_START_MS
from plora.sim.material import make_owner, make_plasmid, revoke

SWARM = "ab" * 32
ADA, BEN = make_owner("ada", SWARM), make_owner("ben", SWARM)
LEGAL = make_plasmid(ADA, "legal", bytes(2048)).statement
REVOKED = revoke(ADA, "content", LEGAL.id.hex())


@pytest.mark.parametrize("true", [LEGAL, REVOKED], ids=["manifest", "revocation"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: replace(one, key_id=BEN.key.public.key_id),
        lambda one: replace(one, algorithm="RSA-PSS-SHA256"),
        lambda one: replace(one, signature=bytes(64)),
    ],
    ids=["key", "algorithm", "signature"],
)
def test_a_spoilt_envelope_does_not_keep_the_true_statement_away(
    true: Statement, spoil: Callable[[Statement], Statement]
) -> None:
    seen = SeenSet(SWARM, Bounds())
    seen.turn(WALL_START_MS // 86_400_000)
    entry = seen.admit(ADA.record).entry
    assert entry is not None
    seen.commit(entry)
    assert spoil(true).id == true.id
    assert seen.admit(spoil(true)).entrance is Entrance.FORGED
    assert seen.wanted(true.id)
    assert seen.admit(true).entrance is Entrance.ADMITTED
