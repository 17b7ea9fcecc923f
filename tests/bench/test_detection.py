"""Rows and tables of bench-detection from readings whose answer is known; the page says what the data say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

pytest.importorskip("sklearn")

from bench import detection_page
from bench.detection_rows import counts_of, judged_by, rows_of, tried
from tests.lab.made_readings import zoo

from plora.gate.detection.calibration import Calibration
from plora.lab.aims import Aims
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
