"""trust.yaml: whom this peer trusts, on disk, with who added each owner and when.

Rules:

- Written by commands (`plora init`, `plora trust`), readable by people; strict YAML, no unknown field.
- Written whole to a file beside it, made durable, then moved into place: a crash leaves the old or the new list.
- `edit_trust` is for changes: two commands at once change one after the other, and neither loses the other's change.
- `load_trust(save_trust(x)) == x`. A missing file is an empty list, since a new peer trusts nobody.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from plora.gate.trust import Distrusted, Trust, TrustedOwner
from plora.proto.durable import sync
from plora.proto.errors import ConfigError, FormatError
from plora.proto.fields import BaseModelName, HexDigest, Id, ListAsTuple, Text
from plora.proto.payload import StrictModel, field_error
from plora.proto.payloads import OwnerKey
from plora.proto.strict_yaml import parse_yaml

TRUST_BYTES_MAX = 4 * 1024 * 1024
HEADING = "# Whom this peer trusts. Written by `plora trust`; peer.yaml is the one that you edit.\n"


class _Added(StrictModel):
    who: Text = ""
    when: Text = ""


class _Owner(StrictModel):
    nickname: Id
    owner: HexDigest
    record: HexDigest
    lineages: Annotated[tuple[HexDigest, ...], ListAsTuple]
    rotations: Annotated[tuple[HexDigest, ...], ListAsTuple] = ()
    keys: Annotated[tuple[OwnerKey, ...], ListAsTuple, Field(min_length=1)]
    threshold: Annotated[int, Field(ge=1)] = 1
    domains: Annotated[tuple[Id, ...], ListAsTuple] = ()
    bases: Annotated[tuple[BaseModelName, ...], ListAsTuple] = ()
    roles: Annotated[tuple[Literal["publish", "cosign"], ...], ListAsTuple] = ("publish", "cosign")
    added: _Added = Field(default_factory=_Added)

    def trusted(self) -> TrustedOwner:
        return TrustedOwner(
            nickname=self.nickname,
            owner=self.owner,
            keys=tuple(entry.key() for entry in self.keys),
            threshold=self.threshold,
            record=self.record,
            lineages=self.lineages,
            rotations=self.rotations,
            domains=self.domains,
            bases=self.bases,
            roles=self.roles,
            who=self.added.who,
            when=self.added.when,
        )


class _Struck(StrictModel):
    entry: HexDigest
    name: Text = ""
    added: _Added = Field(default_factory=_Added)

    def distrusted(self) -> Distrusted:
        return Distrusted(self.entry, self.name, self.added.who, self.added.when)


class _File(StrictModel):
    version: Annotated[int, Field(ge=0)]
    distrusted: Annotated[tuple[_Struck, ...], ListAsTuple] = ()
    owners: Annotated[tuple[_Owner, ...], ListAsTuple] = ()


def load_trust(path: Path) -> Trust:
    """The trust in a file; empty where there is none. Raises ConfigError naming file, line and field."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Trust()
    except OSError as error:
        raise ConfigError(f"can't be read ({error.strerror})", where=str(path)) from error
    try:
        document = parse_yaml(data, TRUST_BYTES_MAX)
        read = _File.model_validate(document.tree)
    except FormatError as error:
        raise ConfigError(error.what, where=f"{path}, {error.where}", mend=error.mend) from error
    except ValidationError as error:
        found = field_error(error, FormatError)
        raise ConfigError(found.what, where=f"{path}, {document.where(found.where)}", mend=found.mend) from error
    struck = tuple(entry.distrusted() for entry in read.distrusted)
    return Trust(tuple(owner.trusted() for owner in read.owners), read.version, struck)


def save_trust(path: Path, trust: Trust) -> Path:
    """Write the trust durably, mode 0600, in place of what was there. Raises ConfigError where that fails."""
    fields: dict[str, Any] = {
        "version": trust.version,
        "distrusted": [_struck_fields(entry) for entry in trust.distrusted],
        "owners": [owner.to_fields() for owner in trust.owners],
    }
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(HEADING + "\n".join(_block(fields, "")) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
        sync(path.parent)
    except OSError as error:
        raise ConfigError(f"can't be written ({error.strerror})", where=str(path)) from error
    return path


def edit_trust(path: Path, change: Callable[[Trust], Trust]) -> Trust:
    """Change the trust in a file, and return it as it now is; nobody else's `edit_trust` comes between."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        changed = change(load_trust(path))
        save_trust(path, changed)
    finally:
        os.close(descriptor)
    return changed


def _struck_fields(struck: Distrusted) -> dict[str, Any]:
    return {"entry": struck.entry, "name": struck.name, "added": {"who": struck.who, "when": struck.when}}


def _block(fields: dict[str, Any], indent: str) -> Iterator[str]:
    """Block YAML in the order given, with text in JSON's quotes, which YAML shares."""
    for name, value in fields.items():
        if isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from _block(value, indent + "  ")
        elif isinstance(value, list) and value:
            yield f"{indent}{name}:"
            yield from _entries(value, indent + "  ")
        else:
            yield f"{indent}{name}: {json.dumps(value, ensure_ascii=False)}"


def _entries(values: list[Any], indent: str) -> Iterator[str]:
    for value in values:
        if isinstance(value, dict):
            first, *rest = _block(value, indent + "  ")
            yield f"{indent}- {first.lstrip()}"
            yield from rest
        else:
            yield f"{indent}- {json.dumps(value, ensure_ascii=False)}"
