"""What `plora sign` and `plora publish` fill in of what nobody said."""

from __future__ import annotations

import json
import re
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from plora.base import base_info
from plora.cli.options import DAY_S, DAYS_VALID, LICENCE_DEFAULT, checked_field, checked_licence
from plora.merge.draft import CHUNK_BYTES_DEFAULT, Facts, draft_manifest, metrics_file
from plora.merge.peft_folder import CONFIG_NAME, read_spec
from plora.proto.errors import AdapterError, BaseModelError, FormatError, UsageError
from plora.proto.fields import BaseModelName, HexDigest, Id, parse_timestamp
from plora.proto.home import Home as HomePaths
from plora.proto.manifest import Manifest, Metrics
from plora.proto.owner_files import Owner
from plora.proto.yaml_view import PLORA_YML, read_plora_yml

ASKED_FOR = {"base": ("base model", "--base"), "domain": ("domain", "--domain"), "plasmid_id": ("plasmid id", "--id")}
"""What a person is asked for, and by which option they may say it."""


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
    trained = trained_facts(folder)
    found = (_of_training(trained), _of_signature(signed_before(folder)), _of_folder(folder))
    by_default = {"version": version, "licence": LICENCE_DEFAULT, "days": DAYS_VALID}
    known = _first_known((asdict(said), *found, by_default), folder, ask)
    base_model = checked_field(BaseModelName, known("base"), "--base")
    return Facts(
        plasmid_id=checked_field(Id, known("plasmid_id"), "--id"),
        domain=checked_field(Id, known("domain"), "--domain"),
        version=int(known("version")),
        base_model=base_model,
        base_digest=checked_field(HexDigest, said.base_digest or digest_of_base(base_model), "--base-digest"),
        licence=checked_licence(known("licence")),
        issued_s=now_s,
        expires_s=now_s + int(known("days")) * DAY_S,
        chunk_bytes=chunk_bytes,
        metrics=_measured(trained),
    )


def with_own_score(
    folder: Path, facts: Facts, owner: Owner, *, home: Path | None = None, probes: bool = False
) -> Facts:
    """The facts with the score that this machine's detectors give the adapter; as they were where none can look."""
    from plora.cli.inspecting import own_score

    score = own_score(folder, draft_manifest(folder, owner, facts), probes=probes, home=home)
    return facts if score is None else replace(facts, poisoning_score=score)


def _first_known(
    sources: Iterable[Mapping[str, object]], folder: Path, ask: Callable[[str], str] | None
) -> Callable[[str], str]:
    """Looks a fact up in the sources, in order; a person is asked for what stands in none of them."""
    facts = ChainMap(*({name: value for name, value in source.items() if value} for source in sources))

    def known(name: str) -> str:
        return str(facts[name] if name in facts else _asked(folder, ASKED_FOR[name], ask))

    return known


def _of_training(trained: Mapping[str, object]) -> Mapping[str, object]:
    return {name: trained.get(name) for name in ("base", "domain")}


def _of_signature(manifest: Manifest | None) -> Mapping[str, object]:
    if manifest is None:
        return {}
    named = {"plasmid_id": manifest.plasmid_id, "domain": manifest.domain, "base": manifest.base_model}
    return named | {"licence": manifest.safety.licence}


def _of_folder(folder: Path) -> Mapping[str, object]:
    return {"plasmid_id": id_of(folder), "base": read_spec(folder).base_model_name}


def _measured(trained: Mapping[str, object]) -> dict[str, float]:
    found = {name: trained.get(name) for name in Metrics.model_fields}
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


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


def _asked(folder: Path, what: tuple[str, str], ask: Callable[[str], str] | None) -> str:
    name, option = what
    if answer := ask(f"{name.capitalize()} of {folder}") if ask else "":
        return answer
    raise UsageError(f"the {name} is not known", where=str(folder), mend=f"name it by {option}")


def next_version(folder: Path, home: Path, *, newest: int = 0) -> int:
    """One more than the signed version that lies here and than `newest`, which the peer knows of that plasmid.

    Two contents of one version void each other, so a restored home signs no version that it may have signed before.
    """
    before = signed_before(folder)
    return max(newest + 1, before.version + 1 if before else 1, first_version(home))


def first_version(home: Path) -> int:
    """The lowest version that may be signed in a home: 1, or the second in which it was made of a backup.

    Seconds rise faster than anybody signs: whatever was signed after the backup has a lower version.
    """
    path = HomePaths(home).restored
    try:
        return parse_timestamp(path.read_text("ascii").strip())
    except FileNotFoundError:
        return 1
    except ValueError as error:
        mend = "write the time of the restore there, as 2026-01-02T03:04:05Z"
        raise FormatError("is no time", where=str(path), mend=mend) from error


def check_version(version: int | None, home: Path) -> None:
    """UsageError for a version, said by a person, that this home may have signed before it was restored."""
    if version is not None and version < (first := first_version(home)):
        what = f"{version} may have been signed since the backup that this home was made of"
        raise UsageError(what, where="--version", mend=f"leave it out, or take {first} or more")


def digest_of_base(base_model: str) -> str:
    """The digest of a base that lies on this machine, 64 hexadecimal digits."""
    try:
        return base_info(base_model).digest.removeprefix("sha256:")
    except BaseModelError as error:
        mend = "give its digest by --base-digest, as the others of your swarm have it"
        raise BaseModelError(error.what, where=error.where or base_model, mend=mend) from error
