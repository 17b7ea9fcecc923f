"""The options that many commands share, each defined once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from plora.proto.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No hints and no progress.")]
Home = Annotated[
    Path | None,
    typer.Option("--home", help="The peer's home folder.", envvar="PLORA_HOME", show_default="~/.local/share/plora"),
]
Key = Annotated[Path | None, typer.Option("--key", help="An owner's private key (PEM); the home's own otherwise.")]
OwnerFilePath = Annotated[
    Path | None, typer.Option("--owner", help="The owner's file (.owner); beside the key otherwise.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]
Base = Annotated[
    str, typer.Option("--base", help="Base model: mini, smollm2, a folder or a hub id.", envvar="PLORA_BASE_MODEL")
]
Listen = Annotated[
    str, typer.Option("--listen", help="Address and port for links; 127.0.0.1 is this machine only, 0.0.0.0 is all.")
]
Advertise = Annotated[
    list[str] | None,
    typer.Option("--advertise", help="HOST:PORT that others dial, if that differs; may be repeated."),
]
Domain = Annotated[str | None, typer.Option("--domain", help="Subject; as trained, if known.")]
PlasmidName = Annotated[str, typer.Argument(help="owner/id@version, an id, or the start of a digest.", metavar="NAME")]
PlasmidId = Annotated[str | None, typer.Option("--id", help="Name of the plasmid; the folder's name.")]
Version = Annotated[
    int | None, typer.Option("--version", min=1, help="Supersedes lower ones; one more than the last by default.")
]
OnBase = Annotated[str | None, typer.Option("--base", help="Base model; as trained, if known.")]
BaseDigest = Annotated[str | None, typer.Option("--base-digest", help="Digest of a base that is not here.")]
LICENCE_DEFAULT = "Apache-2.0"
Licence = Annotated[
    str | None,
    typer.Option(
        "--licence", help="SPDX expression; LicenseRef-NAME for what SPDX doesn't list.", show_default=LICENCE_DEFAULT
    ),
]
DAYS_VALID = 365
Days = Annotated[
    int | None, typer.Option("--days", min=1, max=36_500, help="Valid for so many days.", show_default=str(DAYS_VALID))
]
Probes = Annotated[
    bool, typer.Option("--probes", help="Probe its behaviour, too, for the poisoning score that the manifest claims.")
]
DAY_S = 86_400
OFFER_ADDRESS = "127.0.0.1:4711"
OFFER_HOME = Path(".plora/offer")
OWNER_RECORD = Path("keys/owner.owner")
WALK_SWARM = "walk"
OwnerRecords = Annotated[
    list[Path] | None,
    typer.Option("--owner", help="An owner's record (.owner) to go with it; may be repeated."),
]


def checked_name(name: str, option: str = "--name") -> str:
    """A name that an owner, or a swarm, can have; UsageError otherwise."""
    from plora.proto.fields import Id

    return checked_field(Id, name, option, mend="choose another name")


def checked_field(grammar: Any, text: str, option: str, mend: str = "") -> str:
    """An option's text, if a signed field or a file of ours can hold it; UsageError names the option otherwise."""
    from pydantic import TypeAdapter, ValidationError

    from plora.proto.errors import FormatError
    from plora.proto.payload import field_error

    try:
        return str(TypeAdapter(grammar).validate_python(text))
    except ValidationError as error:
        raise UsageError(f"'{text}' {field_error(error, FormatError).what}", where=option, mend=mend) from error


def checked_licence(text: str) -> str:
    """An SPDX expression in its canonical spelling; UsageError for free text, which no program can compare."""
    from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

    from plora.proto.fields import Licence as Grammar

    mend = f"write one such as {LICENCE_DEFAULT}, or LicenseRef-NAME"
    try:
        licence = canonicalize_license_expression(text)
    except InvalidLicenseExpression as error:
        raise UsageError(f"'{text}' is no SPDX expression", where="--licence", mend=mend) from error
    return checked_field(Grammar, licence, "--licence", mend)


def checked_places(listen: str, advertise: list[str] | None) -> None:
    """UsageError unless a peer can listen there and name those addresses to others."""
    from plora.proto.host_port import checked

    checked(listen, "--listen", listening=True)
    for address in advertise or ():
        checked(address, "--advertise")


def confirm(question: str) -> None:
    """Ask before something that matters; UsageError where nobody can answer, `click.Abort` where the answer is no.

    Only a terminal is asked: in a script, the next line of somebody's list is no answer.
    """
    if not sys.stdin.isatty():
        raise UsageError("no terminal is here to ask on, so nothing was done", mend="say --yes if you mean it")
    while (answer := ask(f"{question} [y/N]").lower()) not in ("y", "yes"):
        if answer in ("", "n", "no"):
            raise typer.Abort


def ask(question: str) -> str:
    """A line that a person types. Asked for on standard error: standard output is for data (click writes there)."""
    sys.stderr.write(f"{question}: ")
    sys.stderr.flush()
    if not (line := sys.stdin.readline()):
        raise UsageError("nobody answered, so nothing was done", mend="answer, or give it by an option")
    return line.strip()
