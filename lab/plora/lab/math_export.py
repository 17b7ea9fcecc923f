"""Writes the notebook of the mathematics as a PDF, by the Chromium of this machine: `results/math_foundations.pdf`.

    python -m plora.lab.math_export

Rules:

- The notebook is run first, in a kernel of its own. A check in it that fails is an error, and nothing is written.
- Nothing is fetched: formulas (lines `$$…$$` of markdown) are drawn by matplotlib, where nbconvert would load MathJax;
  scripts are left out of the page.
- The PDF takes its place when it is whole. Without a Chromium on the path it isn't begun.

Not handled here: formulas within a line of text, which stay as they are written.

>>> drawn("It is $1.\\n\\n$$\\\\lambda_2 > 0$$\\n").startswith('It is $1.\\n\\n<img alt="')
True
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from plora.lab.console import emit, run_command
from plora.proto.errors import UsageError, WorkerError

NOTEBOOK = Path("notebooks/math_foundations.ipynb")
RESULT = Path("results/math_foundations.pdf")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--no-pdf-header-footer")
CELL_S, PRINT_S = 120, 120
FORMULA = re.compile(r"^\$\$(.+)\$\$$", re.MULTILINE)
SCRIPT = re.compile("<script.*?</script>", re.DOTALL)
STYLE = """<style>
@page { size: A4; margin: 18mm }
.jp-Cell, img { break-inside: avoid }
h1, h2 { break-after: avoid }
div.highlight pre { font-size: 9px !important; line-height: 1.35 !important; white-space: pre-wrap !important }
</style>"""


def export(notebook: Path = NOTEBOOK, result: Path = RESULT) -> Path:
    """Run the notebook and print it. Raises UsageError without a Chromium, WorkerError where a check fails."""
    browser = chromium()
    result.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=result.parent) as folder:
        page, draft = Path(folder) / "page.html", Path(folder) / result.name
        page.write_text(page_of(executed(notebook)), encoding="utf-8")
        _print(browser, page, draft)
        draft.replace(result)
    return result


def chromium() -> str:
    """Where a Chromium is; UsageError where there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise UsageError("no Chromium is here to print the notebook", where="PATH", mend="apt install chromium")
    return found


def executed(notebook: Path) -> Any:
    """The notebook with its outputs. Raises WorkerError with what failed."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    document = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    try:
        NotebookClient(document, timeout=CELL_S, kernel_name="python3").execute()
    except CellExecutionError as error:
        raise WorkerError(f"a check failed: {error.ename} {error.evalue}\n{error}", where=str(notebook)) from error
    return document


def page_of(document: Any) -> str:
    """The notebook as one HTML page that loads nothing."""
    from nbconvert import HTMLExporter

    for cell in document.cells:
        if cell.cell_type == "markdown":
            cell.source = drawn(cell.source)
    options = {"template_name": "lab", "mathjax_url": "", "require_js_url": "", "exclude_input_prompt": True}
    exporter = HTMLExporter(**options)  # type: ignore[no-untyped-call]
    page: str = exporter.from_notebook_node(document)[0]
    return SCRIPT.sub("", page).replace("</head>", f"{STYLE}</head>", 1)


def drawn(markdown: str) -> str:
    """Markdown with its formulas as pictures; ValueError for one that can't be drawn."""
    return FORMULA.sub(lambda found: _picture(found[1]), markdown)


def _picture(formula: str) -> str:
    from matplotlib import rc_context
    from matplotlib.mathtext import math_to_image

    picture = io.BytesIO()
    with rc_context({"svg.fonttype": "path", "mathtext.fontset": "cm", "font.size": 13}):
        math_to_image(f"${formula}$", picture, format="svg")
    data = base64.b64encode(picture.getvalue()).decode()
    return f'<img alt="{escape(formula)}" src="data:image/svg+xml;base64,{data}">'


def _print(browser: str, page: Path, draft: Path) -> None:
    flags = [*FLAGS, f"--user-data-dir={page.parent / 'profile'}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    command = [browser, *flags, f"--print-to-pdf={draft.resolve()}", page.resolve().as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PRINT_S, check=False)
    if done.returncode or not draft.exists():
        raise WorkerError(f"ended with {done.returncode}: {done.stderr[-500:]}", where=browser)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m plora.lab.math_export", description="The mathematics as a PDF.")
    parser.add_argument("--notebook", type=Path, default=NOTEBOOK)
    parser.add_argument("--out", type=Path, default=RESULT)
    told = parser.parse_args(arguments)

    def work() -> None:
        try:
            path = export(told.notebook, told.out)
        except ModuleNotFoundError as error:
            raise UsageError(str(error), mend="it comes with the extra `notebooks`: make setup") from error
        emit({"event": "written", "path": str(path)})

    return run_command(work)


if __name__ == "__main__":
    sys.exit(main())
