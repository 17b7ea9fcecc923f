"""The secret behind a peer's own probes: made once, kept, rotated, refused when others can read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from plora.node.driver.probe_secret import current_secret, kept_secret
from plora.proto.errors import KeyFileError

DAY_MS = 86_400_000


def test_it_is_made_once_and_kept_for_its_time(tmp_path: Path) -> None:
    path = tmp_path / "probes.secret"
    first = current_secret(path, 1000, DAY_MS)
    assert len(first.secret) == 32 and any(first.secret) and path.stat().st_mode & 0o777 == 0o600
    assert current_secret(path, 1000 + DAY_MS - 1, DAY_MS) == first
    assert [one.name for one in tmp_path.iterdir()] == ["probes.secret"]


def test_it_is_rotated_when_it_is_old(tmp_path: Path) -> None:
    path = tmp_path / "probes.secret"
    first = current_secret(path, 1000, DAY_MS)
    second = current_secret(path, 1000 + DAY_MS, DAY_MS)
    assert second.generation == first.generation + 1 and second.secret != first.secret
    assert path.stat().st_mode & 0o777 == 0o600 and current_secret(path, 1001 + DAY_MS, DAY_MS) == second
    assert first.seed_for("ab") != second.seed_for("ab")


def test_who_only_reads_it_never_changes_it_however_old(tmp_path: Path) -> None:
    path = tmp_path / "probes.secret"
    assert kept_secret(path) is None and not path.exists()
    old = current_secret(path, 1000, DAY_MS)
    assert kept_secret(path) == old


@pytest.mark.parametrize("text", ["", "{}", '{"secret": "ab", "made_ms": 1, "generation": 0}', "[1]"])
def test_a_file_that_holds_no_secret_is_refused_with_what_to_do(tmp_path: Path, text: str) -> None:
    path = tmp_path / "probes.secret"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeyFileError) as caught:
        current_secret(path, 0, DAY_MS)
    assert "delete it" in caught.value.mend


def test_one_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "probes.secret"
    current_secret(path, 0, DAY_MS)
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="readable by others"):
        current_secret(path, 0, DAY_MS)
