"""`plora`: one command, thin and lazy. Rooms are imported inside the commands, so that `--help` answers at once.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 refused or held by the gate, 4 peer not running.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from plora.cli import (
    analyzing,
    auditing,
    consensus,
    cosigning,
    doctor,
    drawing,
    files,
    freshness,
    joining,
    keeping,
    labbing,
    measuring,
    merging,
    owning,
    peer,
    peering,
    policing,
    publishing,
    quarantining,
    reputing,
    rooting,
    seeing,
    serving,
    simulating,
    storing,
    sweeping,
    trusting,
    walk,
    watching,
)
from plora.cli.errors import INTERRUPTED, explain
from plora.cli.output import Output
from plora.cli.usage import PANELS, App, Sections, wrong_call

app = App(
    cls=Sections,
    help=(
        "Share LoRA adapters between peers: signed, gossiped, judged, merged; no hub.\n\n"
        "Try `plora demo`. Then `plora init --name ada`, `plora up`, and `plora ls` from another terminal."
    ),
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _say_version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        Output().line(f"plora {importlib.metadata.version('plora')}")
        raise typer.Exit


@app.callback()
def plora(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Do nothing of its own: the help is the app's."""


COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "First steps": (
        walk.demo,
        peer.init,
        peer.up,
        joining.invite,
        joining.join,
    ),
    "On files, without any peer": (
        files.keygen,
        files.train,
        files.sign,
        files.verify,
        files.gate,
        policing.dump_policy,
        merging.merge,
    ),
    "With a running peer": (
        publishing.publish,
        peer.ls,
        peer.show,
        peer.why,
        peer.fetch,
        peer.revoke,
        keeping.pin,
        keeping.unpin,
        keeping.rm,
        watching.status,
        watching.top,
        doctor.doctor,
        watching.events,
        peer.reload,
        seeing.web,
    ),
    "Use what was accepted": (
        serving.path,
        serving.export,
        serving.rollback,
        measuring.measure,
    ),
    "Whom to believe": (
        trusting.distrust,
        cosigning.cosign,
    ),
    "Without any network": (simulating.sim, sweeping.sweep, analyzing.analyze, drawing.figures),
    "The specification's walk": (walk.offer,),
}
for panel, commands in COMMANDS.items():
    for command in commands:
        app.command()(command)
        PANELS[command.__name__.replace("_", "-")] = panel
reputing.add_to(trusting.app)
app.add_typer(trusting.app, name="trust")
PANELS["trust"] = "Whom to believe"
app.add_typer(owning.app, name="owner")
PANELS["owner"] = "Whom to believe"
app.add_typer(auditing.app, name="audit")
PANELS["audit"] = "With a running peer"
app.add_typer(storing.app, name="store")
PANELS["store"] = "With a running peer"
app.add_typer(consensus.app, name="consensus")
PANELS["consensus"] = "Whom to believe"
app.add_typer(quarantining.app, name="quarantine")
PANELS["quarantine"] = "With a running peer"
app.add_typer(rooting.app, name="root")
PANELS["root"] = "Whom to believe"
app.add_typer(freshness.app, name="freshness")
PANELS["freshness"] = "Whom to believe"
app.add_typer(peering.app, name="peers")
PANELS["peers"] = "Other peers"
app.add_typer(labbing.app, name="lab")
PANELS["lab"] = "On files, without any peer"


def main(arguments: list[str] | None = None) -> None:
    """Entry point: run a command, and turn what it raises into one line and an exit code; raises SystemExit."""
    try:
        code = app(arguments, prog_name="plora", standalone_mode=False)
        if code == INTERRUPTED:  # what typer makes of Ctrl-C, without a word
            raise KeyboardInterrupt
        sys.exit(code)
    except (Exception, KeyboardInterrupt) as error:
        failure = explain(wrong_call(error) if isinstance(error, typer.TyperException) else error)
        if failure is None:
            raise
        Output().failure(failure.sentence)
        sys.exit(failure.exit_code)
