"""The tree is what pyproject.toml says: rooms, portions without `__init__.py`, docstrings, no leak of this machine."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = sorted(p.parent.name for p in ROOT.glob("*/plora"))
LEAKS = re.compile(
    r"/work/|\.\./shared|\bsubagent|\bhelper session|pypi\.org|files\.pythonhosted|registry\.npmjs", re.I
)


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_rooms_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    build = project["hatch"]["build"]
    assert sorted(build["dev-mode-dirs"]) == ROOMS == sorted(build["targets"]["wheel"]["sources"])
    assert sorted(project["mypy"]["mypy_path"].split(":")) == ROOMS == sorted(project["ruff"]["src"])
    assert not list(ROOT.glob("*/__init__.py")) + list(ROOT.glob("*/plora/__init__.py"))


def test_every_room_is_typed_and_guarded() -> None:
    assert all((ROOT / room / "plora" / room / "py.typed").is_file() for room in ROOMS)
    guarded = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
    assert sorted(guarded) == [f"plora.{room}" for room in ROOMS]


@pytest.mark.parametrize("room", ROOMS)
def test_modules_have_docstrings(room: str) -> None:
    missing = [
        p
        for p in (ROOT / room).rglob("*.py")
        if "v1" not in p.parts and not ast.get_docstring(ast.parse(p.read_text()))
    ]
    assert missing == []


def test_every_decision_has_a_number_of_its_own() -> None:
    pages = sorted((ROOT / "docs/adr").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    assert [page.read_text().split(".")[0] for page in pages] == [f"# {number + 1}" for number in range(len(pages))]


def test_nothing_names_this_machine() -> None:
    texts = [
        p
        for p in tracked()
        if p.suffix in {".py", ".md", ".toml", ".yaml", ".yml", ".sh", ".proto", ""} and p != Path(__file__)
    ]
    found = [f"{p.relative_to(ROOT)}: {m.group()}" for p in texts if (m := LEAKS.search(p.read_text(errors="ignore")))]
    assert found == []
