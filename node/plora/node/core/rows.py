"""The rows that the desk keeps of plasmids: verdicts, features and versions, as canonical JSON.

| table | key | value |
|---|---|---|
| `verdicts` | content id | the verdict and what happened to the plasmid here |
| `untold` | content id | empty: a verdict was written whose record the event log may lack |
| `features` | artifact digest | the features of the bytes |
| `versions` | owner, lineage, plasmid id | the newest version ever validly seen, and its contents; never removed |

Features of another stage version are not read back: they are computed again.

>>> row = VersionRow(("owner", "lineage", "legal"), 3, ("ab" * 32,))
>>> decode_version(version_row(row).key, version_row(row).value) == row
True
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from plora.gate import STAGE_VERSION, Features, Verdict, verdict_from_json
from plora.node.store.disk import Delete, Put
from plora.proto.errors import StoreError

VERDICTS = "verdicts"
UNTOLD = "untold"
FEATURES = "features"
VERSIONS = "versions"

CONTENTS_MAX = 2


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """A plasmid's newest durable verdict. `usable`: accepted while its bytes were held. Times in ms since 1970.

    `blamed`: it counts against its owner's reputation.
    """

    verdict: Verdict
    seen_ms: int
    accepted_ms: int | None = None
    asked: bool = False
    usable: bool = False
    via: str | None = None
    hops: int = 0
    name: str = ""
    blamed: bool = False


@dataclass(frozen=True, slots=True)
class VersionRow:
    """Below what a series never goes back: a version, and the content ids in hex that were signed as it (2 at most)."""

    series: tuple[str, str, str]
    version: int = 0
    contents: tuple[str, ...] = ()

    def raised(self, version: int, content: str) -> VersionRow:
        """With one more manifest that was validly seen."""
        if version > self.version:
            return VersionRow(self.series, version, (content,))
        if version < self.version or content in self.contents or len(self.contents) == CONTENTS_MAX:
            return self
        return VersionRow(self.series, version, (*self.contents, content))


def verdict_row(content_id: bytes, row: VerdictRow) -> Put:
    """The row of a verdict, whose line is put in as it is: it is long, and sorted like the row."""
    fields = {
        "verdict": None,
        "seen_ms": row.seen_ms,
        "accepted_ms": row.accepted_ms,
        "asked": row.asked,
        "usable": row.usable,
        "via": row.via,
        "hops": row.hops,
        "name": row.name,
        "blamed": row.blamed,
    }
    before, _, after = _packed(fields).rpartition(b'"verdict":null')
    return Put(VERDICTS, content_id, b'%b"verdict":%b%b' % (before, row.verdict.line.encode(), after))


def forget_verdict(content_id: bytes) -> Delete:
    """Removes the row of a plasmid that is no longer live."""
    return Delete(VERDICTS, content_id)


def untold_row(content_id: bytes) -> Put:
    """Goes into the transaction of a verdict: its record is yet to be emitted."""
    return Put(UNTOLD, content_id, b"")


def told(content_id: bytes) -> Delete:
    """Removes that mark, after the record was emitted."""
    return Delete(UNTOLD, content_id)


def decode_verdict(value: bytes) -> VerdictRow:
    """Read a row of `verdicts`; `StoreError` when it is not what `verdict_row` writes."""
    fields = _unpacked(value, VERDICTS)
    try:
        return VerdictRow(verdict=verdict_from_json(json.dumps(fields.pop("verdict"))), **fields)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError("a verdict can't be read", where=f"state.db: {VERDICTS}") from error


def features_row(digest: str, features: Features) -> Put:
    """The row of an artifact's features."""
    return Put(FEATURES, bytes.fromhex(digest), features.to_json().encode())


def forget_features(digest: str) -> Delete:
    """Removes the features of an artifact that nothing names any more."""
    return Delete(FEATURES, bytes.fromhex(digest))


def decode_features(value: bytes) -> Features | None:
    """Read a row of `features`; None when a build with other stages wrote it."""
    fields = _unpacked(value, FEATURES)
    if fields.get("stage_version") != STAGE_VERSION:
        return None
    try:
        return Features.from_json(value.decode())
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError("features can't be read", where=f"state.db: {FEATURES}") from error


def version_row(row: VersionRow) -> Put:
    """The row of a series' newest version."""
    fields = {"version": row.version, "contents": list(row.contents)}
    return Put(VERSIONS, "/".join(row.series).encode(), _packed(fields))


def decode_version(key: bytes, value: bytes) -> VersionRow:
    """Read a row of `versions`; `StoreError` when it is not what `version_row` writes."""
    fields = _unpacked(value, VERSIONS)
    try:
        owner, lineage, plasmid_id = key.decode().split("/")
        return VersionRow((owner, lineage, plasmid_id), int(fields["version"]), tuple(fields["contents"]))
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError("a version can't be read", where=f"state.db: {VERSIONS}") from error


def _packed(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def _unpacked(value: bytes, table: str) -> dict[str, Any]:
    try:
        fields = json.loads(value)
    except ValueError as error:
        raise StoreError("a row is no JSON", where=f"state.db: {table}") from error
    if not isinstance(fields, dict):
        raise StoreError("a row is no JSON object", where=f"state.db: {table}")
    return fields
