"""Findings: what is counted, whether the rule holds, and the way from the first simulation to the page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from plora.base import Interval
from plora.cli.main import main as plora
from plora.lab.experiment.config import Rule, read_config
from plora.lab.findings import diffusion, material, safety, value
from plora.lab.findings.__main__ import main
from plora.lab.findings.document import ROUND_MS
from plora.lab.findings.figures import Figure
from plora.lab.findings.page import PLACES, with_findings
from plora.lab.findings.rule import answer, parts, to_plain
from plora.lab.findings.runs import rows_of
from plora.lab.findings.settings import Settings, code_digest, place, rule_of, with_verdicts
from plora.lab.findings.value import Kept
from plora.lab.rates import clopper_pearson
from plora.node.daemon.config import GossipBlock
from plora.proto.errors import ConfigError, UsageError
from plora.sim.sweep import Sweep
from plora.sim.verdicts import Rate as Chance
from plora.sim.verdicts import VerdictModel

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config" / "findings.yml"
RULE = Rule(t90_ratio_max=1.25, trojan_rate=0.3, trojan_accepted_upper_max=0.05, value_kept_lower_min=0.7)
BOTH = "security, rounds"
MATERIAL = read_config(ROOT / "config" / "plora.findings.yml")
BOUNDS = {"value": 0.8, "low": 0.75, "high": 0.85}


def small(tmp_path: Path, **changes: Any) -> Path:
    """The settings at a size of seconds."""
    told = yaml.safe_load(CONFIG.read_text())
    for name, agents, seeds in (("gate", 6, 2), ("looks", 6, 1), ("families", 40, 1), ("passing", 40, 1)):
        sweep = told["sweeps"][name]
        sweep["base"] |= {"agents": agents, "rounds": 9}
        sweep["axes"]["seed"]["count"] = seeds
    told["sweeps"]["families"]["axes"]["graph"][0]["p"] = 0.2
    for name in ("gate", "looks"):
        told["sweeps"][name]["base"]["graph"] = {"kind": "complete"}
    told["sweeps"]["gate"]["axes"]["security"] = [one for one, _ in told["sweeps"]["gate"]["axes"].pop(BOTH)]
    told["sweeps"]["looks"]["axes"] = {"seed": {"first": 1000, "count": 1}, "security.inspect_ms": [100]}
    told["sweeps"]["passing"]["axes"]["security.verdicts.accept_trojan"] = [0.5]
    told["layers"] = {"peers": 2, "quorum": 1, "seeds": 1}
    path = tmp_path / "findings.yml"
    path.write_text(
        yaml.safe_dump({**told, **{name: str(ROOT / told[name]) for name in ("rule", "material")}, **changes})
    )
    return path


def kept_row(cell: str = "merged", *, rank: int = 4, lower: float | None = 0.75) -> dict[str, Any]:
    row = {"cell": cell, "rank": rank, "scheme": "all", "lambda": 1.0, "domains": ["legal"], "over_seeds": None}
    return {**row, "kept": BOUNDS, "lower": lower}


def study() -> dict[str, Any]:
    """A summary of value-add with two cells."""
    same: dict[str, Any] = {"domain": "legal", "of": "legal", "rank": 4, "scheme": "all", "lambda": 1.0, "documents": 9}
    difference = dict.fromkeys(("nll", "question_information", "em"), BOUNDS)
    told = {**same, "seeds": [41, 42, 43], "kept": BOUNDS, "significant": {}, "difference": difference}
    entries = [{**same, "cell": "baseline", "seeds": []}, *({**told, "cell": one} for one in ("merged", "adapter"))]
    return {
        "entries": entries,
        "kept": [kept_row()],
        "provenance": {"command": material.command_of(material.STUDY, MATERIAL)},
    }


def calibration() -> dict[str, Any]:
    bounds = {"value": 1.0, "low": 0.9, "high": 1.1}
    made = {"command": material.command_of(material.CALIBRATION, MATERIAL)}
    return {"C": bounds, "C_bound": 1.2, "null": {"a": bounds, "b": bounds}, "provenance": made}


def put(results: Path, name: str, document: Mapping[str, Any]) -> None:
    path = results / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The last record of a command."""
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


@pytest.mark.timeout(600)
def test_findings_from_the_first_simulation_to_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results, page, config = tmp_path / "results", tmp_path / "page.md", small(tmp_path)
    words = ["--config", str(config), "--results", str(results), "--bench", str(tmp_path / "none.json"), "--jobs", "1"]
    page.write_text("".join(f"<!-- findings:{name} -->\n<!-- /findings -->\n" for name in PLACES))
    assert main(["decide", *words]) == 2 and "make findings" in said(capsys)["mend"]
    assert main(["runs", *words]) == 0 and said(capsys)["sweep"] == "layers"
    assert main(words) == 2 and "make calibrate-c" in said(capsys)["mend"]
    for family in diffusion.FAMILIES:
        put(results, f"c_calib_{family}.json", calibration())
    assert main(words) == 2 and "value-add" in said(capsys)["mend"]
    put(results, "value_add/summary.json", study())
    assert main([*words, "--page", str(page)]) == 0
    records = capsys.readouterr().out.splitlines()
    assert [json.loads(one)["event"] for one in records] == ["done"]  # nothing is simulated twice
    found = json.loads((results / "findings.json").read_text())
    assert found["answer"] in ("yes", "no") and found["verdicts"]["assumed"]
    assert found["value"]["cells"][0]["cell"] == "adapter"
    text = page.read_text()
    assert with_findings(text, found) == text and found["parts"][0]["sentence"] in text
    assert "Not measured yet" in text and "assumed, not measured" in text
    assert "says nothing of Plora's own gate" in text and "5 s, decides (a)" in text
    assert [one["inspect_ms"] for one in found["looks"]["rows"]] == [100, 5000]
    with pytest.raises(SystemExit) as ended:
        plora(["lab", "findings", "--config", str(config), "--results", str(results), "--quiet"])
    assert not ended.value.code and found["parts"][1]["sentence"] in capsys.readouterr().out


def report(deceived: int, honest: int = 10) -> dict[str, Any]:
    return {"gate": {"peers": {"publish_no_trojan": honest, "accepted_trojan": deceived}}}


def test_peers_of_one_run_are_no_independent_witnesses() -> None:
    by_runs, as_if = safety.deceived([report(10)] + [report(0)] * 19)
    assert by_runs.value == as_if.value == 0.05 and by_runs.high > as_if.high
    limits = [safety.deceived([report(bad), *[report(0)] * 79])[0].high for bad in range(11)]
    assert limits == sorted(limits) and limits[-1] > 0.06  # one rare run of eighty says no less than none at all
    assert safety.deceived([report(0)] * 71)[0].high > 0.05 > safety.deceived([report(0)] * 72)[0].high


def test_t90_is_when_nine_of_ten_pairs_are_there_within_the_round() -> None:
    slow = diffusion.Spread.of([[[2, 6, 10], 10]] * 3)
    fast = diffusion.Spread.of([[[6, 10, 10], 10]] * 3)
    assert diffusion.t90(slow) == Interval(2.75, 2.75, 2.75)
    assert diffusion.t90_ratio(slow, fast).value == pytest.approx(2.75 / 1.75)
    with pytest.raises(ValueError, match="no pairs"):
        diffusion.t90_ratio(slow, diffusion.Spread.of([[[10], 10]]))


def test_what_nine_of_ten_never_get_has_no_time() -> None:
    never = diffusion.Spread.of([[[5, 8], 10]] * 3)
    assert [one.value for one in diffusion.figures("gate", never, never)][:2] == [None, None]


def test_what_gates_may_let_pass_falls_with_the_number_of_trojans() -> None:
    degrees = [8] * 200
    apart, alike = (safety.tolerable(degrees, correlation, 1, 0.05) for correlation in (0.0, 1.0))
    assert 1 / 7 < apart < 0.2 and alike == pytest.approx(0.05, abs=0.005)  # one in twenty trojans comes to all
    assert safety.tolerable(degrees, 1.0, 3, 0.05) < alike


@pytest.mark.parametrize(
    ("ratio", "trojans", "lower", "failed"),
    [
        (1.2, 0, 0.7, []),
        (1.3, 0, 0.7, ["spread"]),
        (float("inf"), 0, 0.7, ["spread"]),
        (1.2, 20, 0.69, ["safe", "value"]),
        (1.2, 0, None, ["value"]),
    ],
)
def test_the_rule_says_which_part_failed(ratio: float, trojans: int, lower: float | None, failed: list[str]) -> None:
    rate = clopper_pearson(trojans, 200)
    found = parts(RULE, Interval(ratio, ratio, ratio), [rate, rate], Kept(0.7, 0.6, 0.8, lower, "rank 4"))
    assert [one.name for one in found if not one.holds] == failed
    assert answer(found) == ("no" if failed else "yes")
    assert all(("not at" in one.sentence() or "nothing" in one.sentence()) != one.holds for one in found)


def test_the_merge_that_keeps_least_decides() -> None:
    rows = [kept_row(lower=0.8), kept_row(rank=8, lower=0.6), kept_row("routed", lower=0.1)]
    assert value.kept_by_merge({"kept": rows}, 1.0).lower == 0.6
    assert value.kept_by_merge({"kept": [*rows, kept_row(rank=16, lower=None)]}, 1.0).lower is None
    with pytest.raises(UsageError, match="no merge at λ = 2"):
        value.kept_by_merge({"kept": rows}, 2.0)


@pytest.mark.parametrize(("text", "named"), [("[]", "no summary"), ("{", "no summary"), ('{"kept": [{}]}', "older")])
def test_another_file_in_the_studys_place_is_refused(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / value.SUMMARY
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(UsageError, match=named):
        value.read(tmp_path)


def test_a_dry_runs_study_is_refused_by_what_was_asked_otherwise(tmp_path: Path) -> None:
    put(tmp_path, str(value.SUMMARY), study())
    assert material.study(tmp_path, MATERIAL)["kept"]
    with pytest.raises(UsageError, match=r"--ranks 4 instead of --ranks 1") as refused:
        material.study(tmp_path, MATERIAL.model_copy(update={"ranks": (1,)}))
    assert "make findings-material" in refused.value.mend
    one = MATERIAL.model_copy(update={"seeds": (41,)})
    found = {**study(), "provenance": {"command": material.command_of(material.STUDY, one)}}
    found["entries"] = [{**entry, "seeds": [41]} for entry in found["entries"]]
    put(tmp_path, str(value.SUMMARY), found)
    with pytest.raises(UsageError, match="1 of 3 training seeds"):
        material.study(tmp_path, one)


def test_a_calibration_of_other_graphs_is_refused(tmp_path: Path) -> None:
    for family in diffusion.FAMILIES:
        put(tmp_path, f"c_calib_{family}.json", calibration())
    assert set(material.calibrations(tmp_path, MATERIAL)) == set(diffusion.FAMILIES)
    put(tmp_path, "c_calib_ba.json", {**calibration(), "provenance": {}})
    with pytest.raises(UsageError, match="doesn't say what made it"):
        material.calibrations(tmp_path, MATERIAL)


def test_a_share_that_isnt_known_is_no_time_that_never_comes() -> None:
    told = [Figure("", None, unit=unit).text()[0] for unit in ("share", "rounds", "x")]
    assert told == ["unknown", "never", "never"]


def test_no_is_qualified_as_yes_is_unless_what_fails_hangs_on_no_verdict() -> None:
    words = [next(answered(0.3, lower)) for lower in (0.8, 0.6)]
    assert words[0].startswith("**No, if detectors find what is assumed.**") and words[1].startswith("**No.**")
    assert next(answered(0.0, 0.8)).startswith("**Yes, if detectors find what is assumed.**")


def answered(deceived: float, lower: float) -> Iterator[str]:
    """The answer in words, with one share of deceived peers and one bound of what is kept."""
    rate = clopper_pearson(int(200 * deceived), 200)
    found = parts(RULE, Interval(1, 1, 1), [rate], Kept(0.8, 0.7, 0.9, lower, "rank 4"))
    return PLACES["answer"]({"parts": [to_plain(one) for one in found], "verdicts": {"assumed": True}})


@pytest.mark.parametrize(
    ("text", "named"), [('{"digest": "a"}\n{"dig', "no simulation"), ('{"digest": "a"}', "1 of 2")]
)
def test_torn_or_missing_simulations_are_refused_with_the_step_that_makes_them(
    tmp_path: Path, text: str, named: str
) -> None:
    path = tmp_path / "gate.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError, match=named) as refused:
        rows_of(path, ["a", "b"])
    assert "make findings" in refused.value.mend


def test_measured_verdicts_take_the_place_of_assumed_ones_by_the_worst_kind() -> None:
    settings = Settings.read(CONFIG)
    model = VerdictModel({"clean": Chance(1, 0), "style": Chance(0.1, 0), "phrase": Chance(0.4, 0)})
    first = with_verdicts(settings.sweeps.gate, settings.verdicts, model).runs()[0].scenario
    assert (first.publish.trojan_kind, first.security.verdicts) == ("phrase", None)
    first = with_verdicts(settings.sweeps.gate, settings.verdicts, None).runs()[0].scenario
    assert first.security.verdicts == settings.verdicts
    told: Sweep = settings.sweeps.passing
    assert with_verdicts(told, settings.verdicts, model) is told


def test_a_round_is_the_daemons() -> None:
    assert GossipBlock().round_ms == ROUND_MS


def test_kept_runs_are_of_this_code() -> None:
    model = VerdictModel({"clean": Chance(1, 0), "style": Chance(0.1, 0)})
    assert all(place(one).endswith(code_digest()[:12]) for one in (None, model)) and place(None) != place(model)


def test_simulations_at_another_share_of_trojans_answer_another_question(tmp_path: Path) -> None:
    told = yaml.safe_load(CONFIG.read_text())
    told["sweeps"]["gate"]["base"]["publish"]["trojan_rate"] = 0.2
    with pytest.raises(ConfigError, match=r"the rule is at 0\.3"):
        rule_of(Settings.read(small(tmp_path, sweeps=told["sweeps"])), ROOT)
    assert read_config(ROOT / Settings.read(CONFIG).rule).rule == RULE


def test_settings_and_pages_that_lack_something_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sweps"):
        Settings.read(small(tmp_path, sweps={}))
    with pytest.raises(ConfigError, match="can't be read"):
        Settings.read(tmp_path / "none.yml")
    with pytest.raises(UsageError, match="its places are answer"):
        with_findings("<!-- findings:answer -->\n<!-- /findings -->\n", {})
