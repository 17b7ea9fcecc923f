"""`plora audit acknowledge` on a peer that is down and on one that runs: red until a person answers, never hidden."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import Run, runner
from tests.swarm.conftest import MakePeer, edit_an_entry

pytestmark = pytest.mark.slow


@pytest.fixture
def plora(capfd: pytest.CaptureFixture[str]) -> Run:
    return runner(capfd)


def test_red_until_a_person_answers(plora: Run, make_peer: MakePeer, tmp_path: Path) -> None:
    ada = make_peer("ada")
    ada.trusts(ada)
    ada.start()
    ada.signed_folder(tmp_path / "legal", seed=1)
    ada.publish(tmp_path / "legal")
    ada.until(lambda: ada.records("merge"))
    ada.stop()
    edit_an_entry(ada, 2)
    home = ("--home", ada.home.root)

    red = plora("audit", "verify", *home)
    assert red.code == 1 and red.err == "If you know how it came about: plora audit acknowledge 2 --note WHY\n"
    assert plora("audit", "acknowledge", 3, "--note", "x", *home).code == 2
    said = plora("audit", "acknowledge", 2, "--note", "a bad sector", *home)
    assert said.code == 0 and said.out.startswith("entry 2: entry 2 was edited") and said.out.endswith("a bad sector\n")
    green = plora("audit", "verify", *home)
    assert green.code == 0 and "a bad sector" in green.out, "it stays in sight"

    edit_an_entry(ada, 4)
    ada.start()
    ada.until(lambda: [one for one in ada.status.warnings if "the audit doesn't hold: entry 4 was edited" in one])
    assert plora("audit", "acknowledge", 4, "--note", "and another", *home).code == 0
    assert not [one for one in ada.status.warnings if "audit" in one]
    faults = plora("audit", "verify", "--json", *home).document["faults"]
    assert [(one["entry"], one["note"]) for one in faults] == [(2, "a bad sector"), (4, "and another")]
    assert [one["note"] for one in ada.records("acknowledged")] == ["and another"], "of the stopped one the chain tells"
    notes = [one["says"]["note"] for one in plora("audit", "ls", "--what", "acknowledged", "--json", *home).document]
    assert notes == ["a bad sector", "and another"]
