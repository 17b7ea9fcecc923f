"""What a peer takes down of the conduct of others: what counts, who gives way, what outlasts a restart."""

from __future__ import annotations

from random import Random

import pytest

from plora.gate import Policy
from plora.node.core.events import PersistFailed, Start
from plora.node.core.notices import ConductSeen
from plora.node.core.now import Now
from plora.node.core.reputations import OWNER, PEER, REPUTATIONS, Reputations, read_reputation, witness
from plora.proto.errors import StoreError
from plora.proto.records import EvidenceFound, FetchDone, MergeProbed, Penalty, Rollback
from plora.sim.material import make_plasmid, tiny_adapter

from .conftest import ADA, LEGAL, SOURCE, Bench, records, those
from .conftest import PEER as ME

DAY_MS = 86_400_000
MEDICAL = make_plasmid(ADA, "medical", tiny_adapter(2))
BROKEN = make_plasmid(ADA, "broken", tiny_adapter(3, rank=2))
"""Signed as rank 4, and its bytes are of rank 2."""
WATCHFUL = Policy(reputation=True)


def ids(count: int, start: int = 0) -> list[str]:
    return [f"{number:064x}" for number in range(start + 1, start + count + 1)]


def book(limit: int = 100) -> Reputations:
    return Reputations((), limit)


def score(bench: Bench, subject: str) -> float:
    return bench.desk.reputations.of(subject, bench.wall_ms).score


# what counts


def test_an_acceptance_is_to_the_credit_of_the_owner_and_of_who_brought_it_once() -> None:
    bench = Bench()
    told = records(bench.accept(), "reputation")
    assert [(one.subject, one.subject_kind, one.reason) for one in told] == [  # type: ignore[attr-defined]
        (ADA.id, OWNER, "accepted"),
        (SOURCE, PEER, "accepted"),
    ]
    before = score(bench, ADA.id)
    bench.desk.rules.policy = Policy(rank_max=1)
    bench.hold()
    assert bench.verdict()[0] == "reject"
    bench.desk.rules.policy = Policy()
    bench.hold()
    assert bench.verdict()[0] == "accept" and score(bench, ADA.id) == before > 0.5


def test_what_is_published_here_earns_nothing() -> None:
    bench = Bench()
    bench.add(ADA.record, LEGAL.statement, via=None)
    bench.hold()
    assert bench.verdict()[0] == "accept" and score(bench, ADA.id) == 0.5


def test_broken_content_counts_against_its_owner_once_over_restarts_and_not_against_who_brought_it() -> None:
    bench = Bench()
    bench.accept(BROKEN)
    assert bench.verdict(BROKEN) == ("reject", "rank_mismatch")
    assert score(bench, ADA.id) == pytest.approx(1 / 3) and score(bench, SOURCE) == 0.5
    bench.hold(BROKEN)
    again = bench.restarted(live=(ADA.record, BROKEN.statement))
    again.tell(Start())
    assert again.verdict(BROKEN)[0] == "reject"
    assert score(again, ADA.id) == score(bench, ADA.id)


def test_what_only_this_peers_policy_refuses_counts_against_nobody() -> None:
    bench = Bench(policy=Policy(rank_max=1))
    bench.accept()
    assert bench.verdict()[0] == "reject" and len(bench.desk.reputations) == 0


@pytest.mark.parametrize(
    ("body", "subject", "expected"),
    [
        (Penalty("ab" * 32, "bad_want"), "ab" * 32, 1 / 3),
        (Penalty("ab" * 32, "bad_chunk"), "ab" * 32, 1 / 6),
        (Penalty("ab" * 32, "stalled", 0.5), "ab" * 32, 1 / 2.5),
        (Penalty("ab" * 32, "bad_signature"), "ab" * 32, 1 / 6),
        (Penalty(f"fetch:{'ab' * 32}:7", "bad_want"), "ab" * 32, 1 / 3),
        (FetchDone("cd" * 32, ("ab" * 32,), 1, 0, 0), "ab" * 32, 2 / 3),
        (EvidenceFound("two_contents", "ab" * 32, "1", "2"), "ab" * 32, 1 / 6),
        (MergeProbed("mini", 2, "failed", "trigger_found", 3, ("cd" * 32,)), "ab" * 32, 1 / 6),
    ],
)
def test_records_that_say_something_of_somebodys_conduct(body: object, subject: str, expected: float) -> None:
    seen = book()
    assert witness(seen, body, lambda content: "ab" * 32, Now(0, 0), 0)  # type: ignore[arg-type]
    assert seen.of(subject, 0).score == pytest.approx(expected)


def test_records_that_say_nothing_of_anybody() -> None:
    seen = book()
    for body in (
        Rollback("mini", 2, 1, "asked"),
        MergeProbed("mini", 2, "passed"),
        EvidenceFound("two_votes", "ab" * 32, "1", "2"),
        FetchDone("cd" * 32, (), 0, 0, 5),
    ):
        assert not witness(seen, body, lambda content: "", Now(0, 0), 0)
    assert len(seen) == 0


def test_being_late_counts_for_nothing_while_this_peer_is_late_itself() -> None:
    seen = book()
    seen.fault(PEER, SOURCE, "stalled", 0, lag_ms=2000)
    assert seen.of(SOURCE, 0).blank
    seen.fault(PEER, SOURCE, "bad_want", 0, lag_ms=2000)
    seen.fault(PEER, SOURCE, "stalled", 0, lag_ms=0)
    assert seen.of(SOURCE, 0).bad == 2


# what it leads to


def test_an_owner_who_signed_two_contents_is_held_and_let_go_again_when_time_has_passed() -> None:
    bench = Bench(policy=WATCHFUL)
    bench.accept()
    bench.accept(MEDICAL)
    assert bench.verdict(MEDICAL) == ("accept", "")
    bench.desk.reputations.fault(OWNER, ADA.id, "two_contents", bench.wall_ms)
    out = bench.hold()
    assert bench.verdict() == bench.verdict(MEDICAL) == ("quarantine", "low_reputation")
    assert {effect.__class__.__name__ for effect in out} >= {"Hide"}
    bench.wall_ms += 60 * DAY_MS
    bench.hold()
    assert bench.verdict() == ("accept", "")


def test_where_the_policy_does_not_look_at_it_nothing_is_held() -> None:
    bench = Bench()
    bench.accept()
    bench.desk.reputations.fault(OWNER, ADA.id, "two_contents", bench.wall_ms)
    bench.hold()
    assert bench.verdict() == ("accept", "")


def test_a_fault_outlasts_restarts_and_forgiving_too() -> None:
    bench = Bench(policy=WATCHFUL)
    bench.accept()
    bench.desk.reputations.fault(OWNER, ADA.id, "two_contents", bench.wall_ms)
    bench.hold()
    again = bench.restarted(live=(ADA.record, LEGAL.statement))
    again.tell(Start())
    assert again.verdict() == ("quarantine", "low_reputation")
    assert score(again, ADA.id) == pytest.approx(1 / 6)
    again.desk.reputations.forgive(ADA.id)
    again.tell(ConductSeen())
    assert again.verdict() == ("accept", "")
    assert (REPUTATIONS, bytes.fromhex(ADA.id)) not in again.rows


def test_what_could_not_be_written_goes_into_the_next_transaction() -> None:
    bench = Bench(persisting=False)
    (persist,) = [effect for effect in bench.accept(BROKEN) if effect.__class__.__name__ == "Persist"][-1:]
    assert bytes.fromhex(ADA.id) in {row.key for row in persist.rows if row.table == REPUTATIONS}
    (again, *_) = [
        e for e in bench.tell(PersistFailed(persist.token, "disk_full")) if e.__class__.__name__ == "Persist"
    ]
    assert bytes.fromhex(ADA.id) in {row.key for row in again.rows if row.table == REPUTATIONS}


# how it decides between peers


def drawn(seen: Reputations, peers: list[str], times: int = 3000) -> dict[str, float]:
    """How often each is drawn."""
    draws = Random(7)
    found = [seen.draw(draws, peers, lambda peer: peer, 0) for _ in range(times)]
    return {peer: found.count(peer) / times for peer in peers}


def test_newcomers_together_weigh_as_much_as_one_who_earned_something() -> None:
    seen, known, crowd = book(), "ff" * 32, ids(50)
    seen.credit(PEER, known, "accepted", 0)
    shares = drawn(seen, [known, *crowd])
    assert shares[known] == pytest.approx(0.5, abs=0.05)
    assert drawn(seen, [known, crowd[0]])[known] == pytest.approx(0.5, abs=0.05)


def test_an_offender_is_drawn_when_nobody_else_is_there() -> None:
    seen, offender, newcomer = book(), "ee" * 32, "dd" * 32
    seen.fault(PEER, offender, "bad_want", 0)
    assert drawn(seen, [offender, newcomer])[newcomer] == 1.0
    assert drawn(seen, [offender])[offender] == 1.0


# bounds


def test_ten_thousand_identities_leave_the_book_at_its_bound_and_those_who_matter_in_it() -> None:
    seen = book(limit=500)
    seen.trust([ADA.id])
    seen.credit(OWNER, ADA.id, "accepted", 0)
    for _ in range(3):
        seen.credit(PEER, "fe" * 32, "accepted", 0)
        seen.fault(PEER, "fd" * 32, "bad_want", 0)
    for number, peer in enumerate(ids(10_000)):
        seen.fault(PEER, peer, "bad_want", number)
        seen.take()
        assert len(seen) <= 502
    assert seen.of(ADA.id, 0).good and seen.of("fe" * 32, 0).good == 3 and seen.of("fd" * 32, 0).bad == 3


def test_who_gives_way_leaves_the_disk_too() -> None:
    seen, rows = book(limit=8), {}
    for peer in ids(40):
        seen.credit(PEER, peer, "accepted", 0)
        for row in seen.take()[0]:
            if row.__class__.__name__ == "Put":
                rows[row.key] = row.value  # type: ignore[union-attr]
            else:
                rows.pop(row.key, None)
        assert len(rows) == len(seen) <= 9
    again = Reputations(sorted(rows.items()), limit=8)
    assert [one.subject for one in again.known(0)] == [one.subject for one in seen.known(0)]


def test_a_row_that_nobody_wrote_is_an_error_that_says_where() -> None:
    with pytest.raises(StoreError, match="reputations"):
        read_reputation(bytes(32), b"[]")


def test_this_benchs_own_peer_is_never_a_subject() -> None:
    bench = Bench()
    bench.accept()
    assert ME not in {one.subject for one in bench.desk.reputations.known(bench.wall_ms)}
    assert not those(Penalty, bench.out)
