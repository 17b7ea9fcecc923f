"""The file of an organisation's root, strict YAML: made by `plora root new`, handed out, and pinned in peer.yaml.

>>> root_text(Root(1, 0, ()))
Traceback (most recent call last):
plora.proto.errors.ConfigError: root: threshold 0 of 0 owners
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from plora.gate.root import Root, RootMember
from plora.proto.errors import ConfigError, FormatError
from plora.proto.fields import Counter, HexDigest, Id, ListAsTuple
from plora.proto.keys import PublicKey
from plora.proto.payload import StrictModel, field_error
from plora.proto.payloads import OwnerKey
from plora.proto.strict_yaml import parse_yaml

ROOT_BYTES_MAX = 256 * 1024
HEADING = (
    "# Whose word tells this peer how new the swarm is, and may revoke anything. Pinned by `root:` in peer.yaml.\n"
    "# A changed file needs a higher version: what was signed under the old one then counts no longer.\n"
)


class _Member(StrictModel):
    name: Id
    owner: HexDigest
    threshold: Annotated[int, Field(ge=1)] = 1
    keys: Annotated[tuple[OwnerKey, ...], ListAsTuple, Field(min_length=1)]

    def member(self) -> RootMember:
        signing = _of_purpose(self.keys, "sign")
        if not self.threshold <= len(signing):
            what = f"{self.name}: threshold {self.threshold} of {len(signing)} signing keys"
            raise ConfigError(what, where="root", mend="make the file again by `plora root new`")
        return RootMember(self.name, self.owner, signing, self.threshold, _of_purpose(self.keys, "freshness"))


class _File(StrictModel):
    version: Counter
    threshold: Annotated[int, Field(ge=1)]
    owners: Annotated[tuple[_Member, ...], ListAsTuple, Field(min_length=1)]


def load_root(path: Path) -> Root:
    """The root in a file. Raises ConfigError naming file and field."""
    mend = "make one by `plora root new`, or correct `root:` in peer.yaml"
    try:
        document = parse_yaml(path.read_bytes(), ROOT_BYTES_MAX)
        read = _File.model_validate(document.tree)
        return Root(read.version, read.threshold, tuple(one.member() for one in read.owners))
    except OSError as error:
        raise ConfigError(f"can't be read ({error.strerror})", where=str(path), mend=mend) from error
    except ConfigError as error:
        raise ConfigError(error.what, where=f"{path}: {error.where}", mend=error.mend or mend) from error
    except FormatError as error:
        raise ConfigError(error.what, where=f"{path}, {error.where}", mend=error.mend or mend) from error
    except ValidationError as error:
        found = field_error(error, FormatError)
        raise ConfigError(
            found.what, where=f"{path}, {document.where(found.where)}", mend=found.mend or mend
        ) from error


def root_text(root: Root) -> str:
    """The file of a root; `load_root` reads the same root from it."""
    return HEADING + "\n".join(_lines(root)) + "\n"


def _lines(root: Root) -> Iterator[str]:
    yield f"version: {root.version}"
    yield f"threshold: {root.threshold}"
    yield "owners:"
    for member in root.members:
        yield f'  - name: "{member.name}"'
        yield f'    owner: "{member.owner}"'
        yield f"    threshold: {member.threshold}"
        yield "    keys:"
        purposes = ((member.keys, "sign"), (member.freshness_keys, "freshness"))
        for key, purpose in ((key, purpose) for keys, purpose in purposes for key in keys):
            yield f'      - {{algorithm: "{key.algorithm}", public_key: "{key.to_text()}", purpose: "{purpose}"}}'


def _of_purpose(entries: tuple[OwnerKey, ...], purpose: str) -> tuple[PublicKey, ...]:
    return tuple(entry.key() for entry in entries if entry.purpose == purpose)
