"""`plora publish` while the examiner is busy: it waits for as long as it takes, and says what for."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from tests.swarm.conftest import NODE, MakePeer

PLORA = NODE.with_name("plora")

pytestmark = pytest.mark.slow


def test_a_busy_examiner_is_waited_for(make_peer: MakePeer, tmp_path: Path) -> None:
    ada = make_peer("ada")
    ada.trusts(ada)
    ada.start()
    for seed, name in enumerate(("first", "second")):
        ada.signed_folder(tmp_path / name, seed=seed)
    ada.publish(tmp_path / "first")
    ada.until(lambda: ada.plasmids("own") and not ada.status.examining)
    warden = ada.until(lambda: ada.worker("plora.gate.worker"))
    os.kill(warden, signal.SIGSTOP)
    command: list[str | Path] = [PLORA, "publish", tmp_path / "second", "--home", ada.home.root]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as publishing:
        assert publishing.stderr is not None and publishing.stdout is not None
        try:
            said = publishing.stderr.readline()
            assert re.fullmatch(r"Waiting for \d+ s: the peer examines it\.\n", said)
        finally:
            os.kill(warden, signal.SIGCONT)
        assert publishing.stdout.read() == "published ada/second@1\n"
    assert publishing.returncode == 0
