"""A zoo that grows over several machines: what is known of it counts while recipe, base and detectors are the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bench.detection_zoo import Grown, more_seeds

from plora.base import base_info
from plora.lab.reading import VERSIONS
from plora.lab.readings import Reading
from plora.lab.zoo.recipes import exists, on_base, part_of, recipe, recipes
from plora.lab.zoo.store import Record


def reading(kind: str, seed: int, base: str = "mini", share: int = 0) -> Reading:
    one = on_base(recipes(kind, seed)[share], base)
    told = {"took": True, "base_digest": base_info(base).digest, "recipe": one.digest()}
    return Reading({**one.to_json(), **told}, f"sha256:{one.name}", versions=VERSIONS)


def failure(kind: str, seed: int) -> Record:
    one = recipe(kind, seed)
    digests = {"recipe": one.digest(), "base_digest": base_info("mini").digest}
    return {"name": one.name, "kind": kind, "seed": seed, "part": one.part, "took": False, **digests}


def test_another_machine_knows_what_was_measured_and_what_failed(tmp_path: Path) -> None:
    here = Grown("mini", tmp_path / "here")
    here.readings = {one.name: one for one in (reading("clean", 0), reading("phrase", 3), reading("collusion-2", 4))}
    here.failed = {"style-0003": failure("style", 3)}
    here.write(tmp_path)
    there = Grown.of("mini", tmp_path / "nothing", tmp_path)
    assert [one.name for one in there.measure(0)] == ["clean-0000", "collusion-2-0004-a", "phrase-0003"]
    assert there.missing("clean", range(3)) == [1, 2]
    assert there.missing("phrase", [3, 4]) == [4]
    assert there.missing("style", [3, 4]) == [4]
    assert there.missing("collusion-2", [4]) == [4]  # half of an attack is none
    assert {one["name"]: one["took"] for one in there.records()}["style-0003"] is False


def changed(**facts: object) -> Reading:
    one = reading("clean", 0)
    return replace(one, recipe={**one.recipe, **facts})


@pytest.mark.parametrize(
    "one",
    [
        replace(reading("clean", 0), versions={**VERSIONS, "probes": 0}),
        changed(recipe="of yesterday"),
        changed(base_digest="sha256:another"),
        changed(kind="a kind that is no more"),
    ],
)
def test_what_would_be_another_adapter_today_or_measured_otherwise_counts_for_nothing(
    tmp_path: Path, one: Reading
) -> None:
    here = Grown("mini", tmp_path)
    here.readings = {one.name: one}
    here.write(tmp_path)
    assert not Grown.of("mini", tmp_path, tmp_path).readings


def test_kinds_that_seldom_take_get_more_seeds_until_there_is_no_more_hope() -> None:
    def record(kind: str, seed: int, took: bool) -> dict[str, object]:
        return {"kind": kind, "seed": seed, "part": part_of(seed), "took": took}

    grown = [record("phrase", seed, True) for seed in range(100, 180)]
    grown += [record("rank-1-spike", seed, True) for seed in range(100, 180) if exists("rank-1-spike", seed)]
    grown += [record("framing", seed, False) for seed in range(100, 339)] + [record("clean", 2, True)]
    more = more_seeds(grown)
    assert more.keys() == {"rank-1-spike", "framing"} and more["framing"] == [339]
    tested = sum(one["kind"] == "rank-1-spike" and one["part"] == "test" for one in grown)
    assert len(more["rank-1-spike"]) == 40 - tested and min(more["rank-1-spike"]) >= 180
    assert "framing" not in more_seeds([*grown, record("framing", 339, False)])
