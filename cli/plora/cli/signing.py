"""What `plora sign` fills in, and what `plora verify` checks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from plora.base import base_info
from plora.merge.draft import Facts, metrics_file
from plora.merge.peft_folder import read_spec
from plora.proto.chunks import describe_artifact
from plora.proto.errors import BaseModelError, UsageError
from plora.proto.manifest import ARTIFACT_FILENAME, Metrics
from plora.proto.owner_files import read_owner_record
from plora.proto.statement import verify_statement
from plora.proto.yaml_view import PLORA_YML, read_plora_yml


def trained_facts(folder: Path) -> Mapping[str, object]:
    """What training wrote down about a folder; empty for a folder from elsewhere."""
    path = metrics_file(folder)
    if not path.is_file():
        return {}
    document = json.loads(path.read_text(encoding="utf-8"))
    return document if isinstance(document, dict) else {}


def complete_facts(
    folder: Path,
    *,
    domain: str | None,
    plasmid_id: str | None,
    base: str | None,
    base_digest: str | None,
    version: int | None,
    licence: str,
    valid_s: tuple[int, int],
    chunk_bytes: int,
    ask: Callable[[str], str] | None = None,
) -> Facts:
    """The owner's facts, filled up from what training wrote down, the folder's name and its configuration.

    What is missing then is asked for, or a UsageError names the option.
    """
    trained = trained_facts(folder)
    base_model = base or str(trained.get("base") or read_spec(folder).base_model_name or "")
    base_model = base_model or _asked(folder, "base model", "--base", ask)
    subject = domain or str(trained.get("domain") or "") or _asked(folder, "domain", "--domain", ask)
    measured = {name: trained[name] for name in Metrics.model_fields if isinstance(trained.get(name), int | float)}
    return Facts(
        plasmid_id=plasmid_id or id_of(folder),
        domain=subject,
        version=next_version(folder) if version is None else version,
        base_model=base_model,
        base_digest=base_digest or digest_of_base(base_model),
        licence=licence,
        issued_s=valid_s[0],
        expires_s=valid_s[1],
        chunk_bytes=chunk_bytes,
        metrics={name: float(str(value)) for name, value in measured.items()},
    )


def id_of(folder: Path) -> str:
    """The plasmid id that a folder's name suggests.

    >>> id_of(Path("out/Legal LoRA (2)"))
    'legal-lora-2'
    """
    return re.sub(r"[^a-z0-9._]+", "-", folder.resolve().name.lower()).strip("-._")


def _asked(folder: Path, what: str, option: str, ask: Callable[[str], str] | None) -> str:
    if answer := ask(f"{what.capitalize()} of {folder}") if ask else "":
        return answer
    raise UsageError(f"the {what} is not known", where=str(folder), mend=f"name it by {option}")


def next_version(folder: Path) -> int:
    """One more than the signed version that lies here, since two contents of one version void each other."""
    path = folder / PLORA_YML
    return read_plora_yml(path).manifest.version + 1 if path.exists() else 1


def digest_of_base(base_model: str) -> str:
    """The digest of a base that lies on this machine, 64 hexadecimal digits."""
    try:
        return base_info(base_model).digest.removeprefix("sha256:")
    except BaseModelError as error:
        mend = "give its digest by --base-digest, as the others of your swarm have it"
        raise BaseModelError(error.what, where=error.where or base_model, mend=mend) from error


def verify_folder(folder: Path, owner_record: Path) -> list[str]:
    """What is wrong with a signed folder under one owner's record; empty when nothing is."""
    signed = read_plora_yml(folder / PLORA_YML)
    statement, record = read_owner_record(owner_record)
    manifest = signed.manifest
    owner = record.owner_id(statement.id)
    faults = [] if manifest.owner == owner else [f"the manifest names owner {manifest.owner}, not {owner}"]
    if not any(verify_statement(signed.statement(), key) for key in record.signing_keys()):
        faults.append("no key of the owner made the signature")
    found = describe_artifact(folder / ARTIFACT_FILENAME, manifest.artifacts.chunk_bytes)
    for field in ("sha256", "size_bytes", "chunk_root"):
        said, is_ = getattr(manifest.artifacts, field), getattr(found, field)
        if said != is_:
            faults.append(f"{field}: the manifest says {said}, the file has {is_}")
    return faults
