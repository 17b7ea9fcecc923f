"""`plora dump-policy`: what is in force, and where each value comes from."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run

from plora.gate import Policy


def test_each_value_names_its_source(plora: Run, tmp_path: Path) -> None:
    home = tmp_path / "ada"
    home.mkdir()
    (home / "peer.yaml").write_text("name: ada\npolicy:\n  rank_max: 8\n  allowed_ranks: [4, 8]\n")
    rows = {row["setting"]: row for row in plora("dump-policy", "--home", home, "--json").document}
    assert sorted(rows) == sorted(f"policy.{name}" for name in Policy.model_fields)
    assert rows["policy.rank_max"] == {"setting": "policy.rank_max", "value": 8, "source": "peer.yaml line 3"}
    assert rows["policy.allowed_ranks"]["source"] == "peer.yaml line 4"
    assert (rows["policy.scale_max"]["value"], rows["policy.scale_max"]["source"]) == (64.0, "default")
    said = plora("dump-policy", "--home", home)
    assert "4, 8" in said.out and Policy(rank_max=8, allowed_ranks=(4, 8)).policy_digest() in said.err


def test_without_a_file_all_is_default_and_a_wrong_value_is_named(plora: Run, tmp_path: Path) -> None:
    sources = {row["source"] for row in plora("dump-policy", "--home", tmp_path, "--json").document}
    assert sources == {"default"}
    (tmp_path / "peer.yaml").write_text("policy:\n  rank_max: 0\n")
    refused = plora("dump-policy", "--home", tmp_path)
    assert refused.code == 2 and "policy.rank_max" in refused.err
