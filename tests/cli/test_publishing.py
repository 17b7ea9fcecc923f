"""`plora publish` on folders that nobody described: what is derived, what is asked for, and what is refused."""

from __future__ import annotations

import math
import os
import pty
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Ran, Run, write_tiny_adapter
from tests.cli.test_running_peer import running
from tests.ports import free_port

from plora.base import base_info
from plora.proto.home import Home
from plora.proto.yaml_view import read_plora_yml

pytestmark = pytest.mark.slow
PLORA = Path(sys.executable).with_name("plora")


def cut(tensors: bytes) -> bytes:
    return tensors[:-7]


def with_nan(tensors: bytes) -> bytes:
    return tensors[:-4] + struct.pack("<f", math.nan)


@pytest.fixture(scope="module")
def ada() -> Iterator[Path]:
    """The home of a running peer."""
    with tempfile.TemporaryDirectory(prefix="plora-") as folder:
        home = Path(folder) / "a"
        init = [str(PLORA), "init", "--name", "ada", "--listen", f"127.0.0.1:{free_port()}", "--home", str(home)]
        subprocess.run(init, check=True, capture_output=True)
        with running("up", "--home", str(home), ready=home / "run/admin.sock"):
            yield home


def test_a_folder_is_described_signed_and_published(plora: Run, ada: Path, tmp_path: Path) -> None:
    folder = write_tiny_adapter(tmp_path / "Legal LoRA", seed=1)
    done = plora("publish", folder, "--domain", "legal", "--licence", "CC-BY-4.0", "--days", 30, "--home", ada)
    assert (done.code, done.out) == (0, "published ada/legal-lora@1\n")
    signed = "Signed by ada: legal-lora version 1, domain legal, base mini, rank 2, licence CC-BY-4.0, for 30 days.\n"
    assert done.err.startswith(signed)
    manifest = read_plora_yml(folder / "plora.yml").manifest
    assert manifest.base_digest == base_info("mini").digest.removeprefix("sha256:")
    (row,) = plora("ls", "--domain", "legal", "--home", ada, "--json").document
    assert (row["own"], row["sha256"]) == (True, manifest.artifacts.sha256)

    again = plora("publish", folder, "--home", ada)
    assert (again.code, again.out) == (0, "published ada/legal-lora@1\n"), "a signed folder is published as it is"
    same = ("--domain", "legal", "--id", "legal-lora", "--version", 1, "--days", 30, "--licence", "CC-BY-4.0")
    assert plora("publish", folder, *same, "--key", ada / "owner/ada.pem", "--home", ada).code == 0
    refused = plora("publish", folder, "--domain", "medical", "--version", 3, "--base", "mini", "--home", ada)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "is signed already, so --domain, --version can't change it; sign it anew by `plora sign" in refused.err


def test_another_folder_of_that_name_is_the_next_version(plora: Run, ada: Path, tmp_path: Path) -> None:
    for number, seed in ((1, 2), (2, 3), (3, 4)):
        folder = write_tiny_adapter(tmp_path / str(seed) / "med", seed=seed)
        done = plora("publish", folder, "--domain", "medical", "--home", ada)
        assert (done.code, done.out) == (0, f"published ada/med@{number}\n")


def test_a_restored_home_signs_no_version_twice(plora: Run, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="plora-") as place:
        home, again = Path(place) / "a", Path(place) / "b"
        assert plora("init", "--name", "bo", "--listen", f"127.0.0.1:{free_port()}", "--home", home).code == 0
        with running("up", "--home", str(home), ready=home / "run/admin.sock"):
            assert publish_new(plora, tmp_path, home, 1).out == "published bo/med@1\n"
            assert plora("store", "backup", tmp_path / "copy", "--with-keys", "--home", home).code == 0
            assert publish_new(plora, tmp_path, home, 2).out == "published bo/med@2\n"
        begun_s = int(time.time())
        assert plora("store", "restore", tmp_path / "copy", "--home", again).code == 0
        with running("up", "--home", str(again), ready=again / "run/admin.sock"):
            refused = publish_new(plora, tmp_path, again, 3, "--version", 2)
            assert (refused.code, "--version: 2 may have been signed since the backup" in refused.err) == (2, True)
            name, _, version = publish_new(plora, tmp_path, again, 3).out.strip().partition("@")
            assert (name, begun_s <= int(version) <= time.time()) == ("published bo/med", True)
            assert publish_new(plora, tmp_path, again, 4).out == f"published bo/med@{int(version) + 1}\n"


def publish_new(plora: Run, tmp_path: Path, home: Path, seed: int, *options: object) -> Ran:
    """Another folder of one name."""
    folder = tmp_path / str(seed) / "med"
    if not folder.exists():
        write_tiny_adapter(folder, seed=seed)
    return plora("publish", folder, "--domain", "medical", *options, "--home", home)


def test_a_strangers_folder_is_spread_and_the_peer_says_that_it_does_not_use_it(
    plora: Run, ada: Path, tmp_path: Path
) -> None:
    folder = write_tiny_adapter(tmp_path / "novel", seed=7)
    keys = tmp_path / "keys"
    assert plora("keygen", "--name", "eve", "--out", keys, "--swarm", Home(ada).swarm).code == 0
    done = plora("publish", folder, "--domain", "prose", "--key", keys / "eve.pem", "--home", ada)
    assert (done.code, done.out.endswith("/novel@1\n")) == (0, True), done.err
    assert "This peer spreads it but doesn't use it: nobody here trusts the owner\n" in done.err


def test_what_is_missing_is_named_where_nobody_can_be_asked(plora: Run, ada: Path, tmp_path: Path) -> None:
    folder = write_tiny_adapter(tmp_path / "x", seed=5)
    cases = (
        ((), 2, "the domain is not known; name it by --domain"),
        (("--domain", "legal", "--base", "no/such"), 1, "give its digest by --base-digest"),
        (("--domain", "legal", "--base", "no/such", "--base-digest", "abc"), 2, "--base-digest: 'abc' must be 64"),
        (("--domain", "Legal!"), 2, "--domain: 'Legal!' must be"),
        (("--domain", "legal", "--id", "A b"), 2, "--id: 'A b' must be"),
        (("--domain", "legal", "--licence", "free for friends"), 2, "--licence: 'free for friends' is no SPDX"),
        (("--domain", "legal", "--owner", ada / "peer.yaml"), 2, "--owner: "),
    )
    for options, code, sentence in cases:
        done = plora("publish", folder, *options, "--home", ada)
        assert (done.code, done.err.count("\n"), sentence in done.err) == (code, 1, True), done.err
        assert not (folder / "plora.yml").exists()
    nowhere = plora("publish", tmp_path / "nowhere", "--home", ada)
    assert (nowhere.code, "/nowhere: there is no such folder; name the" in nowhere.err) == (1, True)
    empty = plora("publish", tmp_path, "--domain", "legal", "--home", ada)
    assert (
        "is no PEFT folder: there is no adapter_config.json; name the folder that `save_pretrained` wrote" in empty.err
    )
    assert plora("publish", folder, "--domain", "legal", "--home", tmp_path / "none").code == 4
    assert not (folder / "plora.yml").exists(), "nothing is signed for a peer that doesn't run"


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        (cut, "the file is not a strict safetensors file ("),
        (with_nan, "the tensors hold NaN or infinity (base_model.model.model.layers.0.self_attn.q_proj.lora_"),
    ],
)
def test_what_every_peer_would_refuse_is_refused_before_anybody_hears_of_it(
    plora: Run, ada: Path, tmp_path: Path, tensors: Callable[[bytes], bytes], says: str
) -> None:
    folder = write_tiny_adapter(tmp_path / tensors.__name__, seed=8)
    artifact = folder / "adapter_model.safetensors"
    good = artifact.read_bytes()
    artifact.write_bytes(tensors(good))
    known = plora("ls", "--home", ada, "--json").document
    done = plora("publish", folder, "--domain", "flawed", "--home", ada)
    assert (done.code, done.out) == (3, "")
    assert f"plora: {artifact}: {says}" in done.err
    assert "so every peer would refuse it; save the adapter anew, then publish it\n" in done.err
    assert not (folder / "plora.yml").exists(), "what was signed for this command doesn't stay"
    assert plora("ls", "--home", ada, "--json").document == known
    artifact.write_bytes(good)
    assert plora("publish", folder, "--domain", "flawed", "--home", ada).code == 0


def test_a_changed_folder_is_signed_anew_by_a_word_or_on_a_terminal_by_a_yes(
    plora: Run, ada: Path, tmp_path: Path
) -> None:
    folder = write_tiny_adapter(tmp_path / "tale", seed=9)
    options = ("--domain", "prose", "--licence", "MIT", "--home", ada)
    assert plora("publish", folder, *options).out == "published ada/tale@1\n"
    signed = (folder / "plora.yml").read_bytes()

    rewrite_tiny_adapter(folder, seed=10)
    refused = plora("publish", folder, "--home", ada)
    assert (refused.code, "sign it again by `plora sign`" in refused.err) == (3, True)
    assert (folder / "plora.yml").read_bytes() == signed
    assert plora("sign", folder, "--home", ada).code == 0
    assert plora("publish", folder, "--home", ada).out == "published ada/tale@2\n"

    rewrite_tiny_adapter(folder, seed=11)
    code, said, asked = on_a_terminal("y\n", "publish", str(folder), "--home", str(ada))
    assert (code, said) == (0, "published ada/tale@3\n")
    assert "has changed since version 2 was signed. Sign it anew as ada? [y/N]: " in asked
    assert "tale version 3, domain prose, base mini, rank 2, licence MIT, for 365 days." in asked


def test_what_is_missing_is_asked_for_on_a_terminal(ada: Path, tmp_path: Path) -> None:
    folder = write_tiny_adapter(tmp_path / "law", seed=6)
    code, said, asked = on_a_terminal("law\n", "publish", str(folder), "--home", str(ada))
    assert (code, said) == (0, "published ada/law@1\n")
    assert f"Domain of {folder}: " in asked


def on_a_terminal(answer: str, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `plora` where somebody types an answer."""
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    done = subprocess.run(
        [str(PLORA), *arguments], stdin=theirs, capture_output=True, text=True, check=False, timeout=60
    )
    os.close(ours)
    os.close(theirs)
    return done.returncode, done.stdout, done.stderr


def rewrite_tiny_adapter(folder: Path, seed: int) -> None:
    """Other weights in the same folder, as a training that runs again leaves them; plora.yml stays."""
    fresh = write_tiny_adapter(folder.with_name(f"fresh-{seed}"), seed=seed)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        shutil.copyfile(fresh / name, folder / name)
