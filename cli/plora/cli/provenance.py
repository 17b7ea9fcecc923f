"""OpenSSF Model Signing bundles on the command line: written for others' tools, read as provenance and nothing more."""

from __future__ import annotations

from pathlib import Path

from plora.cli.output import Output
from plora.proto.errors import UsageError
from plora.proto.keys import write_new_file
from plora.proto.openssf import ExportKey, load_export_private, make_bundle, read_bundle
from plora.proto.owner_chain import OwnerFile, read_owner_file


def write_bundle(output: Output, name: str, folder: Path, file: Path, key: Path, owner: Path) -> None:
    """Sign every file of an adapter's folder by an export key that the owner's newest record names."""
    private, signer = load_export_private(key), read_owner_file(owner)
    if private.public.key_id not in [one.key_id for one in export_keys(signer)]:
        mend = "list it by `plora owner rotate --add-export`, or name the owner's file by --owner"
        raise UsageError(f"is no export key of {signer.first.name}", where=str(key), mend=mend)
    if file.resolve().is_relative_to(folder.resolve()):
        raise UsageError("lies in the folder that it is about", where=str(file), mend="write the bundle beside it")
    write_new_file(file, make_bundle(name, folder, private), mode=0o644)
    public = key.with_suffix(".pub")
    document = {"name": name, "folder": str(folder), "file": str(file), "key_id": private.public.key_id}
    output.document(document, [f"{name}: wrote {file}"])
    output.hint(f"Next: model_signing verify key --signature {file} --public_key {public} {folder}")


def show_provenance(output: Output, bundle: Path, folder: Path, owner: Path) -> None:
    """What a bundle of the owner's export key says of a folder; raises StatementError where it doesn't hold."""
    signer = read_owner_file(owner)
    found = read_bundle(bundle, folder, export_keys(signer))
    document = {
        "folder": str(folder),
        "owner": signer.id,
        "name": signer.first.name,
        "key_id": found.key_id,
        "subject": found.subject,
        "files": dict(found.files),
        "counts_as_signature": False,
    }
    files = f"{len(found.files)} file{'s' if len(found.files) != 1 else ''}"
    said = (
        f"{folder}: {signer.first.name} exported these {files} as {found.subject}; provenance, no signature of Plora's"
    )
    output.document(document, [said])


def export_keys(file: OwnerFile) -> list[ExportKey]:
    """The export keys of an owner's newest record."""
    return [entry.export_key() for entry in file.newest[1].keys if entry.purpose == "export"]
