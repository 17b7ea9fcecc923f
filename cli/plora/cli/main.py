"""`plora`: one command, thin and lazy. Rooms are imported inside the commands, so that `--help` answers at once.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 refused or held by the gate, 4 peer not running.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from plora.cli import (
    cosigning,
    doctor,
    files,
    joining,
    keeping,
    owning,
    peer,
    peering,
    publishing,
    seeing,
    serving,
    trusting,
    walk,
    watching,
)
from plora.cli.errors import explain
from plora.cli.output import Output


class Sections(TyperGroup):
    """The commands in sections, each with the whole first sentence of its help."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the sections, in the order in which their first commands were registered."""
        names = self.list_commands(ctx)
        for panel in dict.fromkeys(PANELS[name] for name in names):
            rows = [(name, self.commands[name].get_short_help_str(90)) for name in names if PANELS[name] == panel]
            with formatter.section(panel):
                formatter.write_dl(rows)


PANELS: dict[str, str] = {}
app = typer.Typer(
    cls=Sections,
    help=(
        "Share LoRA adapters between peers: signed, gossiped, judged, merged; no hub.\n\n"
        "Try `plora demo`. Then `plora init --name ada`, `plora up`, and `plora ls` from another terminal."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

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
        files.merge,
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
    ),
    "Whom to believe": (
        trusting.distrust,
        cosigning.cosign,
    ),
    "The specification's walk": (walk.offer,),
}
for panel, commands in COMMANDS.items():
    for command in commands:
        app.command()(command)
        PANELS[command.__name__] = panel
app.add_typer(trusting.app, name="trust")
PANELS["trust"] = "Whom to believe"
app.add_typer(owning.app, name="owner")
PANELS["owner"] = "Whom to believe"
app.add_typer(peering.app, name="peers")
PANELS["peers"] = "Other peers"


def main(arguments: list[str] | None = None) -> None:
    """Entry point: run a command, and turn what it raises into one line and an exit code; raises SystemExit."""
    try:
        app(arguments, prog_name="plora")
    except (Exception, KeyboardInterrupt) as error:
        failure = explain(error)
        if failure is None:
            raise
        Output().failure(failure.sentence)
        sys.exit(failure.exit_code)
