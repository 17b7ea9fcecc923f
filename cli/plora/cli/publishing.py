"""`plora publish`: a signed folder as it is; any other PEFT folder is described and signed first."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plora.cli.options import (
    DAY_S,
    DAYS_VALID,
    LICENCE_DEFAULT,
    BaseDigest,
    Days,
    Domain,
    Home,
    Json,
    Key,
    Licence,
    OnBase,
    OwnerRecords,
    PlasmidId,
    Quiet,
    Version,
    ask,
)
from plora.cli.output import Output
from plora.cli.running import root_of, running_peer
from plora.proto.errors import AdapterError, UsageError

if TYPE_CHECKING:
    from plora.proto.owner_files import Owner


def publish(
    folder: Annotated[Path, typer.Argument(help="A PEFT adapter folder, signed or not.", metavar="FOLDER")],
    home: Home = None,
    owner: OwnerRecords = None,
    domain: Domain = None,
    plasmid_id: PlasmidId = None,
    version: Version = None,
    base: OnBase = None,
    base_digest: BaseDigest = None,
    licence: Licence = LICENCE_DEFAULT,
    days: Days = DAYS_VALID,
    key: Key = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Share an adapter folder: the peer stores, judges and spreads it."""
    from plora.proto.owner_files import read_owner_record
    from plora.proto.wire import statement_to_pb
    from plora.proto.yaml_view import PLORA_YML
    from plora.v1 import admin_pb2 as pb

    output = Output(json_, quiet)
    said = {"domain": domain, "id": plasmid_id, "version": version, "base": base, "base-digest": base_digest}
    said |= {"licence": None if licence == LICENCE_DEFAULT else licence, "days": None if days == DAYS_VALID else days}
    given = [f"--{name}" for name, value in (said | {"key": key}).items() if value is not None]
    records = [statement_to_pb(read_owner_record(path)[0]) for path in owner or ()]
    with running_peer(home) as client:
        if (folder / PLORA_YML).exists():
            _refuse_facts(folder, given)
        else:
            facts = {"domain": domain, "plasmid_id": plasmid_id, "version": version, "base": base}
            facts |= {"base_digest": base_digest, "licence": licence}
            client.call("Status", pb.StatusRequest())  # before anything is signed
            signer = _sign(output, client, folder, key or _own_key(home), facts, days)
            records.append(statement_to_pb(signer.statement))
        reply = client.call("Publish", pb.PublishRequest(folder=str(folder.resolve()), statements=records))
    document = {"name": reply.name, "content_id": reply.content_id, "note": reply.note}
    output.document(document, [f"published {reply.name}"])
    if reply.note:
        output.hint(f"This peer spreads it but doesn't use it: {reply.note}")
    output.hint(f"Next: plora ls   ·   plora why {reply.name}")


def _refuse_facts(folder: Path, given: list[str]) -> None:
    """What a signature covers isn't changed by publishing."""
    if given:
        what = f"is signed already, so {', '.join(given)} can't change it"
        mend = f"sign it anew by `plora sign {folder} …`, or leave the options out"
        raise UsageError(what, where=str(folder), mend=mend)


def _sign(output: Output, client: Any, folder: Path, private: Path, facts: dict[str, Any], days: int) -> Owner:
    """Describe a folder in a signed plora.yml; on a terminal, ask for what can't be known. Returns who signed."""
    from plora.cli.signing import complete_facts, id_of
    from plora.merge.draft import CHUNK_BYTES_DEFAULT, sign_folder
    from plora.merge.peft_folder import CONFIG_NAME
    from plora.proto.owner_files import load_owner

    if not (folder / CONFIG_NAME).is_file():
        what, mend = f"is no PEFT folder: there is no {CONFIG_NAME}", "name the folder that `save_pretrained` wrote"
        raise AdapterError(what, where=str(folder), mend=mend)
    owner = load_owner(private)
    newest = _newest(client, owner, facts["plasmid_id"] or id_of(folder))
    now = int(time.time())
    version = facts["version"] or newest + 1
    complete = complete_facts(
        folder,
        **(facts | {"version": version}),
        valid_s=(now, now + days * DAY_S),
        chunk_bytes=CHUNK_BYTES_DEFAULT,
        ask=ask if sys.stdin.isatty() else None,
    )
    manifest = sign_folder(folder, owner, complete).manifest
    output.hint(
        f"Signed by {owner.record.name}: {manifest.plasmid_id} version {version}, domain {manifest.domain}, "
        f"base {manifest.base_model}, rank {manifest.lora.r}, licence {complete.licence}, for {days} days."
    )
    return owner


def _newest(client: Any, owner: Owner, plasmid_id: str) -> int:
    """The highest version of that plasmid of this owner that the peer knows; 0 for none."""
    from plora.v1 import admin_pb2 as pb

    names = (one.name for one in client.call("List", pb.ListRequest()).plasmids if one.owner == owner.id)
    of_id = (name.rpartition("@") for name in names if name.rpartition("@")[0].rpartition("/")[2] == plasmid_id)
    return max((int(version) for _, _, version in of_id if version.isdigit()), default=0)


def _own_key(home: Path | None) -> Path:
    from plora.cli.revoking import own_key

    return own_key(root_of(home))
