"""What `plora sign` fills in, and what `plora verify` checks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from plora.base import base_info
from plora.cli.options import DAY_S, DAYS_VALID, LICENCE_DEFAULT, checked_field, checked_licence
from plora.merge.draft import CHUNK_BYTES_DEFAULT, Facts, metrics_file
from plora.merge.peft_folder import CONFIG_NAME, read_spec
from plora.proto.chunks import describe_artifact
from plora.proto.errors import AdapterError, BaseModelError, FormatError, UsageError
from plora.proto.fields import BaseModelName, HexDigest, Id, parse_timestamp
from plora.proto.manifest import ARTIFACT_FILENAME, Manifest, Metrics
from plora.proto.owner_chain import read_owner_file
from plora.proto.statement import verify_statement
from plora.proto.yaml_view import PLORA_YML, read_plora_yml


def check_folder(folder: Path) -> None:
    """AdapterError unless somebody could sign this folder, or has."""
    mend = "name the folder that `save_pretrained` wrote"
    if not folder.is_dir():
        raise AdapterError("is a file" if folder.exists() else "there is no such folder", where=str(folder), mend=mend)
    if not any((folder / name).is_file() for name in (CONFIG_NAME, PLORA_YML)):
        raise AdapterError(f"is no PEFT folder: there is no {CONFIG_NAME}", where=str(folder), mend=mend)


def trained_facts(folder: Path) -> Mapping[str, object]:
    """What training wrote down about a folder; empty for a folder from elsewhere."""
    path = metrics_file(folder)
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError("is not JSON", where=str(path), mend="delete it: it only says how training went") from error
    return document if isinstance(document, dict) else {}


@dataclass(frozen=True, slots=True)
class Said:
    """What a person said of a folder by options; None where nothing was said."""

    domain: str | None = None
    plasmid_id: str | None = None
    version: int | None = None
    base: str | None = None
    base_digest: str | None = None
    licence: str | None = None
    days: int | None = None

    def against(self, manifest: Manifest) -> list[str]:
        """The options that say another thing than a signed manifest."""
        valid_s = parse_timestamp(manifest.expires) - parse_timestamp(manifest.issued)
        signed = {"--domain": manifest.domain, "--id": manifest.plasmid_id, "--version": manifest.version}
        signed |= {"--base": manifest.base_model, "--base-digest": manifest.base_digest}
        signed |= {"--licence": manifest.safety.licence, "--days": valid_s / DAY_S}
        options = zip(signed.items(), (getattr(self, field.name) for field in fields(self)), strict=True)
        return [option for (option, value), said in options if said not in (None, value)]


def complete_facts(
    folder: Path,
    said: Said,
    *,
    now_s: int,
    version: int,
    chunk_bytes: int = CHUNK_BYTES_DEFAULT,
    ask: Callable[[str], str] | None = None,
) -> Facts:
    """What was said, filled up from training's notes, an earlier plora.yml, the configuration and the folder's name.

    What is missing then is asked for, or a UsageError names the option; so does one for what no manifest can hold.
    `version` counts where none was said.
    """
    trained, before = trained_facts(folder), signed_before(folder)
    base = said.base or trained.get("base") or (before and before.base_model) or read_spec(folder).base_model_name
    base_model = checked_field(BaseModelName, str(base or _asked(folder, "base model", "--base", ask)), "--base")
    domain = said.domain or trained.get("domain") or (before and before.domain)
    plasmid_id = said.plasmid_id or (before and before.plasmid_id) or id_of(folder)
    measured = {name: trained[name] for name in Metrics.model_fields if isinstance(trained.get(name), int | float)}
    return Facts(
        plasmid_id=checked_field(Id, plasmid_id, "--id"),
        domain=checked_field(Id, str(domain or _asked(folder, "domain", "--domain", ask)), "--domain"),
        version=said.version or version,
        base_model=base_model,
        base_digest=checked_field(HexDigest, said.base_digest or digest_of_base(base_model), "--base-digest"),
        licence=checked_licence(said.licence or (before and before.safety.licence) or LICENCE_DEFAULT),
        issued_s=now_s,
        expires_s=now_s + (said.days or DAYS_VALID) * DAY_S,
        chunk_bytes=chunk_bytes,
        metrics={name: float(str(value)) for name, value in measured.items()},
    )


def signed_before(folder: Path) -> Manifest | None:
    """The manifest that lies in a folder; None where it was never signed."""
    path = folder / PLORA_YML
    return read_plora_yml(path).manifest if path.exists() else None


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
    before = signed_before(folder)
    return before.version + 1 if before else 1


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
    owner = read_owner_file(owner_record)
    manifest = signed.manifest
    faults = [] if manifest.owner == owner.id else [f"the manifest names owner {manifest.owner}, not {owner.id}"]
    if not any(verify_statement(signed.statement(), key) for key in owner.keys):
        faults.append("no key of the owner made the signature")
    found = describe_artifact(folder / ARTIFACT_FILENAME, manifest.artifacts.chunk_bytes)
    for field in ("sha256", "size_bytes", "chunk_root"):
        said, is_ = getattr(manifest.artifacts, field), getattr(found, field)
        if said != is_:
            faults.append(f"{field}: the manifest says {said}, the file has {is_}")
    return faults
