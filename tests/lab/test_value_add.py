"""A whole study on `mini` in seconds, and what its file, guards and page make of numbers that nobody should believe."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from plora.base import LoadedBase, load_base
from plora.lab.ablation import run_ablation
from plora.lab.alternate import AlternatePlan, run_alternating
from plora.lab.corpora import DOMAINS as KNOWN
from plora.lab.router import Router
from plora.lab.train import Lesson, TrainPlan
from plora.lab.value_add import Cell, Outcome, ValueAddPlan, cells_of, run_value_add, verify
from plora.lab.value_add.__main__ import main
from plora.lab.value_add.cells import CellKind
from plora.lab.value_add.guards import PlaceboError, placebo_wins, planned_tests, refuse
from plora.lab.value_add.page import page
from plora.lab.value_add.rows import read_rows
from plora.lab.value_add.scoring import Scores
from plora.lab.value_add.summary import value_kept
from plora.lab.workshop import Order, Workshop, shuffled
from plora.lab.workshop import lesson_for as lesson_of_order
from plora.merge.injection import fingerprint
from plora.merge.peft_folder import read_adapter
from plora.proto.errors import LatencyError, UsageError

torch = pytest.importorskip("torch")
DOMAINS = tuple(KNOWN)
TRAIN = TrainPlan(steps=4, batch=4, validation=2)
PLAN = ValueAddPlan(
    domains=("arithmetic", "legal"),
    ranks=(1,),
    schemes=("attention",),
    seeds=(41,),
    samples=12,
    dev_size=8,
    close=0,
    times=(1.0, 2.0),
    train=TRAIN,
)
Studied = tuple[Path, Outcome, list[dict[str, Any]]]


class StoppedError(Exception):
    """Somebody pressed Ctrl-C."""


@pytest.fixture(scope="module")
def mini() -> LoadedBase:
    torch.set_num_threads(1)
    return load_base("mini")


@pytest.fixture(scope="module")
def studied(mini: LoadedBase, tmp_path_factory: pytest.TempPathFactory) -> Studied:
    """A study that was stopped after its seventh row, in the middle of a line, and taken up again."""
    root = tmp_path_factory.mktemp("value-add")
    records: list[dict[str, Any]] = []

    def stop(record: dict[str, Any]) -> None:
        if record.get("done") == 7:
            raise StoppedError

    with pytest.raises(StoppedError):
        run_value_add(mini, PLAN, root / "results", root / "out", stop)
    with (root / "results/value_add.jsonl").open("a") as file:
        file.write('{"cell": "merg')
    outcome = run_value_add(mini, PLAN, root / "results", root / "out", records.append)
    return root, outcome, records


class TestStudy:
    def test_every_cell_has_its_row_in_order(self, studied: Studied) -> None:
        root, outcome, records = studied
        assert next(record for record in records if "kept" in record)["kept"] == 7
        kinds = [row["cell"] for row in read_rows(root / "results/value_add.jsonl")]
        assert kinds == [cell.kind for cell in cells_of(PLAN)]
        assert set(kinds) == set(get_args(CellKind))
        assert verify(root / "results/value_add.jsonl") == []
        assert outcome.rows == read_rows(root / "results/value_add.jsonl")

    def test_it_says_the_same_when_rows_are_made_again(self, mini: LoadedBase, studied: Studied) -> None:
        root, _, _ = studied
        results = root / "results"
        files = {name: (results / name).read_bytes() for name in ("value_add.jsonl", "value_add.md", "summary.json")}
        (results / "value_add.jsonl").unlink()
        run_value_add(mini, PLAN, results, root / "out")
        assert {name: (results / name).read_bytes() for name in files} == files

    def test_the_base_is_as_it_was(self, mini: LoadedBase, studied: Studied) -> None:
        assert fingerprint(mini.model) == fingerprint(load_base("mini").model)

    def test_adapters_help_and_placebos_tell_nothing(self, studied: Studied) -> None:
        """Four steps make answers likelier, and so do shuffled ones; a random direction does nothing."""
        rows = {(row["cell"], row["domain"]): row for row in studied[1].rows if row["lambda"] == 1}
        adapter, random = rows["adapter", "arithmetic"], rows["placebo_norm", "arithmetic"]
        assert adapter["difference"]["nll"]["high"] < 0
        assert adapter["wilcoxon_p"] < 0.05
        assert rows["placebo_shuffled", "arithmetic"]["difference"]["nll"]["high"] < 0
        assert abs(random["difference"]["nll"]["value"]) < 0.2 * abs(adapter["difference"]["nll"]["value"])
        assert not any(row["helps"] for row in rows.values() if row["cell"].startswith("placebo"))
        assert all(row["placebo_wins"] == [] for row in rows.values() if row["cell"].startswith("placebo"))

    def test_a_routed_question_is_answered_by_its_adapter(self, studied: Studied) -> None:
        rows = {(row["cell"], row["domain"]): row for row in studied[1].rows}
        assert rows["routed", "legal"]["routed_right"] == 1
        for figure in ("nll", "em", "question_information"):
            assert rows["routed", "legal"][figure] == pytest.approx(rows["adapter", "legal"][figure], rel=1e-4)
        assert rows["routed", "legal"]["kept"]["value"] == pytest.approx(1, abs=1e-3)

    def test_the_random_adapter_has_the_norms_of_the_true_one(self, studied: Studied) -> None:
        root, _, _ = studied
        [true] = (root / "out").glob("trained-legal-*/adapter_model.safetensors")
        [random] = (root / "out").glob("noise-legal-*/adapter_model.safetensors")
        norms = [{m: p.norm() for m, p in read_adapter(one.parent).pairs.items()} for one in (true, random)]
        assert norms[0] == pytest.approx(norms[1], rel=1e-4)

    def test_random_adapters_of_two_domains_point_two_ways(self, studied: Studied) -> None:
        one, other = (read_adapter(path).pairs for path in (studied[0] / "out").glob("noise-*-s41-*"))
        assert not any(np.allclose(pair.A, other[module].A) for module, pair in one.items())

    def test_the_page_shows_what_was_found(self, studied: Studied) -> None:
        text = (studied[0] / "results/value_add.md").read_text()
        assert "| legal | merged, λ = 2 |" in text
        assert "One seed: nothing here says how far another training would differ." in text
        assert "## Are placebos like the base?" in text
        placebos = [entry for entry in studied[1].entries if entry["cell"].startswith("placebo")]
        assert all(entry["equivalence"] is None or entry["equivalence"]["bound"] > 0 for entry in placebos)

    def test_an_ablation_takes_what_is_there(self, mini: LoadedBase, studied: Studied) -> None:
        root, outcome, _ = studied
        made: list[dict[str, Any]] = []
        rows = run_ablation(mini, PLAN, root / "ablation.jsonl", root / "out", made.append)
        assert not [record for record in made if record["event"] == "making"]
        assert rows == read_lines(root / "ablation.jsonl")
        own = next(row for row in outcome.rows if row["cell"] == "adapter")
        assert rows[0]["difference"]["nll"] == own["difference"]["nll"]
        assert rows[0]["beside_reference"]["value"] == 0
        assert rows[0]["parameters"] * 4 < rows[0]["artifact_bytes"] < rows[0]["parameters"] * 4 + 8192


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_two_seeds_are_two_runs(mini: LoadedBase, tmp_path: Path) -> None:
    plan = replace(PLAN, domains=("arithmetic",), seeds=(41, 42), placebos=False, close=2)
    outcome = run_value_add(mini, plan, tmp_path / "results", tmp_path / "out")
    one, other = (row for row in outcome.rows if row["cell"] == "adapter")
    assert (one["seed"], other["seed"]) == (41, 42)
    assert one["nll"] != other["nll"]
    assert 0 < one["js"] < one["kl"]
    assert 0 <= one["chrf"] <= 1
    entry = outcome.entries[-1]
    assert entry["seeds"] == [41, 42]
    assert entry["over_seeds"]["nll"]["low"] < entry["over_seeds"]["nll"]["high"]
    assert verify(tmp_path / "results/value_add.jsonl") == []


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, 18),
        ({"dev_size": 6}, 0),
        ({"close": 2}, 0),
        ({"samples": 11}, 2),
        ({"train": replace(TRAIN, steps=3)}, 2),
        ({"train": replace(TRAIN, rate=0.02)}, 2),
    ],
)
def test_rows_of_other_settings_are_made_again(
    mini: LoadedBase, tmp_path: Path, studied: Studied, change: dict[str, Any], kept: int
) -> None:
    """Of other documents all; of another training all but what the base alone answers."""
    shutil.copy(studied[0] / "results/value_add.jsonl", tmp_path)

    def stop(record: dict[str, Any]) -> None:
        assert record["event"] == "start" and record["kept"] == kept
        raise StoppedError

    with pytest.raises(StoppedError):
        run_value_add(mini, replace(PLAN, **change), tmp_path, studied[0] / "out", stop)
    assert len(read_rows(tmp_path / "value_add.jsonl")) == kept


def test_an_adapter_over_the_latency_budget_ends_it(mini: LoadedBase, tmp_path: Path, studied: Studied) -> None:
    """Its adapters are there; its scores aren't."""
    environ = {"PLORA_LATENCY_BUDGET_MS": "0.000001"}
    with pytest.raises(LatencyError, match="put on takes"):
        run_value_add(mini, PLAN, tmp_path, studied[0] / "out", environ=environ)
    assert [row["cell"] for row in read_rows(tmp_path / "value_add.jsonl")] == ["baseline", "baseline"]


def test_alternating_goes_on_from_its_merge(mini: LoadedBase, tmp_path: Path) -> None:
    plan = AlternatePlan(("arithmetic", "legal"), rounds=2, dev_size=8, train=replace(TRAIN, rank=1, samples=12))
    rows = run_alternating(mini, plan, tmp_path / "results", tmp_path / "out")
    assert rows == read_lines(tmp_path / "results/rounds.jsonl")
    first, second = rows
    assert first["moved"] is None
    assert second["moved"] > 0
    for domain in plan.domains:
        assert second["nll"]["merged"][domain] < first["nll"]["merged"][domain] < first["nll"]["base"][domain]
    record = json.loads((tmp_path / "results/convergence.json").read_text())
    assert (record["rounds"], record["settled_at"], record["worse"]) == (2, None, [])
    folders = sorted(path.name.rsplit("-", 1)[0] for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert folders[:2] == ["averaged-arithmetic+legal-r1-all-s0", "averaged-arithmetic+legal-r1-all-s0-t2"]


class TestWorkshop:
    def test_a_recipe_changes_with_whatever_the_adapter_depends_on(self, mini: LoadedBase, tmp_path: Path) -> None:
        order = Order("trained", ("legal",), TrainPlan(samples=8))
        others = [
            replace(order, kind="shuffled"),
            replace(order, domains=("medical",)),
            replace(order, plan=TrainPlan(samples=9)),
            replace(order, plan=TrainPlan(samples=8, seed=1)),
            replace(order, start=order),
        ]
        workshop = Workshop(mini, tmp_path)
        assert len({workshop.recipe(one) for one in [order, *others]}) == 6
        assert Workshop(mini, tmp_path).recipe(order) == workshop.recipe(order)

    def test_shuffled_answers_are_all_there_and_none_in_its_place(self) -> None:
        order = Order("shuffled", ("medical",), TrainPlan(samples=30, seed=3))
        true, wrong = lesson_of_order(replace(order, kind="trained")), lesson_of_order(order)
        assert [question for question, _ in wrong.train] == [question for question, _ in true.train]
        assert sorted(answer for _, answer in wrong.train) == sorted(answer for _, answer in true.train)
        assert wrong.held_out == true.held_out
        unlike = replace(true, train=[(question, str(place)) for place, (question, _) in enumerate(true.train)])
        assert not set(shuffled(unlike, 3).train) & set(unlike.train)

    @pytest.mark.parametrize(("yes", "stay"), [(20, 0), (12, 0), (25, 10)])
    def test_shuffled_answers_differ_by_text_wherever_that_can_be(self, yes: int, stay: int) -> None:
        """Of 40 pairs; where 25 have one answer, 15 others are there to swap with."""
        pairs = [(str(place), "yes" if place < yes else f"no {place % 3}") for place in range(40)]
        wrong = shuffled(Lesson("x", pairs, []), seed=1).train
        assert sorted(answer for _, answer in wrong) == sorted(answer for _, answer in pairs)
        assert len(set(wrong) & set(pairs)) == stay

    def test_each_round_learns_from_batches_of_its_own(self, mini: LoadedBase, tmp_path: Path) -> None:
        """At a rate of nothing the losses are the base's, on whatever is drawn."""
        losses: dict[str, list[float]] = {}

        def note(record: dict[str, Any]) -> None:
            if record["event"] == "making":
                losses[record["name"]] = []
            elif record["event"] == "step":
                losses[list(losses)[-1]].append(record["loss"])

        first = Order("trained", ("legal",), replace(TRAIN, samples=40, rate=1e-9, steps=2, rank=1))
        Workshop(mini, tmp_path, note).folder(replace(first, start=first))
        one, other = losses[first.name], losses[replace(first, start=first).name]
        assert not set(one) & set(other)

    def test_who_makes_an_adapter_second_takes_the_first_ones(self, mini: LoadedBase, tmp_path: Path) -> None:
        order = Order("trained", ("legal",), replace(TRAIN, samples=8, steps=1, rank=1))
        made: list[Path] = []

        def meanwhile(record: dict[str, Any]) -> None:
            if record["event"] == "making":
                made.append(Workshop(mini, tmp_path).folder(order))

        assert Workshop(mini, tmp_path, meanwhile).folder(order) == made[0]
        assert {path.name for path in tmp_path.iterdir()} == {made[0].name, f"{made[0].name}.metrics.json"}

    def test_a_recipe_knows_how_many_threads_there_are(self, mini: LoadedBase, tmp_path: Path) -> None:
        order = Order("trained", ("legal",), TrainPlan(samples=8))
        one = Workshop(mini, tmp_path).recipe(order)
        torch.set_num_threads(2)
        try:
            assert Workshop(mini, tmp_path).recipe(order) != one
        finally:
            torch.set_num_threads(1)


def scores(nll: float, *, exact: float = 0, strange: float = 0, information: float = 0, documents: int = 200) -> Scores:
    noise = np.random.default_rng(round(10 * nll)).standard_normal(documents) * 0.1
    hits, often = ((np.arange(documents) < share * documents).astype(float) for share in (exact, strange))
    return Scores(nll + noise, np.ones(documents), hits, information + noise[::-1], often[::-1])


def test_one_merge_of_a_seed_answers_all_domains() -> None:
    """Seeds keep .2, .5 and .8 in every domain alike: more domains tell no more of other seeds."""
    level = {"baseline": [5.0] * 3, "adapter": [3.0] * 3, "merged": [4.6, 4.0, 3.4]}
    cells = [
        Cell("merged", domain, DOMAINS, TrainPlan(seed=seed)) for seed in range(3) for domain in DOMAINS
    ]  # fmt: skip

    def scored(cell: Cell) -> Scores:
        return scores(level[cell.kind][cell.plan.seed if cell.plan else 0])

    [told] = value_kept(cells, scored)
    assert told["kept"]["value"] == pytest.approx(0.5, abs=0.02)
    assert (told["kept"]["low"], told["kept"]["high"]) == pytest.approx((0.2, 0.8), abs=0.03)
    assert told["over_seeds"]["low"] == pytest.approx(0.5 - 4.303 * 0.3 / 3**0.5, abs=0.02)
    assert told["lower"] == told["over_seeds"]["low"]
    [two] = value_kept([cell for cell in cells if cell.plan and cell.plan.seed < 2], scored)
    assert two["lower"] == two["kept"]["low"] > two["over_seeds"]["low"]


class TestGuards:
    BASE = scores(5, exact=0.1)
    TRUE = scores(3, exact=0.5, information=2)

    @pytest.mark.parametrize(
        ("kind", "placebo", "wins"),
        [
            ("placebo_shuffled", scores(3, exact=0.1), []),
            ("placebo_norm", scores(3, exact=0.1), ["likelihood"]),
            ("placebo_norm", scores(4.5, exact=0.1), []),
            ("placebo_shuffled", scores(3, exact=0.35), ["exact"]),
            ("placebo_shuffled", scores(3, exact=0.12), []),
            ("placebo_shuffled", scores(3, exact=0.3, strange=0.2), []),
            ("placebo_shuffled", scores(3, exact=0.1, information=1.5), ["information"]),
            ("placebo_norm", scores(6, exact=0.0, information=-1), []),
        ],
    )
    def test_a_placebo_wins_by_knowledge_and_not_by_style(self, kind: Any, placebo: Scores, wins: list[str]) -> None:
        cell = Cell(kind, "legal", ("legal",), TrainPlan())
        assert placebo_wins(cell, placebo, self.BASE, self.TRUE, planned=10) == wins

    def test_beside_an_adapter_that_learned_nothing_a_little_is_no_win(self) -> None:
        cell = Cell("placebo_norm", "legal", ("legal",), TrainPlan())
        little, much = scores(4.9, exact=0.11, information=0.1), scores(4.5, exact=0.2, information=0.4)
        assert placebo_wins(cell, little, self.BASE, self.BASE, planned=1) == []
        assert placebo_wins(cell, much, self.BASE, self.BASE, planned=1) == ["exact", "information", "likelihood"]

    def test_who_wins_ends_the_study(self) -> None:
        cell = Cell("placebo_norm", "legal", ("legal",), TrainPlan(seed=41))
        refuse(cell, [])
        with pytest.raises(PlaceboError, match=r"placebo_norm legal r4 all seed 41: .* by exact answers"):
            refuse(cell, ["exact"])

    def test_all_tests_of_a_plan_share_the_error(self) -> None:
        assert planned_tests(cells_of(PLAN)) == 2 * (3 + 2)
        assert planned_tests(cells_of(replace(PLAN, placebos=False))) == 0


def without(*names: str) -> Callable[[list[dict[str, Any]]], None]:
    def change(rows: list[dict[str, Any]]) -> None:
        for name in names:
            del rows[2][name]

    return change


def put(place: int, **values: Any) -> Callable[[list[dict[str, Any]]], None]:
    return lambda rows: rows[place].update(values)


def add_seeds(rows: list[dict[str, Any]]) -> None:
    """Two more seeds: between the first and its copy, by every order of their figures, stands one of another result."""
    rows.append({**rows[2], "seed": 42, "recipe": "b", "question_information": 9.0})
    rows.append({**rows[2], "seed": 43, "recipe": "c"})


class TestChecks:
    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            (without("wilcoxon_p"), "line 3 lacks wilcoxon_p"),
            (without("seed", "dz"), "line 3 lacks seed, dz"),
            (put(2, wilcoxon_p=1.5), "wilcoxon_p is 1.5, no share"),
            (put(2, ppl=1.0), "perplexity 1.0 isn't exp of"),
            (put(0, documents=3), "the baseline has 3"),
            (put(2, helps=None), "helps says None"),
            (put(4, placebo_wins=["exact"]), "the placebo beats the base by exact"),
            (lambda rows: rows.append(rows[2]), "stands there 2 times"),
            (lambda rows: rows.pop(0), "there is no baseline of arithmetic"),
            (lambda rows: rows.append({**rows[2], "seed": 42}), "seed 42 lacks"),
            (lambda rows: rows.append({**rows[2], "seed": 42}), "seed 42 are one and the same run"),
            (lambda rows: rows[2]["difference"]["nll"].update(value=9.0), "differs from the baseline by"),
            (lambda rows: rows[2]["difference"]["em"].update(low=2.0), "difference.em.low lies above"),
            (lambda rows: rows.clear(), "has no rows"),
            (put(2, nll=None), "line 3 has no sound nll"),
            (put(2, wilcoxon_p=None, em=True), "line 3 has no sound em, wilcoxon_p"),
            (put(2, difference=None), "line 3 has no sound difference"),
            (lambda rows: rows[2]["difference"]["em"].update(low=None), "line 3 has no sound difference"),
            (put(2, domain=[]), "line 3 has no sound domain"),
            (put(4, placebo_wins=None), "line 5 has no sound placebo_wins"),
            (add_seeds, "seed 43 are one and the same run"),
        ],
    )
    def test_a_file_that_is_not_sound_is_refused(
        self, studied: Studied, tmp_path: Path, change: Callable[[list[dict[str, Any]]], Any], fault: str
    ) -> None:
        rows = read_lines(studied[0] / "results/value_add.jsonl")
        change(rows)
        path = tmp_path / "value_add.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert any(fault in one for one in verify(path)), verify(path)

    def test_a_torn_line_and_no_file_are_faults_and_provenance_is_none(self, studied: Studied, tmp_path: Path) -> None:
        text = (studied[0] / "results/value_add.jsonl").read_text()
        path = tmp_path / "value_add.jsonl"
        [fault] = verify(path)
        assert "No such file" in fault
        path.write_text(text[:-9])
        assert verify(path)[0].endswith("is not JSON")
        path.write_text('{"provenance": {"seed": 41}}\n' + text)
        assert verify(path) == []


def test_what_is_bold_needs_seeds_documents_and_knowledge() -> None:
    found = {"value": -1.0, "low": -2.0, "high": -0.5}
    entry: dict[str, Any] = {"cell": "adapter", "domain": "legal", "of": "legal", "rank": 4, "scheme": "all"}
    entry |= {"lambda": 1.0, "seeds": [1, 2], "ppl": 9.0, "em": 0.0, "kept": None, "difference": {}, "over_seeds": {}}
    for measure in ("nll", "question_information"):
        entry["difference"][measure], entry["over_seeds"][measure] = found, found
    entry["holm_p"] = {"nll": 0.01, "question_information": 0.2}
    base = {"cell": "baseline", "domain": "legal", "seeds": [], "ppl": 99.0, "em": 0.0, "question_information": 0.1}

    def shown(nll: bool, information: bool) -> str:
        flags = {"nll": nll, "question_information": information}
        return page([base, {**entry, "significant": flags}], [])

    assert "**-1 (-2 to -0.5)**" in shown(True, True)
    assert "**-1" not in shown(True, False)
    assert shown(True, True).count("**-1") == 2


def test_a_router_never_sees_what_is_asked() -> None:
    router = Router.learned({"legal": ["Which court sits in Ohio?"], "medical": ["What is the code of fever?"]})
    assert router.routes(["Which court sits in Utah?", "What is the code of cough?"]) == ["legal", "medical"]


@pytest.mark.parametrize(
    "change",
    [
        {"domains": ()},
        {"domains": ("sport",)},
        {"seeds": (41, 41)},
        {"dev_size": 1},
        {"close": -1},
        {"times": (0.0,)},
        {"ranks": (0,)},
        {"schemes": ("head",)},
    ],
)
def test_plans_that_mean_nothing_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ValueAddPlan(**change)


def test_a_wrong_word_is_told_as_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--base", "mini", "--domains", "sport"]) == 2
    assert json.loads(capfd.readouterr().out)["mend"] == "one of arithmetic, legal, medical"
