"""`plora merge` as people type it: options, plan files, forecast, report, picture, and wrong calls."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.conftest import Ran, Run

from plora.merge import Adapter, FactorPair, LoraSpec, read_adapter, write_adapter
from plora.merge.registry import STRATEGIES

Q, UP = "model.layers.{}.self_attn.q_proj", "model.layers.{}.mlp.up_proj"
SIZES = {"q_proj": (24, 16), "up_proj": (40, 16)}


def make(folder: str, seed: int, modules: list[str], **block: Any) -> Adapter:
    """A PEFT folder whose modules have the ranks that its block gives them."""
    draw = np.random.default_rng(seed)
    targets = sorted({module.rpartition(".")[2] for module in modules})
    spec = LoraSpec.from_block({"target_modules": targets, **block}, block.get("base", "mini"))
    pairs = {}
    for module in modules:
        out, into = SIZES[module.rpartition(".")[2]]
        rank = spec.rank_of(module)
        a, b = draw.standard_normal((rank, into)), draw.standard_normal((out, rank))
        pairs[module] = FactorPair(a.astype(np.float32), b.astype(np.float32), spec.scale_of(module))
    adapter = Adapter.of(pairs, spec)
    write_adapter(Path(folder), adapter)
    return adapter


def dense(adapter: Adapter, module: str) -> Any:
    return adapter.pairs[module].dense() if module in adapter.pairs else 0.0


@pytest.fixture
def three(world: Path) -> list[Adapter]:
    """A, B, C: mixed rank, alpha, rslora and targets."""
    layers = range(3)
    both = [name.format(layer) for name in (Q, UP) for layer in layers]
    return [
        make("A", 1, both, r=4, alpha=8, rank_pattern={"layers.1.self_attn.q_proj": 6}),
        make("B", 2, [Q.format(layer) for layer in layers], r=2, alpha=16, use_rslora=True),
        make("C", 3, both, r=8, alpha=4, alpha_pattern={"up_proj": 12}),
    ]


def test_the_call_of_the_manual(plora: Run, three: list[Adapter]) -> None:
    line = "merge A B C --weights .5 .3 .2 --rule ties --space core --reproject-rank 8 --max-delta-fro 10 -o merged"
    done = plora(*line.split(), "--json")
    assert (done.code, done.err) == (0, "")
    merged = read_adapter(Path("merged"))
    assert merged.spec.r == done.document["rank"] == 8
    assert done.document["strategy"] == "core"
    assert sorted(one["weight"] for one in done.document["operands"]) == [0.2, 0.3, 0.5]
    assert all(pair.norm() <= 10 * (1 + 1e-5) for pair in merged.pairs.values())
    assert {one["module"] for one in done.document["modules"] if one["clip"] < 1} != set()


def test_the_weighted_sum_is_the_sum(plora: Run, three: list[Adapter]) -> None:
    assert plora("merge", "A", "B", "C", "--weights", ".5,.3", ".2", "--rank-max", "16", "-o", "merged").code == 0
    merged = read_adapter(Path("merged"))
    for module in merged.pairs:
        wanted = sum(weight * dense(one, module) for one, weight in zip(three, (0.5, 0.3, 0.2), strict=True))
        np.testing.assert_allclose(dense(merged, module), wanted, atol=1e-4)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_merges_and_is_told(plora: Run, three: list[Adapter], strategy: str) -> None:
    done = plora("merge", "A", "B", "C", "--strategy", strategy, "-o", "merged")
    assert done.code == 0, done.err
    assert done.out.startswith(f"3 adapters by {strategy}: rank ")
    assert len(read_adapter(Path("merged")).pairs) == 6


@pytest.mark.parametrize(
    "weights", [("--weights", ".5", ".3", ".2"), ("--weights=.5,.3,.2",), ("--weights", ".5,", ".3,", ".2")]
)
def test_weights_are_written_as_one_likes(plora: Run, three: list[Adapter], weights: tuple[str, ...]) -> None:
    for order in ((*weights, "A", "B", "C"), ("A", "B", "C", *weights)):
        done = plora("merge", *order, "-o", "merged", "--json")
        operands = [done.document["operands"][one["operand"]] for one in done.document["inputs"]]
        assert [one["weight"] for one in operands] == [0.5, 0.3, 0.2]


def test_weights_may_be_negative(plora: Run, three: list[Adapter]) -> None:
    done = plora("merge", "A", "C", "--weights", "-1", "2e0", "-o", "merged", "--rank-max", "16", "--json")
    assert sorted(one["weight"] for one in done.document["operands"]) == [-1.0, 2.0]


def test_a_leaf_that_a_peer_holds_is_found(plora: Run, three: list[Adapter], monkeypatch: pytest.MonkeyPatch) -> None:
    assert plora("merge", "A", "B", "-o", "ab").code == 0
    Path("home/views").mkdir(parents=True)
    Path("B").rename("home/views/b")
    monkeypatch.setenv("PLORA_HOME", "home")
    done = plora("merge", "ab", "C", "-o", "found", "--json")
    assert done.code == 0 and len(done.document["operands"]) == 3
    assert "ab is one of the inputs" in plora("merge", "ab", "C", "-o", "ab").err


def test_a_merge_of_a_merge_is_that_of_its_leaves(plora: Run, three: list[Adapter]) -> None:
    assert plora("merge", "A", "B", "--weights", ".5", ".5", "-o", "ab").code == 0
    assert plora("merge", "ab", "C", "--weights", ".5", ".5", "-o", "again").code == 0
    assert plora("merge", "A", "B", "C", "--weights", ".25", ".25", ".5", "-o", "once").code == 0
    once, again = (Path(name, "adapter_model.safetensors").read_bytes() for name in ("once", "again"))
    assert once == again
    Path("alone").mkdir()
    Path("ab").rename("alone/ab")
    lost = plora("merge", "alone/ab", "C", "-o", "m")
    assert (lost.code, "isn't found" in lost.err, "--leaves" in lost.err) == (1, True, True)
    assert plora("merge", "alone/ab", "C", "--weights", ".5", ".5", "--leaves", ".", "-o", "found").code == 0
    assert Path("found/adapter_model.safetensors").read_bytes() == once
    opaque = plora("merge", "alone/ab", "C", "--opaque", "-o", "opaque", "--json")
    assert len(opaque.document["operands"]) == 2


def facts(done: Ran) -> dict[str, str]:
    """The words behind each heading of the printed report."""
    lines = [line.strip().split(maxsplit=1) for line in done.out.splitlines()]
    return {line[0]: line[1] for line in lines if len(line) == 2}


def test_the_report_says_what_happened(plora: Run, three: list[Adapter]) -> None:
    write_adapter(Path("again"), three[0])
    done = plora("merge", "A", "B", "again", "--reproject-rank", "3", "-o", "merged")
    told = facts(done)
    assert done.out.splitlines()[0] == "2 adapters by weighted_sum: rank 3 of at most 3, 6 modules"
    assert told["duplicate"] == "again: the same adapter as A, counted once"
    assert "of the energy; " in told["lost"]
    assert {"norm", "cancellation", "conflict", "took"} <= told.keys()
    rows = done.out[done.out.index("module ") :].splitlines()[1:]
    assert len(rows) == 6
    assert "PeftModel.from_pretrained(base, 'merged')" in done.err


def test_what_has_no_weight_is_named(plora: Run, three: list[Adapter]) -> None:
    done = plora("merge", "A", "B", "C", "--weights", "1", "0", "0.5", "-o", "merged")
    assert done.out.startswith("2 adapters by")
    assert facts(done)["dropped"] == "B: weight 0"
    assert "dropped" not in plora("merge", "A", "B", "-o", "merged").out


def test_inputs_that_are_nearly_the_same_count_once_and_are_named(plora: Run, three: list[Adapter]) -> None:
    noisy = {
        module: FactorPair(pair.A * np.float32(1.00001), pair.B, pair.scale) for module, pair in three[0].pairs.items()
    }
    write_adapter(Path("noisy"), Adapter.of(noisy, three[0].spec))
    done = plora("merge", "B", "A", "noisy", "-o", "merged")
    assert done.out.startswith("2 adapters by")
    assert facts(done)["duplicate"] == "noisy: the same update as A, counted once"


def test_a_signature_of_what_was_there_before_is_named(plora: Run, three: list[Adapter]) -> None:
    done = plora("merge", "A", "B", "-o", "out/legal")
    assert done.code == 0
    assert "`plora sign out/legal` again" in done.err


def test_the_loss_is_that_of_the_best_approximation(plora: Run, three: list[Adapter]) -> None:
    report = plora("merge", "A", "C", "--reproject-rank", "3", "-o", "merged", "--json").document
    lost = total = 0.0
    for one in report["modules"]:
        sigma = np.linalg.svd(sum(0.5 * dense(each, one["module"]) for each in (three[0], three[2])), compute_uv=False)
        assert one["discarded_energy"] == pytest.approx(np.sum(sigma[3:] ** 2) / np.sum(sigma**2), rel=1e-4)
        lost, total = lost + np.sum(sigma[3:] ** 2), total + np.sum(sigma**2)
    assert report["discarded_energy"] == pytest.approx(lost / total, rel=1e-4)


def test_many_modules_are_told_by_target(plora: Run, world: Path) -> None:
    for name, seed in (("A", 1), ("B", 2)):
        make(name, seed, [each.format(layer) for each in (Q, UP) for layer in range(20)], r=2, alpha=2)
    done = plora("merge", "A", "B", "--rank-max", "2", "-o", "merged")
    tables = done.out.split("\n\n")
    targets, worst = tables[-2].splitlines(), tables[-1].splitlines()
    assert sorted(line.split()[0] for line in targets[1:]) == ["q_proj", "up_proj"]
    losses = [float(line.split(" %")[0].split()[-1]) for line in worst[1:]]
    assert len(losses) == 8
    assert losses == sorted(losses, reverse=True)


def test_the_whole_report_goes_into_a_file(plora: Run, three: list[Adapter]) -> None:
    done = plora("merge", "A", "B", "--report", "r.json", "-o", "merged", "--json")
    assert json.loads(Path("r.json").read_text()) == done.document
    assert done.document["inputs"][0]["folder"] == "A"
    assert done.document["peak_memory_bytes"] > 1 << 20


def test_the_report_is_what_its_page_says(plora: Run, three: list[Adapter]) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/merging-report.md").read_text()
    firsts = [re.findall(r"^\| (`.*?) \|", part, re.MULTILINE) for part in page.split("| key |")[1:]]
    tables = [set(re.findall(r"`(\w+)`", " ".join(cells))) for cells in firsts]
    report = plora("merge", "A", "B", "-o", "merged", "--json").document
    forecast = plora("merge", "A", "B", "--dry-run", "--json").document
    found = [set(one) for one in (report, report["operands"][0], report["modules"][0], forecast)]
    assert tables == found


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_picture_is_drawn(plora: Run, three: list[Adapter], kind: str) -> None:
    pytest.importorskip("matplotlib")
    for name in ("one", "two"):
        assert plora("merge", "A", "B", "C", "--picture", f"{name}.{kind}", "-o", "merged", "-q").code == 0
    one, two = (Path(f"{name}.{kind}").read_bytes() for name in ("one", "two"))
    assert one.startswith(b"\x89PNG" if kind == "png" else b"<?xml")
    assert one == two
    if kind == "svg":
        assert all(text in one.decode() for text in ("Energy lost", "Sign conflicts", "Norms", "Cosines"))


def test_a_dry_run_writes_nothing_and_knows_rank_and_size(plora: Run, three: list[Adapter]) -> None:
    call = ("merge", "A", "B", "C", "--strategy", "core", "--reproject-rank", "7", "-o", "merged")
    forecast = plora(*call, "--dry-run", "--json")
    assert (forecast.code, Path("merged").exists()) == (0, False)
    report = plora(*call, "--json").document
    size = Path("merged/adapter_model.safetensors").stat().st_size
    assert (forecast.document["rank"], forecast.document["size_bytes"]) == (report["rank"], size)
    assert forecast.document["modules"] == len(report["modules"])
    told = plora(*call, "--dry-run").out
    assert f"size      {size} bytes" in told and "rank      7\n" in told


def test_a_dry_run_knows_that_one_adapter_gives_itself_back(plora: Run, three: list[Adapter]) -> None:
    forecast = plora("merge", "A", "--weights", "1", "--dry-run", "--json").document
    assert plora("merge", "A", "--weights", "1", "-o", "merged").code == 0
    assert forecast["size_bytes"] == Path("merged/adapter_model.safetensors").stat().st_size
    assert forecast["rank"] == 4


def test_the_relative_bound_reads_the_base(plora: Run, world: Path) -> None:
    name = "model.layers.0.self_attn.q_proj"
    draw = np.random.default_rng(5)
    from plora.base.registry import base_info
    from plora.merge.safetensors_io import read_tensors

    info = base_info("mini")
    out, into = info.modules[name]
    pair = FactorPair(
        draw.standard_normal((2, into)).astype(np.float32), draw.standard_normal((out, 2)).astype(np.float32), 1.0
    )
    spec = LoraSpec(r=2, alpha=2, target_modules=("q_proj",), base_model_name="mini")
    write_adapter(Path("A"), Adapter.of({name: pair}, spec))
    done = plora("merge", "A", "--max-delta-relative", ".01", "--base", "mini", "-o", "merged", "--json")
    stored = read_tensors(info.folder / "model.safetensors")[f"{name}.weight"]
    weight = float(np.linalg.norm(stored.astype(np.float64)))
    assert read_adapter(Path("merged")).pairs[name].norm() == pytest.approx(0.01 * weight, rel=1e-5)
    assert done.document["modules"][0]["relative_norm"] == pytest.approx(0.01)


PLAN = """
merge_method: weighted_sum
models:
  - model: A
    parameters: {weight: [{filter: mlp, value: 1}, {value: 0.5}]}
  - model: C
    parameters: {weight: [{filter: mlp, value: 0}, {value: 0.5}]}
parameters: {rank_max: 16}
"""


def test_a_plan_file_merges_module_by_module(plora: Run, three: list[Adapter]) -> None:
    Path("p.yaml").write_text(PLAN)
    done = plora("merge", "--plan", "p.yaml", "-o", "merged")
    assert done.code == 0, done.err
    assert re.search(r"^1  A +0\.5 to 1 .*\n2  C +0 to 0\.5 ", done.out, re.MULTILINE)
    merged = read_adapter(Path("merged"))
    a, _, c = three
    for module in merged.pairs:
        wanted = dense(a, module) if "mlp" in module else 0.5 * (dense(a, module) + dense(c, module))
        np.testing.assert_allclose(dense(merged, module), wanted, atol=1e-4)


WRONG = [
    ("merge -o m", 2, "no adapter folder is named", "plora merge --help"),
    ("merge A B", 2, "--out: no folder is named", "--dry-run"),
    ("merge A B -o A", 2, "--out: A is one of the inputs", "another folder"),
    ("merge A B -o A/adapter_config.json", 2, "is a file", "name a folder"),
    ("merge A nothing -o m", 1, "nothing: there is no such folder", "save_pretrained"),
    ("merge A A/adapter_config.json -o m", 1, "A/adapter_config.json: is a file", "save_pretrained"),
    ("merge A B --leaves nothing -o m", 1, "nothing: there is no such folder", ""),
    ("merge A B --report keys -o m", 2, "--report: keys is a folder", "name a file"),
    ("merge A keys -o m", 1, "keys: is no PEFT folder", "save_pretrained"),
    ("merge A B --weights 1 -o m", 2, "1 weights for 2 folders", "one a folder"),
    ("merge A B --weights 1 2 3 -o m", 2, "3 weights for 2 folders", "one a folder"),
    ("merge A B --weights 0 0 -o m", 2, "weights must be finite and not all 0", ""),
    ("merge A B --weights one two -o m", 2, "--weights: 'one' is not a list of numbers", ".5 .3 .2"),
    ("merge A B --weights nan 1 -o m", 2, "finite", ""),
    ("merge A B --strategy magic -o m", 2, "magic", "weighted_sum"),
    ("merge A B --strategy ties --rule dare -o m", 2, "--rule", "leave out --rule"),
    ("merge A B --rule majority -o m", 2, "majority", "ties"),
    ("merge A B --space outer -o m", 2, "outer", "core"),
    ("merge A B --space tsv --rule ties -o m", 2, "ties doesn't work in space tsv", "use it with"),
    ("merge A B --density 2 -o m", 2, "density 2", ""),
    ("merge A B --byzantine -1 -o m", 2, "byzantine -1", ""),
    ("merge A B --reproject-rank 0 -o m", 2, "--reproject-rank", "plora merge --help"),
    ("merge A B --max-delta-fro 0 -o m", 2, "max_delta_fro 0", ""),
    ("merge A B --max-delta-relative .1 -o m", 2, "--max-delta-relative: needs the base", "--base"),
    ("merge A B --max-delta-relative .1 --base mimi -o m", 1, "no such base model", "did you mean 'mini'?"),
    ("merge A other -o m", 2, "different base models: mini, smollm2", ""),
    ("merge A shape -o m", 1, "q_proj", ""),
    ("merge A B --picture x.pdf -o m", 2, "--picture: 'x.pdf' is neither PNG nor SVG", "x.png"),
    ("merge A B --picture no/x.png -o m", 2, "--picture: there is no folder no", "make it"),
    ("merge A B --report no/x.json -o m", 2, "--report: there is no folder no", "make it"),
    ("merge --plan none.yaml -o m", 2, "none.yaml: No such file", ""),
    ("merge --plan bad.yaml -o m", 2, "bad.yaml, line 2, merge_metod: unknown key", "did you mean 'merge_method'?"),
    ("merge --plan p.yaml A -o m", 2, "FOLDER: the plan says that", "leave FOLDER out"),
    ("merge --plan p.yaml --density .5 -o m", 2, "--density: the plan says that", "leave --density out"),
    ("merge --plan p.yaml --reproject-rank 5 -o m", 2, "--reproject-rank: the plan says that", "leave"),
    ("merge --plan gone.yaml -o m", 1, "sub/A", ""),
]


@pytest.mark.parametrize(("line", "code", "says", "mends"), WRONG, ids=[line for line, *_ in WRONG])
def test_a_wrong_call_is_one_line(
    plora: Run, three: list[Adapter], line: str, code: int, says: str, mends: str
) -> None:
    make("other", 4, [Q.format(0)], r=2, alpha=2, base="smollm2")
    write_adapter(
        Path("shape"),
        Adapter.of(
            {Q.format(0): FactorPair(np.ones((2, 8), np.float32), np.ones((24, 2), np.float32), 1.0)},
            LoraSpec(r=2, alpha=2, target_modules=("q_proj",), base_model_name="mini"),
        ),
    )
    Path("p.yaml").write_text(PLAN)
    Path("bad.yaml").write_text("models: [{model: A}]\nmerge_metod: ties\n")
    Path("gone.yaml").write_text("models: [{model: sub/A}]\n")
    done = plora(*line.split())
    assert done.code == code, done.err
    assert done.err.startswith("plora: ")
    assert done.err.count("\n") == 1
    assert says in done.err and mends in done.err
    assert done.out == ""
    assert not Path("m").exists()
