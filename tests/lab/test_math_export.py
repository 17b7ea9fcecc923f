"""The notebook of the mathematics becomes a PDF whose formulas are drawn, or one line says why not."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest

from plora.lab.math_export import BROWSERS, NOTEBOOK, drawn, main, page_of

ROOT = Path(__file__).resolve().parents[2]


def one_cell(path: Path, code: str) -> Path:
    cell: dict[str, Any] = {"cell_type": "code", "id": "one", "source": code, "metadata": {}, "outputs": []}
    path.write_text(
        json.dumps({"cells": [cell | {"execution_count": None}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}),
        encoding="utf-8",
    )
    return path


def test_every_formula_can_be_drawn_and_the_page_loads_nothing() -> None:
    document = nbformat.read(ROOT / NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    formulas = sum(line.startswith("$$") for cell in document.cells for line in cell.source.splitlines())
    page = page_of(document)
    assert page.count("<img alt=") == formulas >= 30
    assert "<script" not in page and not re.search(r'(src|href)="http|@import|url\(.?http', page)


def test_a_formula_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="frac"):
        drawn("$$\\frac{1$$")


def test_without_a_chromium_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--out", str(tmp_path / "out" / "m.pdf")]) == 2
    [line] = capsys.readouterr().out.splitlines()
    assert "Chromium" in json.loads(line)["what"] and not (tmp_path / "out").exists()


@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="needs a Chromium")
def test_what_holds_is_printed_and_what_fails_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m.pdf"
    assert main(["--notebook", str(one_cell(tmp_path / "bad.ipynb", "assert 1 == 2")), "--out", str(out)]) != 0
    assert "AssertionError" in json.loads(capsys.readouterr().out)["what"] and not out.exists()
    assert main(["--notebook", str(one_cell(tmp_path / "good.ipynb", "assert 2 == 2")), "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"%PDF") and sorted(path.name for path in tmp_path.glob("*.pdf")) == ["m.pdf"]
