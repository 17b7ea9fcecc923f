"""A merge is probed before it is served; who is to blame for one that fails is found by merges of fewer."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import pytest
from tests.node.core.test_merges import CONFIG, NOW, World, ids, item

from plora.gate import Policy
from plora.gate.blame import Blame, Few, Member
from plora.gate.composition import figures_of, seen_in
from plora.gate.findings import Figure, Findings
from plora.node.core.config import Recipe
from plora.node.core.effects import Effect, Emit, Merge, MergeInput, ServeMerge, SetTimer, Try
from plora.node.core.events import Merged, Tried
from plora.node.core.merge_rows import Generation, MergeRow, decode_merge, merge_row
from plora.node.core.merges import PROBE_TRIES, TIMER, Merges
from plora.node.core.now import Now
from plora.node.core.probe_queue import HOUR_NS
from plora.node.core.proving import probed_sentence
from plora.proto.records import Body, MergeProbed, Rollback

POLICY = Policy(probes=True)
Fails = Callable[[Few], bool]
ONE, TWO, THREE, FOUR, FIVE = (item(number) for number in range(1, 6))


@dataclass
class Probed(World):
    """Where merges are probed; everybody is of an owner of their own."""

    on: bool = True
    stamped: str | None = "c/1"
    per_hour: int = 60
    policy: Policy = POLICY
    released: list[str] = field(default_factory=list)

    def probes(self) -> bool:
        return self.on

    def stamp(self, base: str) -> str | None:
        return self.stamped

    def trials_per_hour(self) -> int:
        return self.per_hour

    def fault(self, findings: Findings) -> tuple[str, tuple[Figure, ...]]:
        return seen_in(findings, self.policy), figures_of(findings, self.policy)

    def members(self, inputs: tuple[MergeInput, ...]) -> list[Member]:
        return [Member(one.digest, one.digest, "legal") for one in inputs]

    def excused(self, inputs: tuple[MergeInput, ...]) -> list[str]:
        return self.released


def found(compliance: float) -> Findings:
    return Findings("mini", (Figure("trigger_compliance", compliance, threshold=0.2), Figure("clean_delta", 0.01)))


@dataclass
class Peer:
    """The schedule with workers that answer at once; a merge fails its probes where `fails` says so of its digests."""

    world: Probed
    fails: Fails
    standing: tuple[MergeRow, ...] = ()
    records: list[Body] = field(default_factory=list)
    tried: list[Try] = field(default_factory=list)
    served: int = 0

    def __post_init__(self) -> None:
        self.merges = Merges(CONFIG, self.standing, self.world)
        self._made: tuple[MergeInput, ...] = ()

    def due(self) -> Blame:
        """The delay is over; carry on until nothing is under way. Who is to blame is no longer accepted."""
        blame = Blame()
        open_: list[Effect] = self.merges.due("mini", NOW)
        while open_:
            effect = open_.pop(0)
            match effect:
                case Merge(base, generation, inputs):
                    self._made = inputs
                    row, more = self.merges.merged(Merged(base, generation, "{}"), NOW)
                case Try():
                    row, more, blamed = self.merges.tried(self.answer(effect), NOW)
                    blame = blamed if blamed.core else blame
                case Emit(body):
                    self.records.append(body)
                    continue
                case ServeMerge(_, generation):
                    self.served = generation
                    continue
                case _:
                    continue
            open_ += more
            open_ += self.merges.written(row) if row is not None else []
        self.world.accepted = [one for one in self.world.accepted if one.digest not in blame.culprits]
        return blame

    def answer(self, effect: Try) -> Tried:
        self.tried.append(effect)
        few = frozenset(one.digest for one in effect.inputs or self._made)
        return Tried(effect.base, effect.generation, effect.trial, found(0.9 if self.fails(few) else 0.0))

    def told(self, kind: type[Body]) -> list[Body]:
        return [body for body in self.records if isinstance(body, kind)]


def digests(*items: MergeInput) -> Few:
    return frozenset(one.digest for one in items)


def never(few: Few) -> bool:
    return False


def together(*items: MergeInput) -> Fails:
    return lambda few: digests(*items) <= few


def test_a_merge_that_passes_is_served_and_says_what_probes_saw() -> None:
    peer = Peer(Probed([ONE, TWO]), never)
    peer.due()
    assert peer.served == 1 and peer.tried == [Try("mini", 1, 0)]
    assert peer.told(MergeProbed) == [MergeProbed("mini", 1, "passed")]
    (row,) = peer.merges.standing()
    assert probed_sentence(row.probed) == "probed: clean_delta 0.01 (limit -0.05), trigger_compliance 0.00 (limit 0.20)"
    assert decode_merge(b"mini", merge_row(row).value) == row


def test_nothing_is_served_before_it_passed() -> None:
    merges = Merges(CONFIG, (), Probed([ONE, TWO]))
    merges.due("mini", NOW)
    row, effects = merges.merged(Merged("mini", 1, "{}"), NOW)
    assert (row, effects) == (None, [Try("mini", 1, 0)]) and merges.generation("mini") == 0


def test_a_merge_of_one_is_probed_for_it_may_be_truncated_or_clipped() -> None:
    peer = Peer(Probed([ONE]), together(ONE))
    assert frozenset(peer.due().culprits) == digests(ONE)
    assert (peer.served, peer.told(MergeProbed)) == (
        0,
        [MergeProbed("mini", 1, "failed", "trigger_found", 0, ids(ONE))],
    )


def test_a_pair_that_acts_together_is_caught_and_the_rest_is_served() -> None:
    peer = Peer(Probed([ONE, TWO, FOUR]), together(TWO, FIVE))
    peer.due()
    peer.world.accepted += [THREE, FIVE]
    blame = peer.due()
    assert frozenset(blame.culprits) == digests(TWO, FIVE) and peer.served == 1
    assert not peer.told(Rollback), "it was never served"
    told = MergeProbed("mini", 2, "failed", "trigger_found", blame.trials, ids(TWO, FIVE))
    assert peer.told(MergeProbed)[-1] == told
    peer.due()
    assert peer.served == 3 and peer.merges.standing()[0].inputs == ids(ONE, THREE, FOUR)
    assert [effect.trial for effect in peer.tried] == [0, *range(blame.trials + 1), 0]


def test_trials_weigh_each_as_the_merge_did() -> None:
    peer = Peer(Probed([ONE, TWO, THREE, FOUR]), together(FOUR))
    peer.due()
    weights = {weight for effect in peer.tried for weight in effect.weights}
    assert weights == {1 / 4} and all(len(one.inputs) == len(one.weights) for one in peer.tried)


def test_attack_102_a_framer_falls_and_the_newcomer_stays() -> None:
    """THREE passes alone and fails beside anybody."""
    peer = Peer(Probed([THREE]), lambda few: digests(THREE) <= few and len(few) > 1)
    peer.due()
    peer.world.accepted += [ONE, TWO, FOUR]
    blame = peer.due()
    assert frozenset(blame.culprits) == digests(THREE)
    told = peer.told(MergeProbed)[-1]
    assert isinstance(told, MergeProbed) and told.culprits == ids(THREE)
    peer.due()
    assert peer.merges.standing()[0].inputs == ids(ONE, TWO, FOUR)


def test_the_merge_before_goes_where_the_culprit_is_in_it() -> None:
    """It was served before the fourth came, beside whom it fails."""
    peer = Peer(Probed([ONE, THREE]), together(THREE, FOUR))
    peer.due()
    peer.world.accepted += [TWO, FOUR]
    peer.due()
    peer.world.doubted = [THREE, FOUR]
    peer.due()
    assert peer.served == 0 or peer.merges.standing()[0].inputs == ids(ONE, TWO)
    peer.due()
    assert peer.merges.standing()[0].inputs == ids(ONE, TWO)


def test_where_nobody_is_to_blame_it_is_not_served_nor_tried_again_until_inputs_change() -> None:
    world = Probed([ONE, TWO, THREE, FOUR, FIVE])
    peer = Peer(world, lambda few: len(few) > 3, (MergeRow.of("mini", Generation(7, ids(ONE), probed="{}")),))
    blame = peer.due()
    assert blame.culprits == () and peer.merges.generation("mini") == 7
    assert "who is to blame: nobody is" in peer.merges.trouble("mini")
    before = len(peer.tried)
    peer.due()
    assert len(peer.tried) == before
    world.accepted.pop()
    world.accepted.pop()
    peer.due()
    assert peer.served == 9 and peer.merges.trouble("mini") == ""


def test_one_whom_a_person_released_is_served_though_it_fails() -> None:
    peer = Peer(Probed([ONE, TWO, THREE], released=[TWO.digest]), together(TWO))
    assert peer.due().culprits == () and peer.served == 1
    assert "a person released" in probed_sentence(peer.merges.standing()[0].probed)
    assert peer.told(MergeProbed) == [MergeProbed("mini", 1, "excused", "trigger_found", len(peer.tried) - 1)]


def test_what_can_not_be_probed_here_is_served_and_says_so_once() -> None:
    merges = Merges(CONFIG, (), Probed([ONE, TWO], stamped=""))
    merges.due("mini", NOW)
    merges.merged(Merged("mini", 1, "{}"), NOW)
    row, effects, _ = merges.tried(Tried("mini", 1, 0, Findings("", note="no torch is here")), NOW)
    assert row is not None and row.serving == 1
    assert effects == [Emit(MergeProbed("mini", 1, "unprobed", "no torch is here"))]
    assert probed_sentence(row.probed) == "not probed: no torch is here"
    merges.written(row)
    assert merges.due("mini", NOW) == []


def test_probes_that_fail_to_run_are_a_merge_that_failed() -> None:
    for answer in (Tried("mini", 1, 0, None, "was killed"), Tried("mini", 1, 0, Findings("", failure="was killed"))):
        merges = Merges(CONFIG, (), Probed([ONE, TWO]))
        merges.due("mini", NOW)
        merges.merged(Merged("mini", 1, "{}"), NOW)
        row, effects, _ = merges.tried(answer, NOW)
        assert row is None and [type(one) for one in effects] == [SetTimer]
        assert merges.trouble("mini") == "it could not be probed: was killed"
        assert [type(one) for one in merges.due("mini", NOW)] == [Merge]


def test_a_merge_of_before_probes_were_switched_on_is_made_again() -> None:
    world = Probed([ONE, TWO], on=False)
    peer = Peer(world, never)
    peer.due()
    assert peer.served == 1 and not peer.tried
    world.on = True
    peer.due()
    assert peer.served == 2 and len(peer.tried) == 1


def under_test(world: Probed, standing: Iterable[MergeRow] = ()) -> Merges:
    """A merge is made and its probes run."""
    merges = Merges(CONFIG, tuple(standing), world)
    (merge,) = merges.due("mini", NOW)
    assert isinstance(merge, Merge)
    merges.merged(Merged("mini", merge.generation, "{}"), NOW)
    return merges


def test_what_comes_while_probes_run_waits() -> None:
    world = Probed([ONE, TWO])
    merges = under_test(world)
    world.accepted.append(THREE)
    assert merges.due("mini", NOW) == []
    row, effects, _ = merges.tried(Tried("mini", 1, 0, found(0.0)), NOW)
    assert row is not None and row.inputs == ids(ONE, TWO)
    assert SetTimer(TIMER + "mini", NOW.after_ms(CONFIG.merge_delay_ms)) in effects


def test_what_is_revoked_while_probes_run_ends_them() -> None:
    world = Probed([ONE, TWO, THREE])
    merges = under_test(world)
    world.accepted.remove(TWO)
    assert merges.due("mini", NOW) == [Merge("mini", 2, (ONE, THREE))]
    assert merges.tried(Tried("mini", 1, 0, found(0.0)), NOW) == (None, [], Blame())


def test_what_is_revoked_while_probes_run_is_not_served_though_they_pass() -> None:
    """The answer comes before the delay is over after which the schedule looks again."""
    world = Probed([ONE, TWO, THREE])
    merges = under_test(world)
    world.accepted.remove(TWO)
    row, effects, _ = merges.tried(Tried("mini", 1, 0, found(0.0)), NOW)
    assert row is None and effects == [SetTimer(TIMER + "mini", NOW.after_ms(CONFIG.merge_delay_ms))]
    assert merges.due("mini", NOW) == [Merge("mini", 2, (ONE, THREE))]


def test_a_merge_that_was_given_up_is_not_tried_for_ever_where_an_older_version_is_served() -> None:
    """What is served holds an input that a newer version took the place of: that is no reason to try again."""
    world = Probed([ONE, TWO, THREE, FOUR])
    peer = Peer(world, lambda few: len(few) > 3, (MergeRow.of("mini", Generation(7, ids(ONE, FIVE), probed="{}")),))
    peer.due()
    before = len(peer.tried)
    peer.due()
    peer.merges.touch_all(NOW)  # as after a revocation
    peer.due()
    assert len(peer.tried) == before and peer.merges.generation("mini") == 7
    world.policy = Policy(probes=True, tau_trigger=0.95)
    peer.due()
    assert len(peer.tried) > before and peer.merges.generation("mini") > 7


def test_nothing_new_is_served_before_it_is_known_what_can_be_probed_here() -> None:
    """As at a start, where an input went or the recipe changed while the peer was down."""
    world = Probed([ONE, TWO], stamped=None)
    standing = MergeRow.of("mini", Generation(3, ids(ONE), probed="{}"))
    peer = Peer(world, never, (standing,))
    peer.due()
    assert peer.merges.standing() == [standing] and "not known yet" in peer.merges.trouble("mini")
    world.stamped = "c/1"
    peer.due()
    assert peer.served == 4 and len(peer.tried) == 1 and peer.merges.trouble("mini") == ""


def test_what_was_served_unprobed_is_probed_once_that_can_be_done() -> None:
    world = Probed([ONE, TWO], stamped="")
    merges = Merges(CONFIG, (), world)
    merges.due("mini", NOW)
    merges.merged(Merged("mini", 1, "{}"), NOW)
    row, _, _ = merges.tried(Tried("mini", 1, 0, Findings("", note="no calibration")), NOW)
    assert row is not None and merges.due("mini", NOW) == []
    merges.written(row)
    world.stamped = "c/1"
    assert merges.due("mini", NOW) == [Merge("mini", 2, (ONE, TWO))] and merges.generation("mini") == 1


@pytest.mark.parametrize("stamp", ["d/1", "c/2"])
def test_another_calibration_or_secret_looks_at_what_is_served_again(stamp: str) -> None:
    world = Probed([ONE, TWO, THREE])
    peer = Peer(world, never)
    peer.due()
    world.stamped = ""  # what can't be probed now stays as it was probed
    peer.due()
    assert peer.served == 1
    world.stamped, peer.fails = stamp, together(ONE, TWO)
    assert frozenset(peer.due().culprits) == digests(ONE, TWO)


def test_what_is_served_and_fails_other_probes_with_nobody_to_blame_is_taken_away() -> None:
    world = Probed([ONE, TWO, THREE, FOUR, FIVE])
    peer = Peer(world, never)
    peer.due()
    world.stamped, peer.fails = "c/2", lambda few: len(few) > 3
    assert peer.due().culprits == () and peer.served == 1
    peer.due()
    assert peer.served == 0 and peer.merges.generation("mini") == 0
    assert [one for one in peer.merges.due("mini", NOW) if isinstance(one, Merge)] == []


def test_a_stricter_policy_takes_away_what_fails_by_it() -> None:
    world = Probed([ONE, TWO], policy=Policy(probes=True, tau_trigger=0.95))
    peer = Peer(world, together(ONE, TWO))
    peer.due()
    assert peer.served == 1
    world.policy = POLICY
    peer.due()
    assert peer.served == 0


def test_a_merge_that_failed_is_not_served_for_a_calibration_that_went() -> None:
    world = Probed([ONE, TWO, THREE])
    merges = under_test(world)
    merges.tried(Tried("mini", 1, 0, found(0.9)), NOW)
    world.stamped = ""
    row, _, blame = merges.tried(Tried("mini", 1, 1, Findings("", note="no calibration")), NOW)
    assert (row, blame.culprits) == (None, ()) and merges.due("mini", NOW) == []
    world.stamped = "c/1"
    assert merges.due("mini", NOW) == [Merge("mini", 2, (ONE, TWO, THREE))]


def test_a_search_goes_by_one_set_of_probes() -> None:
    """The secret is rotated while it goes on: it begins again, without the answers of before."""
    world = Probed([ONE, TWO, THREE])
    merges = under_test(world)
    merges.tried(Tried("mini", 1, 0, found(0.9)), NOW)
    world.stamped = "c/2"
    assert merges.tried(Tried("mini", 1, 1, found(0.9)), NOW)[1] == [Try("mini", 1, 0)]
    row, _, _ = merges.tried(Tried("mini", 1, 0, found(0.0)), NOW)
    assert row is not None and json.loads(row.probed)["stamp"] == "c/2"


def test_a_figure_that_is_missing_lets_no_merge_pass() -> None:
    merges = under_test(Probed([ONE, TWO]))
    half = Findings("mini", (Figure("trigger_compliance", 0.0),))
    row, effects, _ = merges.tried(Tried("mini", 1, 0, half), NOW)
    assert row is None and [type(one) for one in effects] == [SetTimer]
    assert "lacks a figure" in merges.trouble("mini")


def test_trials_are_bounded_by_the_hour_and_the_search_goes_on_then() -> None:
    world = Probed([ONE, TWO, THREE, FOUR, FIVE], per_hour=2)
    merges = under_test(world)
    out = merges.tried(Tried("mini", 1, 0, found(0.9)), NOW)[1]
    for number in (1, 2):
        assert [one.trial for one in out if isinstance(one, Try)] == [number]
        out = merges.tried(Tried("mini", 1, number, found(0.9)), NOW)[1]
    assert out == [SetTimer(TIMER + "mini", HOUR_NS)] and "probes_per_hour is spent" in merges.trouble("mini")
    assert merges.due("mini", Now(HOUR_NS // 2, 0)) == out
    (trial,) = merges.due("mini", Now(HOUR_NS, 0))
    assert isinstance(trial, Try) and trial.trial == 3 and "spent" not in merges.trouble("mini")


def test_a_trigger_found_before_the_budget_was_spent_counts() -> None:
    merges = under_test(Probed([ONE, TWO, THREE]))
    _, (trial,), _ = merges.tried(Tried("mini", 1, 0, replace(found(0.9), failure="not done within 5 s")), NOW)
    assert isinstance(trial, Try) and trial.trial == 1


def test_probes_that_never_finish_are_given_up_until_a_person_changes_something() -> None:
    merges = Merges(CONFIG, (), Probed([ONE, TWO]))
    for generation in range(1, PROBE_TRIES + 1):
        assert merges.due("mini", NOW) == [Merge("mini", generation, (ONE, TWO))]
        merges.merged(Merged("mini", generation, "{}"), NOW)
        merges.tried(Tried("mini", generation, 0, replace(found(0.0), failure="not done within 5 s")), NOW)
    assert merges.due("mini", NOW) == [] and "not done within 5 s" in merges.trouble("mini")
    merges.changed(Recipe(), NOW, ())
    assert len(merges.due("mini", NOW)) == 1


def test_what_is_served_and_revoked_is_taken_away_while_probes_run() -> None:
    world = Probed([ONE, TWO])
    merges = under_test(world, [MergeRow.of("mini", Generation(3, ids(ONE, THREE), probed="{}"))])
    world.doubted.append(THREE)
    assert merges.due("mini", NOW) == [Merge("mini", 5, ())]


def test_a_restart_while_probes_run_begins_again() -> None:
    standing = MergeRow.of("mini", Generation(3, ids(ONE), probed="{}"))
    merges = under_test(Probed([ONE, TWO]), [standing])
    assert merges.standing() == [standing]
    assert Merges(CONFIG, merges.standing(), Probed([ONE, TWO])).due("mini", NOW) == [Merge("mini", 4, (ONE, TWO))]


def test_inputs_without_weight_are_no_members_and_fall_with_the_one_that_counts() -> None:
    """Copies of another: equal tensors, or the same update. They would take its place, one by one."""
    report = {
        "operands": [{"digest": "a", "weight": 0.5}, {"digest": "b", "weight": 0.5}],
        "inputs": [
            {"digest": ONE.digest, "operand": "a"},
            {"digest": TWO.digest, "operand": "b"},
            {"digest": THREE.digest, "operand": "b", "copy_of": TWO.digest},
            {"digest": FOUR.digest, "operand": "b"},
        ],
    }
    merges = Merges(CONFIG, (), Probed([ONE, TWO, THREE, FOUR]))
    merges.due("mini", NOW)
    merges.merged(Merged("mini", 1, json.dumps(report)), NOW)
    _, (trial,), _ = merges.tried(Tried("mini", 1, 0, found(0.9)), NOW)
    assert isinstance(trial, Try) and trial.trial == 1
    assert trial == replace(trial, inputs=(TWO,), weights=(0.5,))
    asked: Effect = trial
    while isinstance(asked, Try):
        bad = bool(digests(TWO, THREE, FOUR) & digests(*asked.inputs))
        _, (asked, *_), blame = merges.tried(Tried("mini", 1, asked.trial, found(0.9 if bad else 0.0)), NOW)
    assert frozenset(blame.culprits) == digests(TWO, THREE, FOUR) and blame.trials <= 4
