"""Help and pages say what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import Run, write_tiny_adapter

from plora.cli.reference import cli_page, configuration_page, help_texts, metrics_page
from plora.cli.schema import schema_text
from plora.cli.usage import PANELS
from plora.merge import Adapter, FactorPair, LoraSpec, write_adapter

ROOT = Path(__file__).resolve().parents[2]
HELP = help_texts()
HEAVY = ("torch", "transformers", "numpy", "grpc", "pydantic", "cryptography", "rich", "plora.node", "plora.gate")


@pytest.mark.parametrize(
    ("page", "fresh"),
    [
        ("configuration.md", configuration_page),
        ("cli.md", cli_page),
        ("metrics.md", metrics_page),
        ("peer.schema.json", schema_text),
    ],
)
def test_page_is_fresh(page: str, fresh: object) -> None:
    assert callable(fresh)
    assert (ROOT / "docs" / page).read_text() == fresh(), "run: python -m plora.cli.reference docs"


@pytest.mark.parametrize("name", [name for name in HELP if name != "plora"])
def test_help_explains_every_option(plora: Run, name: str) -> None:
    done = plora(*name.split()[1:], "--help")
    assert done.code == 0
    (usage,) = re.findall(rf"^Usage: {name} \[OPTIONS\](.*)$", done.out, re.MULTILINE)
    assert re.fullmatch(r"( [A-Z]+(\.\.\.)?| \[[A-Z]+\](\.\.\.)?| COMMAND \[ARGS\]\.\.\.)*", usage)
    options = re.findall(r"^  (?:-\w, )?(--[a-z-]+)(.*)$", HELP[name], re.MULTILINE)
    assert options
    assert [option for option, rest in options if not re.search(r"\w{2,}", re.sub(r"<\w+>", "", rest))] == []


def test_help_lists_every_command_with_a_whole_sentence(plora: Run) -> None:
    sections = plora("--help").out.partition("--help  ")[2]
    lines = re.findall(r"^  ([\w-]+) +(\S.*)$", sections, re.MULTILINE)
    assert sorted(name for name, _ in lines) == sorted(PANELS)
    headings = re.findall(r"^(\S.*):$", sections, re.MULTILINE)
    assert headings == list(dict.fromkeys(PANELS.values()))
    assert [sentence for _, sentence in lines if not sentence.endswith(".") or sentence.endswith("...")] == []


def test_what_mends_an_error_names_only_commands_that_exist() -> None:
    """Hints in the code of all rooms, wherever a command stands in backticks."""
    known = {name.removeprefix("plora ") for name in HELP}
    code = "".join(path.read_text() for path in sorted(ROOT.glob("*/plora/*/**/*.py")) if path.parent.name != "v1")
    named = set(re.findall(r"`plora ([a-z-]+(?: (?:ls|add|rm)\b)?)", code))
    assert len(named) > 10
    assert named - known == set()


def test_help_loads_nothing_heavy() -> None:
    code = f"import sys, plora.cli.main; sys.exit(' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr.strip() == ""


def test_merge_example_runs(tmp_path: Path) -> None:
    done = example("merge_two.py", tmp_path / "out")
    assert re.fullmatch(r"model\.layers\.0\.self_attn\.q_proj: rank 4, lost \d+\.\d%\n", done)
    assert (tmp_path / "out/merged/adapter_model.safetensors").is_file()


def test_gate_example_runs(tmp_path: Path) -> None:
    folder = write_tiny_adapter(tmp_path / "legal")
    assert example("gate_folder.py", folder, tmp_path / "keys").splitlines() == [
        "ACCEPT - (weights)",
        "REJECT hash_mismatch (chunks and hash)",
    ]


def test_load_example_runs(tmp_path: Path) -> None:
    spec = LoraSpec(r=2, alpha=4, target_modules=("o_proj",), base_model_name="mini")
    pair = FactorPair(np.ones((2, 160), np.float32), np.ones((160, 2), np.float32), 2.0)
    write_adapter(tmp_path, Adapter.of({"model.layers.1.self_attn.o_proj": pair}, spec))
    assert example("load_accepted.py", Path("mini"), tmp_path) == "rank 2 on o_proj\n"


def example(name: str, *arguments: Path) -> str:
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
