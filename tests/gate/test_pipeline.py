"""The pipeline as a whole: a good adapter passes, everything else ends where it should, and nothing slips through."""

from __future__ import annotations

from tests.gate.conftest import Owner, World

from plora.gate import Outcome, Policy, decide


def test_good_adapter_is_accepted(world: World, ada: Owner, policy: Policy) -> None:
    verdict = decide(world.case(ada), policy, world.trust(ada))
    assert verdict.outcome is Outcome.ACCEPT, verdict
    assert verdict.servable and not verdict.wants_bytes and not verdict.bytes_only
