"""`plora cosign`: the co-signer's own peer judges, a person looks, then their owner's key signs an attestation."""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer

from plora.cli.options import Home, Json, Key, PlasmidName, Quiet, Yes, confirm
from plora.cli.output import Output, safe
from plora.cli.running import home_of, running_peer
from plora.proto.errors import RefusedError


def cosign(
    name: PlasmidName,
    home: Home = None,
    key: Key = None,
    yes: Yes = False,
    wait_s: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for the bytes.")] = 60.0,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Sign another owner's plasmid too, once your gate passed it."""
    from plora.cli.layers import layer_lines
    from plora.cli.revoking import attestation, own_key
    from plora.proto.owner_files import load_owner
    from plora.proto.wire import statement_to_pb
    from plora.v1 import admin_pb2 as pb

    owner = load_owner(key or own_key(home_of(home).root))
    output = Output(json_, quiet)
    with running_peer(home) as client:
        judged = client.call("Judge", pb.JudgeRequest(name=name), timeout_s=wait_s)
        seen = json.loads(judged.document)
        for line in layer_lines(seen):
            output.hint(line)
        if not judged.passed:
            raise RefusedError(f"not signed, since the gate holds it: {seen['sentence']}", where=seen["name"])
        if not yes:
            confirm(f"Sign {safe(seen['name'])} ({judged.plasmid.content_id[:12]}) as {owner.record.name}, for ever?")
        word = statement_to_pb(attestation(owner, judged.plasmid.content_id, int(time.time())))
        request = pb.AttestRequest(attestation=word, statements=[*map(statement_to_pb, owner.statements)])
        reply = client.call("Attest", request)
    after = json.loads(reply.document)
    said = f"{owner.record.name} signed {seen['name']}: {after['sentence']}"
    output.document({"statement_id": reply.statement_id, "plasmid": after}, [said])
