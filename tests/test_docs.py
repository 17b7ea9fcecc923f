"""README and docs name only what exists: links, files, modules, commands with their options, make targets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from plora.cli.reference import help_texts

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
GENERATED = {"cli.md"}
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in (".venv", ".git")}
RUNTIME = {"merged", "adapters", "out", "keys", "received", "demo", "results"}
HELP = help_texts()
COMMANDS = {tuple(name.split()[1:]) for name in HELP}
OPTIONS = {name: set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text)) for name, text in HELP.items()}
TARGETS = set(re.findall(r"^([a-z0-9%-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

pytestmark = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text_of(page: Path) -> str:
    """The page; of the page of old names only today's column."""
    text = page.read_text()
    if page.name != "names.md":
        return text
    rows = [line.split(" | ", 1) for line in text.splitlines() if line.startswith("| ")]
    return "\n".join(row[1] for row in rows if len(row) == 2)


def code_of(text: str) -> Iterator[str]:
    """Every piece of code: what stands in backticks, and each line of a block."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    plain = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for block in fenced:
        yield from block.splitlines()
    yield from (line[4:] for line in plain.splitlines() if line.startswith("    "))
    yield from re.findall(r"`([^`\n]+)`", "\n".join(line for line in plain.splitlines() if not line.startswith("    ")))


def words_of(code: str) -> list[str]:
    try:
        return shlex.split(code, comments=True)
    except ValueError:
        return code.split()


def calls_of(page: Path, program: str) -> Iterator[list[str]]:
    """The words after a program's name wherever code calls it."""
    for code in code_of(text_of(page)):
        for part in re.split(r"&&|\||·", code):
            words = words_of(part.strip())
            while words and re.fullmatch(r"\$|sudo|[A-Z_]+=\S*", words[0]):
                words = words[1:]
            if words and Path(words[0]).name == program:
                yield words[1:]


def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]*)(?:#([\w-]+))?\)", page.read_text())
    for target, anchor in links:
        if "://" in target or target.startswith("mailto:"):
            continue
        file = page if not target else page.parent / target
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", one).strip().lower().replace(" ", "-") for one in headings}, anchor


def test_files_exist(page: Path) -> None:
    named = {
        word.rstrip("/.,:")
        for code in code_of(text_of(page))
        for word in words_of(code)
        if re.fullmatch(r"\.?[\w.-]+(/[\w.-]+)+/?", word)
    }
    missing = [
        one
        for one in sorted(named)
        if one.split("/")[0] in FOLDERS - RUNTIME and not (ROOT / one).exists() and not list(ROOT.glob(f"{one}*"))
    ]
    assert missing == []


def test_modules_exist(page: Path) -> None:
    for dotted in sorted({name for code in code_of(text_of(page)) for name in re.findall(r"\bplora(?:\.\w+)+", code)}):
        assert exists(dotted), dotted


def exists(dotted: str) -> bool:
    """Whether it is a module of ours, or a name in one, or something else that begins like it (a wire name, a file)."""
    parts = dotted.split(".")
    if parts[1] in ("v1", "yml", "yaml") or parts[1] not in FOLDERS:
        return True
    for size in range(len(parts), 1, -1):
        name = ".".join(parts[:size])
        if find_spec(name) is not None:
            return size == len(parts) or hasattr(import_module(name), parts[size])
    return False


def test_commands_exist_with_their_options(page: Path) -> None:
    if page.name in GENERATED:
        return
    for words in calls_of(page, "plora"):
        if not words or not re.fullmatch(r"[a-z]+", words[0]):
            continue
        path = next((tuple(words[:size]) for size in (2, 1) if tuple(words[:size]) in COMMANDS), None)
        assert path is not None, words
        known = OPTIONS[" ".join(("plora", *path))] | OPTIONS[f"plora {path[0]}"]
        used = {word.partition("=")[0] for word in words[len(path) :] if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", word)}
        assert used - known == set(), words


def test_make_targets_exist(page: Path) -> None:
    prefixes = tuple(target.removesuffix("%") for target in TARGETS if target.endswith("%"))
    named = {word for words in calls_of(page, "make") for word in words if re.fullmatch(r"[a-z][a-z0-9-]*", word)}
    assert [one for one in sorted(named - TARGETS) if not one.startswith(prefixes)] == []


def test_plora_itself_is_installed_from_a_checkout(page: Path) -> None:
    """No registry has it: whoever took the name there would be who gets installed. With extras, it is there already."""
    assert [code for code in code_of(page.read_text()) if re.search(r"pip install [^#]*\bplora(?![\w.[-])", code)] == []
