"""The docket: the live statements, opened once and indexed by what the gate asks about them.

- Fed by the notices of gossip, so it holds exactly what is live in `seen`; it verifies nothing, the gate does.
- A case holds the attestations of the manifest, and those of every owner record and revocation in it: rotations and
  revocations count by threshold.
- `touched_by` names the plasmids that must be judged again when a statement comes or goes.
- What was the newest version of a series stays so when its manifest has expired or the peer was restarted: `floors`,
  raised by `raise_floor`, outlast what is live. Two contents of that version block it for ever.
- `believed` are the records of owners that were followed here: a rotation that was believed stays so.
- Every index is a dict in the order of arrival; nothing iterates over a set.
- `freshness` are the newest statements about freshness, and `signed_time_ms` the latest time that was signed here.
- Not handled here: votes and evidence of them (`council`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from plora.gate import BaseFacts, Case, Features
from plora.node.core.rows import VersionRow
from plora.proto.canonical import begins
from plora.proto.errors import StatementError
from plora.proto.manifest import Manifest
from plora.proto.payload import Payload
from plora.proto.payloads import Attestation, Freshness, OwnerRecord, Revocation, Slot
from plora.proto.rotation import Dossier
from plora.proto.statement import Statement

Series = tuple[str, str, str]
"""(owner, lineage, plasmid id): within it, versions compare."""

_Opened = TypeVar("_Opened", bound=Payload)
_Entries = tuple[tuple[Statement, _Opened], ...]
_Index = dict[str, dict[bytes, tuple[Statement, _Opened]]]


def series_of(manifest: Manifest) -> Series:
    """The series whose version the manifest is."""
    return (manifest.owner, manifest.lineage, manifest.plasmid_id)


@dataclass(slots=True)
class Docket:
    """Live statements by kind. `swarm` is the swarm's id in hex, `bases` the base models at hand by name."""

    swarm: str
    bases: Mapping[str, BaseFacts] = field(default_factory=dict)
    floors: dict[Series, VersionRow] = field(default_factory=dict)
    believed: frozenset[str] = frozenset()
    signed_time_ms: int = 0
    _manifests: dict[bytes, tuple[Statement, Manifest]] = field(default_factory=dict)
    _versions: dict[Series, dict[bytes, int]] = field(default_factory=dict)
    _records: _Index[OwnerRecord] = field(default_factory=dict)
    _attestations: _Index[Attestation] = field(default_factory=dict)
    _revocations: _Index[Revocation] = field(default_factory=dict)
    _fresh: dict[bytes, tuple[Statement, Freshness]] = field(default_factory=dict)
    _of_keys: _Index[Revocation] = field(default_factory=dict)
    _listed: dict[str, dict[bytes, str]] = field(default_factory=dict)

    def add(self, statement: Statement) -> Payload | None:
        """Index a statement; its payload, or None for a kind that no stage reads."""
        payload = opened(statement)
        match payload:
            case Manifest():
                self._manifests[statement.id] = (statement, payload)
                self._versions.setdefault(series_of(payload), {})[statement.id] = payload.version
            case OwnerRecord():
                owner = _owner_of(statement, payload)
                self._records.setdefault(owner, {})[statement.id] = (statement, payload)
                for key_id in payload.signing_key_ids():
                    self._listed.setdefault(key_id, {})[statement.id] = owner
            case Attestation():
                self._attestations.setdefault(payload.target, {})[statement.id] = (statement, payload)
            case Revocation():
                self._revocations.setdefault(payload.target, {})[statement.id] = (statement, payload)
                if payload.target_kind == "key":
                    self._of_keys.setdefault(payload.owner, {})[statement.id] = (statement, payload)
            case Freshness():
                self._fresh[statement.id] = (statement, payload)
        return payload

    @property
    def freshness(self) -> _Entries[Freshness]:
        """The freshness statements that are kept, of whomever."""
        return tuple(self._fresh.values())

    @property
    def revocation_ids(self) -> list[bytes]:
        """The ids of all revocations that were seen."""
        return [statement_id for entries in self._revocations.values() for statement_id in entries]

    def drop(self, statement: Statement) -> None:
        """Forget a statement that is no longer live."""
        payload = opened(statement)
        match payload:
            case Manifest():
                self._manifests.pop(statement.id, None)
                _discard(self._versions, series_of(payload), statement.id)
            case OwnerRecord():
                _discard(self._records, _owner_of(statement, payload), statement.id)
                for key_id in payload.signing_key_ids():
                    _discard(self._listed, key_id, statement.id)
            case Attestation():
                _discard(self._attestations, payload.target, statement.id)
            case Revocation():
                _discard(self._revocations, payload.target, statement.id)
                _discard(self._of_keys, payload.owner, statement.id)
            case Freshness():
                self._fresh.pop(statement.id, None)

    def touched_by(self, statement: Statement) -> list[bytes]:
        """Content ids of the live manifests whose verdict may depend on the statement."""
        match opened(statement):
            case Manifest() as manifest:
                return list(self._versions.get(series_of(manifest), {}))
            case OwnerRecord() as record:
                return self._involving(_owner_of(statement, record))
            case Attestation() as attestation:
                return self._vouched(attestation.target)
            case Revocation() as revocation:
                return self.struck_by(revocation)
        return []

    def case(self, content_id: bytes, now_ms: int, features: Features | None, **known: Any) -> Case:
        """Everything that statements say of a live manifest, and its features; `known` is what others add.

        Raises KeyError for one that isn't live.
        """
        statement, manifest = self._manifests[content_id]
        vouching = self._witnesses(content_id)
        owners = dict.fromkeys((manifest.owner, *(payload.owner for _, payload in vouching)))
        records = tuple(entry for owner in owners for entry in self._records.get(owner, {}).values())
        revocations = self._against(content_id, manifest, vouching)
        signed = dict.fromkeys(other.id for other, _ in (*records, *revocations))
        series = series_of(manifest)
        versions = self._versions[series]
        floor = self.floors.get(series) or VersionRow(series)
        signed_before = map(bytes.fromhex, floor.contents if floor.version == manifest.version else ())
        rivals = (*(other for other, version in versions.items() if version == manifest.version), *signed_before)
        return Case(
            statement=statement,
            manifest=manifest,
            now_ms=now_ms,
            swarm=self.swarm,
            owner_records=records,
            attestations=(*vouching, *(witness for other in signed for witness in self._witnesses(other))),
            revocations=revocations,
            believed=self.believed,
            freshness=self.freshness,
            signed_time_ms=self.signed_time_ms,
            newest_version=max(floor.version, *versions.values()),
            same_version=tuple(sorted(dict.fromkeys(other for other in rivals if other != content_id))),
            features=features,
            base=self.bases.get(manifest.base_model),
            **known,
        )

    def dossier(self, owner: str) -> Dossier:
        """What is known of one owner's keys: records, revocations of keys, and who attests those."""
        records = tuple(self._records.get(owner, {}).values())
        revocations = tuple(self._against_keys(owner).values())
        words = (word for one, _ in (*records, *revocations) for word in self._witnesses(one.id))
        return Dossier(records, tuple(words), revocations, self.believed)

    def in_slot(self, slot: Slot) -> list[bytes]:
        """Content ids of the live manifests that propose a value for a slot."""
        versions = self._versions.get((slot.owner, slot.lineage, slot.plasmid_id), {})
        return [content_id for content_id, version in versions.items() if version == slot.version]

    def raise_floor(self, content_id: bytes, manifest: Manifest) -> bool:
        """Note that a manifest was validly seen; whether that is news."""
        series = series_of(manifest)
        before = self.floors.get(series) or VersionRow(series)
        self.floors[series] = before.raised(manifest.version, content_id.hex())
        return self.floors[series] != before

    def about(self, target: str) -> list[Statement]:
        """The attestations and revocations that name a target."""
        indexes = (self._attestations.get(target, {}), self._revocations.get(target, {}))
        return [statement for entries in indexes for statement, _ in entries.values()]

    def owners(self) -> list[tuple[Statement, OwnerRecord]]:
        """The first record of every owner who has one here: it makes them."""
        found = ((entries.get(bytes.fromhex(owner))) for owner, entries in self._records.items())
        return [entry for entry in found if entry is not None]

    def first_record(self, owner: str) -> OwnerRecord | None:
        """What an owner first said of themselves."""
        entry = self._records.get(owner, {}).get(bytes.fromhex(owner))
        return entry[1] if entry else None

    def newest(self, series: Series) -> int:
        """The newest version that is known of a series; 0 if none is."""
        floor = self.floors.get(series, VersionRow(series))
        return max(floor.version, *self._versions.get(series, {b"": 0}).values())

    def contents(self, series: Series, version: int) -> tuple[str, ...]:
        """Content ids in hex of what is known under a version of a series."""
        live = (other.hex() for other, known in self._versions.get(series, {}).items() if known == version)
        floor = self.floors.get(series, VersionRow(series))
        return tuple(dict.fromkeys((*live, *(floor.contents if floor.version == version else ()))))

    def attesters(self, content_id: bytes) -> tuple[str, ...]:
        """Ids of the owners who vouch for a content, each once, whether or not anybody trusts them."""
        return tuple(dict.fromkeys(payload.owner for _, payload in self._witnesses(content_id)))

    def taken_back(self, content: str, owner: str, key_id: str) -> bool:
        """Whether an owner, below its threshold too, or a key itself revoked a content, that key or everything."""
        entries = (entry for name in (content, owner, key_id) for entry in self._revocations.get(name, {}).values())
        return any(payload.owner == owner or statement.key_id == key_id for statement, payload in entries)

    def revocations(self, *targets: str) -> Dossier:
        """The revocations of these targets, all of them by default, and who attests them."""
        entries = (self._revocations.get(target, {}) for target in targets or self._revocations)
        found = tuple(entry for each in entries for entry in each.values())
        return Dossier((), tuple(word for one, _ in found for word in self._witnesses(one.id)), found)

    def takes_back(self, payload: Payload | None) -> bool:
        """Whether it is a revocation, or a word for one."""
        if not isinstance(payload, Attestation):
            return isinstance(payload, Revocation)
        return any(bytes.fromhex(payload.target) in entries for entries in self._revocations.values())

    def listing(self, key_id: str) -> tuple[str, ...]:
        """The owners of whose records one lists a signing key."""
        return tuple(dict.fromkeys(self._listed.get(key_id, {}).values()))

    def keys_like(self, beginning: str) -> list[str]:
        """The ids of signing keys in owners' records that a beginning may mean."""
        return [key_id for key_id in self._listed if begins(beginning, key_id)]

    def struck_by(self, revocation: Revocation) -> list[bytes]:
        """Content ids of the live manifests whose verdict may depend on a revocation."""
        target = revocation.target
        if revocation.target_kind == "content":
            return [cid for cid in (bytes.fromhex(target),) if cid in self._manifests]
        if revocation.target_kind == "owner":
            return self._involving(target)
        signed = [
            cid for cid, (_, m) in self._manifests.items() if m.key_id == target or self._key_vouches(target, cid)
        ]
        owners = dict.fromkeys((revocation.owner, *self.listing(target)))  # it may have signed a rotation
        return list(dict.fromkeys((*signed, *(cid for owner in owners for cid in self._involving(owner)))))

    def _witnesses(self, target: bytes) -> _Entries[Attestation]:
        return tuple(self._attestations.get(target.hex(), {}).values())

    def _against(self, content_id: bytes, manifest: Manifest, vouching: _Entries[Attestation]) -> _Entries[Revocation]:
        targets = [content_id.hex(), manifest.owner, manifest.key_id]
        for statement, payload in vouching:
            targets += [payload.owner, statement.key_id]
        owners = dict.fromkeys((manifest.owner, *(payload.owner for _, payload in vouching)))
        found = {one.id: (one, body) for name in targets for one, body in self._revocations.get(name, {}).values()}
        for owner in owners:
            found |= self._against_keys(owner)
        return tuple(found.values())

    def _against_keys(self, owner: str) -> dict[bytes, tuple[Statement, Revocation]]:
        """The revocations of keys that the owner spoke, and those that others spoke of keys in the owner's records."""
        keys = (key_id for _, record in self._records.get(owner, {}).values() for key_id in record.signing_key_ids())
        others = (self._revocations.get(key_id, {}) for key_id in dict.fromkeys(keys))
        return {key: entry for index in (self._of_keys.get(owner, {}), *others) for key, entry in index.items()}

    def _involving(self, owner: str) -> list[bytes]:
        return [cid for cid, (_, m) in self._manifests.items() if m.owner == owner or owner in self.attesters(cid)]

    def _vouched(self, target: str) -> list[bytes]:
        """An attestation is for a manifest, or for a record or revocation whose threshold it helps to reach."""
        attested = bytes.fromhex(target)
        if attested in self._manifests:
            return [attested]
        struck = (entries[attested][1] for entries in self._revocations.values() if attested in entries)
        touched = [content_id for revocation in struck for content_id in self.struck_by(revocation)]
        owners = (owner for owner, records in self._records.items() if attested in records)
        return [*touched, *(content_id for owner in owners for content_id in self._involving(owner))]

    def _key_vouches(self, key_id: str, content_id: bytes) -> bool:
        return any(entry.key_id == key_id for entry, _ in self._witnesses(content_id))


def opened(statement: Statement) -> Payload | None:
    """The payload; None for a kind that this version doesn't know or a payload that breaks its schema."""
    try:
        return statement.opened
    except StatementError:
        return None  # an unknown kind is relayed, never judged


def owner_speaking(statement: Statement) -> str | None:
    """The owner in whose name a record, attestation, revocation or freshness statement speaks; None for other kinds."""
    match opened(statement):
        case OwnerRecord() as record:
            return _owner_of(statement, record)
        case Attestation(owner=owner) | Revocation(owner=owner) | Freshness(owner=owner):
            return owner
    return None


def _owner_of(statement: Statement, record: OwnerRecord) -> str:
    return record.owner or statement.id.hex()


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def _discard(index: dict[_Key, dict[bytes, _Value]], key: _Key, statement_id: bytes) -> None:
    entries = index.get(key, {})
    entries.pop(statement_id, None)
    if not entries:
        index.pop(key, None)
