"""What is scored of a merge, and how the figures are told: without any peer."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from plora.base.registry import MINI_FOLDER
from plora.cli.measure_lines import change_text, measure_lines, table_rows
from plora.cli.scoring import domains_of, folders_of, generation_before, measured, merge_of, model_of
from plora.proto.errors import BaseModelError, RefusedError
from plora.v1 import admin_pb2 as pb


def merge(served: int = 3, kept: tuple[int, ...] = (3, 2, 1), domains: tuple[str, ...] = ("legal",)) -> pb.MergeInfo:
    info = pb.MergeInfo(base_model="mini", generation=served, newest=max(kept))
    info.kept.extend(pb.KeptMerge(generation=one, folder=f"/m/gen-{one}") for one in kept)
    info.contributions.extend(pb.Contribution(domain=domain) for domain in domains)
    return info


def row(adapter: str, domain: str, value: float, change: float = 0.0) -> dict[str, Any]:
    """As `plora.lab.evaluate` gives it."""
    figures = {"value": value, "low": value - 1, "high": value + 1}
    difference = {"value": change, "low": change - 0.5, "high": change + 0.5}
    told = {"adapter": adapter, "domain": domain, "documents": 200, "helps": change < -0.5}
    return {**told, "perplexity": figures, "difference": difference}


ROWS = [
    *(row("base", "legal", 116.9), row("base", "medical", 99.0)),
    *(row("before", "legal", 61.2, -55.7), row("before", "medical", 99.1, 0.1)),
    *(row("after", "legal", 30.5, -86.4), row("after", "medical", 99.3, 0.3)),
]


@pytest.mark.parametrize(
    ("generation", "kept", "before", "folders"),
    [
        (3, (3, 2, 1), 2, {"before": "/m/gen-2", "after": "/m/gen-3"}),
        (2, (3, 2, 1), 1, {"before": "/m/gen-1", "after": "/m/gen-2"}),
        (1, (3, 1), 0, {"after": "/m/gen-1"}),
        (9, (9, 4), 4, {"before": "/m/gen-4", "after": "/m/gen-9"}),
    ],
)
def test_the_merge_that_is_served_is_compared_with_the_one_before(
    generation: int, kept: tuple[int, ...], before: int, folders: dict[str, str]
) -> None:
    """After a step back that is not the newest but one that is older still."""
    one = merge(generation, kept)
    assert (generation_before(one), folders_of(one)) == (before, folders)


def test_domains_without_held_out_answers_are_named() -> None:
    assert domains_of(merge(domains=("poetry", "medical", "legal", "medical"))) == (["legal", "medical"], ["poetry"])
    with pytest.raises(RefusedError, match="for arithmetic, legal, medical only, not for art, poetry"):
        domains_of(merge(domains=("poetry", "art")))


def test_the_merge_is_the_one_that_the_peer_located() -> None:
    mini, fallen, other = merge(), pb.MergeInfo(base_model="smollm2"), merge()
    other.base_model = "org/other@main"
    assert merge_of("merged/mini@3", [fallen, other, mini]) == mini
    assert merge_of("merged/org/other@main@3", [fallen, mini, other]) == other
    with pytest.raises(RefusedError, match="merged/smollm2@1: it is served no more"):
        merge_of("merged/smollm2@1", [fallen, mini])


def test_the_base_is_where_the_settings_say_if_it_is_there(tmp_path: Path) -> None:
    assert model_of("mini", str(MINI_FOLDER)) == str(MINI_FOLDER)
    assert model_of("mini", "/models/of/a/container") == "mini"
    with pytest.raises(BaseModelError, match="org/absent: this base model is not on this machine; hf download"):
        model_of("org/absent", str(tmp_path))


def test_rows_become_one_entry_a_domain() -> None:
    found = measured(ROWS, merge(), by="ada@host", wall_ms=7)
    assert (found.generation, found.before, found.by, found.wall_ms) == (3, 2, "ada@host", 7)
    assert [one.domain for one in found.domains] == ["legal", "medical"]
    legal = found.domains[0]
    figures = [legal.base.value, legal.before.value, legal.after.value, legal.change.value]
    assert (figures, legal.documents) == ([116.9, 61.2, 30.5, -86.4], 200)


def test_the_figures_as_lines_and_as_a_table() -> None:
    one = merge()
    assert list(measure_lines(one)) == ["  not measured: type `plora measure mini`"]
    wall_ms = int(datetime(2026, 3, 4, 12, 30).timestamp() * 1000)
    one.measure.CopyFrom(measured(ROWS, one, by="ada@host", wall_ms=wall_ms))
    assert list(measure_lines(one)) == [
        "  legal: perplexity 30.5 [29.5, 31.5], 61.2 [60.2, 62.2] before, 117 [116, 118] without (better)",
        "  medical: perplexity 99.3 [98.3, 100], 99.1 [98.1, 100] before, 99.0 [98.0, 100] without (no clear change)",
        "  measured by ada@host, 2026-03-04 12:30",
    ]
    alone = measured([one for one in ROWS if one["adapter"] != "before"], merge(1, (1,)), by="", wall_ms=0)
    (legal, _) = table_rows(alone)
    assert (legal["merge_before"], legal["merge_now"]) == ("-", "30.5 [29.5, 31.5]")


def test_a_change_is_clear_only_where_its_interval_excludes_none() -> None:
    spans = ((-2, -1), (1, 2), (-1, 1), (0, 0))
    said = [change_text(pb.Estimate(low=low, high=high)) for low, high in spans]
    assert said == ["better", "worse", "no clear change", "no clear change"]
