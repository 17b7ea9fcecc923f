"""What `plora verify` and `plora consensus verify` check: signatures, bytes, certificates. None needs a peer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from plora.gate.certificate_file import CERTIFICATE_BYTES_MAX, Certified, read_certificate
from plora.gate.consensus import FAULTS
from plora.proto.chunks import describe_artifact
from plora.proto.errors import FormatError, StatementError, UsageError
from plora.proto.manifest import ARTIFACT_FILENAME, Manifest
from plora.proto.owner_chain import read_owner_file
from plora.proto.statement import Statement, verify_statement
from plora.proto.yaml_view import PLORA_YML, read_plora_yml


def verify_folder(folder: Path, owner_record: Path) -> list[str]:
    """What is wrong with a signed folder under one owner's record; empty when nothing is."""
    signed = read_plora_yml(folder / PLORA_YML)
    faults = signature_faults(signed.statement(), signed.manifest, owner_record)
    return [*faults, *byte_faults(signed.manifest, folder)]


def signature_faults(statement: Statement, manifest: Manifest, owner_record: Path) -> Iterator[str]:
    """Why no key of an owner signed a manifest."""
    owner = read_owner_file(owner_record)
    if manifest.owner != owner.id:
        yield f"the manifest names owner {manifest.owner}, not {owner.id}"
    if not any(verify_statement(statement, key) for key in owner.keys):
        yield "no key of the owner made the signature"


def byte_faults(manifest: Manifest, folder: Path) -> Iterator[str]:
    """In what a folder's file of weights isn't the one that a manifest names."""
    found = describe_artifact(folder / ARTIFACT_FILENAME, manifest.artifacts.chunk_bytes)
    for field in ("sha256", "size_bytes", "chunk_root"):
        said, is_ = getattr(manifest.artifacts, field), getattr(found, field)
        if said != is_:
            yield f"{field}: the manifest says {said}, the file has {is_}"


def load_certificate(path: Path) -> Certified:
    """The certificate in a file; UsageError where it can't be read, StatementError where it is none."""
    try:
        with path.open(encoding="utf-8") as stream:
            return read_certificate(stream.read(CERTIFICATE_BYTES_MAX + 1))
    except OSError as error:
        raise UsageError(f"can't be read ({error.strerror})", where=str(path)) from error
    except (UnicodeDecodeError, FormatError) as error:
        what = error.what if isinstance(error, FormatError) else "is no text"
        raise StatementError(what, where=str(path), mend="have it made by `plora consensus certificate`") from error


def certificate_faults(found: Certified, epoch: str) -> Iterator[str]:
    """What is wrong with a certificate, for somebody who knows the epoch's id."""
    if found.members.epoch != epoch:
        yield f"it is of epoch {found.members.epoch}, not {epoch}: other members, another number or quorum"
    if found.fault:
        yield f"its votes prove nothing: {FAULTS[found.fault]}"


def epoch_of(config: Path, swarm: str) -> str:
    """The epoch that a peer.yaml's `consensus:` block makes in a swarm; UsageError where it has none."""
    from plora.node.daemon.config import load_config

    members = load_config(config).peer.consensus.membership(swarm)
    if members is None:
        raise UsageError("no members stand under `consensus:`", where=str(config), mend="name the epoch by --epoch")
    return members.epoch
