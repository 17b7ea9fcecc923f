"""The check of every step passes what a sound run leaves, and refuses it once anything that it looks at is broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from plora.lab.experiment.artifacts import file_digest
from plora.lab.experiment.config import Experiment, read_config
from plora.lab.experiment.step import Seen
from plora.lab.experiment.steps import STEPS
from plora.lab.experiment.work import faults_of
from plora.merge.draft import Facts, sign_folder
from plora.proto.owner_files import create_owner
from plora.proto.swarm import open_swarm
from plora.sim.sweep import Sweep

ROOT = Path(__file__).resolve().parents[3]
TENSORS = "out/legal/adapter_model.safetensors"
SWEEP = {"base": {"agents": 4, "rounds": 2}, "axes": {"seed": {"count": 2}}}
PAIRS = {"accepted": {"clean": 9, "trojan": 0}}
INTERVAL = {"value": 2.0, "low": 1.0, "high": 3.0}


def _experiment() -> Experiment:
    dry = read_config(ROOT / "config/plora.dry.yml")
    changes = {"domains": ("legal",), "sweep": "config/sweep.yml"}
    spectra = dry.spectra.model_copy(update={"sizes": (50, 100), "held_out": (200,), "seeds": 2})
    swarm = dry.swarm.model_copy(update={"rounds": 2})
    alternation = dry.alternation.model_copy(update={"rounds": 2})
    return dry.model_copy(update={**changes, "swarm": swarm, "alternation": alternation, "spectra": spectra})


EXPERIMENT = _experiment()


def _report(**changes: Any) -> dict[str, Any]:
    security = {"detectors": True, "consensus": True}
    told = {
        "scenario": {"seed": 0, "security": security},
        "rounds": [{"coverage": {"legal": one}} for one in (0.5, 1.0)],
    }
    return told | {"gate": {"pairs": PAIRS}, "clean_arrived": True, "broken": []} | changes


def _graph(n: int, seed: int) -> dict[str, Any]:
    return {"n": n, "seed": seed, "lambda2": 0.5, "rounds": 6.0}


def _constant(family: str) -> dict[str, Any]:
    return {
        "family": family,
        "sizes": [50, 100],
        "sizes_held_out": [200],
        "runs": [_graph(50, 0), _graph(49, 1), _graph(100, 0), _graph(100, 1)],
        "runs_held_out": [_graph(200, 0), _graph(200, 1)],
        "C": INTERVAL,
        "C_bound": 3.0,
        "null": {"a": INTERVAL, "b": INTERVAL},
    }


ADAPTER = {"r": 4, "lora_alpha": 8, "peft_type": "LORA", "target_modules": ["q_proj"]}
LEARNED = {"steps": 60, "first_loss": 5.0, "last_loss": 2.0, "val_ppl_before": 149.0, "val_ppl_after": 26.0}


def _cell(cell: str, *plan: Any) -> dict[str, Any]:
    rank, scheme, seed = plan or (None, None, None)
    of = "legal" if plan else ""
    return {"cell": cell, "domain": "legal", "of": of, "rank": rank, "scheme": scheme, "seed": seed, "lambda": 1.0}


def _ablated(rank: int) -> dict[str, Any]:
    return {"domain": "legal", "rank": rank, "scheme": "all", "parameters": 9, "beside_reference": INTERVAL}


ROWS: dict[str, list[dict[str, Any]]] = {
    "results/value_add/value_add.jsonl": [
        _cell("baseline"),
        *(_cell(name, 1, "all", 41) for name in ("adapter", "placebo_norm", "placebo_shuffled")),
    ],
    "results/ablation.jsonl": [_ablated(1), _ablated(4)],
    "results/alt_train_merge/rounds.jsonl": [
        {"round": number, "moved": moved, "nll": {"merged": {"legal": 3.0}}} for number, moved in ((0, None), (1, 0.5))
    ],
}
TRANSFER = {"low": 0.1, "bits": 0.2, "high": 0.3, "share": 0.5, "p": 0.05}
BOUNDS = (
    *("cheeger, lower", "cheeger, upper", "mohar, lower", "mohar, upper", "sweep cut", "exact cut"),
    *("random cuts from above", "random cuts from below", "calibrated rounds"),
)
DOCUMENTS: dict[str, Any] = {
    "results/net_it_metrics.json": {
        "family": "er",
        "agents": 50,
        "domains": 8,
        "seeds": list(range(12)),
        "rounds": 1,
        "mutual_information": [{"round": number, "mean": 1.0, "low": 0.9, "high": 1.1} for number in (0, 1)],
        "transfer_entropy": {"neighbours": TRANSFER, "strangers": TRANSFER},
    },
    "out/monolithic_r4/adapter_config.json": ADAPTER,
    "out/monolithic_r4.metrics.json": LEARNED,
    "results/value_add/summary.json": {"entries": []},
    "results/alt_train_merge/convergence.json": {"moved": [None, 0.5]},
    "results/data.json": {
        "domains": {
            "legal": {
                "questions_in_two_splits": 0,
                "splits": {"train": {"pairs": 99}, "validation": {"pairs": 9}, "test": {"pairs": 9}},
            }
        }
    },
    **{f"results/c_calib_{family}.json": _constant(family) for family in ("er", "ws", "ba")},
    "results/bounds_validation.json": {
        "C_bound": {"er": 1, "ws": 1, "ba": 1},
        "bounds": [{"name": name, "claim": "x", "proved": True, "graphs": 12, "violations": []} for name in BOUNDS],
    },
    "results/probes_calib.json": {
        "base": "mini",
        "provenance": {"clean": 2, "poisoned": 2},
        "probes": {"figures": [{"name": "clean_delta", "low": 0.1, "threshold": 0.2, "high": 0.3}]},
    },
    "out/legal/adapter_config.json": ADAPTER,
    "out/legal.metrics.json": LEARNED,
    "results/swarm_v2/seed-0/report.json": _report(),
    "results/summary_v2.json": {"runs": [{"seed": 0, "coverage": {"legal": 1.0}}]},
    "results/consensus_smoke/report.json": _report(),
    "results/policy.json": [
        {"setting": "policy.signatures_enabled", "value": True, "source": "default"},
        {"setting": "policy.insecure", "value": False, "source": "default"},
    ],
}
TESTS_XML = '<testsuites><testsuite tests="3" failures="{}" errors="0" skipped="{}"/></testsuites>'


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with sound outputs of every step."""
    root = tmp_path_factory.mktemp("sound")
    for name, document in DOCUMENTS.items():
        _write(root / name, document)
    (root / "results/tests.xml").write_text(TESTS_XML.format(0, 1))
    factors = {"lora_A": np.ones((4, 8), "float32"), "lora_B": np.ones((8, 4), "float32")}
    weights = {f"base_model.model.q_proj.{name}.weight": array for name, array in factors.items()}
    for name in (TENSORS, "out/monolithic_r4/adapter_model.safetensors"):
        save_file(weights, root / name)
    _sign(root, "owner")
    fetched = {"domain": "legal", "sha256": file_digest(root / TENSORS)}
    _write(root / "results/grpc_demo.json", {"fetched": [fetched]})
    (root / "config").mkdir()
    (root / "config/sweep.yml").write_text(yaml.safe_dump(SWEEP))
    runs = Sweep.parse(SWEEP).runs()
    swept = {"results/thesis_sweep.jsonl": [{"digest": run.digest, "report": {}} for run in runs]}
    for name, rows in (ROWS | swept).items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "results/value_add/value_add.md").write_text("legal")
    studied = {"sha256": file_digest(root / "results/value_add/value_add.jsonl"), "rows": 4, "faults": []}
    _write(root / "results/value_add_verified.json", studied)
    return root


def _sign(root: Path, name: str) -> None:
    (root / "keys").mkdir(exist_ok=True)
    made = create_owner(
        root / f"keys/{name}.pem", name=name, swarm=open_swarm("walk").id, issued_s=1_700_000_000, algorithm="Ed25519"
    )
    facts = Facts("legal", "legal", 1, "mini", "0" * 64, "MIT", 1_700_000_000, 1_800_000_000)
    sign_folder(root / "out/legal", made, facts)


def _write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    """A copy that may be broken."""
    shutil.copytree(sound, tmp_path / "root")
    return tmp_path / "root"


def faults(step: int, root: Path) -> list[str]:
    found = next(one for one in STEPS if one.number == step)
    return faults_of(found, EXPERIMENT, Seen(root, root))


@pytest.mark.parametrize("step", [step.number for step in STEPS])
def test_what_a_sound_run_leaves_passes(step: int, sound: Path) -> None:
    assert faults(step, sound) == []


@dataclass(frozen=True)
class Break:
    """One way to break an output of a step, and words of the sentence that tells of it."""

    step: int
    said: str
    do: Callable[[Path], object]


def put(name: str, *path: Any, value: Any) -> Callable[[Path], None]:
    """Set one value of a JSON document."""

    def change(root: Path) -> None:
        document = json.loads((root / name).read_text())
        *way, last = path
        inner = document
        for part in way:
            inner = inner[part]
        inner[last] = value
        _write(root / name, document)

    return change


def _unproved(root: Path) -> None:
    """A proved bound that failed, in a document that says it was none."""
    put(VALIDATED, "bounds", 3, "violations", value=[{"graph": "x"}])(root)
    put(VALIDATED, "bounds", 3, "proved", value=False)(root)


def text(name: str, content: str) -> Callable[[Path], object]:
    return lambda root: (root / name).write_text(content)


def gone(name: str) -> Callable[[Path], object]:
    return lambda root: (root / name).unlink()


def weights(change: Callable[[str, Any], Any]) -> Callable[[Path], object]:
    def do(root: Path) -> None:
        loaded = load_file(root / TENSORS)
        save_file({name: change(name, array) for name, array in loaded.items()}, root / TENSORS)

    return do


def rows(name: str, change: Callable[[list[str]], list[str]]) -> Callable[[Path], object]:
    """Change the lines of a file of rows."""

    def do(root: Path) -> None:
        path = root / name
        path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")

    return do


VALIDATED = "results/bounds_validation.json"
SWEPT, STUDIED = "results/thesis_sweep.jsonl", "results/value_add/value_add.jsonl"
ABLATED, ALTERNATED = "results/ablation.jsonl", "results/alt_train_merge/rounds.jsonl"
RECORD, VERIFIED = "results/alt_train_merge/convergence.json", "results/value_add_verified.json"
DATA, NETWORK = "results/data.json", "results/net_it_metrics.json"
SWARM, CONSENSUS = "results/swarm_v2/seed-0/report.json", "results/consensus_smoke/report.json"
BREAKS = [
    Break(1, "1 of 3 tests failed", text("results/tests.xml", TESTS_XML.format(1, 0))),
    Break(1, "no test ran", text("results/tests.xml", TESTS_XML.format(0, 3))),
    Break(2, "legal: 2 questions", put(DATA, "domains", "legal", "questions_in_two_splits", value=2)),
    Break(
        2, "only 3 pairs of train", put("results/data.json", "domains", "legal", "splits", "train", "pairs", value=3)
    ),
    Break(2, "no data", put("results/data.json", "domains", value={})),
    Break(3, "C is outside", put("results/c_calib_ws.json", "C", "value", value=9.0)),
    Break(3, "c_calib_ba.json is missing", gone("results/c_calib_ba.json")),
    Break(3, "ws: of the family er", put("results/c_calib_ws.json", "family", value="er")),
    Break(3, "ws: sizes [50]", put("results/c_calib_ws.json", "sizes", value=[50])),
    Break(3, "ws: held out [400]", put("results/c_calib_ws.json", "sizes_held_out", value=[400])),
    Break(3, "ws: graphs of other", put("results/c_calib_ws.json", "runs", 3, "seed", value=0)),
    Break(3, "ws: others were held out", put("results/c_calib_ws.json", "runs_held_out", 0, "n", value=100)),
    Break(4, "cheeger", put("results/bounds_validation.json", "bounds", 0, "violations", value=[{"graph": "x"}])),
    Break(4, "mohar, upper (x) failed", _unproved),
    Break(4, "sweep cut was looked at on no graph", put(VALIDATED, "bounds", 4, "graphs", value=0)),
    Break(4, "cheeger, lower was looked at on no graph", put(VALIDATED, "bounds", value=[])),
    Break(4, "rounds of 3 graphs, not of 12", put(VALIDATED, "bounds", 8, "graphs", value=3)),
    Break(4, "without the constant of ba, ws", put("results/bounds_validation.json", "C_bound", value={"er": 1})),
    Break(5, "no thresholds", put("results/probes_calib.json", "probes", value=None)),
    Break(5, "upside down", put("results/probes_calib.json", "probes", "figures", 0, "low", value=0.5)),
    Break(5, "no poisoned", put("results/probes_calib.json", "provenance", "poisoned", value=0)),
    Break(5, "of the base other", put("results/probes_calib.json", "base", value="other")),
    Break(6, "rank 8, not 4", put("out/legal/adapter_config.json", "r", value=8)),
    Break(6, "provenance", put("out/legal/adapter_config.json", "provenance", value={})),
    Break(6, "the loss didn't fall", put("out/legal.metrics.json", "last_loss", value=5.0)),
    Break(6, "3 steps", put("out/legal.metrics.json", "steps", value=3)),
    Break(6, "no perplexity", put("out/legal.metrics.json", "val_ppl_after", value=-1)),
    Break(6, "no numbers", weights(lambda name, array: array * np.float32("nan"))),
    Break(6, "nothing was learned", weights(lambda name, array: array * ("lora_A" in name))),
    Break(7, "is of other bytes", weights(lambda name, array: array * 2)),
    Break(7, "did not sign", lambda root: _sign(root, "stranger")),
    Break(7, "out/legal", text("out/legal/plora.yml", "plasmid_id: legal")),
    Break(8, "nothing clean was accepted", put(SWARM, "gate", "pairs", "accepted", "clean", value=0)),
    Break(8, "security was off", put(SWARM, "scenario", "security", "detectors", value=False)),
    Break(8, "1 rounds", put(SWARM, "rounds", value=[{}])),
    Break(8, "of seed 3", put(SWARM, "scenario", "seed", value=3)),
    Break(8, "a slot has two", put(SWARM, "broken", value=["a slot has two contents"])),
    Break(9, "not what its report says", put("results/summary_v2.json", "runs", 0, "coverage", "legal", value=0.9)),
    Break(9, "runs of seeds []", put("results/summary_v2.json", "runs", value=[])),
    Break(10, "120 steps, not 60", put("out/monolithic_r4.metrics.json", "steps", value=120)),
    Break(10, "the loss didn't fall", put("out/monolithic_r4.metrics.json", "last_loss", value=6.0)),
    Break(11, "lacks 1 cells: adapter legal", rows(STUDIED, lambda lines: [lines[0], *lines[2:]])),
    Break(11, "lacks 2 cells: placebo_norm", rows(STUDIED, lambda lines: lines[:2])),
    Break(11, "or twice", rows(STUDIED, lambda lines: [*lines, lines[1]])),
    Break(11, "nobody asked for", rows(STUDIED, lambda lines: [*lines, lines[1].replace("41", "42")])),
    Break(15, "lacks 2 cells: placebo_norm", rows(STUDIED, lambda lines: lines[:2])),
    Break(11, "lacks 1 cells: baseline", rows(STUDIED, lambda lines: lines[1:])),
    Break(11, "the page lacks a domain", text("results/value_add/value_add.md", "medical")),
    Break(13, "lacks 1 of 2 rows", rows(ABLATED, lambda lines: lines[:1])),
    Break(13, "or twice", rows(ABLATED, lambda lines: [*lines, lines[0]])),
    Break(13, "outside its interval", rows(ABLATED, lambda lines: [lines[0], lines[1].replace("2.0", "7.0")])),
    Break(14, "rounds [1]", rows(ALTERNATED, lambda lines: lines[1:])),
    Break(14, "of other rounds", put(RECORD, "moved", value=[None, 0.4])),
    Break(14, "no numbers", rows(ALTERNATED, lambda lines: [lines[0], lines[1].replace("3.0", "NaN")])),
    Break(15, "of other rows", rows(STUDIED, lambda lines: lines[1:])),
    Break(15, "no cell is", put(VERIFIED, "faults", value=["no cell is there"])),
    Break(15, "of no rows", put(VERIFIED, "rows", value=0)),
    Break(12, "1 of 2 runs are missing", rows(SWEPT, lambda lines: lines[:1])),
    Break(12, "is there twice", rows(SWEPT, lambda lines: [*lines, lines[0]])),
    Break(12, "nobody asked for", rows(SWEPT, lambda lines: [*lines, '{"digest": "x", "report": {}}'])),
    Break(12, "can't be read", rows(SWEPT, lambda lines: [*lines, '{"digest": "x'])),
    Break(16, "not every clean adapter", put(CONSENSUS, "clean_arrived", value=False)),
    Break(16, "a slot has two", put(CONSENSUS, "broken", value=["a slot has two contents"])),
    Break(16, "consensus was off", put(CONSENSUS, "scenario", "security", "consensus", value=False)),
    Break(16, "2 trojans", put(CONSENSUS, "gate", "pairs", "accepted", "trojan", value=2)),
    Break(17, "other bytes", put("results/grpc_demo.json", "fetched", 0, "sha256", value="0" * 64)),
    Break(17, "was not fetched", put("results/grpc_demo.json", "fetched", value=[])),
    Break(18, "signatures are not", put("results/policy.json", 0, "value", value=False)),
    Break(18, "is insecure", put("results/policy.json", 1, "value", value=True)),
    Break(18, "without value or source", put("results/policy.json", 0, "source", value="")),
    Break(19, "too few runs", put(NETWORK, "transfer_entropy", "neighbours", value={"refused": "too few runs"})),
    Break(19, "no transfer entropy of strangers", put(NETWORK, "transfer_entropy", value={"neighbours": TRANSFER})),
    Break(19, "runs of other seeds", put(NETWORK, "seeds", value=list(range(1, 13)))),
    Break(19, "('ws', 50, 8)", put(NETWORK, "family", value="ws")),
    Break(19, "2 runs, not 12", put(NETWORK, "seeds", value=[0, 1])),
    Break(19, "are missing", put(NETWORK, "rounds", value=9)),
    Break(18, "can't be read", text("results/policy.json", "[{")),
]


@pytest.mark.parametrize("broken", BREAKS, ids=lambda one: f"{one.step}: {one.said}")
def test_what_is_broken_is_refused(broken: Break, root: Path) -> None:
    broken.do(root)
    found = faults(broken.step, root)
    assert any(broken.said in fault for fault in found), found


def test_every_step_has_a_way_to_break() -> None:
    assert {broken.step for broken in BREAKS} == {step.number for step in STEPS}
