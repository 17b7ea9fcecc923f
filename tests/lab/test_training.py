"""Training and evaluation on `mini`: a few steps, real files, real peft."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plora.base import LoadedBase, answer_nll, load_base
from plora.lab.corpora import load_domain
from plora.lab.evaluate import BASE_ROW, evaluate, parse_adapters
from plora.lab.evaluate import main as evaluate_main
from plora.lab.threads import prepare_threads
from plora.lab.train import TARGETS, TrainPlan, TrainReport, train_adapter
from plora.lab.train import main as train_main
from plora.lab.wearing import wearing, worn_hot
from plora.merge.draft import metrics_file
from plora.merge.injection import fingerprint
from plora.merge.lora_config import LoraSpec, adapter_config_bytes
from plora.merge.peft_folder import read_adapter
from plora.proto.errors import AdapterError, LatencyError, UsageError

torch = pytest.importorskip("torch")
Trained = tuple[Path, TrainReport, list[dict[str, Any]]]
PLAN = TrainPlan(steps=12, batch=8, validation=32)


@pytest.fixture(scope="module")
def mini() -> LoadedBase:
    torch.set_num_threads(1)
    return load_base("mini")


@pytest.fixture(scope="module")
def trained(mini: LoadedBase, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    out = tmp_path_factory.mktemp("lab") / "arithmetic"
    records: list[dict[str, Any]] = []
    report = train_adapter(mini, "arithmetic", out, PLAN, records.append)
    return out, report, records


def config_bytes(target: str, rank: int) -> bytes:
    return adapter_config_bytes(LoraSpec(r=rank, alpha=8, target_modules=(target,)), "mini")


class TestTraining:
    def test_a_dozen_steps_help(self, trained: Trained) -> None:
        _, report, _ = trained
        assert report.val_ppl_after < 0.5 * report.val_ppl_before
        assert report.delta_ppl == pytest.approx(report.val_ppl_after - report.val_ppl_before)
        assert report.delta_ppl_95[0] < report.delta_ppl < report.delta_ppl_95[1] < 0
        assert report.last_loss < report.first_loss

    def test_the_folder_is_an_adapter_and_nothing_else(self, trained: Trained, mini: LoadedBase) -> None:
        out, report, _ = trained
        assert sorted(path.name for path in out.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
        adapter = read_adapter(out)
        assert (adapter.spec.r, adapter.spec.alpha, adapter.spec.base_model_name) == (4, 8, "mini")
        assert set(adapter.spec.target_modules) == set(TARGETS["all"])
        assert report.artifact_bytes == (out / "adapter_model.safetensors").stat().st_size
        written = json.loads(metrics_file(out).read_text())
        assert written["val_ppl_after"] == report.val_ppl_after
        assert (written["base"], written["base_digest"]) == ("mini", mini.digest)

    def test_progress_counts_the_steps(self, trained: Trained) -> None:
        _, _, records = trained
        assert records[0]["event"] == "start"
        assert [record["step"] for record in records[1:]] == list(range(1, PLAN.steps + 1))
        assert all(record["steps"] == PLAN.steps for record in records)

    def test_the_same_seed_gives_the_same_bytes(self, mini: LoadedBase, trained: Trained, tmp_path: Path) -> None:
        out, report, _ = trained
        state = torch.get_rng_state()
        again = train_adapter(mini, "arithmetic", tmp_path / "again", PLAN)
        assert again == report
        for file in out.iterdir():
            assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()
        assert torch.equal(torch.get_rng_state(), state)
        short = replace(PLAN, steps=2, validation=4)
        one = train_adapter(mini, "arithmetic", tmp_path / "one", short)
        other = train_adapter(mini, "arithmetic", tmp_path / "other", replace(short, seed=1))
        assert one.last_loss != other.last_loss

    @pytest.mark.parametrize("scheme", ["attention", "mlp"])
    def test_a_scheme_chooses_the_modules(self, mini: LoadedBase, tmp_path: Path, scheme: Any) -> None:
        report = train_adapter(
            mini, "legal", tmp_path / scheme, replace(PLAN, steps=1, validation=4, scheme=scheme, rank=2)
        )
        assert report.target_modules == tuple(sorted(TARGETS[scheme]))
        leaves = {name.rsplit(".", 1)[1] for name in read_adapter(tmp_path / scheme).pairs}
        assert leaves == set(TARGETS[scheme])

    @pytest.mark.parametrize(
        ("change", "message"),
        [({"rank": 0}, "rank"), ({"steps": 0}, "steps"), ({"rate": -1.0}, "negative"), ({"scheme": "head"}, "scheme")],
    )
    def test_senseless_plans_are_refused(
        self, mini: LoadedBase, tmp_path: Path, change: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(UsageError, match=message):
            train_adapter(mini, "legal", tmp_path / "x", replace(PLAN, **change))
        assert not (tmp_path / "x").exists()


class TestEvaluation:
    def test_the_base_comes_first_and_differs_from_itself_by_nothing(self, mini: LoadedBase, trained: Trained) -> None:
        rows = evaluate(mini, {"own": trained[0]}, ["arithmetic", "legal"], documents=40)
        assert [(row.adapter, row.domain) for row in rows] == [
            (BASE_ROW, "arithmetic"),
            (BASE_ROW, "legal"),
            ("own", "arithmetic"),
            ("own", "legal"),
        ]
        assert (rows[0].difference.low, rows[0].difference.high, rows[0].helps) == (0, 0, False)
        assert rows[2].helps
        assert rows[2].difference.value == pytest.approx(rows[2].perplexity.value - rows[0].perplexity.value)
        assert rows[2].documents == 40

    def test_the_base_is_given_back_as_it_was(self, mini: LoadedBase, trained: Trained) -> None:
        before = evaluate(mini, {}, ["legal"], documents=20)
        evaluate(mini, {"own": trained[0]}, ["legal"], documents=20)
        assert not hasattr(mini.model, "peft_config")
        assert all(weight.requires_grad for weight in mini.model.parameters())
        assert evaluate(mini, {}, ["legal"], documents=20) == before

    def test_a_folder_that_is_no_adapter_is_refused(self, mini: LoadedBase, tmp_path: Path) -> None:
        with pytest.raises(AdapterError):
            evaluate(mini, {"x": tmp_path}, ["legal"], documents=4)

    @pytest.mark.parametrize(
        ("file", "raw"),
        [
            ("adapter_config.json", b"{}"),
            ("adapter_config.json", config_bytes("no_such_proj", 4)),
            ("adapter_config.json", config_bytes("q_proj", 8)),
            ("adapter_config.json", config_bytes("q_proj", 4)),
            ("adapter_model.safetensors", b"nonsense"),
        ],
    )
    def test_an_adapter_that_does_not_fit_is_refused_and_leaves_the_base_alone(
        self, mini: LoadedBase, trained: Trained, tmp_path: Path, file: str, raw: bytes
    ) -> None:
        before = evaluate(mini, {}, ["legal"], documents=8)
        broken = tmp_path / "broken"
        shutil.copytree(trained[0], broken)
        (broken / file).write_bytes(raw)
        with pytest.raises(AdapterError):
            evaluate(mini, {"x": broken}, ["legal"], documents=8)
        assert not hasattr(mini.model, "peft_config")
        assert not any("lora" in name for name, _ in mini.model.named_modules())
        assert evaluate(mini, {}, ["legal"], documents=8) == before

    @pytest.mark.parametrize("word", ["legal", "=x", "legal="])
    def test_words_that_name_no_folder_are_refused(self, word: str) -> None:
        with pytest.raises(UsageError, match="NAME=FOLDER"):
            parse_adapters([word])

    def test_the_command_prints_one_line(self, trained: Trained, capfd: pytest.CaptureFixture[str]) -> None:
        words = ["--base", "mini", "--adapter", f"own={trained[0]}", "--domains", "arithmetic", "--documents", "8"]
        assert evaluate_main([*words, "--threads", "1"]) == 0
        record = json.loads(capfd.readouterr().out)
        assert [row["adapter"] for row in record["rows"]] == [BASE_ROW, "own"]
        assert record["rows"][1]["perplexity"]["value"] > 1


def test_the_training_command_speaks_json_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """All that its process writes to stdout, libraries included."""
    monkeypatch.setenv("PLORA_SAMPLES", "8")
    words = ["--base", "mini", "--domain", "medical", "--steps", "1", "--out", str(tmp_path / "m"), "--validation", "4"]
    assert train_main([*words, "--batch", "2", "--threads", "1", "--json-progress"]) == 0
    records = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [record["event"] for record in records] == ["start", "step", "done"]
    assert records[0]["samples"] == 8
    assert records[2]["out"] == str(tmp_path / "m")


@pytest.mark.parametrize(
    ("command", "code", "mend"),
    [
        ("train --base mimi --domain legal --out x", 1, "did you mean 'mini'?"),
        ("train --base mini --domain sport --out x", 2, "one of arithmetic, legal, medical"),
        ("evaluate --base mini --domains legal,sport", 2, "one of arithmetic, legal, medical"),
        ("evaluate --base mini --adapter x", 2, "--adapter legal=out/legal"),
    ],
)
def test_a_wrong_word_is_told_before_torch_is_loaded(tmp_path: Path, command: str, code: int, mend: str) -> None:
    module, *words = command.split()
    program = [sys.executable, "-X", "importtime", "-m", f"plora.lab.{module}", *words]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert not re.search(r"\| +torch$", done.stderr, re.MULTILINE)
    assert json.loads(done.stdout)["mend"] == mend


def test_thread_settings_that_are_there_are_kept() -> None:
    settings = {"OMP_NUM_THREADS": "3", "OMP_WAIT_POLICY": "ACTIVE"}
    assert prepare_threads(settings) == 3
    assert prepare_threads(settings, 1) == 1
    assert settings == {"OMP_NUM_THREADS": "3", "OMP_WAIT_POLICY": "ACTIVE", "TOKENIZERS_PARALLELISM": "false"}
    assert prepare_threads({"OMP_NUM_THREADS": "none"}) == 2


class TestWornHot:
    def test_it_scores_as_peft_does_and_leaves_the_base(self, trained: Trained, mini: LoadedBase) -> None:
        folder, _, _ = trained
        pairs = [(p.question, p.answer) for p in load_domain("arithmetic", "validation", 16)]
        before = fingerprint(mini.model)
        with wearing(mini.model, folder) as model:
            expected = answer_nll(model, mini.tokenizer, pairs).nll
        with worn_hot(mini.model, folder, {"PLORA_LATENCY_BUDGET_MS": "60000"}):
            found = answer_nll(mini.model, mini.tokenizer, pairs).nll
        assert found == pytest.approx(expected, rel=1e-4)
        assert fingerprint(mini.model) == before

    def test_a_budget_that_nothing_keeps_stops_it(self, trained: Trained, mini: LoadedBase) -> None:
        before = fingerprint(mini.model)
        with (
            pytest.raises(LatencyError, match="the base is as it was"),
            worn_hot(mini.model, trained[0], {"PLORA_LATENCY_BUDGET_MS": "1e-6"}),
        ):
            pass
        assert fingerprint(mini.model) == before
