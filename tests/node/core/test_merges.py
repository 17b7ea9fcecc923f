"""When merges happen, from the schedule alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.gate.blame import Member
from plora.gate.findings import Figure, Findings
from plora.node.core.config import CoreConfig
from plora.node.core.effects import Effect, Emit, Merge, MergeInput, ServeMerge, SetTimer
from plora.node.core.events import Merged
from plora.node.core.merge_rows import Generation, MergeRow
from plora.node.core.merges import CHECK_MS, RETRY_MS, RETRY_MS_MAX, TIMER, Merges
from plora.node.core.now import Now
from plora.proto.errors import RefusedError
from plora.proto.records import ErrorMet, MergeDone, Rollback

CONFIG = CoreConfig(peer="aa" * 32, swarm="bb" * 32, boot="1")
NOW = Now(0, 0)


def item(number: int, digest: int | None = None) -> MergeInput:
    return MergeInput(bytes([number]) * 32, f"{number if digest is None else digest:064x}", b"{}")


def ids(*items: MergeInput) -> tuple[str, ...]:
    return tuple(each.content_id.hex() for each in items)


@dataclass
class World:
    """What is accepted, and what is no longer believed of that which was merged once."""

    accepted: list[MergeInput] = field(default_factory=list)
    doubted: list[MergeInput] = field(default_factory=list)

    def inputs(self, base: str) -> list[MergeInput]:
        return self.accepted

    def made(self, number: int, inputs: tuple[MergeInput, ...], report: str) -> Generation:
        return Generation(number, ids(*inputs), report)

    def doubt(self, base: str, generation: Generation, now: Now) -> str:
        return next((f"{one[:4]} was revoked" for one in ids(*self.doubted) if one in generation.inputs), "")

    def probes(self) -> bool:
        return False

    def stamp(self, base: str) -> str | None:
        return ""

    def trials_per_hour(self) -> int:
        return 60

    def fault(self, findings: Findings) -> tuple[str, tuple[Figure, ...]]:
        return "", ()

    def members(self, inputs: tuple[MergeInput, ...]) -> list[Member]:
        return []

    def excused(self, inputs: tuple[MergeInput, ...]) -> list[str]:
        return []


def made(*wanted: MergeInput, standing: tuple[MergeRow, ...] = ()) -> tuple[Merges, list[MergeInput]]:
    inputs = list(wanted)
    return Merges(CONFIG, standing, World(inputs)), inputs


def test_inputs_are_sorted_by_digest_and_bytes_count_once() -> None:
    merges, _ = made(item(1, 9), item(2, 3), item(3, 3), item(4, 1))
    (merge,) = merges.due("mini", NOW)
    assert isinstance(merge, Merge)
    assert ids(*merge.inputs) == ids(item(4), item(2), item(1))


def test_changes_are_gathered_for_the_delay() -> None:
    merges, _ = made(item(1))
    assert merges.touch("mini", Now(7, 0)) == [SetTimer(TIMER + "mini", 7 + CONFIG.merge_delay_ms * 1_000_000)]


def test_merging_can_be_switched_off() -> None:
    merges = Merges(replace(CONFIG, merge=False), (), World([item(1)]))
    assert merges.touch("mini", NOW) == [] and merges.touch_all(NOW) == []


def test_with_merging_off_a_merge_goes_with_its_first_input_and_none_is_made() -> None:
    world = World([item(1), item(2), item(3)])
    merges = Merges(replace(CONFIG, merge=False), (MergeRow.of("mini", Generation(4, ids(item(1), item(2)))),), world)
    assert merges.touch_all(NOW) == [SetTimer(TIMER + "mini", NOW.after_ms(CONFIG.merge_delay_ms))]
    assert merges.due("mini", NOW) == []
    del world.accepted[0]
    assert merges.due("mini", NOW) == [Merge("mini", 5, ())]
    row, _ = merges.merged(Merged("mini", 5, ""), NOW)
    assert row is not None and row.serving == 0
    merges.written(row)
    assert merges.touch("mini", NOW) == []


def test_one_merge_at_a_time_and_another_for_what_came_meanwhile() -> None:
    merges, inputs = made(item(1))
    assert merges.due("mini", NOW) == [Merge("mini", 1, (item(1),))]
    inputs.append(item(2))
    assert merges.due("mini", NOW) == []
    row, after = merges.merged(Merged("mini", 1, "{}"), NOW)
    assert row == MergeRow("mini", 1, ids(item(1)), "{}")
    assert [type(effect) for effect in after] == [SetTimer]
    assert merges.due("mini", NOW) == [Merge("mini", 2, (item(1), item(2)))]
    assert merges.merged(Merged("mini", 2, "{}"), NOW)[1] == []


def test_nothing_new_merges_nothing_and_generations_go_on_after_a_restart() -> None:
    merges, inputs = made(item(1), standing=(MergeRow("mini", 7, ids(item(1))),))
    assert merges.due("mini", NOW) == [] and merges.generation("mini") == 7
    inputs.append(item(2))
    assert merges.due("mini", NOW) == [Merge("mini", 8, (item(1), item(2)))]


def test_the_last_input_takes_the_merge_away() -> None:
    merges, inputs = made(standing=(MergeRow("mini", 3, ids(item(1))),))
    assert merges.due("mini", NOW) == [Merge("mini", 4, ())]
    row, _ = merges.merged(Merged("mini", 4, ""), NOW)
    assert row is not None and row.inputs == () and merges.generation("mini") == 3
    assert merges.written(row)[-1] == ServeMerge("mini", 0, 4, (3,)) and merges.generation("mini") == 0
    assert inputs == [] and merges.due("mini", NOW) == []


def test_an_answer_to_another_generation_is_ignored() -> None:
    merges, _ = made(item(1))
    merges.due("mini", NOW)
    assert merges.merged(Merged("mini", 5, "{}"), NOW) == (None, [])
    assert merges.merged(Merged("other", 1, "{}"), NOW) == (None, [])


def test_a_failure_is_retried_with_growing_delay() -> None:
    merges, _ = made(item(1))
    delays = []
    for generation in range(1, 12):
        assert merges.due("mini", NOW) == [Merge("mini", generation, (item(1),))]
        row, (told, timer) = merges.merged(Merged("mini", generation, "", "killed"), NOW)
        assert row is None and isinstance(timer, SetTimer)
        assert told == Emit(ErrorMet("the merge failed: killed", where="merged/mini"))
        delays.append(timer.due_ns // 1_000_000)
    assert delays[:3] == [RETRY_MS, 2 * RETRY_MS, 4 * RETRY_MS] and delays[-1] == RETRY_MS_MAX
    assert merges.trouble("mini") == "killed"
    merges.due("mini", NOW)
    merges.merged(Merged("mini", 12, "{}"), NOW)
    assert merges.trouble("mini") == ""


def test_without_a_spoilt_input_the_merge_starts_again_at_once() -> None:
    merges, inputs = made(item(1), item(2), standing=(MergeRow("mini", 1, ids(item(1))),))
    assert merges.due("mini", NOW) == [Merge("mini", 2, (item(1), item(2)))]
    inputs.remove(item(1))
    row, effects = merges.merged(Merged("mini", 2, "", "hash_mismatch", item(1).digest), NOW)
    assert row is None and effects == merges.touch("mini", NOW)
    assert merges.trouble("mini") == ""
    assert merges.due("mini", NOW) == [Merge("mini", 3, (item(2),))]


def test_an_input_that_is_withdrawn_meanwhile_makes_no_failure() -> None:
    """Its folder goes from under the worker."""
    merges, inputs = made(item(1), item(2))
    merges.due("mini", NOW)
    inputs[0] = item(3)
    row, effects = merges.merged(Merged("mini", 1, "", "No such file or directory"), NOW)
    assert (row, effects, merges.trouble("mini")) == (None, merges.touch("mini", NOW), "")
    assert merges.due("mini", NOW) == [Merge("mini", 2, (item(2), item(3)))]


def test_an_input_that_comes_meanwhile_excuses_nothing() -> None:
    merges, inputs = made(item(1))
    merges.due("mini", NOW)
    inputs.append(item(2))
    merges.merged(Merged("mini", 1, "", "killed"), NOW)
    assert merges.trouble("mini") == "killed"


def test_a_culprit_that_is_no_input_is_a_failure_like_any_other() -> None:
    merges, _ = made(item(1))
    merges.due("mini", NOW)
    _, (_, timer) = merges.merged(Merged("mini", 1, "", "hash_mismatch", item(7).digest), NOW)
    assert timer == SetTimer(TIMER + "mini", NOW.after_ms(RETRY_MS)) and merges.trouble("mini") == "hash_mismatch"


def test_what_was_revoked_is_taken_away_before_the_merge_without_it_is_made() -> None:
    world = World([item(2)], doubted=[item(1)])
    merges = Merges(CONFIG, (MergeRow("mini", 1, ids(item(1), item(2))),), world)
    assert merges.touch("mini", NOW) == [SetTimer(TIMER + "mini", NOW.mono_ns)]
    assert merges.due("mini", NOW) == [Merge("mini", 2, ())]
    _, (_, timer) = merges.merged(Merged("mini", 2, "", "the disk failed"), NOW)
    assert timer == SetTimer(TIMER + "mini", NOW.after_ms(CONFIG.merge_delay_ms))
    assert merges.due("mini", NOW) == [Merge("mini", 3, ())]
    _, (timer,) = merges.merged(Merged("mini", 3, ""), NOW)
    assert timer == SetTimer(TIMER + "mini", NOW.after_ms(CONFIG.merge_delay_ms))
    assert merges.due("mini", NOW) == [Merge("mini", 4, (item(2),))]


def test_a_merge_with_an_older_version_is_served_until_the_next_one_stands() -> None:
    merges, _ = made(item(2), standing=(MergeRow("mini", 1, ids(item(1))),))
    assert merges.touch("mini", NOW) == [SetTimer(TIMER + "mini", NOW.after_ms(CONFIG.merge_delay_ms))]
    assert merges.due("mini", NOW) == [Merge("mini", 2, (item(2),))]
    merges.merged(Merged("mini", 2, "", "killed"), NOW)
    assert merges.due("mini", NOW) == [Merge("mini", 3, (item(2),))]


class Kept:
    """Merges whose rows are always durable at once; `shown` is the generation that is served."""

    def __init__(self, rows: tuple[MergeRow, ...] = (), generations_max: int = 3) -> None:
        self.world = World()
        self.merges = Merges(replace(CONFIG, merge_generations_max=generations_max), rows, self.world)
        self.shown = 0
        self.records: list[object] = []
        self.on_disk: set[int] = set()

    def accept(self, *inputs: MergeInput) -> None:
        """These are accepted now; the merge runs if there is one to make."""
        self.world.accepted[:] = inputs
        for effect in self.look():
            if isinstance(effect, Merge):
                row, _ = self.merges.merged(Merged("mini", effect.generation, "{}"), NOW)
                self.on_disk |= {effect.generation} if effect.inputs else set()
                self.write(row)

    def look(self) -> list[Effect]:
        effects = self.merges.due("mini", NOW)
        self.write(self.merges.unwritten("mini"))
        return effects

    def back(self, forward: bool = False) -> None:
        self.write(self.merges.serve("mini", self.merges.choice("mini", forward, NOW), NOW))

    def write(self, row: MergeRow | None) -> None:
        for effect in self.merges.written(row) if row else []:
            if isinstance(effect, ServeMerge):
                self.shown = effect.generation
                self.on_disk = {one for one in self.on_disk if one in effect.kept or one > effect.newest}
            if isinstance(effect, Emit):
                self.records.append(effect.body)


def test_a_merge_is_served_and_recorded_once_its_row_is_durable() -> None:
    kept = Kept()
    kept.accept(item(1))
    assert kept.shown == 1 and kept.records == [MergeDone("mini", ids(item(1)), (1.0,), 0.0, 0, 1)]


def test_a_step_back_serves_the_merge_before_until_the_inputs_change() -> None:
    kept = Kept()
    kept.accept(item(1))
    kept.accept(item(1), item(2))
    kept.back()
    assert (kept.shown, kept.records[-1]) == (1, Rollback("mini", 2, 1, "asked"))
    kept.accept(item(1), item(2))  # nothing changed
    again = Kept(tuple(kept.merges.standing()))
    again.accept(item(1), item(2))  # nor by a restart
    assert kept.merges.generation("mini") == again.merges.generation("mini") == 1
    kept.accept(item(1), item(2), item(3))
    assert kept.shown == 3
    kept.back()
    assert kept.shown == 2
    kept.back(forward=True)
    assert (kept.shown, kept.records[-1]) == (3, Rollback("mini", 2, 3, "asked"))


def test_steps_back_end_where_nothing_is_kept_or_believed() -> None:
    kept = Kept(generations_max=2)
    with pytest.raises(RefusedError, match="no merge of that base"):
        kept.back()
    for number in (1, 2, 3):
        kept.accept(*map(item, range(1, number + 1)))
        assert kept.on_disk == {one for one in (number - 1, number) if one}
    with pytest.raises(RefusedError, match="newest merge is served already"):
        kept.back(forward=True)
    kept.back()
    with pytest.raises(RefusedError, match=r"merge\.generations_max"):
        kept.back()
    kept.back(forward=True)
    kept.world.doubted = [item(2)]
    with pytest.raises(RefusedError, match="generation 2 holds 0202 was revoked"):
        kept.back()


def test_what_was_gone_back_to_is_given_up_when_a_part_of_it_falls() -> None:
    kept = Kept()
    kept.accept(item(1))
    kept.accept(item(2))
    kept.back()
    assert kept.shown == 1 and kept.look() == [SetTimer(TIMER + "mini", NOW.after_ms(CHECK_MS))]
    kept.world.doubted = [item(1)]
    assert kept.look() == []
    assert (kept.shown, kept.records[-1]) == (2, Rollback("mini", 1, 2, "it held 0101 was revoked"))
    assert kept.on_disk == {2}


def test_the_merge_before_outlasts_a_moment_without_any_input() -> None:
    kept = Kept()
    kept.accept(item(1))
    kept.accept()
    assert (kept.shown, kept.on_disk) == (0, {1})
    kept.back()
    assert kept.shown == 1
    kept.accept(item(2))
    assert (kept.shown, kept.on_disk) == (3, {1, 3})


def test_a_revoked_part_of_what_was_gone_back_to_is_taken_away_before_another_is_made() -> None:
    kept = Kept()
    kept.accept(item(1))
    kept.accept(item(1), item(2))
    kept.back()
    kept.world.accepted[:], kept.world.doubted = [item(2)], [item(1)]
    assert kept.merges.due("mini", NOW) == [Merge("mini", 3, ())]


def test_a_row_that_could_not_be_written_is_written_again() -> None:
    kept = Kept()
    kept.world.accepted[:] = [item(1)]
    kept.merges.due("mini", NOW)
    kept.merges.merged(Merged("mini", 1, "{}"), NOW)
    assert kept.merges.not_written("mini", NOW) == [SetTimer(TIMER + "mini", NOW.after_ms(RETRY_MS))]
    assert kept.shown == 0
    assert kept.look() == [] and kept.shown == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["add", "drop", "due", "done", "fail"]), max_size=40))
def test_in_the_end_the_merge_is_of_what_is_accepted(steps: list[str]) -> None:
    merges, inputs = made()
    running: list[Merge] = []
    generations: list[int] = []

    def due() -> None:
        for effect in merges.due("mini", NOW):
            assert isinstance(effect, Merge) and not running
            running.append(effect)
            generations.append(effect.generation)

    def answer(reason: str) -> None:
        if running:
            row, _ = merges.merged(Merged("mini", running.pop().generation, "{}", reason), NOW)
            if row is not None:
                merges.written(row)

    for number, step in enumerate(steps):
        match step:
            case "add":
                inputs.append(item(number + 1))
            case "drop":
                inputs[:1] = []
            case "due":
                due()
            case _:
                answer("" if step == "done" else "killed")
    for _ in range(4):
        answer("")
        due()
    answer("")
    standing = [row.inputs for row in merges.standing()]
    assert standing == [ids(*sorted(inputs, key=lambda each: each.digest))]
    assert generations == sorted(dict.fromkeys(generations))
