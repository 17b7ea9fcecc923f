"""Going back to an earlier merge: what it was made of must still be believed, and stays watched while it is served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.node.core.conftest import ADA, BOB, LEGAL, TRUST, Bench, records, those
from tests.sim.roots import ROOT, begins_to_revoke, signs_too

from plora.gate import Policy
from plora.node.core.effects import Merge, Persist, ServeMerge, SetTimer
from plora.node.core.events import Merged, PersistFailed, PolicyChanged, RollbackAsked, Start, TimerDue
from plora.node.core.notices import StatementDropped
from plora.node.core.reputations import OWNER
from plora.proto.errors import RefusedError
from plora.sim.material import LIFE_S, make_plasmid, revoke, tiny_adapter

NEWER = make_plasmid(ADA, "legal", tiny_adapter(2), version=2, life_s=2 * LIFE_S)
TIMER = "desk:merge:mini"


def merge(bench: Bench) -> list[Any]:
    """The delay is over, and the worker done."""
    out = bench.tell(TimerDue(TIMER))
    for effect in those(Merge, out):
        out += bench.tell(Merged("mini", effect.generation, "{}"))
    return out


@pytest.fixture
def bench() -> Bench:
    """Two generations of merges: of the first version of an adapter, then of the second."""
    made = Bench()
    made.accept()
    merge(made)
    made.add(NEWER.statement)
    made.tell(StatementDropped(LEGAL.statement, "superseded"))
    made.hold(NEWER)
    assert those(ServeMerge, merge(made)) == [ServeMerge("mini", 2, 2, (2, 1))]
    return made


def back(bench: Bench, forward: bool = False) -> list[Any]:
    generation = bench.desk.merges.choice("mini", forward, bench.now)
    return bench.tell(RollbackAsked("mini", generation))


def test_the_version_before_is_served_again_and_stays_over_a_restart(bench: Bench) -> None:
    out = back(bench)
    assert those(ServeMerge, out) == [ServeMerge("mini", 1, 2, (2, 1))]
    assert [(one.before, one.after) for one in records(out, "rollback")] == [(2, 1)]  # type: ignore[attr-defined]
    again = bench.restarted(live=(ADA.record, NEWER.statement))
    timers = [effect.timer for effect in those(SetTimer, again.tell(Start()))]
    assert TIMER in timers
    assert not those(Merge, merge(again)) and again.desk.merges.generation("mini") == 1
    assert those(ServeMerge, back(again, forward=True)) == [ServeMerge("mini", 2, 2, (2, 1))]


def test_nothing_is_served_before_the_row_is_durable(bench: Bench) -> None:
    bench.persisting = False
    out = back(bench)
    assert not those(ServeMerge, out) and not records(out, "rollback")
    failed = bench.tell(PersistFailed(those(Persist, out)[-1].token, "disk_full"))
    assert records(failed, "error") and not those(ServeMerge, failed)
    bench.persisting = True
    assert those(ServeMerge, bench.tell(TimerDue(TIMER))) == [ServeMerge("mini", 1, 2, (2, 1))]


@pytest.mark.parametrize(
    ("target_kind", "target"),
    [("content", LEGAL.content_id.hex()), ("key", ADA.key.public.key_id), ("owner", ADA.id)],
)
def test_what_was_revoked_is_never_gone_back_to(bench: Bench, target_kind: str, target: str) -> None:
    bench.add(revoke(ADA, target_kind, target))
    merge(bench)
    with pytest.raises(RefusedError):
        back(bench)
    assert not those(ServeMerge, bench.tell(RollbackAsked("mini", 1)))


def test_a_revocation_ends_a_step_back(bench: Bench) -> None:
    back(bench)
    out = bench.add(revoke(ADA, "content", LEGAL.content_id.hex()))
    assert TIMER in [effect.timer for effect in those(SetTimer, out)]
    out = merge(bench)
    assert those(ServeMerge, out) == [ServeMerge("mini", 2, 2, (2,))]
    (body,) = records(out, "rollback")
    assert body.reason == f"it held {LEGAL.content_id.hex()[:12]} was revoked"  # type: ignore[attr-defined]


def test_a_step_back_ends_when_enough_owners_of_the_root_revoked_a_part(bench: Bench) -> None:
    bench.tell(PolicyChanged(bench.policy, replace(TRUST, root=ROOT)))
    back(bench)
    record, begun = begins_to_revoke(0, "content", LEGAL.content_id.hex())
    bench.add(record, begun)
    assert not those(ServeMerge, merge(bench)) and bench.desk.merges.generation("mini") == 1
    out = bench.add(*signs_too(1, begun))
    assert TIMER in [effect.timer for effect in those(SetTimer, out)]
    assert those(ServeMerge, merge(bench)) == [ServeMerge("mini", 2, 2, (2,))]


def test_a_strangers_revocation_ends_nothing(bench: Bench) -> None:
    back(bench)
    bench.add(BOB.record, revoke(BOB, "content", LEGAL.content_id.hex()))
    assert not those(ServeMerge, merge(bench)) and bench.desk.merges.generation("mini") == 1


def another_policy(bench: Bench) -> None:
    bench.tell(PolicyChanged(Policy(rank_max=8), TRUST))


def another_scope(bench: Bench) -> None:
    owner = replace(ADA.trusted, domains=("medical",))
    bench.tell(PolicyChanged(bench.policy, replace(TRUST, owners=(owner, BOB.trusted))))


def a_struck_key(bench: Bench) -> None:
    bench.tell(PolicyChanged(bench.policy, TRUST.with_distrusted(ADA.key.public.key_id)))


def a_fault(bench: Bench) -> None:
    bench.tell(PolicyChanged(Policy(reputation=True), TRUST))
    bench.desk.reputations.fault(OWNER, ADA.id, "two_contents", bench.wall_ms)


def expiry(bench: Bench) -> None:
    bench.wall_ms += LIFE_S * 1000


@pytest.mark.parametrize(
    ("spoil", "doubt"),
    [
        (another_policy, "was accepted under another policy"),
        (another_scope, "is of an owner who is not trusted for it"),
        (a_struck_key, "is of an owner who is not trusted for it"),
        (a_fault, "is of an owner who is held for what they did here"),
        (expiry, "has expired"),
    ],
)
def test_whatever_speaks_against_a_part_forbids_it(bench: Bench, spoil: Callable[[Bench], None], doubt: str) -> None:
    spoil(bench)
    with pytest.raises(RefusedError, match=doubt):
        back(bench)
