"""`plora sim`: run a scenario of a file, of flags, or of both, and say what came of it.

Not handled here: what a scenario may say (`plora.sim.scenario`), running it (`plora.sim.run`), the report.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from plora.cli.options import Json, Quiet
from plora.cli.output import WIDTH_WITHOUT_TERMINAL, Output
from plora.cli.sim_scenarios import list_scenarios, raise_if_unexpected, told_by
from plora.cli.sim_search import Hunt, peer_class, raise_if_broken
from plora.cli.sim_views import Views
from plora.proto.errors import PloraError, UsageError

if TYPE_CHECKING:
    from plora.sim.rounds import Round
    from plora.sim.run import Outcome, Watch
    from plora.sim.scenario import Scenario

OnOff = Literal["on", "off"]
GraphKind = Literal["er", "ws", "ba", "complete", "ring", "star", "hypercube", "regular", "file"]
"""As the scenario's, which can't be imported here, for help loads no room."""

PLACES = {
    "agents": "agents",
    "rounds": "rounds",
    "seed": "seed",
    "engine": "engine",
    "graph": "graph.kind",
    "graph_p": "graph.p",
    "ws_k": "graph.k",
    "ws_beta": "graph.beta",
    "ba_m": "graph.m",
    "graph_file": "graph.file",
    "loss": "links.loss",
    "plasmids": "publish.plasmids",
    "trojan_rate": "publish.trojan_rate",
    "security": "security.detectors",
    "consensus": "security.consensus",
    "quorum": "security.quorum",
    "accept_clean": "security.verdicts.accept_clean",
    "accept_trojan": "security.verdicts.accept_trojan",
    "correlation": "security.verdicts.correlation",
    "assumed": "security.verdicts.assumed",
}
"""Where a scenario has what an option says."""

VERDICTS = {"accept_clean", "accept_trojan", "correlation"}
"""Flags that mean nothing without each other; `assumed` says how they are meant."""

SWITCH = {"on": True, "off": False}
KIND_OF = {"graph_p": "er", "ws_k": "ws", "ws_beta": "ws", "ba_m": "ba", "graph_file": "file"}
"""Options that one kind of graph alone has."""

LIMITS = ("tries", "minutes")
"""Options that go with --until-failure."""

LOOKING = ("scenario", "plot", "page", "trace", "json_", "quiet")
"""Options that go with an earlier run."""


def _flag(name: str, text: str, **options: Any) -> Any:
    """An option that is spelt with underscores, as the specification has it, or with hyphens."""
    spellings = dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}"))
    return typer.Option(*spellings, help=text, show_default=False, **options)


def sim(
    scenario: Annotated[
        Path | None,
        typer.Argument(metavar="SCENARIO", help="A TOML file, a name of --list, or the folder of an earlier run."),
    ] = None,
    agents: Annotated[int | None, _flag("agents", "Number of peers.")] = None,
    rounds: Annotated[int | None, _flag("rounds", "Rounds to simulate.")] = None,
    seed: Annotated[int | None, _flag("seed", "Seed of all that is drawn.")] = None,
    graph: Annotated[GraphKind | None, _flag("graph", "Who knows whom.")] = None,
    graph_p: Annotated[float | None, _flag("graph_p", "`er`: probability of an edge.")] = None,
    ws_k: Annotated[int | None, _flag("ws_k", "`ws`: neighbours on the ring.")] = None,
    ws_beta: Annotated[float | None, _flag("ws_beta", "`ws`: share of edges that are rewired.")] = None,
    ba_m: Annotated[int | None, _flag("ba_m", "`ba`: edges of each new peer.")] = None,
    graph_file: Annotated[Path | None, _flag("graph_file", "`file`: an edge list or GraphML.")] = None,
    plasmids: Annotated[int | None, _flag("plasmids", "How many adapters are published.")] = None,
    trojan_rate: Annotated[float | None, _flag("trojan_rate", "Share of adapters that are trojans.")] = None,
    security: Annotated[OnOff | None, _flag("security", "Detectors in the gate.")] = None,
    accept_clean: Annotated[float | None, _flag("accept_clean", "Share of clean adapters that detectors pass.")] = None,
    accept_trojan: Annotated[float | None, _flag("accept_trojan", "The same of trojans.")] = None,
    correlation: Annotated[float | None, _flag("correlation", "How alike peers' detectors find, 0 to 1.")] = None,
    assumed: Annotated[bool, _flag("assumed", "Those three count only while nothing was measured.")] = False,
    consensus: Annotated[OnOff | None, _flag("consensus", "The first peers vote.")] = None,
    quorum: Annotated[int | None, _flag("quorum", "So many of them must accept.")] = None,
    loss: Annotated[float | None, _flag("loss", "Probability that a control frame is lost.")] = None,
    engine: Annotated[Literal["swarm", "fleet"] | None, _flag("engine", "Real cores, or the fast model.")] = None,
    report_dir: Annotated[Path | None, _flag("report_dir", "Folder for report, truth and logs.")] = None,
    logs: Annotated[Path | None, _flag("logs", "Folder for one event log a peer.")] = None,
    all_clean: Annotated[bool, _flag("all_clean", "Exit with 1 unless all that is clean reached everybody.")] = False,
    summarise: Annotated[
        Path | None, _flag("summarise", "Run nothing: the last figures of all reports under a folder, as JSON.")
    ] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw run.png and run.pdf into the report's folder.")] = False,
    page: Annotated[bool, typer.Option("--page", help="Write run.html there: the run over time.")] = False,
    trace: Annotated[bool, typer.Option("--trace", help="Play the run again in the terminal.")] = False,
    until_failure: Annotated[
        bool, typer.Option("--until-failure", help="Draw scenarios until an invariant breaks, and make that one small.")
    ] = False,
    tries: Annotated[int | None, _flag("tries", "So many scenarios at most; 100 unless minutes are given.")] = None,
    minutes: Annotated[float | None, _flag("minutes", "Draw scenarios for so long.")] = None,
    mutant: Annotated[str, _flag("mutant", "MODULE:NAME of peers without a guard, in a table MUTANTS.")] = "",
    list_: Annotated[bool, typer.Option("--list", help="Run nothing: name the scenarios that come along.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Simulate a swarm of real peers on a virtual clock.

    Flags beside a scenario's file override it. Equal scenarios give equal reports and logs, byte for byte.
    """
    given, output, views = _given(locals()), Output(json_, quiet), Views(plot, page, trace)
    if list_:
        list_scenarios(output)
    elif summarise is not None:
        _summarise(summarise)
    elif scenario is not None and scenario.is_dir():
        _look_at(output, views, scenario, given)
    elif until_failure:
        told = _scenario(output, scenario, given).model_dump(exclude_unset=True)
        beside = {"--plot": plot, "--page": page, "--trace": trace, "--logs": logs, "--all_clean": all_clean}
        Hunt(tries, minutes, mutant, report_dir, beside).go(output, told, _write)
    else:
        _refuse_limits(given)
        outcome = _carried_out(output, _scenario(output, scenario, given), mutant, views, report_dir, logs)
        _raise_if_failed(output, outcome.report)
        if all_clean and not outcome.report["clean_arrived"]:
            raise PloraError("not every clean adapter reached everybody", mend="more rounds, or see the report for why")


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None and value is not False and value != ""}


def _told(given: Mapping[str, Any]) -> dict[str, Any]:
    """What options say of the scenario, as its tables have it.

    >>> _told({"seed": 3, "graph_p": 0.5, "graph": "er", "security": "off", "quiet": True})
    {'seed': 3, 'graph': {'kind': 'er', 'p': 0.5}, 'security': {'detectors': False}}
    """
    from plora.sim.scenario import at_path, laid_over

    found: dict[str, Any] = {}
    for name, place in PLACES.items():
        if name in given:
            found = laid_over(found, at_path(place, SWITCH.get(given[name], given[name])))
    return found


def _carried_out(
    output: Output, told: Scenario, mutant: str, views: Views, report_dir: Path | None, logs: Path | None
) -> Outcome:
    """Run it, keep it, and show it."""
    with views.folder(report_dir) as folder:
        with _watched(output, told) as watch:
            outcome = _run(told, watch, mutant)
        _write(outcome, folder, logs)
        _say(output, outcome.report)
        views.show(output, folder)
    return outcome


def _summarise(folder: Path) -> None:
    from plora.sim.evaluate import summarised

    Output(as_json=True).document(summarised(folder), ())


def _look_at(output: Output, views: Views, folder: Path, given: Mapping[str, Any]) -> None:
    """Show a run that has ended, which no flag changes any more, and end as it did."""
    from plora.sim.trace import read_report

    vain = [f"--{name.replace('_', '-')}" for name in given if name not in LOOKING]
    if vain:
        mend = f"leave out {', '.join(vain)}, or name its scenario's file instead"
        raise UsageError("an earlier run can only be looked at", where=str(folder), mend=mend)
    report = read_report(folder)
    _say(output, report)
    views.show(output, folder)
    _raise_if_failed(output, report)


def _raise_if_failed(output: Output, report: Mapping[str, Any]) -> None:
    raise_if_broken(report)
    raise_if_unexpected(output, report)


def _say(output: Output, report: Mapping[str, Any]) -> None:
    if output.as_json:
        output.document(report, ())
        return
    from rich.console import Console

    from plora.cli.sim_summary import summary

    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    Console(highlight=False, width=width).print(summary(report))


def _scenario(output: Output, path: Path | None, given: Mapping[str, Any]) -> Scenario:
    """What file and flags say together; `UsageError` for a flag that another kind of graph has."""
    from plora.sim.scenario import Scenario, laid_over

    values = laid_over(told_by(path).model_dump(exclude_unset=True), _told(given))
    if (VERDICTS | {"assumed"}) & given.keys():
        _refuse_half_told(values["security"]["verdicts"])
    told = Scenario.parse(values)
    for name, kind in KIND_OF.items():
        if name in given and told.graph.kind != kind:
            mend = f"leave it out, or add --graph {kind}"
            raise UsageError(f"a graph {told.graph.kind} has none", where=f"--{name}", mend=mend)
    if "quorum" in given and not told.security.consensus:
        output.hint("--quorum does nothing without --consensus on")
    return told


def _refuse_limits(given: Mapping[str, Any]) -> None:
    """`UsageError` where flags limit a search that isn't made."""
    for name in LIMITS:
        if name in given:
            raise UsageError("only a search has limits", where=f"--{name}", mend="add --until-failure, or leave it out")


def _refuse_half_told(verdicts: Mapping[str, Any]) -> None:
    """`UsageError` where flags tell some of the verdicts, and nothing tells the others."""
    if not verdicts.keys() >= VERDICTS:
        together = ", ".join(f"--{name}" for name in sorted(VERDICTS))
        missing = ", ".join(f"--{name}" for name in sorted(VERDICTS - verdicts.keys()))
        raise UsageError(f"{together} go together", mend=f"give {missing} too")


@contextmanager
def _watched(output: Output, told: Scenario) -> Iterator[Watch]:
    """What is told of each round: a bar on the terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("round"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = not (output.quiet or output.as_json)
    with Progress(
        *columns, TextColumn("{task.description}"), console=Console(stderr=True), transient=True, disable=not shown
    ) as bar:
        task = bar.add_task("peers find their neighbours", total=told.rounds)

        def watch(one: Round) -> None:
            least = min(one.coverage.values(), default=0.0)
            bar.update(task, completed=one.number, description=f"coverage {least:.0%}")

        yield watch


def _run(told: Scenario, watch: Watch, mutant: str) -> Outcome:
    from plora.sim.run import run

    return run(told, watch, peer_class(mutant))


def _write(outcome: Outcome, report_dir: Path | None, logs: Path | None = None) -> None:
    from plora.sim.truth import to_plain

    swarm = outcome.simulation.swarm if outcome.simulation else None
    if report_dir is not None:
        report_dir.mkdir(parents=True, exist_ok=True)
        for name, document in (("report", outcome.report), ("truth", to_plain(outcome.truth))):
            text = json.dumps(document, indent=1, sort_keys=True) + "\n"
            (report_dir / f"{name}.json").write_text(text, encoding="utf-8")
    for folder in (report_dir / "logs" if report_dir else None, logs):
        if folder is not None and swarm is not None:
            swarm.write_logs(folder)
