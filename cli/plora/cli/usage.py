"""How the command looks from outside: its help in sections, its usage lines, and one line for a wrong call.

>>> said_of(typer.TyperException("No such command 'lss'. Did you mean 'ls'?"))
"no such command 'lss'; did you mean 'ls'?"
>>> said_of(typer.TyperException("Missing option '--out'."))
"missing option '--out'"
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from plora.proto.errors import UsageError

SENTENCE_MAX = 90
NUMBERS = frozenset({"--weights"})
"""Options that take all the numbers that follow."""

_ALONE = [[option] for option in NUMBERS]
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_NUMBERS = re.compile(rf"{_NUMBER}(?:,{_NUMBER})*,?")
PANELS: dict[str, str] = {}
"""The section of each command, in the order of the help."""


class Command(TyperCommand):
    """A command whose usage line says FOLDER, and [FOLDER] where it may be left out; numbers may follow an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments that are left."""
        return super().parse_args(ctx, joined_numbers(args))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The parts behind the command's name; typer puts braces around what must be there."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]


def joined_numbers(args: list[str]) -> list[str]:
    """Arguments in which the numbers behind an option of `NUMBERS` are one, as the parser has it: a value an option.

    >>> joined_numbers(["a", "--weights", ".5", ".3,.2", "1", "b", "--json"])
    ['a', '--weights', '.5,.3,.2,1', 'b', '--json']
    """
    joined: list[str] = []
    more_may_follow = False
    for arg in args:
        if more_may_follow and _NUMBERS.fullmatch(arg):
            joined[-1] = f"{joined[-1].rstrip(',')},{arg}"
            continue
        more_may_follow = arg.partition("=")[0] in NUMBERS if "=" in arg else joined[-1:] in _ALONE
        joined.append(arg)
    return joined


class Group(TyperGroup):
    """Commands under one name; without any of them it shows its help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments that are left; exit code 2 where nothing was said at all."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)
            raise typer.Exit(UsageError.exit_code)
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands, each with the whole first sentence of its help."""
        self.list_section("Commands", self.list_commands(ctx), formatter)

    def list_section(self, title: str, names: list[str], formatter: Any) -> None:
        """Write one list of commands."""
        with formatter.section(title):
            formatter.write_dl([(name, self.commands[name].get_short_help_str(SENTENCE_MAX)) for name in names])


class Sections(Group):
    """The commands in sections."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the sections, in the order in which their first commands were registered."""
        names = self.list_commands(ctx)
        for panel in dict.fromkeys(PANELS[name] for name in names):
            self.list_section(panel, [name for name in names if PANELS[name] == panel], formatter)


class App(typer.Typer):
    """Commands of these classes, plain help, and no guesses at the shell."""

    def __init__(self, **options: Any) -> None:
        given = {"cls": Group, "rich_markup_mode": None, "add_completion": False, **options}
        super().__init__(pretty_exceptions_enable=False, **given)

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """A decorator that makes a function a command."""
        return super().command(name, **{"cls": Command, **options})


def wrong_call(error: typer.TyperException) -> UsageError:
    """What typer found wrong with a call, as one of our errors: the help of that command mends it."""
    said, context = said_of(error), getattr(error, "ctx", None)
    command = context.command_path if context else "plora"
    return UsageError(said, mend="" if said.endswith("?") else f"see `{command} --help`")


def said_of(error: typer.TyperException) -> str:
    """Typer's message in the form of ours: no capital, no full stop, `;` before what mends it."""
    said = error.format_message().replace(". Did you mean", "; did you mean").removesuffix(".")
    return said[:1].lower() + said[1:]
