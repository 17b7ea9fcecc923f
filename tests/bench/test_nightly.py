"""A run of nightly tests says of each how it ended, and ends with 1 if one failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NIGHTLY = Path(__file__).resolve().parents[2] / "bench" / "nightly.py"
TESTS = """
import pytest
pytestmark = pytest.mark.nightly

def test_passes(record_property):
    record_property("largest difference", "2.1e-4")

@pytest.fixture
def base():
    pytest.skip("no such base here")

def test_skips(base):
    pass

@pytest.fixture
def cleaned_up():
    yield
    raise RuntimeError

def test_fails_late(cleaned_up):
    pass

def test_fails():
    assert False
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(NIGHTLY), "-c", "pytest.ini", "-p", "no:randomly", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_each_test_has_a_row_and_one_that_fails_is_told_by_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = nightly\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    done = run(tmp_path)
    rows = {cells[1].strip(): cells for line in done.stdout.splitlines() if len(cells := line.split("│")) == 7}
    assert done.returncode == 1
    assert [rows["tests that failed"][at].strip() for at in (2, 4)] == ["2 of 4", "NO"]
    assert rows["tests that failed"][5].strip().startswith("1 passed, 1 skipped; 20")
    assert {name.partition("::")[2]: cells[5].strip() for name, cells in rows.items() if "::" in name} == {
        "test_passes": "passed; largest difference 2.1e-4",
        "test_skips": "skipped: no such base here",
        "test_fails_late": "failed",
        "test_fails": "failed",
    }
    assert run(tmp_path, "-k", "passes or skips").returncode == 0


def test_a_run_in_which_pytest_stumbles_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = nightly\n")
    (tmp_path / "test_it.py").write_text("import nonsense")
    done = run(tmp_path)
    assert done.returncode == 2 and "tests that failed" not in done.stdout
