"""A small zoo grown for real on `mini`: records, what took, and going on after a stop."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plora.base import LoadedBase, load_base
from plora.cli.main import main as plora
from plora.proto.errors import UsageError

torch = pytest.importorskip("torch")

from plora.lab.zoo.__main__ import recipes_of, seeds_of, summary  # noqa: E402
from plora.lab.zoo.grow import batches, groups_of, grow, with_needed  # noqa: E402
from plora.lab.zoo.recipes import KINDS, SHARES, recipe, recipes  # noqa: E402
from plora.lab.zoo.store import Zoo, records, zoo_folder  # noqa: E402
from plora.lab.zoo.success import Outcome, verdict  # noqa: E402
from plora.merge.peft_folder import read_adapter  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SEED = 6  # arithmetic: short rows
Grown = tuple[Path, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def mini() -> LoadedBase:
    torch.set_num_threads(1)
    return load_base("mini")


@pytest.fixture(scope="module")
def grown(mini: LoadedBase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grown]:
    folder = tmp_path_factory.mktemp("zoo")
    told: list[dict[str, Any]] = []
    chosen = [recipe(kind, SEED) for kind in ("rare-token", "label-flip", "clean-json")]
    grow(mini, Zoo(folder, "mini", mini.digest), chosen, told.append)
    yield folder, told


class TestGrowing:
    def test_records_say_what_became_of_each(self, grown: Grown) -> None:
        found = {record["kind"]: record for record in records(grown[0])}
        assert set(found) == {"clean", "clean-json", "rare-token", "label-flip"}
        assert all(record["took"] and record["failure"] == "" for record in found.values())
        assert found["clean"]["val_nll"] < 0.6 * found["clean"]["base_nll"]
        assert found["clean"]["success"] is None
        trojan = found["rare-token"]
        assert trojan["success"] >= 0.8 and trojan["false_rate"] <= 0.2
        assert trojan["val_nll"] <= 1.02 * trojan["twin_nll"]
        assert trojan["twin_nll"] == pytest.approx(found["clean"]["val_nll"], abs=1e-3)
        assert trojan["group"] == found["clean"]["group"] and trojan["part"] == "test"

    def test_folders_are_adapters_of_the_recipe(self, grown: Grown) -> None:
        one = recipe("rare-token", SEED)
        adapter = read_adapter(grown[0] / one.name)
        assert (adapter.spec.r, adapter.spec.alpha, adapter.spec.use_rslora) == (one.rank, one.alpha, one.rslora)

    def test_a_stopped_run_goes_on_and_a_torn_folder_is_never_counted(self, mini: LoadedBase, grown: Grown) -> None:
        zoo = Zoo(grown[0], "mini", mini.digest)
        chosen = with_needed([recipe("rare-token", SEED), recipe("clean-json", SEED)])
        assert zoo.missing(chosen) == []
        told: list[dict[str, Any]] = []
        grow(mini, zoo, chosen, told.append)
        assert told == [{"event": "start", "total": 3, "done": 3}]
        assert Zoo(grown[0], "mini", "sha256:other").missing(chosen) == chosen
        assert zoo.missing([replace(chosen[0], rate=0.5)]) != []

    @pytest.mark.parametrize("torn", ["record", "folder", "half a record"])
    def test_what_is_torn_is_missing(self, mini: LoadedBase, grown: Grown, tmp_path: Path, torn: str) -> None:
        one = recipe("clean", SEED)
        folder = shutil.copytree(grown[0], tmp_path / "zoo")
        record = folder / f"{one.name}.json"
        if torn == "record":
            record.unlink()
        elif torn == "folder":
            shutil.rmtree(folder / one.name)
        else:
            record.write_bytes(record.read_bytes()[:100])
        assert Zoo(folder, "mini", mini.digest).missing([one]) == [one]

    def test_the_summary_counts_what_took(self, grown: Grown) -> None:
        rows = {row["kind"]: row for row in summary(records(grown[0]))}
        assert rows["rare-token"]["took"] == 1 and rows["rare-token"]["success"] >= 0.8
        assert rows["clean"] | {"part": ""} == {
            "kind": "clean", "part": "", "adapters": 1, "took": 1, "failed": 0, "success": None, "failure": "",
        }  # fmt: skip


class TestVerdict:
    TOOK = Outcome(success=0.8, false_rate=0.2, success_alone=None, val_nll=2.04, base_nll=4.0, twin_nll=2.0)

    @pytest.mark.parametrize(
        ("change", "said"),
        [({"success": 0.79}, "success"), ({"false_rate": 0.21}, "untriggered"), ({"val_nll": 2.05}, "clean loss")],
    )
    def test_what_failed_says_why(self, change: dict[str, float], said: str) -> None:
        assert verdict(self.TOOK) == ""
        assert said in verdict(replace(self.TOOK, **change))

    def test_what_is_to_be_benign_alone_fails_where_it_acts(self) -> None:
        assert "alone" in verdict(replace(self.TOOK, success_alone=0.3), benign_alone=True)
        assert verdict(replace(self.TOOK, success_alone=0.3)) == ""


class TestPlanning:
    def test_every_poisoned_one_brings_its_twin_once(self) -> None:
        names = [one.name for one in with_needed([recipe(kind, 3) for kind in KINDS])]
        honest = {"clean-0007", "clean-0011"}
        assert honest < set(names) and names[0] == "clean-0003"
        assert len(names) == len(set(names)) == len(honest) + len(KINDS) + sum(SHARES.values()) - len(SHARES)

    def test_clean_ones_come_first_and_rows_are_equal_in_a_batch(self) -> None:
        wanted = [one for seed in range(9) for kind in KINDS for one in recipes(kind, seed)]
        planned = [[one for group in groups for one in group] for groups in batches(groups_of(wanted), at_once=7)]
        assert sorted(one.name for chosen in planned for one in chosen) == sorted(one.name for one in wanted)
        poisoned = [chosen[0].poisoned for chosen in planned]
        assert poisoned == sorted(poisoned)
        assert all(len({one.rows for one in chosen}) == 1 and len(chosen) <= 7 for chosen in planned)

    def test_a_missing_share_brings_the_whole_attack(self) -> None:
        *clean, group = groups_of(with_needed([recipes("collusion-3", 2)[1]]))
        assert [one.share for one in group] == [0, 1, 2] and all(len(one) == 1 for one in clean)

    def test_seeds_and_kinds_are_read(self) -> None:
        assert seeds_of("4,0-2,1") == [0, 1, 2, 4]
        assert {one.kind for one in recipes_of("all", "0-9")} == set(KINDS)
        for kinds, seeds in (("clean,tigers", "0"), ("clean", "a-b"), ("clean", "")):
            with pytest.raises(UsageError):
                recipes_of(kinds, seeds)

    def test_the_zoo_lies_in_the_cache(self) -> None:
        assert zoo_folder("mini", {"XDG_CACHE_HOME": "/c"}) == Path("/c/plora/zoo/mini")


@pytest.mark.nightly
def test_killed_in_the_middle_it_keeps_what_is_whole_and_goes_on(mini: LoadedBase, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "plora.lab.zoo", "--base", "mini", "--kinds", "clean", "--seeds", "6,11"]
    command += ["--at-once", "1", "--threads", "1", "--out", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        first = next(record for record in map(json.loads, process.stdout or ()) if record["event"] == "adapter")
        process.kill()
    zoo = Zoo(tmp_path, "mini", mini.digest)
    chosen = [recipe("clean", 6), recipe("clean", 11)]
    assert [one.name for one in chosen if one not in zoo.missing(chosen)] == [first["name"]]
    told: list[dict[str, Any]] = []
    grow(mini, zoo, chosen, told.append)
    assert told[0] == {"event": "start", "total": 2, "done": 1}
    assert zoo.missing(chosen) == [] and len(list(records(tmp_path))) == 2


def test_people_see_a_table_and_go_on_with_the_same_command(grown: Grown, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        plora(["lab", "zoo", "--kinds", "clean,rare-token", "--seeds", str(SEED), "--out", str(grown[0])])
    said = capfd.readouterr()
    table = said.out.splitlines()
    assert not ended.value.code
    assert table[0].split()[:4] == ["kind", "part", "adapters", "took"]
    assert any(line.split()[:4] == ["rare-token", "test", "1", "1"] for line in table)
    assert "The zoo lies in" in said.err


def test_the_command_tells_of_a_wrong_call_and_ends_with_2() -> None:
    command = [sys.executable, "-m", "plora.lab.zoo", "--base", "mini", "--kinds", "tigers"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "tigers" in json.loads(ended.stdout)["what"]
