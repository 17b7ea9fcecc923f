"""`deploy/fleet.py upgrade` with a real wheel, by real pip: a peer of an older build goes on as one of this build."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from deploy import fleet
from tests.ports import free_port
from tests.swarm import older

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(400)]
CODE = Path(__file__).resolve().parents[2]


def todays(work: Path) -> Path:
    """A wheel of what is committed."""
    (work / "code").mkdir(parents=True)
    archive = subprocess.run(["git", "-C", CODE, "archive", "HEAD"], capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", work / "code"], input=archive.stdout, check=True)
    options = ("-q", "--no-deps", "--no-build-isolation", "-w", work)
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, work / "code"], check=True)
    return next(work.glob("*.whl"))


def is_todays(remote: fleet.Remote) -> bool:
    """By a room that the older build lacks."""
    look = "import importlib.util; print(importlib.util.find_spec('plora.node.audit') is not None)"
    return remote.sh(fleet.quoted(f"{remote.prefix}/bin/python3", "-c", look)).strip() == "True"


def test_a_peer_of_an_older_build_is_upgraded(tmp_path: Path) -> None:
    at = f"127.0.0.1:{free_port()}"
    document = {
        "remote": "sh -c",
        "prefix": str(older.install(tmp_path / "venv").parent),
        "home": f"{tmp_path}/{{name}}",
        "run": "background",
        "trust": [],
        "hosts": {"ada": {"host": "ada", "address": at, "listen": at}},
    }
    file = tmp_path / "fleet.yaml"
    file.write_text(yaml.safe_dump(document))
    made = fleet.load(file)
    ada = fleet.Remote(made, made.founder)
    ada.plora("init", "--name", "ada", "--listen", at)  # the older one's, which takes less than `up` says
    try:
        assert fleet.up(made) == {}
        before = ada.status()["boot"]
        assert not is_todays(ada)
        file.write_text(yaml.safe_dump({**document, "package": str(todays(tmp_path / "wheel"))}))
        made = fleet.load(file)
        assert fleet.upgrade(made) == {}
        after = ada.status()["boot"]
        assert is_todays(ada)
        assert after != before
        assert fleet.up(made) == {}  # nothing is left to do
        assert ada.status()["boot"] == after
    finally:
        fleet.stop(ada)
