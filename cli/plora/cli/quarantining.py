"""`plora quarantine`: what the gate keeps apart, why, and what a person makes of it."""

from __future__ import annotations

import json
from typing import Any

from plora.cli.options import Home, Json, PlasmidName, Quiet, Yes, confirm
from plora.cli.output import Output, safe
from plora.cli.running import fields_of, running_peer
from plora.cli.usage import App
from plora.proto.errors import RefusedError

app = App(help="What the gate keeps apart: list, show, release, delete.")

QUARANTINED = "quarantined"


@app.command("ls")
def list_(home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """List what is in quarantine, with the reason."""
    from plora.v1 import admin_pb2 as pb

    with running_peer(home) as client:
        found = client.call("List", pb.ListRequest(state=QUARANTINED)).plasmids
    columns = ("name", "domain", "base_model", "sentence")
    rows = [{column: getattr(one, column) for column in columns} for one in found]
    output = Output(json_, quiet)
    output.table(columns, rows, [fields_of(one) for one in found])
    if found:
        output.hint(f"Look at one by `plora quarantine show {found[0].name}`.")
    else:
        output.hint("Nothing is in quarantine.")


@app.command()
def show(name: PlasmidName, home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Show what every layer of the gate saw of it, and what a release would change."""
    with running_peer(home) as client:
        document = _held(client, name)
    output = Output(json_, quiet)
    output.document(document, [*_layers(document), *_changes(document)])


@app.command()
def release(name: PlasmidName, home: Home = None, yes: Yes = False, json_: Json = False, quiet: Quiet = False) -> None:
    """Let it out: from then on it counts as accepted by hand; the event log keeps who said so."""
    from plora.v1 import admin_pb2 as pb

    output = Output(json_, quiet)
    with running_peer(home) as client:
        document = _held(client, name)
        for line in (*_layers(document), *_changes(document)):
            output.hint(line)
        if not yes:
            confirm(f"Release {safe(document['name'])} from quarantine?")
        after = json.loads(client.call("Release", pb.ReleaseRequest(name=name)).document)
    output.document(after, [f"released {after['name']}: {after['state']}"])


@app.command()
def rm(name: PlasmidName, home: Home = None, yes: Yes = False, json_: Json = False, quiet: Quiet = False) -> None:
    """Delete its bytes here; the verdict stays, so it is not fetched again before `plora fetch` asks for it."""
    from plora.v1 import admin_pb2 as pb

    output = Output(json_, quiet)
    with running_peer(home) as client:
        document = _held(client, name)
        if not yes:
            confirm(f"Delete the bytes of {safe(document['name'])} here?")
        reply = client.call("Remove", pb.RemoveRequest(name=name))
    fields = {"name": reply.name, "content_id": reply.content_id}
    output.document(fields, [f"deleted the bytes of {reply.name}; it stays in quarantine"])


def _held(client: Any, name: str) -> dict[str, Any]:
    """What `why` says of it. Raises RefusedError where it isn't quarantined."""
    from plora.v1 import admin_pb2 as pb

    document: dict[str, Any] = json.loads(client.call("Why", pb.WhyRequest(name=name, found=True)).document)
    if document["state"] != QUARANTINED:
        said = f"is not in quarantine but {document['state']}"
        raise RefusedError(said, where=safe(document["name"]), mend="see `plora quarantine ls`")
    return document


def _layers(document: dict[str, Any]) -> list[str]:
    from plora.cli.layers import found_lines, layer_lines

    return [f"{document['name']}: {document['sentence']}", *layer_lines(document), *found_lines(document)]


def _changes(document: dict[str, Any]) -> list[str]:
    """What a release does, beyond the verdict."""
    base = document["base"]
    return [
        "A release changes this: it counts as accepted here although the gate holds it back,",
        f"its folder appears under adapters/, it enters the next merge of {base}, model servers load it,",
        "and other peers may fetch it here. `plora quarantine rm` or `plora rm` takes it back.",
    ]
