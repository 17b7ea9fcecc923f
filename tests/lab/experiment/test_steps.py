"""What steps are made of: seeds as their commands have them, and rooms with all the code that they import."""

from __future__ import annotations

from pathlib import Path

import grimp
import pytest

from plora.lab.experiment.config import read_config
from plora.lab.experiment.sources import folders_digest, room_digest
from plora.lab.experiment.step import Step
from plora.lab.experiment.steps import STEPS, depending

ROOT = Path(__file__).resolve().parents[3]
DRY = read_config(ROOT / "config/plora.dry.yml")
COMMANDS = {"sim": "simulating", "sweep": "sweeping", "sign": "files", "dump-policy": "policing"}
SEEDS: dict[int, list[int]] = {
    1: [], 2: [], 3: [0, 1, 2, 3], 4: [1000, 1001, 1002, 1003], 5: list(range(8)), 6: [41], 7: [41], 8: [0], 9: [0],
    10: [41], 11: [41], 12: [0, 1], 13: [41], 14: [41], 15: [41], 16: [0], 17: [], 18: [], 19: list(range(12)),
}  # fmt: skip


@pytest.mark.parametrize(
    ("named", "numbers"),
    [("sign-all", [7, 17]), ("train-all", [6, 7, 17]), ("value-add", [11, 15]), ("dump-policy", [18])],
)
def test_what_depends_on_a_step_is_taken_back_with_it(named: str, numbers: list[int]) -> None:
    assert [step.number for step in depending([named], DRY)] == numbers


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.label)
def test_seeds_are_those_of_what_is_drawn(step: Step) -> None:
    assert list(step.seeds(DRY, ROOT)) == SEEDS[step.number]


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    rooms = ("proto", "base", "merge", "gate", "node", "sim", "analysis", "lab", "cli")
    return grimp.build_graph(*(f"plora.{room}" for room in rooms), cache_dir=None)


@pytest.mark.parametrize("step", STEPS[1:], ids=lambda step: step.label)
def test_rooms_have_all_code_that_a_step_imports(step: Step, imports: grimp.ImportGraph) -> None:
    needed = {room for command in step.commands(DRY, str) for room in _rooms(command.words, imports)}
    assert needed <= set(step.rooms)


def _rooms(words: tuple[str, ...], imports: grimp.ImportGraph) -> set[str]:
    module = words[2] if words[0] == "python" else f"plora.cli.{COMMANDS[words[1]]}"
    if f"{module}.__main__" in imports.modules:
        module += ".__main__"
    return {one.split(".")[1] for one in {module, *imports.find_upstream_modules(module)}}


def test_a_room_is_another_one_once_a_file_of_it_changes(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "one.py").write_text("A = 1\n")
    before = folders_digest([tmp_path])
    (tmp_path / "__pycache__" / "one.pyc").touch()
    assert folders_digest([tmp_path]) == before
    (tmp_path / "one.py").write_text("A = 2\n")
    assert folders_digest([tmp_path]) != before
    with pytest.raises(ValueError, match="no room"):
        room_digest("attic")
