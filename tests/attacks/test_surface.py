"""Attacks by what lies in a folder and by what people are shown."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from tests.attacks.conftest import Watched
from tests.attacks.inputs import adapter, off_the_wire, with_field
from tests.cli.conftest import runner
from tests.gate.conftest import Owner, World

from plora.gate import Verdict, sentence
from plora.proto.errors import StatementError
from plora.proto.payloads import Revocation


def refused(attack: Watched, verdict: Verdict, words: str) -> None:
    assert (verdict.stage, verdict.reason) == ("strict manifest", "folder_refused")
    assert words in str(verdict.evidence["detail"])
    attack.saw(verdict.outcome, verdict.reason)


STRANGERS = (
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "generation_config.json",
    "modeling_plora.py",
    "__init__.py",
    "sitecustomize.pyc",
    "index.html",
    "README.md",
    "model.safetensors.index.json",
)


@pytest.mark.parametrize("name", STRANGERS)
def test_attack_111_what_does_not_belong(attack: Watched, world: World, ada: Owner, name: str) -> None:
    made = adapter(world, ada)
    assert made.judged().accepted
    (made.folder / name).write_text("{}")
    refused(attack, made.judged(), name)


def test_attack_111_folders_within(attack: Watched, world: World, ada: Owner) -> None:
    made = adapter(world, ada)
    (made.folder / "runs").mkdir()
    refused(attack, made.judged(), "runs")


def replace_by(kind: str, path: Path) -> None:
    aside = path.parent.parent / "aside"
    path.rename(aside)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(aside)
    elif kind == "dangling link":
        path.symlink_to("/nowhere")
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(f"/proc/self/fd/{os.open(path.parent, os.O_PATH)}/{path.name}")  # the path itself is too long
    else:
        path.mkdir()


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json", "plora.yml"])
@pytest.mark.parametrize("kind", ["pipe", "link", "dangling link", "link to a device", "socket", "folder"])
def test_attack_112_what_is_no_file(attack: Watched, world: World, ada: Owner, name: str, kind: str) -> None:
    made = adapter(world, ada)
    replace_by(kind, made.folder / name)
    refused(attack, made.judged(), "is not a regular file")


@pytest.mark.parametrize("name", ["Adapter_Model.safetensors", "adapter_config.JSON", "PLORA.yml"])
def test_attack_112_names_that_differ_only_in_case(attack: Watched, world: World, ada: Owner, name: str) -> None:
    made = adapter(world, ada)
    (made.folder / name).write_bytes(made.artifact.read_bytes())
    refused(attack, made.judged(), name)


HOSTILE = {
    "escape": "le\x1b[2Jgal",
    "bidi": "le\u202egal",
    "html": "<script>alert(1)</script>",
    "line end": "legal\nACCEPT",
    "return": "legal\rACCEPT",
    "c1": "le\x9b2Jgal",
    "zero width": "le\u200dgal",
    "tag": "legal\U000e0041",
}


@pytest.mark.parametrize("field", ["plasmid_id", "domain", "safety.licence", "base_model"])
@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_attack_113_hostile_names(attack: Watched, world: World, ada: Owner, field: str, kind: str) -> None:
    outcome, reason, detail = off_the_wire(world, ada, with_field(field, HOSTILE[kind]))
    assert outcome == "reject" and f"{field}: " in detail, detail
    assert not any(character in detail for character in ("\x1b", "\u202e", "<script>", "\n", "\x9b"))
    attack.saw(outcome, reason)


@pytest.mark.parametrize("kind", ["escape", "bidi", "line end", "c1", "zero width", "tag"])
def test_attack_113_hostile_reason_of_a_revocation(attack: Watched, world: World, ada: Owner, kind: str) -> None:
    good = world.revocation(ada, "key", ada.key.public.key_id)[1]
    fields = json.loads(good.to_bytes()) | {"reason": HOSTILE[kind]}
    with pytest.raises(StatementError, match="reason: "):
        Revocation.from_bytes(json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
    attack.saw("reject", "reason")


@pytest.mark.parametrize("kind", ["escape", "bidi", "c1", "line end"])
def test_attack_113_the_terminal_shows_it_escaped(
    attack: Watched, world: World, ada: Owner, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A foreign file's name is somebody else's text: `plora gate` prints what it says, never what it does."""
    made = adapter(world, ada)
    (made.folder / HOSTILE[kind].replace("/", "")).write_text("x")
    done = runner(capfd)("gate", str(made.folder))
    shown = done.out + done.err
    assert done.code != 0 and sentence("folder_refused") in shown
    assert not any(character in shown for character in ("\x1b", "\u202e", "\x9b")) and "\nACCEPT" not in shown
    attack.saw("reject", "folder_refused")
