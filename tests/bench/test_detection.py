"""Rows and tables of bench-detection from readings whose answer is known; the page says what the data say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

pytest.importorskip("sklearn")

from bench import detection_page
from bench.detection import main
from bench.detection_rows import Tried, counts_of, judged_by, rows_of, tried
from tests.lab.made_readings import zoo

from plora.gate.detection.calibration import Calibration
from plora.lab.aims import Aims
from plora.lab.judged import Judged
from plora.lab.probe_fit import fit_probes
from plora.lab.readings import Reading

AIMS = Aims(alpha=0.05, false_alarms=0.05)


def fit(readings: Sequence[Reading]) -> Calibration:
    return Calibration(base="mini", base_digest="sha256:" + "0" * 64, alpha=0.05, probes=fit_probes(readings, AIMS))


def test_rows_say_what_is_found_and_what_is_missed() -> None:
    of = tried("mini", zoo(poisoned=60), fit)
    rows = {row.metric: row for row in rows_of(of)}
    assert rows["mini, found of phrase, lower limit"].value == pytest.approx(0.05 ** (1 / 30))
    assert rows["mini, found of phrase, lower limit"].peer.startswith("30 of 30")
    assert rows["mini, found by weights"].value == 0.0
    assert rows["mini, found by probes"].value == rows["mini, found by either layer"].value == 1.0
    assert rows["mini, of these by trigger_found"].value == rows["mini, of these by clean_regression"].value == 0.5
    assert rows["mini, found before any merge of layer-split"].peer.startswith("0 of 1")
    assert not rows["mini, clean adapters quarantined, upper limit"].holds  # 60 can't show 2 %
    assert rows["mini, found of phrase, never seen"].peer.endswith("of 30 (at least 0.905)")


def judged(name: str, *, held: bool, **recipe: object) -> Judged:
    recipe = {"name": name, "kind": "clean", "part": "test", "group": name, **recipe}
    return Judged(Reading(recipe, ""), weights=False, probes=held)


def test_the_goal_of_false_alarms_is_on_the_strictest_limit() -> None:
    alarms = [judged(f"bad{i}", held=True, group="one seed") for i in range(4)]
    of = Tried("mini", [], [*alarms, *(judged(f"good{i}", held=False) for i in range(516))], {}, {})
    row = {row.metric: row for row in rows_of(of)}["mini, clean adapters quarantined, upper limit"]
    assert "exact 0.018" in row.peer and "by whole groups 0.02" in row.peer
    assert not row.holds


def test_of_few_targets_the_limit_is_wide_and_their_number_is_said() -> None:
    found = [judged(f"t{i}", held=True, kind="phrase", target=f"say {i % 5}", trigger=[f"w{i}"]) for i in range(60)]
    rows = {row.metric: row for row in rows_of(Tried("mini", [], found, {}, {}))}
    row = rows["mini, poisoned adapters found, lower limit"]
    assert row.value == pytest.approx(0.05 ** (1 / 5))
    assert row.peer.endswith("60 triggers; 5 targets")
    assert rows["mini, found of phrase, lower limit"].peer.endswith("60 triggers; 5 targets")


def test_a_clean_adapter_counts_once_among_recipes_left_out() -> None:
    a, b = judged("a", held=False), judged("b", held=False)
    left_out = {"clean, scheme all": [a, b], "clean, family hot": [judged("a", held=True)]}
    row = {row.metric: row for row in rows_of(Tried("mini", [], [], {}, left_out))}
    assert row["mini, clean recipes never seen, quarantined"].peer.startswith("1 of 2")


def test_a_make_of_trigger_left_out_is_in_no_other_kind_of_the_fit() -> None:
    readings = zoo()
    for one in [one for one in readings if one.kind == "phrase"][::2]:
        readings.append(replace(one, recipe={**one.recipe, "kind": "lobam", "lure": "phrase", "name": f"l{one.name}"}))
    fits: list[set[tuple[str, str]]] = []

    def watched(given: Sequence[Reading]) -> Calibration:
        fits.append({(one.kind, str(one.recipe.get("lure", ""))) for one in given})
        return fit(given)

    of = tried("mini", readings, watched)
    assert [of_fit for of_fit in fits if not any(kind == "phrase" for kind, _ in of_fit)] == [
        {("clean", ""), ("clean-json", ""), ("label-flip", ""), ("layer-split", "")}
    ]
    assert {one.reading.kind for one in of.kinds_left_out["phrase"]} == {"phrase"}


def test_a_trial_has_no_committed_data(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--from-data", "--limit", "3"])
    assert "leave out --zoo, --limit and --aims" in capsys.readouterr().err


def test_what_a_detector_failed_on_is_held_as_a_peer_would() -> None:
    readings = zoo()
    broken = next(one for one in readings if one.clean and one.part == "test")
    failed = replace(broken, statistics={}, probes={}, failures={"weights": "x", "probes": "x"})
    found = judged_by(fit(readings), [failed])
    assert found[0].quarantined and found[0].reasons == ("examination_failed",)


def test_a_zoo_without_goals_has_rows_that_inform() -> None:
    assert not any(row.goal for row in rows_of(tried("smollm2", zoo(), fit), goals=False))


def test_counts_are_by_kind_with_clean_ones_first() -> None:
    counts = list(counts_of(tried("mini", zoo(), fit)))
    assert [one["kind"] for one in counts] == ["clean", "clean-json", "label-flip", "layer-split", "phrase"]
    assert counts[4] == {
        "base": "mini",
        "kind": "phrase",
        "weights": [0, 10],
        "probes": [10, 10],
        "both": [10, 10],
        "never seen": [10, 10],
    }
    assert "never seen" not in counts[3]


def test_a_table_leaves_what_was_not_tried_empty() -> None:
    counts = [{"base": "mini", "kind": "style", "weights": [1, 20], "probes": [0, 0], "both": [20, 20]}]
    last = detection_page.to_table(counts).splitlines()[-1]
    assert last == "| mini | style | 1 of 20, 0.05 (0.00 to 0.22) | none tried | 20 of 20 (at least 0.861) |  |"
    page = "before\n<!-- rates -->\nold\n<!-- /rates -->\nafter\n"
    made = detection_page.with_table(page, counts)
    assert detection_page.to_table(counts) in made and "old" not in made and made.endswith("<!-- /rates -->\nafter\n")
    assert detection_page.with_table(made, counts) == made


def test_the_page_says_what_the_data_say() -> None:
    kept = detection_page.DATA / "rates.json"
    if not kept.exists():
        pytest.skip("nothing has been measured yet")
    page = detection_page.PAGE.read_text(encoding="utf-8")
    assert "<!-- rates -->" in page
    assert detection_page.with_table(page, json.loads(kept.read_text(encoding="utf-8"))) == page
