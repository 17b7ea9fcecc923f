"""The specification's make targets are there, listed in groups, and carry the base as it was said."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from plora.lab.experiment.steps import STEPS

ROOT = Path(__file__).resolve().parents[3]
OF_THE_SPECIFICATION = (
    *("setup", "test", "train-all", "sign-all", "dry-run-lite", "full-experiment", "full-experiment-status"),
    *("full-experiment-reset", "swarm-v2-smoke", "swarm-v2-eval", "thesis-sweep", "consensus-smoke", "calibrate-c"),
    *("validate-bounds", "probes-calib", "ablation", "alt-train-merge", "value-add-build-lowmem", "monolithic"),
    *("prepare-data", "offer-all", "fetch-all", "artefacts-check", "config-use-dry", "config-use-full"),
    *("dump-policy", "dry-run-lite-status", "dry-run-lite-reset", "net-it", "figures", "math-export"),
)

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def made(*words: str, **environ: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name not in ("BASE", "PLORA_BASE_MODEL")}
    return subprocess.run(
        ["make", "-C", str(ROOT), "--no-print-directory", *words],
        env=clean | environ, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def test_help_lists_every_target_of_the_specification_with_what_it_does() -> None:
    listed = {words[0]: words[1:] for line in made("help").splitlines() if len(words := line.split()) > 1}
    assert [name for name in OF_THE_SPECIFICATION if not listed.get(name)] == []


@pytest.mark.parametrize(
    ("said", "environ", "base"),
    [
        ((), {}, ""),
        (("BASE=smollm2",), {}, "--base smollm2"),
        ((), {"BASE": "smollm2"}, "--base smollm2"),
        ((), {"PLORA_BASE_MODEL": "smollm2"}, ""),
    ],
)
def test_the_experiment_gets_the_base_that_was_said(said: tuple[str, ...], environ: dict[str, str], base: str) -> None:
    called = made("-n", "-o", ".venv/.ready", "dry-run-lite", *said, **environ)
    assert called.strip().endswith(f"run --config config/plora.dry.yml {base}".strip())


def test_other_targets_take_the_base_of_the_environment() -> None:
    assert "--base smollm2" in made("-n", "-o", ".venv/.ready", "train-legal", PLORA_BASE_MODEL="smollm2")
    assert "--base mini" in made("-n", "-o", ".venv/.ready", "train-legal", BASE="mini", PLORA_BASE_MODEL="smollm2")
    assert "--base mini" in made("-n", "-o", ".venv/.ready", "train-legal")


def test_steps_have_the_specifications_numbers_in_order() -> None:
    numbers = [step.number for step in STEPS]
    assert numbers == sorted(set(numbers))
    assert set(numbers) == set(range(1, 20))


def test_a_study_and_an_ablation_have_ranks_of_their_own() -> None:
    assert "--ranks 1,4 " in made("-n", "-o", ".venv/.ready", "ablation")
    assert "--ranks 4 " in made("-n", "-o", ".venv/.ready", "value-add-build-lowmem")
    assert "--ranks 2 " in made("-n", "-o", ".venv/.ready", "ablation", "RANKS=2")
