"""`plora trust` and `plora distrust`: whom this peer believes. The file is trust.yaml; a running peer is told at once.

- Adding an owner shows what will be believed and asks, since a fingerprint is the only thing that tells owners apart.
- A scope that isn't named stays as it was: believing somebody again never widens what they are believed about.
- Taking trust away asks nothing and needs no signature: it is local, works at once and can be undone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plora.cli.options import Home, Json, Quiet, Yes, checked_field, confirm
from plora.cli.output import Output, safe
from plora.cli.running import home_of
from plora.cli.usage import App
from plora.proto.errors import PeerNotRunningError, UsageError
from plora.proto.home import Home as HomePaths

if TYPE_CHECKING:
    from plora.cli.acquaintances import Acquaintance
    from plora.gate import Trust, TrustedOwner

Owner = Annotated[
    str, typer.Argument(help="An owner: nickname, name, start of the id, or their record (.owner).", metavar="NAME")
]
ANY = "any"
app = App(help="Whom this peer believes, and what others have earned here.", no_args_is_help=True)


@app.command()
def ls(home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """List whom this peer believes, about what, what they earned here, and who was struck out."""
    paths, trust = _load(home)
    rows = [*(_row(trust, owner) for owner in trust.owners), *_struck_strangers(trust)]
    known = _earned(paths)
    shown = [
        {
            **row,
            "believed_about": _scope(row),
            "since": str(row["when"])[:10],
            "reputation": known.get(str(row["owner"]), ""),
        }
        for row in rows
    ]
    earned = ("reputation",) if any(row["reputation"] for row in shown) else ()
    Output(json_, quiet).table(("nickname", "fingerprint", "believed_about", "since", *earned), shown, rows)


@app.command()
def pending(home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """List the strangers whose plasmids wait: only their manifests are here."""
    from plora.cli.acquaintances import owners_reply
    from plora.proto.words import fingerprint

    reply = owners_reply(_load(home)[0])
    rows = [
        {
            "name": one.name,
            "owner": one.owner,
            "fingerprint": fingerprint(one.owner),
            "waiting": list(one.waiting),
            "count": one.waiting_count,
            "since_wall_ms": one.since_wall_ms,
        }
        for one in reply.owners
    ]
    shown = [{**row, "owner": str(row["owner"])[:12], "publishes": _published(row)} for row in rows]
    document = {"owners": rows, "strangers": reply.strangers, "strangers_max": reply.strangers_max}
    output = Output(json_, quiet)
    output.table(("name", "owner", "fingerprint", "publishes"), shown, document)
    if reply.strangers >= reply.strangers_max:
        output.hint(
            f"{reply.strangers} strangers are known, all that limits.untrusted_owners allows: no more are kept."
        )
    output.hint("Compare the fingerprint with the owner, then: plora trust add NAME" if rows else "Nobody waits.")


@app.command()
def add(
    name: Owner,
    home: Home = None,
    nickname: Annotated[str, typer.Option("--nickname", help="What to call them here; their own name.")] = "",
    domains: Annotated[str, typer.Option("--domains", help="Only these, such as legal,medical; any.")] = "",
    bases: Annotated[str, typer.Option("--bases", help="Only these base models; any.")] = "",
    roles: Annotated[str, typer.Option("--roles", help="publish, cosign; both.")] = "",
    yes: Yes = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Believe an owner: what they sign, and what waits for them, is judged again."""
    from plora.cli.acquaintances import acquainted, entry_of

    scope = _named_scope(nickname, domains, bases, roles)
    paths, trust = _load(home)
    who = acquainted(paths, trust, name)
    owner = _entry(who, entry_of(trust, who), nickname, scope)
    _refuse_twin(trust, owner)
    if not yes:
        confirm("\n".join(_question(who, owner)))
    _change(Output(json_, quiet), paths, lambda now: now.with_owner(owner), f"trusts {owner.nickname}")


@app.command()
def rm(name: Owner, home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Forget an owner: they are a stranger, and what they signed leaves adapters and merge and waits."""
    paths, trust = _load(home)
    found = [owner for owner in trust.owners if name in (owner.nickname, owner.owner)]
    if not found:
        raise UsageError(f"nobody called '{name}' is trusted", where=str(paths.trust), mend="see `plora trust ls`")
    _change(Output(json_, quiet), paths, lambda now: now.without(found[0].owner), f"no longer trusts {name}")


def distrust(name: Owner, home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Refuse an owner from now on, whoever vouches for them."""
    from plora.cli.acquaintances import acquainted

    paths, trust = _load(home)
    who = acquainted(paths, trust, name)
    stamp = {"name": who.name, "who": _who("plora distrust"), "when": _now()}
    output = Output(json_, quiet)
    _change(output, paths, lambda now: now.with_distrusted(who.owner, **stamp), f"distrusts {who.name}")
    output.hint(f"What they signed leaves adapters and merge. To take it back: plora trust add {who.owner[:12]}")


def _named_scope(nickname: str, domains: str, bases: str, roles: str) -> dict[str, tuple[str, ...]]:
    """What was named, checked by the grammar of trust.yaml: a word that it can't hold must not come into it."""
    from plora.gate.trust import ROLES
    from plora.proto.fields import BaseModelName, Id

    if nickname:
        checked_field(Id, nickname, "--nickname")
    named = {
        "domains": _words(domains, partial(checked_field, Id, option="--domains")),
        "bases": _words(bases, partial(checked_field, BaseModelName, option="--bases")),
        "roles": _words(roles, _checked_role),
    }
    if named["roles"] == ():
        named["roles"] = ROLES
    return {field: words for field, words in named.items() if words is not None}


def _checked_role(word: str) -> str:
    from plora.gate.trust import ROLES

    if word not in ROLES:
        raise UsageError(f"'{word}' is no role", where="--roles", mend=f"use {', '.join(ROLES)}")
    return word


def _entry(
    who: Acquaintance, known: TrustedOwner | None, nickname: str, scope: dict[str, tuple[str, ...]]
) -> TrustedOwner:
    """The owner's entry: the one that is there with what was named now, or a new one."""
    from plora.gate import TrustedOwner

    stamp = {"who": _who("plora trust add"), "when": _now()}
    if known is not None:
        rotations = who.rotations or known.rotations
        return replace(known, nickname=nickname or known.nickname, rotations=rotations, **scope, **stamp)  # type: ignore[arg-type]
    if who.record is None:
        mend = "start the peer, or name their record (.owner)"
        raise UsageError("is distrusted, and no record of theirs is at hand", where=who.name, mend=mend)
    return TrustedOwner.of_record(who.record, nickname=nickname, rotations=who.rotations, **scope, **stamp)  # type: ignore[arg-type]


def _refuse_twin(trust: Trust, owner: TrustedOwner) -> None:
    from plora.proto.words import fingerprint

    twin = trust.named(owner.nickname)
    if twin is not None and twin.owner != owner.owner:
        what = f"'{owner.nickname}' is what {fingerprint(twin.owner)} is called here"
        raise UsageError(what, mend="call this one otherwise: --nickname")


def _question(who: Acquaintance, owner: TrustedOwner) -> Iterator[str]:
    from plora.proto.fields import format_timestamp

    yield f"owner        {safe(who.name)}   {owner.owner}"
    yield f"fingerprint  {who.words}"
    if who.record is not None:
        yield f"since        {format_timestamp(who.record.day * 86_400)[:10]}"
    if who.waiting:
        more = who.waiting_count - len(who.waiting)
        yield f"publishes    {safe(', '.join(who.waiting))}{f' and {more} more' if more else ''}"
    about = ", ".join(owner.domains) or "every domain"
    on = ", ".join(owner.bases) or "every base"
    yield f"Believe {safe(owner.nickname)} ({' and '.join(owner.roles)}) about {safe(about)} on {safe(on)}?"


def _row(trust: Trust, owner: TrustedOwner) -> dict[str, object]:
    from plora.proto.words import fingerprint

    return {
        "nickname": owner.nickname,
        "owner": owner.owner,
        "fingerprint": fingerprint(owner.owner),
        "domains": ",".join(owner.domains) or ANY,
        "bases": ",".join(owner.bases) or ANY,
        "roles": ",".join(owner.roles),
        "state": "distrusted" if trust.distrusts(owner.owner) else "trusted",
        "who": owner.who,
        "when": owner.when,
    }


def _earned(paths: HomePaths) -> dict[str, str]:
    """What owners have earned at the running peer, by id; nothing where none runs."""
    from plora.cli.reputing import reputation_text
    from plora.node.admin.client import AdminClient
    from plora.v1 import admin_pb2 as pb

    try:
        with AdminClient(paths) as client:
            found = client.call("Reputations", pb.ReputationsRequest()).reputations
    except PeerNotRunningError:
        return {}
    return {one.subject: reputation_text(one) for one in found}


def _scope(row: dict[str, object]) -> str:
    """What somebody is believed about, in a few words."""
    if row["state"] == "distrusted":
        return "distrusted"
    limits = [f"{row[name]}" for name in ("domains", "bases") if row[name] != ANY]
    only = [] if row["roles"] == "publish,cosign" else [f"{row['roles']} only"]
    return "; ".join([*limits, *only]) or "everything"


def _struck_strangers(trust: Trust) -> Iterator[dict[str, object]]:
    """Those who were struck out without ever having been trusted."""
    from plora.proto.words import fingerprint

    known = [owner.owner for owner in trust.owners]
    for one in trust.distrusted:
        if one.entry not in known:
            words = {"owner": one.entry, "fingerprint": fingerprint(one.entry), "who": one.who, "when": one.when}
            yield {"nickname": one.name, "domains": "", "bases": "", "roles": "", "state": "distrusted", **words}


def _published(row: dict[str, Any]) -> str:
    more = row["count"] - len(row["waiting"])
    return ", ".join(row["waiting"]) + (f" and {more} more" if more else "")


def _words(text: str, checked: Callable[[str], str]) -> tuple[str, ...] | None:
    """The names in an option, none for "any"; None where the option wasn't given."""
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if not words:
        return None
    return () if words == (ANY,) else tuple(map(checked, words))


def _who(command: str) -> str:
    """The person at this machine, and the command that they used."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = f"user {os.getuid()}"
    return f"{user}@{socket.gethostname()}, {command}"


def _now() -> str:
    from plora.proto.fields import format_timestamp

    return format_timestamp(int(time.time()))


def _load(home: Path | None) -> tuple[HomePaths, Trust]:
    from plora.gate import load_trust

    paths = home_of(home)
    return paths, load_trust(paths.trust)


def _change(output: Output, paths: HomePaths, change: Callable[[Trust], Trust], said: str) -> None:
    """Write the trust file and tell the running peer, which then judges again."""
    from plora.gate import edit_trust
    from plora.node.admin.client import AdminClient
    from plora.v1 import admin_pb2 as pb

    trust = edit_trust(paths.trust, change)
    output.document({"trust": str(paths.trust), "version": trust.version}, [f"{paths.root.name} {said}"])
    try:
        with AdminClient(paths) as client:
            client.call("Reload", pb.ReloadRequest(trust_only=True))
    except PeerNotRunningError:
        output.hint("The peer is not running; it will know when it starts.")
