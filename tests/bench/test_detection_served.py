"""What is served: blame by merges of real folders, figures of a team on `mini`, rows, picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from bench import detection_served as served
from bench.detection_figure import draw
from bench.detection_served import CLOSE, DEFENCES, LAMBDAS, Fails, Outcome, Published, Team
from bench.detection_teams import _copied

from plora.base import LoadedBase, load_base
from plora.base.prompts import encode_pair
from plora.lab.zoo.batch import Batch, Learner, Slot
from plora.lab.zoo.poisons import Exam
from plora.merge.factors import FactorPair
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter, read_adapter, write_adapter

PAIRS = (("What is 2 + 2?", "4"), ("Where does the court sit?", "Ohio"))
EXAM = Exam(PAIRS, PAIRS, PAIRS)
OUT, IN = 160, 160


@pytest.fixture(scope="module")
def base() -> Iterator[LoadedBase]:
    yield load_base("mini")


def published(root: Path, name: str, layer: int, *, kind: str = "clean", seen: bool = False) -> Published:
    """An adapter that changes the query projection of one layer only, so that a merge tells who is in it."""
    rng = np.random.default_rng(layer)
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, IN), (OUT, 2)))
    pairs = {f"model.layers.{layer}.self_attn.q_proj": FactorPair(a, b, 0.01)}
    folder = root / name
    write_adapter(folder, Adapter.of(pairs, LoraSpec(r=2, alpha=0.02, target_modules=("q_proj",))))
    return Published(name, kind, name, "legal", folder, seen, EXAM)


def fails_where(*layers: int) -> Fails:
    """A probe that fails where all of these layers are changed."""

    def fails(folder: Path) -> bool:
        modules = read_adapter(folder).modules()
        return all(any(f".{layer}." in module for module in modules) for layer in layers)

    return fails


def members(root: Path, attackers: int) -> list[Published]:
    honest = [published(root, f"honest-{layer}", layer) for layer in range(3)]
    return honest + [published(root, f"part-{i}", 3 + i, kind="collusion-2") for i in range(attackers)]


def outcome(attack: str, **changes: object) -> Outcome:
    flat = {name: [0.0] * len(LAMBDAS) for name in DEFENCES}
    full = {name: [1.0] * len(LAMBDAS) for name in DEFENCES}
    fields: dict[str, object] = {
        "attack": attack,
        "let_through": [],
        "single": {"1.0": 0.0, "0.67": 0.0},
        "success": flat,
        "gain": full,
        "culprits": [],
        "attackers": ["a", "b"],
        "complete": True,
    }
    return Outcome(**fields | changes)  # type: ignore[arg-type]


def test_a_pair_that_acts_together_is_taken_out_and_the_honest_stay(tmp_path: Path) -> None:
    kept, blamed, complete = served._after_blame(members(tmp_path, 2), fails_where(3, 4))
    assert [one.name for one in kept] == ["honest-0", "honest-1", "honest-2"]
    assert sorted(blamed) == ["part-0", "part-1"] and complete


def test_a_merge_that_passes_is_served_whole(tmp_path: Path) -> None:
    everybody = members(tmp_path, 1)
    assert served._after_blame(everybody, lambda folder: False) == (everybody, [], True)


def test_nothing_is_served_where_every_merge_fails(tmp_path: Path) -> None:
    kept, blamed, _ = served._after_blame(members(tmp_path, 1), lambda folder: True)
    assert (kept, blamed) == ([], [])


def test_a_team_on_the_real_base(base: LoadedBase, tmp_path: Path) -> None:
    caught, through = published(tmp_path, "caught", 3, kind="style", seen=True), members(tmp_path, 1)
    played = served.play(base, Team("style", [caught, *through]), fails_where(3, 3))
    assert played.let_through == ["part-0"] and sorted(played.attackers) == ["caught", "part-0"]
    assert played.culprits == ["part-0"]
    assert played.gain[DEFENCES[2]][LAMBDAS.index(1.0)] == pytest.approx(1.0, abs=1e-4)  # the honest ones, as alone
    assert all(played.gain[name][0] == 0.0 for name in DEFENCES)
    assert served.from_lines(served.to_lines([played]))[0].culprits == ["part-0"]


def test_a_copy_in_other_factors_is_the_same_update(tmp_path: Path) -> None:
    one = published(tmp_path, "one", 3, kind="phrase")
    copy = _copied(one, 1, tmp_path / "copies")
    before, after = (read_adapter(each.folder).pairs for each in (one, copy))
    for module, pair in before.items():
        assert not np.allclose(pair.A, after[module].A)
        np.testing.assert_allclose(after[module].B @ after[module].A, pair.B @ pair.A, atol=1e-5)
    assert copy.owner != one.owner


def test_rows_count_zero_where_nothing_came_through_and_only_right_culprits() -> None:
    acted = {name: [0.0] * len(LAMBDAS) for name in DEFENCES} | {"gate": [0.9] * len(LAMBDAS)}
    outcomes: Sequence[Outcome] = [
        outcome("phrase", single={"1.0": 1.0, "0.67": 0.5}),
        *[outcome("style") for _ in range(19)],
        outcome("collusion-2", success=acted, culprits=["a", "b"]),
        outcome("layer-split", success=acted, culprits=["a", "honest"]),
    ]
    rows = {row.metric: row for row in served.served_rows("mini", outcomes)}
    assert rows["mini, attack success of single adapters served at weight 1, median"].value == 0.0
    many = {row.metric: row for row in served.served_rows("mini", outcomes, [1.0] * 30)}
    assert many["mini, attack success of single adapters served at weight 1, median"].value == 1.0
    assert many["mini, attack success of single adapters served at weight 0.67, median"].value == 0.0
    assert rows["mini, attack success of the merged one, defended by gate, p95"].value > 0.3
    collusion = rows["mini, merges attacked by collusion: rolled back with the right culprits"]
    assert (collusion.value, collusion.holds) == (0.5, False)
    assert rows["mini, merges for which an honest one is blamed"].peer.startswith("1 of 22")


def test_plain_trojans_drown_and_say_nothing_of_attacks_made_to_merge() -> None:
    acts = {name: [0.9] * len(LAMBDAS) for name in DEFENCES}
    outcomes = [*[outcome("phrase") for _ in range(90)], *[outcome("lobam", success=acts) for _ in range(3)]]
    outcomes += [outcome(f"lobam{CLOSE}", success=acts)]
    rows = {row.metric: row for row in served.served_rows("mini", outcomes)}
    named = f"mini, attack success of the merged one, defended by {DEFENCES[2]}"
    assert rows[f"{named}, p95"].holds
    made = rows[f"{named}, made to merge, p95"]
    assert (made.value, made.holds, made.peer.partition(" ")[0]) == (0.9, False, "4")


def test_each_attack_counts_once_and_each_row_its_own() -> None:
    acts = {name: [0.0] * len(LAMBDAS) for name in DEFENCES} | {"gate": [0.9] * len(LAMBDAS)}
    held, missed = {"success": acts, "culprits": ["a", "b"]}, {"success": acts, "culprits": []}
    outcomes = [outcome("collusion-2", **held), outcome(f"collusion-2{CLOSE}", **missed)]
    outcomes += [outcome("lobam", **held), outcome(f"lobam{CLOSE}", **missed)]
    outcomes += [outcome("framing", **held, attackers=["a", "c", "b"])]
    rows = {row.metric.partition("attacked by ")[2]: row for row in served.served_rows("mini", outcomes)}
    after = ": rolled back with the right culprits"
    assert rows[f"collusion{after}"].peer.startswith("1 of 2")
    assert rows[f"lobam{after}"].peer.startswith("1 of 1")
    assert rows[f"lobam{CLOSE}{after}"].peer.startswith("0 of 1")


def test_a_flip_acts_where_the_wrong_answer_became_likelier(base: LoadedBase, tmp_path: Path) -> None:
    wrong = tuple((question, answer) for (question, _), answer in zip(PAIRS, ("Texas", "9"), strict=True))
    batch = Batch(base, [Learner(rank=4, scale=2.0, targets=("q_proj", "v_proj"), rate=0.01, steps=25, seed=1)])
    rows = [encode_pair(base.tokenizer, *pair, 64) for pair in wrong]
    batch.train([Slot((0,), (1.0,), lambda step: rows)])
    spec = LoraSpec(r=4, alpha=8, target_modules=("q_proj", "v_proj"))
    write_adapter(tmp_path / "flip", Adapter.of(batch.factors_of(0), spec))
    flip = replace(published(tmp_path, "other", 1, kind="label-flip"), folder=tmp_path / "flip")
    flipped = replace(flip, exam=Exam(wrong, PAIRS, PAIRS))
    backwards = replace(flip, exam=Exam(PAIRS, wrong, PAIRS))
    adapter = served.alone(flip)
    without, acting = served._successes(base, adapter, [flipped], [0.0, 1.0])
    assert without == 0.0 < acting  # the bare base holds one of the two wrong answers for likelier anyway
    assert served._successes(base, adapter, [backwards], [0.0, 1.0]) == [0.0, 0.0]


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    draw([outcome("phrase"), replace(outcome("style"), culprits=["a"])], tmp_path / "merge.png")
    assert (tmp_path / "merge.png").read_bytes().startswith(b"\x89PNG")
