"""What goes wrong is one line that says how to mend it, and an exit code; a defect of ours shows its traceback."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path

import pytest
from tests.cli.conftest import Run

from plora.cli.errors import INTERRUPTED, explain
from plora.proto.errors import ConfigError, PeerNotRunningError, PloraError, RefusedError, UsageError

FAILURES = [
    ("sign out/legal --key keys/nobody.pem --domain legal", 1, "can't be read", "plora keygen"),
    (
        "sign out/nothing --key keys/ada.pem --domain legal",
        1,
        "out/nothing: there is no such folder",
        "save_pretrained",
    ),
    ("sign keys --key keys/ada.pem --domain legal", 1, "keys: is no PEFT folder", "save_pretrained"),
    ("sign out/medical --key keys/ada.pem", 2, "the domain is not known", "--domain"),
    ("sign out/medical --key keys/ada.pem --domain x --base nobody/none", 1, "nobody/none", "--base-digest"),
    ("sign out/medical --key keys/ada.pem --domain UPPER", 2, "--domain: 'UPPER' must be 1 to 64", ""),
    ("sign out/medical --key keys/ada.pem --domain x --id a--b", 2, "--id: 'a--b' must be 1 to 64", ""),
    ("sign out/medical --key keys/ada.pem --domain x --licence mine", 2, "--licence: 'mine' is no SPDX", "LicenseRef-"),
    (
        "sign broken/config --key keys/ada.pem --domain x",
        1,
        "adapter_config.json: the configuration",
        "save_pretrained",
    ),
    ("sign broken/view --key keys/ada.pem", 1, "broken/view/plora.yml, line 1: not YAML", "delete it and sign"),
    ("sign broken/notes --key keys/ada.pem", 1, "broken/notes.metrics.json: is not JSON", "delete it"),
    ("verify out/medical --owner keys/ada.owner", 1, "plora.yml", "plora sign"),
    ("verify out/legal --owner keys/ada.pub", 1, "keys/ada.pub: is not an owner record", "`.owner` file"),
    ("gate out/medical --owner keys/ada.owner", 1, "plora.yml", "plora sign"),
    ("gate out/legal --policy none.yaml", 2, "none.yaml", ""),
    ("gate out/legal --policy bad.yaml", 2, "unknown field 'rank_mx'", "did you mean 'rank_max'?"),
    ("show out/medical", 1, "plora.yml", "plora sign"),
    ("merge out/legal out/medical --out m --weights .5", 2, "1 weights for 2 folders", "one a folder"),
    ("merge out/legal out/medical --out m --weights a,b", 2, "not a list of numbers", ".5 .3 .2"),
    ("merge out/legal out/medical --out m --strategy magic", 2, "magic", "weighted_sum"),
    ("merge out/legal out/nothing --out m", 1, "out/nothing", ""),
    ("keygen --name ada --algorithm dsa --out keys", 2, "unknown algorithm", "ed25519 or rsa"),
    ("init --name UPPER --home h", 2, "'UPPER' must be 1 to 64", "another name"),
    ("keygen --name .. --out keys", 2, "--name", "another name"),
    ("init --name x --home h --listen nonsense", 2, "'nonsense' is no address", "HOST:PORT"),
    ("init --name x --home h --listen 127.0.0.1:99999", 2, "'127.0.0.1:99999' is no address", "at most 65535"),
    ("init --name x --home h --advertise 192.0.2.1:65536", 2, "--advertise: '192.0.2.1:65536'", "at most 65535"),
    ("init --name x --home h --swarm none.json", 2, "none.json", "plora init"),
    ("init --name x --home h --swarm open:", 2, "--swarm: ''", "another name"),
    ("init --name x --home keys/ada.pub", 2, "keys/ada.pub: Not a directory", "a folder was expected"),
    ("keygen --name x --out keys/ada.pub", 1, "keys/ada.pub: File exists", "another path"),
    ("fetch legal --peer x", 2, "meant for an offer", "--offer"),
    ("fetch", 2, "no plasmid is named", "plora ls"),
    ("fetch --offer", 2, "name one plasmid", "--all"),
    ("fetch legal --all --offer", 2, "name one plasmid", "--all"),
    ("fetch legal --offer --wait 0 --owner keys/ada.owner", 1, "nobody offers here", "plora offer"),
    ("offer out/medical --owner keys/ada.owner", 1, "plora.yml", "plora sign"),
    ("offer out/legal --owner keys/none.owner", 1, "keys/none.owner", "plora keygen"),
    ("offer out/legal --owner keys/ada.owner --home out", 2, "out", "--home"),
]
ON_A_PEER = [
    "publish out/legal",
    "cosign legal",
    "top",
    "peers ping ada",
    "ls",
    "show legal",
    "why legal",
    "fetch legal",
    "revoke legal --reason x --yes",
    "peers",
    "status",
    "events",
    "reload",
]
WITH_A_HOME = ["up", "doctor", "trust ls", "trust pending", "trust add x --yes", "trust rm x", "distrust x"]
WITH_A_HOME += ["sign out/medical --domain medical --base mini", "owner show", "owner publish", "owner sign --yes"]
USAGE = [
    "frobnicate",
    "lss",
    "train",
    "sign",
    "merge",
    "offer",
    "show",
    "ls --frob",
    "keygen --name",
    "train --out x --domain a --rank 0",
]


@pytest.mark.parametrize(("line", "code", "says", "mends"), FAILURES, ids=[line for line, *_ in FAILURES])
def test_one_line_and_a_code(plora: Run, world: Path, line: str, code: int, says: str, mends: str) -> None:
    Path("bad.yaml").write_text("policy:\n  rank_mx: 1\n")
    for name, file in (("config", "adapter_config.json"), ("view", "plora.yml"), ("notes", "../notes.metrics.json")):
        shutil.copytree("out/medical", f"broken/{name}")
        Path("broken", name, file).write_text("{")
    done = plora(*line.split())
    assert done.code == code, done.err
    assert done.err.startswith("plora: ")
    assert done.err.count("\n") == 1
    assert says in done.err
    assert mends in done.err
    assert done.out == ""


@pytest.mark.parametrize("line", ON_A_PEER)
def test_no_peer_is_exit_code_4_and_names_the_start_command(plora: Run, world: Path, line: str) -> None:
    assert plora("init", "--name", "ada", "--home", "home", "-q").code == 0
    done = plora(*line.split())
    assert done.code == 4
    assert (
        done.err
        == f"plora: {world}/home: no peer is running on this home; start it by `plora up --home {world}/home`\n"
    )


@pytest.mark.parametrize("line", USAGE)
def test_wrong_usage_is_exit_code_2_without_a_traceback(plora: Run, world: Path, line: str) -> None:
    done = plora(*line.split())
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("plora: ")
    assert done.err.count("\n") == 1
    assert "--help`" in done.err or "did you mean" in done.err


def test_nothing_said_is_answered_by_the_help(plora: Run) -> None:
    for group in ((), ("trust",)):
        done = plora(*group)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"Usage: {' '.join(('plora', *group))} [OPTIONS] COMMAND")


def test_the_version_is_said(plora: Run) -> None:
    assert plora("--version").out == f"plora {importlib.metadata.version('plora')}\n"


@pytest.mark.parametrize("line", [*ON_A_PEER, *WITH_A_HOME])
def test_no_home_is_exit_code_4_and_names_the_command_that_makes_one(plora: Run, world: Path, line: str) -> None:
    done = plora(*line.split())
    assert (done.code, done.out) == (4, "")
    assert done.err == (
        f"plora: {world}/home: no peer's home is here; make one by `plora init --name NAME --home {world}/home`, "
        "or name yours by --home\n"
    )
    assert not Path("home").exists()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PloraError("x"), 1),
        (UsageError("x"), 2),
        (ConfigError("x"), 2),
        (RefusedError("x"), 3),
        (PeerNotRunningError("x"), 4),
        (KeyboardInterrupt(), INTERRUPTED),
        (FileNotFoundError(2, "No such file", "a"), 1),
        (IsADirectoryError(21, "Is a directory", "a"), 2),
        (ModuleNotFoundError("No module named 'torch'"), 1),
    ],
)
def test_every_known_failure_has_a_sentence_and_a_code(error: BaseException, code: int) -> None:
    failure = explain(error)
    assert failure is not None
    assert failure.exit_code == code
    assert failure.sentence


@pytest.mark.parametrize("defect", [ValueError("x"), KeyError("x"), AssertionError()])
def test_a_defect_is_not_explained_away(defect: Exception) -> None:
    assert explain(defect) is None
