"""An owner's keys over their life, on files: several people sign one record in turn, and a stolen key is voided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run

from plora.proto.owner_chain import read_owner_file

HOUSE = Path("keys/ada.owner")


@pytest.fixture
def keys(plora: Run, world: Path) -> dict[str, str]:
    """Three more key pairs beside ada's; ids by name."""
    made = {}
    for name in ("two", "three", "four"):
        made[name] = plora("keygen", "--name", name, "--only-key", "--out", "keys", "--json").document["key_id"]
    return made


def shown(plora: Run) -> Any:
    return plora("owner", "show", HOUSE, "--json").document


def signs(plora: Run, name: str) -> int:
    return plora("owner", "sign", "--key", f"keys/{name}.pem", "--owner", HOUSE, "--yes").code


def make_house(plora: Run) -> None:
    """ada becomes an owner of three keys, two of whom must sign."""
    keys = ("--add", "keys/two.pub", "--add", "keys/three.pub", "--threshold", "2")
    assert plora("owner", "rotate", *keys, "--key", "keys/ada.pem", "--yes").code == 0
    assert signs(plora, "two") == 0


def test_a_record_waits_until_old_and_new_threshold_signed(plora: Run, world: Path, keys: dict[str, str]) -> None:
    done = plora("owner", "rotate", "--add", "keys/two.pub", "--threshold", "2", "--key", "keys/ada.pem", "--yes")
    assert done.code == 0
    assert "lacks 0 of the owner's keys as they are, 1 of the new ones" in done.out
    assert (shown(plora)["version"], len(shown(plora)["pending"])) == (1, 1)
    assert signs(plora, "three") == 2
    assert signs(plora, "two") == 0
    after = shown(plora)
    assert (after["version"], after["threshold"], after["pending"]) == (2, 2, [])
    assert [key["key_id"] for key in after["keys"]][1] == keys["two"]


def test_nothing_is_written_without_a_yes(plora: Run, world: Path, keys: dict[str, str]) -> None:
    before = HOUSE.read_bytes()
    done = plora("owner", "rotate", "--add", "keys/two.pub", "--key", "keys/ada.pem")
    assert done.code == 2
    assert "then:" in done.err
    assert "say --yes" in done.err
    assert HOUSE.read_bytes() == before


def test_a_revocation_begun_by_one_key_is_completed_by_another_and_opens_a_lineage(
    plora: Run, world: Path, keys: dict[str, str]
) -> None:
    make_house(plora)
    lineage = shown(plora)["lineage"]
    stolen = keys["three"]
    begun = plora(
        "owner", "revoke-key", stolen[:8], "--reason", "laptop gone", "--key", "keys/two.pem", "--owner", HOUSE, "--yes"
    )
    assert begun.code == 0
    assert "lacks 1 of the owner's keys" in begun.out
    assert shown(plora)["revoked"] == {}
    assert signs(plora, "ada") == 0
    assert shown(plora)["revoked"] == {stolen: "laptop gone"}

    assert plora("owner", "rotate", "--add", "keys/four.pub", "--key", "keys/ada.pem", "--yes").code == 0
    assert signs(plora, "two") == 0
    after = shown(plora)
    assert stolen not in [key["key_id"] for key in after["keys"]]
    assert after["lineage"] == after["record"] != lineage
    refused = plora("owner", "rotate", "--threshold", "1", "--key", "keys/three.pem", "--owner", HOUSE, "--yes")
    assert (refused.code, "was revoked" in refused.err) == (2, True)


def test_an_owner_ends_when_as_many_keys_say_so_as_must(plora: Run, world: Path, keys: dict[str, str]) -> None:
    make_house(plora)
    begun = plora("owner", "end", "--reason", "we part", "--key", "keys/two.pem", "--owner", HOUSE, "--yes")
    assert (begun.code, shown(plora)["ended"]) == (0, "")
    assert plora("verify", "out/legal", "--owner", HOUSE).code == 0
    assert signs(plora, "three") == 0
    assert shown(plora)["ended"] == "we part"
    gated = plora("gate", "out/legal", "--owner", HOUSE)
    assert (gated.code, "revoked everything of theirs: we part" in gated.out + gated.err) == (3, True)


def test_revoking_the_only_key_is_said_to_end_the_owner(plora: Run, world: Path) -> None:
    (entry,) = read_owner_file(HOUSE).first.keys
    done = plora("owner", "revoke-key", entry.key_id[:8], "--reason", "x", "--key", "keys/ada.pem")
    assert "no key is left that may sign" in done.err
    assert done.code == 2


def test_what_signs_and_verifies_goes_by_the_newest_record(plora: Run, world: Path, keys: dict[str, str]) -> None:
    """After a rotation the old key signs nothing more, the new one does, and what was signed before stays valid."""
    made = plora("owner", "rotate", "--add", "keys/two.pub", "--drop", read_owner_file(HOUSE).first.key_id[:8],
                 "--key", "keys/ada.pem", "--yes")  # fmt: skip
    assert made.code == 0
    assert signs(plora, "two") == 0
    assert plora("verify", "out/legal", "--owner", HOUSE).code == 0
    assert plora("sign", "out/medical", "--key", "keys/ada.pem", "--domain", "medical").code == 1
    Path("keys/two.owner").write_bytes(HOUSE.read_bytes())
    assert plora("sign", "out/medical", "--key", "keys/two.pem", "--domain", "medical").code == 0
    assert plora("verify", "out/medical", "--owner", HOUSE).code == 0
    assert plora("gate", "out/medical", "--owner", HOUSE).code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "would say what this one says"),
        (("--threshold", "9"), "threshold is greater"),
        (("--add", "keys/ada.pub"), "twice"),
    ],
)
def test_a_record_that_cannot_be_is_refused(plora: Run, world: Path, options: tuple[str, ...], said: str) -> None:
    done = plora("owner", "rotate", *options, "--key", "keys/ada.pem", "--yes")
    assert (done.code, said in done.err) == (2, True)


def test_a_file_of_two_owners_is_refused(plora: Run, world: Path) -> None:
    HOUSE.write_text(HOUSE.read_text() + "\n" + Path("keys/eve.owner").read_text())
    assert plora("owner", "show", HOUSE).code == 1
