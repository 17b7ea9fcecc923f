"""Steps run when something that they depend on changed, never else; a kill loses the step under way and no other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from plora.lab.experiment.config import Experiment, read_config
from plora.lab.experiment.pipeline import RECORDS, Came, missing, reset, results, run, status
from plora.lab.experiment.step import Command, Seen, Step, To
from plora.lab.experiment.view import left_of
from plora.lab.experiment.work import DRAFTS, LOGS, Site
from plora.proto.errors import UsageError

CONFIG = Path(__file__).resolve().parents[3] / "config" / "plora.dry.yml"
WRITE = """
import json, sys
inputs, out = sys.argv[1:-1], sys.argv[-1]
found = sum(json.load(open(one))["n"] for one in inputs) if inputs else 1
open(out, "w").write(json.dumps({"n": found * 2, "seconds": 7}))
"""


def _writes(name: str, inputs: Sequence[str] = ()) -> Callable[[Experiment, To], list[Command]]:
    return lambda experiment, to: [Command(("python", "-c", WRITE, *inputs, to(name)))]


def _even(name: str) -> Callable[[Experiment, Seen], list[str]]:
    return lambda experiment, seen: [] if seen.document(name)["n"] % 2 == 0 else [f"{name} is odd"]


def _step(number: int, name: str, inputs: Sequence[str] = (), **options: Any) -> Step:
    out = f"results/{name}.json"
    given = {"commands": _writes(out, inputs), "check": _even(out), "outputs": lambda experiment: [out]} | options
    return Step(
        number, name, name, ("samples",), inputs=lambda experiment: inputs,
        aside=frozenset({"seconds"}), **given,
    )  # fmt: skip


FIRST = _step(1, "first")
SECOND = _step(2, "second", ["results/first.json"], seeds=lambda experiment, root: [7])
OTHER = _step(3, "other")


PAUSE = threading.Event()
"""Never set: to wait on it is to wait a moment."""


class Heard:
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.shares: list[float] = []

    def begins(self, step: Step) -> None:
        pass

    def share(self, step: Step, done: float) -> None:
        self.shares.append(done)

    def ends(self, came: Came) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "owner.pem").touch()  # no step here signs
    return Site(tmp_path, read_config(CONFIG), os.environ)


def states(came: Sequence[Came]) -> dict[int, str]:
    return {one.step.number: one.state for one in came}


def go(site: Site, *steps: Step) -> dict[int, str]:
    return states(run(site, steps, Heard()))


def test_a_second_run_leaves_everything_alone(site: Site) -> None:
    assert go(site, FIRST, SECOND, OTHER) == {1: "done", 2: "done", 3: "done"}
    assert json.loads((site.root / "results/second.json").read_text())["n"] == 4
    assert go(site, FIRST, SECOND, OTHER) == {1: "kept", 2: "kept", 3: "kept"}
    assert states(status(site, (FIRST, SECOND, OTHER))) == {1: "kept", 2: "kept", 3: "kept"}


def test_another_setting_runs_the_steps_that_depend_on_it(site: Site) -> None:
    go(site, FIRST, SECOND)
    other = Site(site.root, site.experiment.model_copy(update={"dev_size": 7}), site.environ)
    assert go(other, FIRST, SECOND) == {1: "kept", 2: "kept"}
    changed = Site(site.root, site.experiment.model_copy(update={"samples": 7}), site.environ)
    assert status(changed, (FIRST,))[0].reason == "its settings, code, versions or a file outside have changed"
    assert go(changed, FIRST) == {1: "done"}


def test_a_file_outside_runs_the_step_that_reads_it(site: Site, tmp_path: Path) -> None:
    outside = tmp_path / "peer.yaml"
    reads = _step(1, "first", outside=lambda environ: [outside])
    assert go(site, reads) == {1: "done"}
    assert go(site, reads) == {1: "kept"}
    outside.write_text("policy: {}")
    assert go(site, reads) == {1: "done"}


def test_a_draft_of_another_input_is_not_gone_on_with(site: Site) -> None:
    """What a stopped command left of the old input would be in the way of the new one."""
    rows = site.root / "asked.txt"
    rows.write_text("old")
    fails = "import sys; open(sys.argv[1], 'a').write('{'); raise SystemExit('stopped')"
    goes_on: dict[str, Any] = {"inputs": ["asked.txt"], "goes_on": True}
    name = "results/first.json"
    broken = _step(1, "first", commands=lambda experiment, to: [Command(("python", "-c", fails, to(name)))], **goes_on)
    appends = "import sys; open(sys.argv[1], 'a').write('{\"n\": 2}')"
    sound = _step(1, "first", commands=lambda experiment, to: [_same(experiment, to, fails, appends)], **goes_on)
    assert go(site, broken) == {1: "failed"}
    rows.write_text("new")
    assert go(site, sound) == {1: "done"}


def _same(experiment: Experiment, to: To, told: str, done: str) -> Command:
    """A command that counts as the same as another one."""
    name = "results/first.json"
    return Command(("python", "-c", told if to(name) == name else done, to(name)))


def test_an_input_counts_by_its_contents_not_by_its_time(site: Site) -> None:
    go(site, FIRST, SECOND)
    first = site.root / "results/first.json"
    os.utime(first, (1, 1))
    assert go(site, FIRST, SECOND) == {1: "kept", 2: "kept"}


def test_an_output_that_somebody_changed_or_lost_is_made_again(site: Site) -> None:
    go(site, FIRST, SECOND)
    first = site.root / "results/first.json"
    sound = first.read_bytes()
    first.write_text('{"n": 3}')
    assert status(site, (FIRST,))[0].reason == "results/first.json is odd"
    assert go(site, FIRST, SECOND) == {1: "done", 2: "kept"}
    assert first.read_bytes() == sound
    first.unlink()
    assert missing_names(site) == ["results/first.json", "results/other.json"]
    assert go(site, FIRST) == {1: "done"}


def missing_names(site: Site) -> list[str]:
    return [name for name, _ in missing(site, (FIRST, OTHER))]


def test_a_step_that_fails_holds_up_those_that_need_it_and_no_other(site: Site) -> None:
    go(site, FIRST)
    before = (site.root / "results/first.json").read_bytes()
    odd = _step(1, "first", commands=lambda experiment, to: [
        Command(("python", "-c", f"open({to('results/first.json')!r}, 'w').write('{{\"n\": 3}}')"))
    ])  # fmt: skip
    came = run(site, (odd, SECOND, OTHER), Heard())
    assert states(came) == {1: "failed", 2: "waits", 3: "done"}
    assert "results/first.json is odd" in came[0].reason
    assert (site.root / "results/first.json").read_bytes() == before


def test_a_command_that_fails_is_told_with_its_last_words(site: Site) -> None:
    broken = _step(
        1, "first", commands=lambda experiment, to: [Command(("python", "-c", "raise SystemExit('no luck')"))]
    )
    came = run(site, (broken,), Heard())
    assert "ended with exit code 1: no luck" in came[0].reason
    assert f"{LOGS}/01-first.log" in came[0].reason
    assert not (site.root / "results/first.json").exists()


def test_progress_of_commands_is_told_as_a_share_of_the_step(site: Site) -> None:
    said = "import json; print(json.dumps({'event': 'step', 'step': 1, 'steps': 4}))"
    talks = _step(1, "first", commands=lambda experiment, to: [
        Command(("python", "-c", said)), *_writes("results/first.json")(experiment, to)
    ])  # fmt: skip
    heard = Heard()
    run(site, (talks,), heard)
    assert heard.shares == [0.125]


def test_steps_of_a_part_are_no_share_of_the_whole(site: Site) -> None:
    records = [
        {"event": "start", "rows": 2},
        {"event": "step", "step": 9, "steps": 9},
        {"event": "row", "done": 1, "of": 2},
    ]
    said = Command(("python", "-c", f"import json\nfor one in {records!r}: print(json.dumps(one))"))
    heard = Heard()
    talks = _step(1, "first", commands=lambda experiment, to: [said, *_writes("results/first.json")(experiment, to)])
    run(site, (talks,), heard)
    assert heard.shares == [0.25]


def test_provenance_is_in_the_artifact_and_names_inputs_and_command(site: Site) -> None:
    go(site, FIRST, SECOND)
    told = json.loads((site.root / "results/second.json").read_text())["provenance"]
    assert sorted(told["inputs"]) == ["results/first.json"]
    assert told["seed"] == [7]
    assert told["command"].endswith("results/first.json results/second.json")
    assert DRAFTS not in told["command"]
    assert {"python", "plora", "numpy"} <= set(told["versions"])


def test_results_are_equal_for_equal_work_whatever_it_took(site: Site, tmp_path: Path) -> None:
    go(site, FIRST, SECOND)
    before = results(site, (FIRST, SECOND))
    second = site.root / "results/second.json"
    second.write_text(json.dumps(json.loads(second.read_text()) | {"seconds": 99}))
    assert results(site, (FIRST, SECOND)) == before
    second.write_text('{"n": 6}')
    assert results(site, (FIRST, SECOND)) != before


def test_results_of_rows_as_they_were_finished_are_equal_in_any_order(site: Site) -> None:
    write = "import sys; open(sys.argv[1], 'w').write('{\"n\": 1}\\n{\"n\": 2}\\n')"
    name = "results/rows.jsonl"
    rows = _step(5, "rows", outputs=lambda experiment: [name], any_order=True, beside=True, check=lambda *seen: [],
        commands=lambda experiment, to: [Command(("python", "-c", write, to(name)))])  # fmt: skip
    assert go(site, rows) == {5: "done"}
    before = results(site, (rows,))
    (site.root / name).write_text('{"n": 2}\n{"n": 1}\n')
    assert results(site, (rows,)) == before
    (site.root / name).write_text('{"n": 2}\n{"n": 2}\n')
    assert results(site, (rows,)) != before


def test_a_reset_takes_results_away_and_runs_everything_again(site: Site) -> None:
    go(site, FIRST, SECOND)
    assert reset(site, (FIRST, SECOND)) == ["results/first.json", "results/second.json"]
    assert not (site.root / "results/first.json").exists()
    assert (site.root / "keys/owner.pem").exists()
    assert status(site, (FIRST,))[0].reason == "was never done"
    assert go(site, FIRST, SECOND) == {1: "done", 2: "done"}


@pytest.mark.parametrize("broken", ["", "[]", '{"01-first": 3}', "\0"])
def test_broken_records_count_as_none(site: Site, broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    go(site, FIRST)
    records = site.root / RECORDS
    records.write_text(broken)
    assert status(site, (FIRST,))[0].reason == "was never done"
    assert "steps.json held no records of steps: it is steps.broken now" in capsys.readouterr().err
    assert records.with_suffix(".broken").read_text() == broken
    assert go(site, FIRST) == {1: "done"}
    assert go(site, FIRST) == {1: "kept"}


def test_time_left_is_of_the_steps_that_have_to_run_as_long_as_they_took(site: Site) -> None:
    go(site, FIRST, SECOND)
    kept = status(site, (FIRST, SECOND))
    assert left_of(kept).seconds() == 0
    (site.root / "results/second.json").unlink()
    assert left_of(status(site, (FIRST, SECOND))).seconds() == kept[1].seconds > 0
    (site.root / "results/first.json").unlink()
    assert left_of(status(site, (FIRST, SECOND))).seconds() == kept[0].seconds + kept[1].seconds


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[1])
import test_pipeline as cases
from pathlib import Path
site = cases.Site(Path(sys.argv[2]), cases.read_config(cases.CONFIG), os.environ)
cases.run(site, (cases.FIRST, cases.STUCK), cases.Heard())
"""
WAITS = "import sys, threading; open(sys.argv[1], 'w').write('{\"n\": 2'); print('waiting'); threading.Event().wait()"
STUCK = _step(4, "stuck", ["results/first.json"], commands=lambda experiment, to: [
    Command(("python", "-u", "-c", WAITS, to("results/stuck.json")))
])  # fmt: skip


def test_a_killed_run_keeps_what_was_done_and_leaves_nothing_half_written(site: Site) -> None:
    words = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(site.root)]
    child = subprocess.Popen(words)
    log = site.root / LOGS / "04-stuck.log"
    while child.poll() is None and not (log.exists() and "waiting\n" in log.read_text()):
        PAUSE.wait(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (site.root / "results/stuck.json").exists()
    _until_free(site)
    sound = _step(4, "stuck", ["results/first.json"])
    assert go(site, FIRST, sound) == {1: "kept", 4: "done"}
    assert list((site.root / DRAFTS).iterdir()) == []


def _until_free(site: Site) -> None:
    """Until the step that the kill left behind has ended, too: it holds the lock."""
    while True:
        try:
            reset(site, ())
            return
        except UsageError:
            PAUSE.wait(0.05)


def test_two_runs_at_once_are_refused(site: Site) -> None:
    blocked = []

    def refused(experiment: Experiment, to: To) -> list[Command]:
        with pytest.raises(UsageError, match="under way here"):
            run(site, (OTHER,), Heard())
        blocked.append(True)
        return _writes("results/first.json")(experiment, to)

    def once(experiment: Experiment, to: To) -> list[Command]:
        return refused(experiment, to) if to("x") != "x" else _writes("results/first.json")(experiment, to)

    assert go(site, _step(1, "first", commands=once)) == {1: "done"}
    assert blocked == [True]
