"""What the page is made of: files of others are what they claim, files of ours load nothing from elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "node/plora/node/web/static"
VENDOR = STATIC / "vendor"
VENDORED = json.loads((VENDOR / "vendored.json").read_text())
LICENCES = {"Apache-2.0", "BSD-3-Clause", "ISC", "MIT"}
OWN = sorted(path for path in STATIC.rglob("*") if path.is_file() and VENDOR not in path.parents)


def test_every_file_of_others_is_listed() -> None:
    there = {path.name for path in VENDOR.iterdir()} - {"vendored.json", "LICENCES.txt"}
    assert there == {entry["file"] for entry in VENDORED}


@pytest.mark.parametrize("entry", VENDORED, ids=lambda entry: str(entry["file"]))
def test_file_of_others_is_unchanged_and_free(entry: dict[str, str]) -> None:
    assert hashlib.sha256((VENDOR / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
    assert entry["licence"] in LICENCES
    assert re.fullmatch(r"\d+\.\d+\.\d+", entry["version"])
    assert entry["package"] in (VENDOR / "LICENCES.txt").read_text()


@pytest.mark.parametrize("path", OWN, ids=lambda path: str(path.name))
def test_own_file_names_nothing_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//[a-z]+\.[a-z]", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|dangerously|document\.write|\beval\(", text)


def test_the_document_has_no_code_of_its_own() -> None:
    """The content security policy would refuse it anyway."""
    html = (STATIC / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=", html)


def test_every_local_import_is_there() -> None:
    for path in OWN:
        for named in re.findall(r'from "(\.[^"]+)"', path.read_text(encoding="utf-8")):
            assert (path.parent / named).resolve().is_file(), f"{path.name}: {named}"


@pytest.mark.slow
def test_the_wheel_has_the_page(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=100)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (*OWN, *VENDOR.iterdir()):
        assert f"plora/node/web/static/{path.relative_to(STATIC).as_posix()}" in names
