"""`plora consensus`: who votes on what the swarm accepts, the key by which this peer does, and certificates on files.

A certificate is believed by its epoch: whoever checks one says which they mean, since a file names its own members.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plora.cli.options import Home, Json, PlasmidName, Quiet
from plora.cli.output import Output
from plora.cli.running import home_of, running_peer
from plora.cli.usage import App
from plora.proto.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from plora.gate.certificate_file import Certified

app = App(help="Show who votes on what the swarm accepts; this peer's vote key.", invoke_without_command=True)


@app.callback()
def consensus(ctx: typer.Context, home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Show the members, what they decided, and what waits for them."""
    if ctx.invoked_subcommand is not None:
        return
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        document = json.loads(client.call("Consensus", pb.ConsensusRequest()).document)
    output = Output(json_, quiet)
    output.document(document, list(_lines(document)))
    if not document["on"]:
        output.hint("Members stand under `consensus` in peer.yaml; each prints its line by `plora consensus key`.")


@app.command()
def key(ctx: typer.Context, home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Print the line by which others list this peer as a member; makes its vote key the first time."""
    from plora.proto.keys import generate_private_key, load_private_key

    paths = home_of(_home(ctx, home))
    made = not paths.vote_key.exists()
    if made:
        generate_private_key().save(paths.vote_key)
    public = load_private_key(paths.vote_key).public
    entry = {"name": _name(paths.config), "key": public.to_text(), "peer": paths.peer_id.read_text("ascii").strip()}
    output = Output(json_, quiet)
    line = f"- {{name: {entry['name']}, key: {entry['key']}, peer: {entry['peer']}}}"
    output.document({**entry, "made": made, "path": str(paths.vote_key)}, [line])
    output.hint("Put the lines of all members under consensus.members of every peer.yaml, then restart the peers.")
    if made:
        output.hint(f"The key is in {paths.vote_key}: whoever has it votes as this peer. Never run two peers with it.")


@app.command()
def certificate(
    ctx: typer.Context,
    name: PlasmidName,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")],
    home: Home = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write what the members accepted to a file that anybody can check, without a peer."""
    from plora.gate.certificate_file import read_certificate
    from plora.proto.keys import write_new_file
    from plora.v1 import admin_pb2 as pb

    with running_peer(_home(ctx, home)) as client:
        reply = client.call("Certificate", pb.CertificateRequest(name=name))
    write_new_file(out, reply.text.encode("utf-8"), mode=0o644)
    found = read_certificate(reply.text)
    output = Output(json_, quiet)
    document = {"name": reply.name, "file": str(out), "epoch": found.members.epoch, "members": list(found.voters)}
    output.document(document, [f"{reply.name}: {', '.join(found.voters)} accepted it; wrote {out}"])
    output.hint(f"Next: plora consensus verify {out} --epoch {found.members.epoch}")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A certificate's file.", metavar="FILE")],
    folder: Annotated[
        Path | None, typer.Argument(help="The adapter's folder, to check its bytes too.", metavar="FOLDER")
    ] = None,
    epoch: Annotated[str, typer.Option("--epoch", help="The epoch's id, as a member says it.")] = "",
    config: Annotated[
        Path | None, typer.Option("--config", help="A peer.yaml whose `consensus:` makes the epoch.")
    ] = None,
    owner: Annotated[
        Path | None, typer.Option("--owner", help="The publisher's file (.owner), to check the signature too.")
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a certificate without any peer: did a quorum of the members of that epoch accept this?"""
    from plora.cli.verifying import byte_faults, certificate_faults, epoch_of, load_certificate, signature_faults

    found = load_certificate(file)
    if not epoch and config is None:
        what = "a certificate names its own members, so say whom you mean"
        raise UsageError(what, where=str(file), mend="give the epoch's id by --epoch, or a peer.yaml by --config")
    meant = epoch or epoch_of(config, found.members.swarm)  # type: ignore[arg-type]
    faults = [*certificate_faults(found, meant)]
    faults += signature_faults(found.statement, found.manifest, owner) if owner else ()
    faults += byte_faults(found.manifest, folder) if folder else ()
    _certified(Output(json_, quiet), found, faults)
    if faults:
        raise RefusedError("the certificate doesn't show what it should", where=str(file))


def _certified(output: Output, found: Certified, faults: list[str]) -> None:
    manifest = found.manifest
    document = {
        "valid": not faults,
        "faults": faults,
        "epoch": found.members.epoch,
        "content_id": found.statement.id.hex(),
        "owner": manifest.owner,
        "plasmid_id": manifest.plasmid_id,
        "version": manifest.version,
        "sha256": manifest.artifacts.sha256,
        "members": list(found.voters),
        "needed": found.members.quorum,
    }
    of = f"{len(found.voters)} of {len(found.members.members)} members"
    said = f"{manifest.plasmid_id}@{manifest.version} of owner {manifest.owner[:12]}: accepted by {of}"
    output.document(document, faults or [f"{said} ({', '.join(found.voters)})"])


def _name(config: Path) -> str:
    from plora.node.daemon.config import load_config

    return load_config(config).peer.name


def _home(ctx: typer.Context, home: Path | None) -> Path | None:
    """The option may stand before the subcommand or after it."""
    before = ctx.parent.params.get("home") if ctx.parent else None
    return home or before


def _lines(document: dict[str, Any]) -> list[str]:
    if not document["on"]:
        return ["no members: nothing is voted on here"]
    wanted = "wanted for all that is accepted" if document["required"] else "shown, not wanted (policy.consensus)"
    lines = [
        f"epoch {document['epoch']} (number {document['number']}): {document['needed']} of "
        f"{len(document['members'])} members make a certificate, {document['faults']} may lie",
        f"certificates: {document['certificates']}, {wanted}",
        *(f"  {_member(one)}" for one in document["members"]),
    ]
    if document["compromised"]:
        lines.insert(0, "COMPROMISED: two certificates of one slot; nothing is accepted until a new epoch")
    if document["to_read"]:
        lines.append(f"this member doesn't vote before it has read from {document['to_read']} more members")
    lines += [
        f"caught lying: {one['member']} accepted {' and '.join(id_[:12] for id_ in one['contents'])} of {one['slot']}"
        for one in document["lies"]
    ]
    return [*lines, *(f"waits for a certificate: {_paper(one, document['needed'])}" for one in document["votes"])]


def _paper(paper: dict[str, Any], needed: int) -> str:
    """Who said what of one that waits."""
    accepted, silent = paper.get("accepted_by", []), paper.get("silent", [])
    who = f" ({', '.join(accepted)})" if accepted else ""
    refused = "".join(f"; {name} refuses it" for name in paper.get("rejected_by", {}))
    unheard = f"; not heard: {', '.join(silent)}" if silent else ""
    return f"{paper['name']}, {len(accepted)} of {needed} accepted it{who}{refused}{unheard}"


def _member(member: dict[str, Any]) -> str:
    here = ", this peer" if member["here"] else ", linked" if member["linked"] else ""
    guilty = ", voted twice: its votes no longer count" if member["guilty"] else ""
    diverged = ", votes under another configuration" if member["diverged"] else ""
    return f"{member['name']} {member['peer'][:12] or '(peer not named)'}{here}{guilty}{diverged}"
