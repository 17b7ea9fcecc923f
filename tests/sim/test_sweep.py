"""Sweeps: which runs they have, a file that survives, and the same rows from processes of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from plora.cli.main import main
from plora.proto.errors import UsageError
from plora.sim.sweep import Sweep
from plora.sim.sweep_rows import opened
from plora.sim.sweep_work import Failed, Origin, on_processes, on_ray

ROOT = Path(__file__).resolve().parents[2]
ORIGIN = Origin("test", "ab" * 32, "plora sweep test.yaml")
BASE = {"agents": 4, "rounds": 2, "graph": {"kind": "ring"}, "publish": {"plasmids": 1}}
ROW = {"digest": "cd" * 32, "report": {}}


def sweep(**axes: Any) -> Sweep:
    return Sweep.parse({"base": BASE, "axes": axes})


def plora_sweep(*arguments: object) -> list[str]:
    return [str(Path(sys.executable).with_name("plora")), "sweep", *map(str, arguments)]


def write_sweep(folder: Path, seeds: int) -> Path:
    path = folder / "small.yaml"
    path.write_text(json.dumps({"base": BASE, "axes": {"seed": {"count": seeds}}}))
    return path


def test_runs_are_the_product_of_the_axes_the_last_varying_quickest() -> None:
    runs = sweep(**{"agents, graph.p": [[5, 0.5], [6, 0.4]], "graph": [{"kind": "er"}, {"kind": "ws", "k": 2}]}).runs()
    seen = [(run.scenario.agents, run.scenario.graph.p, run.scenario.graph.kind) for run in runs]
    assert seen == [(5, 0.5, "er"), (5, 0.5, "ws"), (6, 0.4, "er"), (6, 0.4, "ws")]
    assert runs[1].at == {"agents": 5, "graph.p": 0.5, "graph": {"kind": "ws", "k": 2}}
    assert runs[1].scenario.publish.plasmids == 1


def test_a_run_is_named_by_what_is_simulated() -> None:
    asked = sweep(seed=[1, 2, 1])
    assert len({run.digest for run in asked.runs()}) == len(asked.runs()) == 2
    renamed = Sweep.parse({"base": {**BASE, "name": "other", "about": "words"}, "axes": {"seed": [1, 2]}})
    assert [run.digest for run in renamed.runs()] == [run.digest for run in asked.runs()]


def test_the_thesis_sweep_compares_graphs_of_the_same_mean_degree() -> None:
    runs = Sweep.read(ROOT / "config/thesis_sweep.yml").runs()
    assert {run.scenario.graph.kind for run in runs} == {"er", "ws", "ba"} and len(runs) == 54
    for graph, n in ((run.scenario.graph, run.scenario.agents) for run in runs):
        assert {"er": graph.p * (n - 1), "ws": graph.k, "ba": 2 * graph.m}[graph.kind] == pytest.approx(6, rel=0.02)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("base: {graph: {kind: ws}}\naxes: {agents: [9], graph.k: [4, 3]}", "agents=9, graph.k=3: no ring of 9 peers"),
        ("base: eclipse.toml\naxes: {seed: [1]}", "did you mean eclipse"),
        ("axes: {seed: [1}", "no sweep: line 1: expected"),
        ("axes: {seed: 3}", "axes.seed: an axis is a list of values"),
        ("- 1", "no sweep"),
        ("base: {}", "axes: Field required"),
        ("axes: {agnts: [3]}", "agnts"),
        ("axes: {agents: [0]}", "agents"),
        ("axes: {seed: []}", "axes.seed"),
        ("axes: {'agents, graph.p': [[3]]}", "each of 2 fields"),
        ("base: gone.toml\naxes: {seed: [1]}", "gone.toml"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        Sweep.read(path).runs(str(path))
    assert named in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_base_may_be_a_scenario_beside_it(tmp_path: Path) -> None:
    (tmp_path / "late.toml").write_text("agents = 7\n")
    path = tmp_path / "late-sweep.yaml"
    path.write_text("base: late.toml\naxes: {seed: {first: 3, count: 2}}\n")
    assert [(run.scenario.agents, run.scenario.seed) for run in Sweep.read(path).runs()] == [(7, 3), (7, 4)]
    path.write_text("base: eclipse\naxes: {seed: [3]}\n")
    assert Sweep.read(path).runs()[0].scenario.adversaries[0].kind == "withholder"


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_is_cut_off_and_the_others_stay(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "rows.jsonl"
    with opened(path) as rows:
        rows.add(ROW)
        rows.add({**ROW, "digest": "ef" * 32})
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with opened(path) as rows:
        assert rows.done == {ROW["digest"]} and rows.repaired_bytes > 0
        rows.add({**ROW, "digest": "ef" * 32})
    assert path.read_bytes() == whole


@pytest.mark.parametrize("text", ["my notes", "my notes\n", '{"digest": 3}\n', '[]\n{"digest": "ab'])
def test_a_file_of_another_kind_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(UsageError, match="line 1 is no row"), opened(path):
        pass
    assert path.read_text() == text


def test_two_sweeps_never_write_the_same_file(tmp_path: Path) -> None:
    with opened(tmp_path / "rows.jsonl"), pytest.raises(UsageError, match="another sweep"):
        opened(tmp_path / "rows.jsonl").__enter__()


def test_processes_give_a_row_a_run_and_a_failure_stops_no_other() -> None:
    runs = sweep(seed=[1, 2], graph=[{"kind": "ring"}, {"kind": "file", "file": "gone"}]).runs()
    results = list(on_processes(runs, ORIGIN, 2))
    rows = {row["digest"]: row for row in results if not isinstance(row, Failed)}
    failed = [one for one in results if isinstance(one, Failed)]
    assert set(rows) == {run.digest for run in runs if run.scenario.graph.kind == "ring"}
    assert [one.run.scenario.graph.kind for one in failed] == ["file"] * 2 and all(one.reason for one in failed)
    row = rows[runs[0].digest]
    assert row["at"] == {"seed": 1, "graph": {"kind": "ring"}} and row["report"]["scenario"]["seed"] == 1
    assert row["provenance"].items() >= {"seed": 1, "config_sha256": "ab" * 32, "command": ORIGIN.command}.items()
    assert row["provenance"]["versions"].keys() >= {"python", "plora", "numpy"}


def test_a_run_that_ends_otherwise_than_it_must_is_said_whenever_the_sweep_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "hasty.yaml", tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"base": BASE, "axes": {"expect": [{"met": ["two_contents"]}, {}]}}))
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main(["sweep", str(path), "--out", str(out), "--jobs", "1", "--json"])
        told = capsys.readouterr()
        assert ended.value.code == 1 and json.loads(told.out)["otherwise"] == 1
        assert "expect={'met': ['two_contents']}: met: nobody's log names two_contents" in told.err
        assert "1 run did not end as expected" in told.err


@pytest.mark.slow
def test_the_same_command_goes_on_after_an_interrupt(tmp_path: Path) -> None:
    path, out = write_sweep(tmp_path, seeds=40), tmp_path / "rows.jsonl"
    command = plora_sweep(path, "--out", out, "--jobs", 1)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        deadline = time.monotonic() + 60
        while not (out.exists() and out.stat().st_size) and time.monotonic() < deadline:
            with pytest.raises(subprocess.TimeoutExpired):  # it goes on, and takes no processor from it to see so
                process.wait(timeout=0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes of the job
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and f"goes on: plora sweep {path} --out {out} --jobs 1" in said
    assert "Traceback" not in said and said.endswith("plora: interrupted\n")
    before = out.read_bytes()
    assert 0 < len(before.splitlines()) < 40
    path.write_text(json.dumps({"base": BASE, "axes": {"seed": {"count": len(before.splitlines()) + 1}}}))
    again = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert f"{len(before.splitlines())} of {len(before.splitlines()) + 1} runs are in" in again.stderr
    assert out.read_bytes().startswith(before) and len(out.read_bytes().splitlines()) == len(before.splitlines()) + 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux ends them")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_its_processes_end_with_it(tmp_path: Path, how: signal.Signals) -> None:
    path, out = write_sweep(tmp_path, seeds=4000), tmp_path / "rows.jsonl"
    command = plora_sweep(path, "--out", out, "--jobs", 2)
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            deadline = time.monotonic() + 60
            while not (out.exists() and out.stat().st_size) and time.monotonic() < deadline:
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(timeout=0.1)
            process.send_signal(how)
            process.communicate(timeout=30)  # until nobody has its standard error any more
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -how


def test_a_cluster_that_is_not_there_is_said_in_one_line() -> None:
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match=r"no cluster answers at 127\.0\.0\.1:1"):
        list(on_ray(sweep(seed=[1]).runs(), ORIGIN, "127.0.0.1:1"))


@pytest.mark.nightly
def test_ray_gives_the_same_reports_as_processes() -> None:
    pytest.importorskip("ray")
    runs = sweep(seed=[1, 2]).runs()
    here, there = (
        {row["digest"]: row["report"] for row in results if not isinstance(row, Failed)}
        for results in (on_processes(runs, ORIGIN, 1), on_ray(runs, ORIGIN, "local"))
    )
    assert here == there and len(there) == 2
