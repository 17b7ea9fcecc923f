"""Commands that make a peer, run it, and talk to a running one through its admin socket."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from plora.cli.options import (
    OFFER_ADDRESS,
    OFFER_HOME,
    OWNER_RECORD,
    WALK_SWARM,
    Advertise,
    Home,
    Json,
    Key,
    Listen,
    PlasmidName,
    Quiet,
    Yes,
    checked_name,
    checked_places,
    confirm,
)
from plora.cli.output import Output, safe
from plora.cli.plasmid_rows import plasmid_row, state_of, state_word
from plora.cli.running import fields_of, home_of, root_of, running_peer
from plora.proto.errors import NoAnswerError, RefusedError, UsageError

HELD_OUTCOMES = ("REJECT", "QUARANTINE", "PENDING", "DEFER")


def init(
    name: Annotated[str, typer.Option("--name", help="This peer's name, and its owner's: a-z, 0-9, . _ -")],
    home: Home = None,
    swarm: Annotated[
        str,
        typer.Option("--swarm", help="Name of a new swarm, a swarm file, or `open:NAME`.", show_default="NAME-swarm"),
    ] = "",
    listen: Listen = "127.0.0.1:4700",
    advertise: Advertise = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a peer: a commented peer.yaml, an identity, an owner's key."""
    from plora.cli.schema import write_schema
    from plora.node.gossip.addresses import is_local
    from plora.node.home import init_home

    checked_places(listen, advertise)
    made = init_home(
        root_of(home),
        name=checked_name(name),
        swarm=_swarm(swarm, name),
        listen=listen,
        now_s=int(time.time()),
        advertise=advertise or (),
    )
    write_schema(made.home)
    root = made.home.root
    document = {"home": str(root), "peer": made.peer_id, "owner": made.owner.id, "swarm": made.owner.record.swarm}
    document |= {"config": str(made.home.config), "listen": listen}
    output = Output(json_, quiet)
    output.document(document, (f"{field:<8} {value}" for field, value in document.items()))
    output.hint(f"Next: plora up --home {root}   ·   plora invite NAME brings others in")
    if all(map(is_local, advertise or (listen,))):
        output.hint(
            f"Only this machine reaches {listen}, so peers on other hosts can't be invited; "
            f"to change that, set `listen` and `advertise` in {made.home.config}."
        )


def up(home: Home = None) -> None:
    """Run the peer until Ctrl-C or SIGTERM.

    The same as `plora-node --config HOME/peer.yaml`.
    """
    program = Path(sys.executable).with_name("plora-node")
    os.execv(program, [str(program), "--config", str(home_of(home).config)])  # noqa: S606 - no shell is wanted


def ls(
    home: Home = None,
    domain: Annotated[str, typer.Option("--domain", help="Only this domain.")] = "",
    state: Annotated[str, typer.Option("--state", help="Only this state, such as accepted.")] = "",
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """List every plasmid that the peer knows of, and where it stands."""
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        plasmids = client.call("List", pb.ListRequest(domain=domain, state=state_of(state))).plasmids
        states = {one.state for one in (plasmids or client.call("List", pb.ListRequest()).plasmids)}
    columns = ("name", "domain", "base_model", "size", "state", "percent", "reason", "yours")
    output = Output(json_, quiet)
    output.table(columns, map(plasmid_row, plasmids), [fields_of(one) for one in plasmids])
    if not plasmids:
        output.hint(_none_found(domain, state, states))


def _none_found(domain: str, state: str, states: set[str]) -> str:
    """Why a list is empty; `states` are those of everything that is known."""
    if not states:
        return "Nothing yet: `plora publish FOLDER` shares an adapter, `plora peers` shows who is connected."
    asked = [said for said in (domain and f"of domain '{domain}'", state and f"in state '{state}'") if said]
    return f"None is {' and '.join(asked)}; the states here: {', '.join(sorted(map(state_word, states)))}."


def show(name: PlasmidName, home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Show the manifest of a plasmid, or of a signed folder."""
    output = Output(json_, quiet)
    if Path(name).is_dir():
        from plora.proto.yaml_view import PLORA_YML, read_plora_yml, to_yaml

        signed = read_plora_yml(Path(name) / PLORA_YML)
        document = {"content_id": signed.statement().id.hex(), "manifest": signed.manifest.model_dump(mode="json")}
        output.document(document, to_yaml(signed).splitlines())
        return
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        reply = client.call("Show", pb.ShowRequest(name=name))
    fields = fields_of(reply.plasmid)
    lines = [*(f"# {field}: {value}" for field, value in fields.items() if value), *reply.yaml.splitlines()]
    output.document({**fields, "yaml": reply.yaml}, lines)


def why(name: PlasmidName, home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Say what the gate saw, layer by layer, or why it isn't here.

    `merged` or `merged/BASE`: what is in the merge that is served, and why the other adapters aren't.
    Exit code 3 where the gate refuses or holds it, 2 where nothing of that name has been seen.
    """
    from plora.cli.layers import found_lines, layer_lines
    from plora.cli.merge_reasons import names_a_merge
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        if names_a_merge(name):
            _why_merged(name, client, Output(json_, quiet))
            return
        document = json.loads(client.call("Why", pb.WhyRequest(name=name, found=True)).document)
    others = [document["asked_by_others"]] if document.get("asked_by_others") else []
    lines = [f"{document['name']}: {document['sentence']}", *others, *layer_lines(document), *found_lines(document)]
    Output(json_, quiet).document(document, lines)
    if document.get("outcome", "").upper() in HELD_OUTCOMES:
        raise typer.Exit(RefusedError.exit_code)
    if document["state"] == "unknown":
        raise typer.Exit(UsageError.exit_code)


def _why_merged(name: str, client: Any, output: Output) -> None:
    from plora.cli.merge_reasons import merge_why, merge_why_lines, merges_of
    from plora.v1 import admin_pb2 as pb

    plasmids = client.call("List", pb.ListRequest()).plasmids
    found = merges_of(name, client.call("Merges", pb.MergesRequest()).merges, plasmids)
    if not found:
        raise UsageError(f"there is no {name!r} here", mend="`plora ls` shows what is accepted")
    documents = [merge_why(one, plasmids) for one in found]
    output.document(documents, (line for one in documents for line in merge_why_lines(one)))


def fetch(
    name: Annotated[str, typer.Argument(help="A plasmid; with --offer an id or domain.", metavar="NAME")] = "",
    home: Home = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Copy the adapter folder to here.")] = None,
    offer: Annotated[bool, typer.Option("--offer", help="Fetch from a running `plora offer`, without a peer.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="With --offer: everything that is offered.")] = False,
    owner: Annotated[Path, typer.Option("--owner", help="With --offer: whose signature is expected.")] = OWNER_RECORD,
    peer: Annotated[str | None, typer.Option("--peer", help="With --offer: the id of the peer that offers.")] = None,
    address: Annotated[str, typer.Option("--address", help="With --peer: where it listens.")] = OFFER_ADDRESS,
    wait_s: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait.")] = 10.0,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fetch a plasmid now, whatever the subscriptions say."""
    output = Output(json_, quiet)
    if offer:
        from plora.cli.offering import Source, fetch_offered

        source = Source(address, owner, OFFER_HOME, peer, WALK_SWARM, wait_s)
        fetch_offered(output, name, out or Path("received"), all_, source)
        return
    if all_ or peer is not None:
        raise UsageError("--all and --peer are meant for an offer", where="plora fetch", mend="say --offer as well")
    if not name:
        raise UsageError("no plasmid is named", where="plora fetch", mend="see `plora ls`")
    from plora.v1 import admin_pb2 as pb

    target = str(out.resolve()) if out else ""
    with running_peer(home) as client:
        try:
            reply = client.call("Fetch", pb.FetchPlasmidRequest(name=name, target=target), timeout_s=wait_s)
        except NoAnswerError as error:
            said = json.loads(client.call("Why", pb.WhyRequest(name=name)).document)["sentence"]
            what = f"{name} is not here after {wait_s:g} s: {said}"
            raise NoAnswerError(what, mend="the peer goes on by itself; `plora ls` shows how far it is") from error
    output.document(fields_of(reply), [f"{name}: {reply.state}  {reply.folder}".rstrip()])


def revoke(
    name: PlasmidName,
    reason: Annotated[str, typer.Option("--reason", help="Why, for everybody to read.")],
    home: Home = None,
    key: Key = None,
    yes: Yes = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Take a published plasmid back, for ever and everywhere."""
    from plora.cli.revoking import owner_of, sign_revocation
    from plora.v1 import admin_pb2 as pb

    root = root_of(home)
    with running_peer(home) as client:
        plasmid = client.call("Show", pb.ShowRequest(name=name)).plasmid
        owner = owner_of(root, key, safe(plasmid.name), plasmid.owner)
        if not yes:
            confirm(f"Revoke {safe(plasmid.name)} ({plasmid.content_id[:12]})? This can't be undone.")
        statement = sign_revocation(owner, plasmid.content_id, reason, int(time.time()))
        reply = client.call("Revoke", pb.RevokeRequest(revocation=statement))
    said = f"; without effect at this peer yet: {reply.note}" if reply.note else ""
    document = {"statement_id": reply.statement_id, "note": reply.note}
    Output(json_, quiet).document(document, [f"revoked {plasmid.name}{said}"])


def reload(home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Read neighbours, trust, policy, subscriptions and limits again."""
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        changed = list(client.call("Reload", pb.ReloadRequest()).changed)
    Output(json_, quiet).document({"changed": changed}, [f"reloaded: {', '.join(changed) or 'nothing changed'}"])


def _swarm(text: str, name: str) -> Any:
    from plora.proto.swarm import load_swarm, new_swarm, open_swarm

    if text.startswith("open:"):
        return open_swarm(checked_name(text.removeprefix("open:"), "--swarm"))
    if Path(text).is_file() or "/" in text or text.endswith(".json"):
        return load_swarm(Path(text))
    return new_swarm(checked_name(text, "--swarm") if text else f"{name}-swarm", os.urandom(64))
