"""`plora sim` on the folder of an earlier run, and runs that are replayed."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from tests.sim.kept import SMALL, keep

from plora.cli.main import main
from plora.cli.sim_replay import replay
from plora.sim.trace import Trace, read_trace


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return keep(tmp_path_factory.mktemp("run"))


def sim(*arguments: object) -> object:
    with pytest.raises(SystemExit) as ended:
        main(["sim", *map(str, arguments)])
    return ended.value.code or 0


def typed(trace: Trace, keys: list[str]) -> str:
    """What the terminal shows while these keys are pressed, one at a frame."""
    shown = StringIO()
    pressed = iter([*keys, "q"])
    replay(trace, Console(file=shown, force_terminal=True, width=100, height=40), lambda wait_s: next(pressed))
    return shown.getvalue()


def test_an_earlier_run_is_drawn_from_its_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sim(folder, "--plot", "--page") == 0
    assert {"run.png", "run.pdf", "run.html"} <= {path.name for path in folder.iterdir()}
    assert "6 peers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--seed", 3), "can only be looked at"),
        (("--plasmids", 3, "--page"), "leave out --plasmids,"),
        (("--report_dir", "out", "--all_clean"), "leave out --report-dir, --all-clean,"),
        (("--until-failure", "--mutant", "a:b"), "leave out --until-failure, --mutant,"),
    ],
)
def test_no_flag_changes_an_earlier_run(
    folder: Path, arguments: tuple[object, ...], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sim(folder, *arguments) == 2
    assert named in capsys.readouterr().err


def test_pictures_need_a_folder_before_anything_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim("--agents", 5000, "--plot") == 2
    assert "--plot: no folder to write into; add --report_dir FOLDER" in capsys.readouterr().err


def test_without_a_terminal_every_round_is_printed_once(folder: Path) -> None:
    shown = StringIO()
    replay(read_trace(folder), Console(file=shown, width=100), lambda wait_s: "")
    text = shown.getvalue()
    assert [f"round {number} of {SMALL.rounds}," in text for number in range(SMALL.rounds + 1)] == [True] * 9
    assert "██████" in text
    assert "peer 0: published " in text and "\x1b" not in text


def test_a_replay_plays_and_stops_at_the_end(folder: Path) -> None:
    text = typed(read_trace(folder), [""] * 12)
    assert f"round {SMALL.rounds} of {SMALL.rounds}" in text


def test_arrows_step_and_space_stops(folder: Path) -> None:
    assert "round 1 of" not in typed(read_trace(folder), [" ", "", ""])
    assert "round 2 of" in typed(read_trace(folder), ["\x1b[C", "\x1b[C"])
