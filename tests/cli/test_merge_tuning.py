"""`plora merge` tuned on pairs: the base `mini`, adapters that learned something, real losses and gradients."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.cli.conftest import Run

from plora.base import LoadedBase, load_base
from plora.lab.corpora import Split, load_domain
from plora.lab.train import TrainPlan, train_adapter
from plora.merge import read_adapter
from plora.merge.dev_set import DevSet
from plora.merge.fisher import fisher_weighted
from plora.merge.folder_source import FolderSource
from plora.merge.injection import injected
from plora.merge.plan import MergePlan

DOMAINS = ("arithmetic", "legal")
UP = "model.layers.0.mlp.up_proj"


def write_pairs(file: str, domain: str, split: Split, count: int) -> list[tuple[str, str]]:
    pairs = [(pair.question, pair.answer) for pair in load_domain(domain, split, count)]
    lines = [json.dumps({"question": question, "answer": answer, "domain": domain}) for question, answer in pairs]
    Path(file).write_text("\n".join(lines) + "\n", "utf-8")
    return pairs


@pytest.fixture(scope="module")
def mini() -> Iterator[LoadedBase]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load_base("mini")
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(mini: LoadedBase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter a domain, of a few steps."""
    root = tmp_path_factory.mktemp("trained")
    for domain in DOMAINS:
        train_adapter(mini, domain, root / domain, TrainPlan(steps=8, batch=8, validation=1))
    return root


@pytest.fixture
def pairs(trained: Path, world: Path) -> dict[str, list[tuple[str, str]]]:
    """The adapters in the working directory, a file of pairs for each domain, and one of held-out pairs."""
    for domain in DOMAINS:
        Path(domain).symlink_to(trained / domain)
    write_pairs("held.jsonl", "legal", "test", 12)
    return {domain: write_pairs(f"{domain}.jsonl", domain, "validation", 6) for domain in DOMAINS}


def loss_of(mini: LoadedBase, folder: str, seen: list[tuple[str, str]]) -> float:
    with injected(mini.model, FolderSource(Path(folder))):
        return DevSet(mini.model, mini.tokenizer, seen).loss()


def test_the_line_search_writes_what_it_measured(
    plora: Run, mini: LoadedBase, pairs: dict[str, list[tuple[str, str]]]
) -> None:
    done = plora("merge", *DOMAINS, "--line-search", "legal.jsonl", "--held-out", "held.jsonl", "-o", "tuned", "--json")
    assert (done.code, done.err) == (0, "")
    assert plora("merge", *DOMAINS, "-o", "plain").code == 0
    [step] = done.document["tuning"]["steps"]
    assert (step["step"], step["pairs"], step["weights"]) == ("line_search", 6, None)
    assert step["loss_before"] == pytest.approx(loss_of(mini, "plain", pairs["legal"]), rel=1e-5)
    assert step["loss_after"] == pytest.approx(loss_of(mini, "tuned", pairs["legal"]), rel=1e-5)
    assert step["loss_after"] < step["loss_before"]
    assert done.document["plan"]["method"]["scaling"] == step["scaling"] != 1
    plain, tuned = (read_adapter(Path(folder)).pairs[UP].dense() for folder in ("plain", "tuned"))
    np.testing.assert_allclose(tuned, step["scaling"] * plain, atol=1e-6)
    assert done.document["tuning"]["held_out"]["change"]["value"] < 0


def test_fisher_information_weighs_by_module(
    plora: Run, mini: LoadedBase, pairs: dict[str, list[tuple[str, str]]]
) -> None:
    data = ("--fisher", "arithmetic.jsonl", "--fisher", "legal.jsonl")
    done = plora("merge", *DOMAINS, *data, "--weights", "1", "0.5", "-o", "tuned", "--json")
    assert (done.code, done.err) == (0, "")
    sources = [FolderSource(Path(domain)) for domain in DOMAINS]
    seen = [pairs[domain] for domain in DOMAINS]
    plan = fisher_weighted(mini.model, mini.tokenizer, sources, seen, MergePlan(weights=(1.0, 0.5)))
    weights = plan.choice(UP).weights or ()
    wanted = sum(weight * source.pair(UP).dense() for weight, source in zip(weights, sources, strict=True))
    np.testing.assert_allclose(read_adapter(Path("tuned")).pairs[UP].dense(), wanted, atol=1e-5)
    [step] = done.document["tuning"]["steps"]
    assert (step["step"], step["pairs"], step["trials"]) == ("fisher", 12, 2)
    assert step["loss_after"] == pytest.approx(loss_of(mini, "tuned", [*seen[0], *seen[1]]), rel=1e-5)


def test_learned_weights_are_told_in_a_table(plora: Run, pairs: dict[str, list[tuple[str, str]]]) -> None:
    done = plora("merge", *DOMAINS, "--learn-weights", "legal.jsonl", "--held-out", "held.jsonl", "-o", "tuned", "-q")
    assert (done.code, done.err) == (0, "")
    [(count, before, after, first, second)] = re.findall(
        r"^learn weights +(\d+) +([\d.]+) +([\d.]+) +weights ([\d.e-]+), ([\d.]+) *$", done.out, re.MULTILINE
    )
    assert int(count) == 6 and float(after) < float(before)
    assert float(first) < float(second)
    assert re.search(r"^held out +12 +perplexity -[\d.]+ \[.*\] *$", done.out, re.MULTILINE)


def test_what_tuning_says_is_what_its_page_says(plora: Run, pairs: dict[str, list[tuple[str, str]]]) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/merging-tuning.md").read_text()
    told = set(re.findall(r"^\| `(\w+)` \|", page.split("| of a step |")[1].split("\n\n")[0], re.MULTILINE))
    done = plora("merge", *DOMAINS, "--fisher", "legal.jsonl", "--max-total-fro", "3", "-o", "tuned", "--json")
    [step] = done.document["tuning"]["steps"]
    assert set(step) == told
    assert done.document["norm"] <= 3 * (1 + 1e-6)


WRONG = [
    ("--line-search none.jsonl", 2, "none.jsonl: No such file or directory", ""),
    ("--learn-weights bad.jsonl", 2, 'bad.jsonl, line 2: has no "answer" in text', "write {"),
    ("--fisher empty.jsonl", 2, "empty.jsonl: has no pairs", "write {"),
    ("--fisher legal.jsonl --fisher legal.jsonl --fisher legal.jsonl", 2, "--fisher: 3 files of pairs for 2", "one"),
    ("--fisher legal.jsonl --learn-weights legal.jsonl", 2, "leave nothing to learned weights", "take one"),
    ("--held-out held.jsonl", 2, "held-out pairs judge a tuning", "tune on other pairs"),
    ("--line-search legal.jsonl --held-out legal.jsonl", 2, "6 held-out pairs were tuned on", "leave them out"),
    ("--line-search legal.jsonl --dry-run", 2, "--dry-run: a dry run loads no base", "leave out"),
    ("--line-search legal.jsonl --base mimi", 1, "mimi: no such base model", "did you mean 'mini'?"),
    ("--line-search legal.jsonl --base no/such", 1, "no/such: this base model is not on this machine", "hf download"),
]


@pytest.mark.parametrize(("line", "code", "says", "mends"), WRONG, ids=[line for line, *_ in WRONG])
def test_a_wrong_call_is_one_line(
    plora: Run, pairs: dict[str, list[tuple[str, str]]], line: str, code: int, says: str, mends: str
) -> None:
    Path("bad.jsonl").write_text('{"question": "Why?", "answer": "So"}\n{"question": "Why?"}\n')
    Path("empty.jsonl").write_text("\n")
    done = plora("merge", *DOMAINS, "-o", "m", "-q", *line.split())
    assert done.code == code, done.err
    assert done.err.startswith("plora: ") and done.err.count("\n") == 1
    assert says in done.err and mends in done.err
    assert done.out == "" and not Path("m").exists()


def test_adapters_of_another_base_are_refused_in_one_line(plora: Run, pairs: dict[str, list[tuple[str, str]]]) -> None:
    done = plora("merge", "out/legal", "--line-search", "legal.jsonl", "-o", "m", "-q")
    assert (done.code, done.out) == (1, "")
    assert re.fullmatch(r"plora: model\.layers\.0\.self_attn\.q_proj: the layer's weight is .*own base\n", done.err)
    assert not Path("m").exists()


def test_without_torch_it_says_what_is_missing(pairs: dict[str, list[tuple[str, str]]]) -> None:
    """In an interpreter that finds no torch, as after `pip install plora`."""
    call = "import sys; sys.modules['torch'] = None; from plora.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", call, "merge", *DOMAINS, "--line-search", "legal.jsonl", "-o", "m", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "plora: loading models needs the extra 'lab'; pip install 'plora[lab]'\n"
