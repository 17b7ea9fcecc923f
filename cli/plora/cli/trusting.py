"""`plora trust`: whom this peer believes. The file is trust.yaml; a running peer is told at once.

Adding an owner shows what will be believed and asks, since a fingerprint is the only thing that tells owners apart.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plora.cli.options import Home, Json, Quiet, confirm
from plora.cli.output import Output
from plora.proto.errors import PeerNotRunningError, UsageError

if TYPE_CHECKING:
    from plora.gate import Trust, TrustedOwner

app = typer.Typer(help="Whom this peer believes: ls, add, rm.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def ls(home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """List the trusted owners."""
    owners = [_row(owner) for owner in _load(home)[1].owners]
    shown = [{**row, "owner": str(row["owner"])[:16]} for row in owners]
    Output(json_, quiet).table(("nickname", "owner", "domains", "bases", "when"), shown, owners)


@app.command()
def add(
    record: Annotated[Path, typer.Argument(help="The owner's record (.owner).", metavar="FILE")],
    home: Home = None,
    nickname: Annotated[str, typer.Option("--nickname", help="What to call them here; their own name.")] = "",
    domains: Annotated[str, typer.Option("--domains", help="Only these, such as legal,medical; all.")] = "",
    bases: Annotated[str, typer.Option("--bases", help="Only these base models; all.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Believe an owner: what they sign, and what waits for them, is judged again."""
    from plora.gate import TrustedOwner
    from plora.proto.fields import format_timestamp
    from plora.proto.owner_files import read_owner_record

    path, trust = _load(home)
    owner = TrustedOwner.of_record(
        read_owner_record(record)[0],
        nickname=nickname,
        domains=_words(domains),
        bases=_words(bases),
        who="plora trust add",
        when=format_timestamp(int(time.time())),
    )
    if not yes:
        scope = f"about {domains or 'every domain'} on {bases or 'every base'}"
        confirm(f"Believe {owner.nickname}, owner {owner.owner}, {scope}?")
    _save(Output(json_, quiet), path, trust.with_owner(owner), f"trusts {owner.nickname}")


@app.command()
def rm(
    nickname: Annotated[str, typer.Argument(help="As `plora trust ls` has it.")],
    home: Home = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Stop believing an owner: what they signed leaves adapters and merge."""
    from dataclasses import replace

    path, trust = _load(home)
    left = tuple(owner for owner in trust.owners if owner.nickname != nickname)
    if len(left) == len(trust.owners):
        raise UsageError(f"nobody called '{nickname}' is trusted", where=str(path), mend="see `plora trust ls`")
    changed = replace(trust, owners=left, version=trust.version + 1)
    _save(Output(json_, quiet), path, changed, f"no longer trusts {nickname}")


def _row(owner: TrustedOwner) -> dict[str, object]:
    names = {"domains": ",".join(owner.domains) or "all", "bases": ",".join(owner.bases) or "all"}
    return {"nickname": owner.nickname, "owner": owner.owner, **names, "who": owner.who, "when": owner.when}


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _load(home: Path | None) -> tuple[Path, Trust]:
    from plora.gate import load_trust
    from plora.proto.home import Home as HomePaths
    from plora.proto.home import default_home

    path = HomePaths(home or default_home()).trust
    if not path.parent.is_dir():
        raise UsageError("is no peer's home", where=str(path.parent), mend="make one by `plora init`")
    return path, load_trust(path)


def _save(output: Output, path: Path, trust: Trust, said: str) -> None:
    from plora.gate import save_trust
    from plora.node.admin.client import AdminClient
    from plora.proto.home import Home as HomePaths
    from plora.v1 import admin_pb2 as pb

    save_trust(path, trust)
    output.document({"trust": str(path), "version": trust.version}, [f"{path.parent.name} {said}"])
    try:
        with AdminClient(HomePaths(path.parent)) as client:
            client.call("Reload", pb.ReloadRequest())
    except PeerNotRunningError:
        output.hint("The peer is not running; it will know when it starts.")
