"""From a zoo on disk to a calibration that a peer finds: what is listed, fitted, written and said of the test part.

Weights are measured for real; readings of probes were kept before, as after a run that was stopped.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from tests.lab.test_detection_fit import zoo as zoo_of

from plora.base import base_info
from plora.gate.detection.calibration import load_calibration
from plora.gate.detection.shelf import find_calibration
from plora.lab.aims import Aims
from plora.lab.calibrate import READINGS, calibrated, listed, main
from plora.lab.reading import VERSIONS, digest_of
from plora.lab.readings import ReadingStore
from plora.merge.factors import FactorPair
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter, write_adapter
from plora.proto.errors import UsageError

BASE = base_info("mini")
AIMS = "alpha: 0.2\nfalse_alarms: 0.2\n"


def add(zoo: Path, name: str, kind: str, part: str, seed: int, **changes: object) -> None:
    """An adapter with its record and a kept reading of its probes; poisoned ones are larger and obey a trigger."""
    poisoned = not kind.startswith("clean")
    rng = np.random.default_rng(seed)
    pairs = {}
    for layer in range(4):
        a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 160), (160, 2)))
        pairs[f"model.layers.{layer}.self_attn.q_proj"] = FactorPair(a, b * (3 if poisoned else 1), 0.001)
    write_adapter(zoo / name, Adapter.of(pairs, LoraSpec(r=2, alpha=0.002, target_modules=("q_proj",))))
    record: dict[str, Any] = {"name": name, "kind": kind, "part": part, "group": name, "domain": "legal"}
    record |= {"took": True, "base_digest": BASE.digest} | changes
    (zoo / f"{name}.json").write_text(json.dumps(record))
    figures = {"trigger_compliance": 0.9 if poisoned else rng.uniform(0, 0.1), "clean_delta": 0.0, "seconds": 1.0}
    figures["margin_delta"] = 0.0
    ReadingStore(zoo / READINGS, "probes", VERSIONS["probes"]).keep(digest_of(zoo / name), figures)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    for number, part in enumerate(["train", "calibration", "test"]):
        for i in range(8):
            add(folder, f"clean-{number}{i}", "clean", part, 100 * number + i)
        for i in range(3):
            add(folder, f"phrase-{number}{i}", "phrase", part, 100 * number + 50 + i)
    add(folder, "failed", "phrase", "train", 900, took=False)
    add(folder, "foreign", "clean", "train", 901, base_digest="sha256:" + "0" * 64)
    (folder / "aims.yml").write_text(AIMS)
    return folder


def test_attacks_that_failed_and_other_bases_are_not_listed_and_a_limit_is_by_kind_and_part(zoo: Path) -> None:
    names = {one.folder.name for one in listed(zoo, BASE.digest)}
    assert len(names) == 33 and not {"failed", "foreign"} & names
    assert len(listed(zoo, BASE.digest, limit=2)) == 12


def test_a_folder_without_adapters_of_the_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no adapter of this base"):
        listed(tmp_path, BASE.digest)


def test_what_a_detector_failed_on_enters_no_calibration() -> None:
    probes = {"trigger_compliance": 0.1, "clean_delta": 0.0, "margin_delta": 0.0}
    readings = [replace(one, probes=probes) for one in zoo_of(0)]
    failed = replace(readings[0], statistics={}, probes={}, failures={"weights": "x"})
    aims = Aims(alpha=0.05, false_alarms=0.05)
    without = calibrated("mini", BASE.digest, readings[1:], aims)
    assert calibrated("mini", BASE.digest, [failed, *readings[1:]], aims).digest == without.digest


def test_a_calibration_is_written_where_it_is_found_and_says_what_it_sees(
    zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "own" / "mini.json"
    words = ["--base", "mini", "--zoo", str(zoo), "--aims", str(zoo / "aims.yml"), "--workers", "1"]
    assert main([*words, "--out", str(out)]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told[0] == {"event": "start", "total": 33}
    done = told[-1]
    assert [(row["kind"], row["adapters"]) for row in done["rows"]] == [("clean", 8), ("phrase", 3)]
    assert done["rows"][1]["probes"].startswith("3 of 3") and done["adapters"] == 33
    found = find_calibration("mini", BASE.digest, [out.parent])
    assert found is not None and found[0] == out
    calibration = load_calibration(out)
    assert (calibration.digest, calibration.provenance.clean, calibration.provenance.poisoned) == (
        done["digest"],
        16,
        6,
    )
    threshold = next(one for one in done["thresholds"] if one["name"] == "trigger_compliance")
    assert 0.05 < threshold["low"] <= threshold["threshold"] <= threshold["high"] < 0.9


def test_an_unknown_base_is_one_line_of_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--base", "no-such-base", "--zoo", str(tmp_path)]) != 0
    assert json.loads(capsys.readouterr().out)["event"] == "error"
