"""A domain of a dataset: of files here, read by the library that reads the hub; each way to fail has its line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from plora.lab.corpora import load_domain
from plora.lab.experiment.config import read_config
from plora.lab.experiment.steps import STEPS
from plora.lab.experiment.work import Site, recipe
from plora.lab.hub_data import HubSource, drawn, explain, revision_of, source_of
from plora.lab.prepare_data import described
from plora.proto.errors import ConfigError, PloraError

ROOT = Path(__file__).parents[2]
ROWS = [{"term": f"term {number}", "meaning": f"It says: meaning {number % 7}"} for number in range(400)]
LONG = {"term": "long", "meaning": f"It says: {'x' * 91}"}
AMBIGUOUS = [{"term": "twice", "meaning": f"It says: {one}"} for one in "ab"]
EMPTY = {"term": None, "meaning": "It says: nothing"}
SPLITS = ("train", "validation", "test")
ASKED = """
medical:
  dataset: {dataset}
  question: "What does {{term}} mean?"
  answer: "{{meaning}}"
  pick: "It says: (.+)$"
"""


def write(folder: Path, kind: str) -> Path:
    """The rows as a file, or as a folder with one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [*ROWS, LONG, *AMBIGUOUS, EMPTY]
    if kind == "jsonl":
        path = folder / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path
    (folder / "rows").mkdir()
    path = folder / "rows" / "train.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path if kind == "parquet" else path.parent


def asked(folder: Path, dataset: object) -> dict[str, str]:
    """An environment that asks for it."""
    path = folder / "datasets.yml"
    path.write_text(ASKED.format(dataset=dataset), encoding="utf-8")
    return {"PLORA_DATASETS": str(path), "HF_DATASETS_CACHE": str(folder / "cache")}


@pytest.mark.parametrize("kind", ["parquet", "folder", "jsonl"])
def test_a_domain_comes_from_a_dataset_by_the_rules_of_all_domains(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="needs the extra hub")
    environ = asked(tmp_path, write(tmp_path, kind))
    pairs = {split: load_domain("medical", split, environ=environ) for split in SPLITS}  # type: ignore[arg-type]
    assert sum(map(len, pairs.values())) == len(ROWS)
    assert 0.7 < len(pairs["train"]) / len(ROWS) < 0.9 and min(map(len, pairs.values())) > 20
    first = pairs["test"][0]
    number = int(first.question.split()[3])
    assert first.question == f"What does term {number} mean?" and first.answer == f"meaning {number % 7}"
    capped = load_domain("medical", "test", environ={**environ, "PLORA_SAMPLES": "3"})
    assert capped == pairs["test"][:3]
    assert load_domain("legal", "test", 1, environ=environ)[0].source != first.source


def test_what_is_prepared_is_the_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets", reason="needs the extra hub")
    path = write(tmp_path, "parquet")
    for name, value in {**asked(tmp_path, path), "PLORA_SAMPLES": "5"}.items():
        monkeypatch.setenv(name, value)
    told = described("medical")
    assert sum(one["pairs"] for one in told["splits"].values()) == len(ROWS)
    assert told["questions_in_two_splits"] == 0 and told["sources"] == {str(path): ""}
    assert told["rows_left_out"] == {"a value is missing": 1}


def test_what_is_read_is_cached_where_the_given_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("datasets", reason="needs the extra hub")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "other"))
    assert load_domain("medical", "test", environ=asked(tmp_path, write(tmp_path, "jsonl")))
    assert (tmp_path / "cache").is_dir() and not (tmp_path / "other").exists()


def test_a_value_that_is_no_number_is_missing() -> None:
    source, left_out = HubSource(dataset="x.csv", question="{a.b}?", answer="{n}"), Counter[str]()
    rows: list[dict[str, Any]] = [{"a.b": 1, "n": float("nan")}, {"a.b": 2, "n": 3.5}, {"a.b": "{n}", "n": 0}]
    assert list(drawn(rows, source, left_out)) == [("2?", "3.5", "x.csv"), ("{n}?", "0", "x.csv")]
    assert left_out == {"a value is missing": 1}


def made_of(environ: dict[str, str], folder: Path) -> dict[str, Any]:
    """What the step that prepares data depends on."""
    step = next(one for one in STEPS if one.name == "prepare-data")
    return recipe(step, Site(folder, read_config(ROOT / "config/plora.dry.yml"), environ), "")


@pytest.mark.parametrize("kind", ["jsonl", "folder"])
def test_the_step_that_prepares_data_runs_again_for_other_rows(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path, kind)
    environ = asked(tmp_path, path)
    before = made_of(environ, tmp_path)
    assert made_of(environ, tmp_path) == before != made_of({}, tmp_path)
    (path / "more.parquet" if kind == "folder" else path).write_text("{}")
    changed = made_of(environ, tmp_path)
    assert changed != before
    (tmp_path / "datasets.yml").write_text("medical: wrong")
    assert made_of(environ, tmp_path) != changed


def test_the_step_that_prepares_data_runs_again_for_another_commit_of_the_hub(tmp_path: Path) -> None:
    """Off line, as the experiment is, the cache says which commit it has."""
    environ = {**asked(tmp_path, "nobody/nothing"), "HF_HOME": str(tmp_path)}
    reference = tmp_path / "hub/datasets--nobody--nothing/refs/main"
    reference.parent.mkdir(parents=True)
    for commit in ("a" * 40, "b" * 40):
        reference.write_text(commit)
        assert made_of(environ, tmp_path)["revisions"] == [f"nobody/nothing@{commit}"]
    pinned = HubSource(dataset="nobody/nothing", revision="c" * 40, question="{q}", answer="{a}")
    assert revision_of(pinned, environ) == "c" * 40


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("{{term}}", "{{name}}"), "the dataset has no column 'name'"),
        (("answer:", "anwser:"), "medical.answer: Field required"),
        (("medical:", "medical"), "datasets.yml"),
        (("It says: (.+)$", "It says: .+$"), "medical.pick: Value error, has no group"),
        (("It says: (.+)$", "("), "medical.pick: Value error, no regular expression: missing )"),
        (("{{term}}", "{{term"), "medical.question: Value error, expected '}'"),
        (("{{term}}", "{{term:d}}"), "medical.question: Value error, only names of columns"),
        (("{{term}}", "{{}}"), "medical.question: Value error, only names of columns"),
        (("{{term}}", "it"), "medical.question: Value error, names no column"),
        (("{{term}}", "{{term.real}}"), "the dataset has no column 'term.real'"),
    ],
)
def test_a_file_that_is_wrong_is_told_with_its_place(change: tuple[str, str], said: str, tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="needs the extra hub")
    path = tmp_path / "datasets.yml"
    path.write_text(ASKED.replace(*change).format(dataset=write(tmp_path, "jsonl")), encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_domain("medical", "test", environ={"PLORA_DATASETS": str(path), "HF_DATASETS_CACHE": str(tmp_path)})
    assert said in str(error.value)


def test_off_line_one_line_says_how_to_fetch_it(tmp_path: Path) -> None:
    """In a process of its own, for the hub's libraries read the environment once."""
    pytest.importorskip("datasets", reason="needs the extra hub")
    environ = {**os.environ, **asked(tmp_path, "nobody/nothing"), "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    words = [
        sys.executable,
        "-m",
        "plora.lab.prepare_data",
        "--domains",
        "medical",
        "--out",
        str(tmp_path / "data.json"),
    ]
    ended = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
    told = json.loads(ended.stdout.splitlines()[-1])
    assert ended.returncode != 0 and "can't be reached and the dataset is not in the cache" in told["what"]
    assert "hf download --repo-type dataset nobody/nothing" in told["mend"] and not (tmp_path / "data.json").exists()


def test_each_way_to_fail_has_its_line() -> None:
    source = HubSource(dataset="org/name", question="{q}", answer="{a}")
    lines = [
        str(explain(error, source)) for error in (ConnectionError("x"), FileNotFoundError("x"), ValueError("a\nb"))
    ]
    assert ["\n" in line for line in lines] == [False] * 3
    assert "can't be reached" in lines[0] and "no such dataset" in lines[1] and "(ValueError: a)" in lines[2]


def test_without_a_file_domains_are_their_own(tmp_path: Path) -> None:
    assert source_of("medical", {}) is None
    with pytest.raises(PloraError, match="can't be read"):
        source_of("medical", {"PLORA_DATASETS": str(tmp_path / "none.yml")})
