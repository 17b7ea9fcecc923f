"""What an owner signs about a content: a revocation, an attestation. The peer, which has no owner's key, spreads it."""

from __future__ import annotations

from pathlib import Path

from plora.cli.running import home_of, root_of
from plora.proto.dsse import StatementKind
from plora.proto.errors import KeyFileError, RefusedError
from plora.proto.fields import format_timestamp
from plora.proto.home import Home
from plora.proto.keys import PrivateKey, load_private_key
from plora.proto.owner_chain import OwnerFile, read_owner_file
from plora.proto.owner_files import Owner, load_owner
from plora.proto.payloads import Attestation, Revocation
from plora.proto.statement import Statement, sign_statement
from plora.proto.wire import statement_to_pb
from plora.v1 import peer_pb2


def owner_of(root: Path, key: Path | None, name: str, owner_id: str) -> Owner:
    """The owner who may revoke the plasmid `name` of `owner_id`; RefusedError if the key is another owner's."""
    owner = load_owner(key or own_key(root))
    if owner.id != owner_id:
        what = f"belongs to owner {owner_id[:12]}, and the key to {owner.id[:12]}"
        raise RefusedError(
            what, where=name, mend="name its owner's key by --key, or stop believing them: `plora trust rm`"
        )
    return owner


def sign_revocation(owner: Owner, content_id: str, reason: str, now_s: int) -> peer_pb2.Statement:
    """A revocation of a content id by the owner's key, as the wire carries it."""
    payload = Revocation.model_validate(
        {
            "swarm": owner.record.swarm,
            "issued": format_timestamp(now_s),
            "key_id": owner.key.public.key_id,
            "owner": owner.id,
            "target_kind": "content",
            "target": content_id,
            "reason": reason,
        }
    )
    signed = sign_statement(StatementKind.REVOCATION, payload, owner.key)
    return statement_to_pb(signed)


def attestation(owner: Owner, content_id: str, now_s: int) -> Statement:
    """The owner's word for a content id."""
    payload = Attestation(
        swarm=owner.record.swarm,
        issued=format_timestamp(now_s),
        key_id=owner.key.public.key_id,
        owner=owner.id,
        target=content_id,
    )
    return sign_statement(StatementKind.ATTESTATION, payload, owner.key)


def at_hand(key: Path | None, owner: Path | None, home: Path | None) -> tuple[PrivateKey, Path, OwnerFile]:
    """A private key, the path of its owner's file, and what is in that; each the home's own where none is named."""
    private = key or own_key(root_of(home))
    path = owner or private.with_suffix(".owner")
    return load_private_key(private), path, read_owner_file(path)


def own_key(root: Path) -> Path:
    """The one private key in a home's owner folder. Raises PeerNotRunningError where no home is."""
    keys = sorted(home_of(root).owner_folder.glob("*.pem"))
    if len(keys) != 1:
        where = str(Home(root).owner_folder)
        raise KeyFileError(
            f"{len(keys)} owner keys are here", where=where, mend="name one by --key, or make a peer by `plora init`"
        )
    return keys[0]
