"""The output sink: what others wrote can't steer a terminal, and `--json` is one document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cli.conftest import Run

from plora.cli.layers import layer_line
from plora.cli.output import Output, safe

HOSTILE = ["\x1b[2J", "a\rb", "a\nb", "\x07", "\u202egnp.exe", "\x9b31m", "\u2028", "[bold red]x[/]", "\ud800"]


@settings(deadline=None, max_examples=300)
@given(st.text())
def test_safe_text_is_printable_and_keeps_what_was(text: str) -> None:
    shown = safe(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_hostile_reaches_the_terminal(capsys: pytest.CaptureFixture[str], text: str) -> None:
    output = Output()
    output.document({}, [text])
    output.table(("name",), [{"name": text}], [])
    output.line(text)
    output.hint(text)
    output.failure(text)
    captured = capsys.readouterr()
    for line in (captured.out + captured.err).split("\n"):
        assert line.isprintable()
    assert captured.out.count("\n") == 4  # a line, a heading and its row, a line


def test_markup_is_only_text(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("name",), [{"name": "[red]x[/red] :smile:"}], [])
    assert "[red]x[/red] :smile:" in capsys.readouterr().out


@pytest.mark.parametrize("method", ["document", "table"])
def test_json_is_one_document_and_nothing_else(capsys: pytest.CaptureFixture[str], method: str) -> None:
    output = Output(as_json=True)
    if method == "document":
        output.document({"a": "\x1b[0m"}, ["no"])
    else:
        output.table(("a",), [{"a": 1}], {"a": "\x1b[0m"})
    output.hint("no")
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"a": "\x1b[0m"}
    assert "\x1b" not in captured.out
    assert captured.err == ""


def test_quiet_leaves_out_hints_but_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(quiet=True)
    output.hint("no")
    output.failure("yes")
    assert capsys.readouterr().err == "plora: yes\n"


def test_quiet_command_prints_its_result_alone(plora: Run, world: Path) -> None:
    loud = plora("sign", "out/medical", "--key", "keys/ada.pem", "--domain", "medical")
    quiet = plora("sign", "out/medical", "--key", "keys/ada.pem", "--domain", "medical", "--quiet")
    assert loud.err.startswith("Next: ")
    assert quiet.err == ""
    assert "content_id" in quiet.out


def test_layer_line_shortens_what_it_saw() -> None:
    line = layer_line("weights", "reject", "too large", {"norm": 3.14159265, "digest": "ab" * 32})
    assert line == f"✗ weights               reject      too large  norm=3.142  digest={'ab' * 10}…{'ab' * 4}"
