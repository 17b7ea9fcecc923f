"""docs/troubleshooting.md quotes what a peer that can't start really says, and otherwise only words of the program."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from tests.cli.conftest import Run

from plora.cli.layers import layer_line
from plora.gate.sentences import sentence

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/troubleshooting.md").read_text()
QUOTED = [line.strip() for line in PAGE.splitlines() if re.match(r"    (?!plora [a-z])", line)]
PARTS = re.compile("^! |[;:] ")
PLACE = re.compile(r"\S*( at \S+)?|line \d+")
LETTERS_MIN = {False: 5, True: 10}  # of a sentence; of one that begins with a name
OTHERS_WORDS = ("input should be a valid integer",)  # pydantic's
BLANK = "\0"  # what a sentence leaves open: a name, a number


def foreign_key(home: Path) -> None:
    shutil.copyfile(home.parent / "other/identity/key.pem", home / "identity/key.pem")


def setting(old: str, new: str) -> Callable[[Path], None]:
    def change(home: Path) -> None:
        (home / "peer.yaml").write_text((home / "peer.yaml").read_text().replace(old, new))

    return change


FAULTS: dict[str, Callable[[Path], object]] = {
    "missing key": lambda home: (home / "identity/key.pem").unlink(),
    "foreign key": foreign_key,
    "readable key": lambda home: (home / "identity/key.pem").chmod(0o644),
    "no swarm": lambda home: (home / "swarm.json").unlink(),
    "no settings": lambda home: (home / "peer.yaml").unlink(),
    "no YAML": lambda home: (home / "peer.yaml").write_text(": : ["),
    "unknown field": setting("  fanout:", "  fanuot:"),
    "wrong value": setting("round_ms: 1000", "round_ms: soon"),
    "damaged store": lambda home: (home / "state.db").write_bytes(b"\x93" * 5000),
    "another layout": lambda home: (home / "VERSION").write_text("9\n"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_page_quotes_the_line(plora: Run, world: Path, fault: str) -> None:
    for name in ("home", "other"):
        assert plora("init", "--name", "ada", "--home", name, "--listen", "127.0.0.1:0").code == 0
    home = world / "home"
    FAULTS[fault](home)
    command = [str(Path(sys.executable).with_name("plora-node")), "--config", str(home / "peer.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode in (1, 2)
    (line,) = done.stderr.splitlines()
    assert _general(line.replace(str(home), "HOME")) in {_general(quoted) for quoted in QUOTED}


def _general(line: str) -> str:
    """A line without the digits of peer ids."""
    return re.sub(r"\b[0-9a-f]{12}\b", "ID", line)


def test_page_quotes_only_words_of_the_program() -> None:
    """Each part of a quoted line (parts end at `; ` or `: `) is a sentence in the code, or names a place."""
    sentences = [re.compile(pattern) for pattern in patterns()]
    parts = {part for line in QUOTED for part in PARTS.split(line) if not PLACE.fullmatch(part)}
    assert len(parts) > 70
    assert [part for part in parts if not any(one.fullmatch(part) for one in sentences)] == []


def test_page_shows_a_layer_as_the_program_does() -> None:
    line = layer_line("policy", "reject", sentence("rank_too_large"), {"rank_max": 4, "ranks": [8]})
    assert f"`{re.sub(' +', ' ', line)}`" in re.sub(" +", " ", PAGE)


def patterns() -> Iterator[str]:
    yield from OTHERS_WORDS
    for path in sorted(ROOT.glob("*/plora/[a-z]*/**/*.py")):
        tree = ast.parse(path.read_text())
        constants = dict(assigned(node) for node in tree.body if isinstance(node, ast.Assign))
        inside = {id(part) for node in ast.walk(tree) for part in parts_of(node)}
        for node in ast.walk(tree):
            text = "" if id(node) in inside else template(node, constants)
            for part in PARTS.split(text):
                if len(re.findall("[A-Za-z]", part)) >= LETTERS_MIN[part.startswith(BLANK)]:
                    yield ".*".join(map(re.escape, part.strip().split(BLANK)))


def assigned(node: ast.Assign) -> tuple[str, object]:
    return ast.unparse(node.targets[0]), getattr(node.value, "value", None)


def parts_of(node: ast.AST) -> list[ast.expr]:
    """Docstrings, and what is only a part of a text."""
    match node:
        case ast.Expr(value=value):
            return [value]
        case ast.JoinedStr(values=values):
            return values
    return []


def template(node: ast.AST, constants: Mapping[str, object]) -> str:
    """What an expression writes, with BLANK for what isn't known; empty for what is no text."""
    match node:
        case ast.Constant(value=str(text)):
            return re.sub(r"\{\w*\}|%[rs]", BLANK, text)
        case ast.JoinedStr(values=values):
            return "".join(template(each, constants) or BLANK for each in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return template(left, constants) + template(right, constants)
        case ast.Name(id=name) if isinstance(constants.get(name), str):
            return str(constants[name])
    return ""
