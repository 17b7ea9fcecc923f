"""The council on its own: what is written before what, what a crash leaves, what rows bring back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.council import ISSUED, SWARM, Ballots, accuse, vote_key
from tests.node.core.conftest import those
from tests.sim.assembly import LEGAL, OTHER, RIVAL, members

from plora.gate import Outcome, StageResult, Verdict
from plora.gate.certified import CONSENSUS
from plora.node.core.config import CoreConfig
from plora.node.core.council import SIGNED, Council
from plora.node.core.council_rows import BALLOTS, BROKEN, CERTIFICATES, GUILTY
from plora.node.core.effects import Emit, Persist, SignWord
from plora.node.core.events import Event, Persisted, PersistFailed, Start
from plora.node.core.notices import Judged, Notice, PeerRead, SlotMoved, StatementAdded, StatementDropped
from plora.node.core.now import Now
from plora.node.store.disk import Put
from plora.node.store.snapshot import Snapshot
from plora.proto.errors import StoreError
from plora.proto.payloads import Choice, Evidence, Vote
from plora.proto.statement import Statement
from plora.sim.clock import WALL_START_MS
from plora.sim.material import Plasmid
from plora.sim.swarm import peer_id

MEMBERS = members()
PASSED = (StageResult(SIGNED, Outcome.PASS),)
WAITS = Verdict(Outcome.PENDING, CONSENSUS, "awaiting_certificate", PASSED, servable=True)
REFUSED = Verdict(Outcome.REJECT, "weights", "norm_too_large", PASSED)
NOW = Now(0, WALL_START_MS)


@dataclass
class Table:
    """A member's council, and the rows that it wrote."""

    number: int | None = 0
    rows: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    live: tuple[Statement, ...] = ()
    reads: tuple[int, ...] = (1, 2)

    def __post_init__(self) -> None:
        key_id = "" if self.number is None else vote_key(self.number).public.key_id
        tables: dict[str, tuple[tuple[bytes, bytes], ...]] = {}
        for (table, key), value in self.rows.items():
            tables[table] = (*tables.get(table, ()), (key, value))
        config = CoreConfig(peer="", swarm=SWARM, boot="", members=MEMBERS, vote_key=key_id)
        self.council = Council(config, Snapshot(tables=tables), lambda: self.live)
        self.begun = self.tell(Start(), *(PeerRead(peer_id(number)) for number in self.reads))

    def again(self, *live: Statement, reads: tuple[int, ...] = (1, 2)) -> Table:
        """After a restart."""
        return Table(self.number, dict(self.rows), live, reads)

    def ask(self, *events: Event | Notice) -> list[Any]:
        """What follows, with nothing written."""
        return [item for event in events for item in self.council.handle(event, NOW)]

    def tell(self, *events: Event | Notice) -> list[Any]:
        """What follows, with everything written."""
        out = self.ask(*events)
        for effect in those(Persist, out):
            for row in effect.rows:
                if isinstance(row, Put):
                    self.rows[(row.table, row.key)] = row.value
                else:
                    self.rows.pop((row.table, row.key), None)
            out += self.tell(Persisted(effect.token))
        return out

    def hear(self, *votes: Statement) -> list[Any]:
        return self.tell(*(StatementAdded(vote, "", 1) for vote in votes))

    def kept(self, table: str) -> int:
        return sum(name == table for name, _ in self.rows)


def judged(plasmid: Plasmid = LEGAL, verdict: Verdict = WAITS) -> Judged:
    return Judged(plasmid.content_id, plasmid.manifest, verdict)


def vote(number: int, plasmid: Plasmid = LEGAL, choice: Choice = Choice.ACCEPT) -> Statement:
    return Ballots(MEMBERS.slot(plasmid.manifest)).vote(number, plasmid.content_id.hex(), choice)


def words(outputs: list[Any]) -> list[Vote | Evidence]:
    return [effect.payload for effect in those(SignWord, outputs)]


def test_the_ballot_is_written_before_the_vote_is_signed() -> None:
    table = Table()
    asked = table.ask(judged())
    (ballot,) = those(Persist, asked)
    assert not words(asked) and [row.table for row in ballot.rows] == [BALLOTS]
    (said,) = words(table.ask(Persisted(ballot.token)))
    assert isinstance(said, Vote) and said.content == LEGAL.content_id.hex() and said.choice is Choice.ACCEPT
    assert not table.ask(judged(), judged(RIVAL))


def test_a_ballot_that_cant_be_written_is_tried_again_later() -> None:
    table = Table()
    (ballot,) = those(Persist, table.ask(judged()))
    failed = table.ask(PersistFailed(ballot.token, "the disk is full"))
    assert SlotMoved(MEMBERS.slot(LEGAL.manifest), again=True) in failed and not words(failed)
    assert words(table.tell(judged()))


def test_a_crash_between_ballot_and_vote_signs_the_same_again() -> None:
    table = Table()
    (said,) = words(table.tell(judged()))
    again = table.again(reads=())
    assert words(again.tell(judged())) == [said]  # what was written binds and is said, also before others are read
    assert not again.tell(judged()) and not again.tell(judged(RIVAL))
    heard = table.again(vote(0))
    assert not words(heard.tell(judged()))


def test_before_others_are_read_it_says_nothing_and_then_all_is_judged_again() -> None:
    table = Table(reads=(1,))
    assert not table.tell(judged(), judged(OTHER, REFUSED))
    assert table.tell(PeerRead(peer_id(4))) == [] and table.tell(PeerRead(peer_id(3))) == [SlotMoved(None)]
    assert len(words(table.tell(judged(), judged(OTHER, REFUSED)))) == 2


def test_an_own_vote_that_comes_back_is_written_down_and_binds() -> None:
    table = Table()
    own = Ballots(MEMBERS.slot(LEGAL.manifest)).vote(0, LEGAL.content_id.hex())
    assert table.hear(own) and table.kept(BALLOTS) == 1
    assert not words(table.tell(judged(RIVAL)))
    assert not words(table.again().tell(judged(RIVAL)))


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (Verdict(Outcome.ACCEPT, CONSENSUS, stages=PASSED), Choice.ACCEPT),
        (REFUSED, Choice.REJECT),
        (Verdict(Outcome.QUARANTINE, "tensor values", "all_zero", PASSED), Choice.REJECT),
        (Verdict(Outcome.REJECT, "header", "internal_error", PASSED), None),
        (Verdict(Outcome.REJECT, "replay", "superseded", PASSED), None),
        (Verdict(Outcome.REJECT, CONSENSUS, "bad_certificate", PASSED), None),
        (Verdict(Outcome.REJECT, SIGNED, "unknown_owner"), None),
        (Verdict(Outcome.PENDING, SIGNED, "below_quorum", servable=True), None),
        (Verdict(Outcome.DEFER, "replay", "not_yet_valid", PASSED), None),
    ],
)
def test_what_a_member_says_of_a_verdict(verdict: Verdict, says: Choice | None) -> None:
    table = Table()
    found = words(table.tell(judged(verdict=verdict)))
    assert [word.choice for word in found if isinstance(word, Vote)] == ([says] if says else [])
    assert not words(table.tell(judged(verdict=verdict)))


def test_advice_is_taken_back_by_an_accept_also_after_a_restart() -> None:
    table = Table()
    (advice,) = words(table.tell(judged(verdict=REFUSED)))
    assert isinstance(advice, Vote) and advice.reason == "norm_too_large"
    again = table.again(vote(0, choice=Choice.REJECT))
    assert not words(again.tell(judged(verdict=REFUSED)))
    (said,) = words(again.tell(judged()))
    assert isinstance(said, Vote) and said.choice is Choice.ACCEPT
    assert not words(again.tell(judged(verdict=REFUSED)))


def test_a_follower_counts_and_says_nothing() -> None:
    table = Table(None)
    assert not words(table.tell(judged()))
    out = table.hear(*(vote(number) for number in (0, 1, 2)))
    assert out[-1] == SlotMoved(MEMBERS.slot(LEGAL.manifest)) and table.kept(CERTIFICATES) == 1
    assert [effect.body.kind for effect in those(Emit, out)] == ["vote", "vote", "vote", "certificate"]


def test_a_certificate_outlives_a_restart_and_leaves_with_its_manifest() -> None:
    votes = [vote(number) for number in (0, 1, 2)]
    table = Table(None)
    table.hear(*votes)
    again = table.again(*votes)
    assert not those(Emit, again.begun)
    slot, content = MEMBERS.slot(LEGAL.manifest), LEGAL.content_id.hex()
    assert again.council.tally is not None and again.council.tally.standing(slot, content).certificate is not None
    again.tell(*(StatementDropped(one, "superseded") for one in votes))
    assert again.kept(CERTIFICATES) == 0
    assert table.again().kept(CERTIFICATES) == 0  # the votes are gone: nothing holds the certificate any more


def test_guilt_is_told_once_by_a_member_and_kept() -> None:
    table = Table()
    out = table.hear(vote(3), vote(3, RIVAL))
    (proof,) = words(out)
    assert isinstance(proof, Evidence) and proof.accused == vote_key(3).public.key_id
    assert table.kept(GUILTY) == 1
    assert not words(table.hear(accuse(1, 3, vote(3), vote(3, RIVAL))))
    later = table.again()
    later.hear(*(vote(number, OTHER) for number in (1, 2, 3)))
    assert later.kept(CERTIFICATES) == 0


def test_evidence_alone_is_enough() -> None:
    table = Table()
    out = table.hear(accuse(1, 3, vote(3), vote(3, RIVAL)))
    assert out[-1] == SlotMoved(None) and table.kept(GUILTY) == 1 and not words(out)
    other_slot = vote(2, OTHER)
    assert not table.hear(accuse(1, 2, vote(2), other_slot)) and table.kept(GUILTY) == 1


def test_a_broken_epoch_stays_broken_and_its_members_say_nothing() -> None:
    table = Table()
    out = table.hear(*(vote(number, plasmid) for plasmid in (LEGAL, RIVAL) for number in (1, 2, 3)))
    assert table.kept(BROKEN) == 1 and "alarm" in [effect.body.kind for effect in those(Emit, out)]
    assert not words(table.again().tell(judged(OTHER)))


def test_votes_issued_elsewhere_at_other_times_are_the_same_vote() -> None:
    table = Table()
    again = Ballots(MEMBERS.slot(LEGAL.manifest)).vote(0, LEGAL.content_id.hex(), issued="2026-01-05T00:00:00Z")
    table.hear(vote(0), again)
    assert table.kept(GUILTY) == 0 and ISSUED in str(table.rows[next(key for key in table.rows if key[0] == BALLOTS)])


@pytest.mark.parametrize("table", [BALLOTS, CERTIFICATES, BROKEN])
def test_a_row_that_nobody_wrote_is_an_error_that_names_its_table(table: str) -> None:
    with pytest.raises(StoreError) as caught:
        Table(rows={(table, b"nonsense"): b"{}"})
    assert table in caught.value.where
