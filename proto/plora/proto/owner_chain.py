"""An owner's file (`NAME.owner`) over the owner's life: first record, later records, revocations, and who signed them.

Rules:

- One statement a line, each in the envelope of `statement_to_json`; the first line is the first record, which makes the
  owner. A file of one line is an owner who never changed anything.
- The file travels: whoever holds one of the keys adds a signature and passes it on. Nothing in it is secret, and its
  order means nothing apart from the first line.
- A record or revocation that lacks signatures is *pending*: it changes nothing until enough keys signed it.
- What a new record takes over: keys that were revoked are left out, and after a revocation it opens a new lineage, so
  that versions which a thief used up don't bind it.
- Not handled here: private keys on disk (`owner_files`), trust (room `gate`), the swarm.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from plora.proto.dsse import StatementKind
from plora.proto.errors import KeyFileError, StatementError, UsageError
from plora.proto.keys import PrivateKey, PublicKey
from plora.proto.payload import Payload
from plora.proto.payloads import Attestation, OwnerKey, OwnerRecord, Revocation
from plora.proto.rotation import Authority, Dossier, first_authority, missing, signed_by, walk
from plora.proto.statement import (
    Statement,
    open_statement,
    sign_statement,
    statement_from_json,
    statement_to_json,
    verify_statement,
)

OWNER_FILE_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True)
class Pending:
    """A statement that lacks signatures. `signed` are key ids, `lacks` says how many of which keys."""

    statement: Statement
    payload: OwnerRecord | Revocation
    signed: tuple[str, ...]
    lacks: str


@dataclass(frozen=True)
class OwnerFile:
    """The statements of one owner's file, the first record first. Raises StatementError where that makes no owner."""

    statements: tuple[Statement, ...]
    first: OwnerRecord = field(init=False, repr=False)

    def __post_init__(self) -> None:
        record = open_statement(self.statements[0]) if self.statements else None
        if not isinstance(record, OwnerRecord) or record.version != 1:
            raise StatementError("doesn't begin with an owner's first record")
        if not any(verify_statement(self.statements[0], key) for key in record.signing_keys()):
            raise StatementError("is not signed by a key of its owner", mend="ask the owner for it again")
        if any(_owner_of(one, body) != self.id for one, body in self.opened):
            raise StatementError("holds statements of another owner")
        object.__setattr__(self, "first", record)

    @property
    def id(self) -> str:
        """The owner's id."""
        return self.statements[0].id.hex()

    @cached_property
    def opened(self) -> tuple[tuple[Statement, Payload], ...]:
        """Every statement with its payload."""
        return tuple((one, open_statement(one)) for one in self.statements)

    @cached_property
    def dossier(self) -> Dossier:
        """What the file says, by kind."""
        return Dossier(
            tuple((one, body) for one, body in self.opened if isinstance(body, OwnerRecord)),
            tuple((one, body) for one, body in self.opened if isinstance(body, Attestation)),
            tuple((one, body) for one, body in self.opened if isinstance(body, Revocation)),
        )

    @cached_property
    def authority(self) -> Authority:
        """Who speaks for the owner by what the file proves."""
        return walk(first_authority(self.statements[0], self.first), self.dossier)

    @cached_property
    def newest(self) -> tuple[Statement, OwnerRecord]:
        """The newest record that enough keys signed."""
        return next(pair for pair in self.dossier.owner_records if pair[0].id.hex() == self.authority.record)

    @property
    def ended(self) -> str:
        """Why the owner was revoked as a whole; empty where they weren't."""
        said = self.authority.revocations.values()
        ends = (one.reason for one in said if (one.target_kind, one.target) == ("owner", self.id))
        return next(ends, "")

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """The keys whose signatures count: all that ever were the owner's, apart from the revoked ones."""
        at = self.authority
        return tuple(key for key_id, key in at.keys.items() if key_id not in at.void_keys)

    @property
    def pending(self) -> tuple[Pending, ...]:
        """The records and revocations that lack signatures."""
        at, dossier = self.authority, self.dossier
        records = [pair for pair in dossier.owner_records if pair[1].previous == at.record]
        revocations = [pair for pair in dossier.revocations if pair[0].id.hex() not in at.revocations]
        return (*(_pending_record(at, *pair, dossier) for pair in records), *self._unfinished(revocations))

    def _unfinished(self, revocations: Iterable[tuple[Statement, Revocation]]) -> Iterable[Pending]:
        at = self.authority
        for statement, payload in revocations:
            signed = signed_by(statement, at.current, at.owner, self.dossier)
            lacks = f"{max(0, at.threshold - len(signed))} of the owner's keys"
            yield Pending(statement, payload, tuple(sorted(signed)), lacks)

    def extended(self, *more: Statement) -> OwnerFile:
        """With further statements; each is taken once: of its copies the first that its key signed, else the first."""
        together = OwnerFile((*self.statements, *more))
        keys = {key.key_id: key for _, record in together.dossier.owner_records for key in record.signing_keys()}

        def signed(one: Statement) -> bool:
            key = keys.get(one.key_id)
            return key is not None and verify_statement(one, key)

        whole: dict[tuple[bytes, str], Statement] = {}
        for one in together.statements:
            place = (one.id, one.key_id)
            if place not in whole or (signed(one) and not signed(whole[place])):
                whole[place] = one
        return OwnerFile(tuple(whole.values()))


@dataclass(frozen=True)
class Change:
    """What shall differ in an owner's next record. `drop` are beginnings of key ids; `threshold` 0 keeps it.

    `new_lineage` None: only if a key was revoked since the newest record.
    """

    add: tuple[OwnerKey, ...] = ()
    drop: tuple[str, ...] = ()
    threshold: int = 0
    new_lineage: bool | None = None


def next_record(file: OwnerFile, change: Change, key: PrivateKey, issued: str) -> Statement:
    """The record that follows the newest, signed by one of the owner's keys; UsageError for a change that can't be."""
    at, record = file.authority, file.newest[1]
    _speaks(at, key)
    kept = [entry for entry in record.keys if not _dropped(entry, change, at)]
    names = [entry.key_id for entry in (*kept, *change.add)]
    if len(frozenset(names)) != len(names):
        raise UsageError("a key would stand in the record twice", where=record.name)
    revoked = any(key_id in at.void_keys for key_id in at.current)
    opens = revoked if change.new_lineage is None else change.new_lineage
    payload = {
        "swarm": record.swarm,
        "issued": issued,
        "key_id": key.public.key_id,
        "name": record.name,
        "owner": at.owner,
        "previous": at.record,
        "version": record.version + 1,
        "keys": [entry.model_dump() for entry in (*kept, *change.add)],
        "threshold": change.threshold or record.threshold,
        **({} if opens else {"lineage": at.lineages[-1]}),
    }
    try:
        made = OwnerRecord.model_validate(payload)
    except ValueError as error:
        raise UsageError(f"no such record can be: {_first_line(error)}", where=record.name) from error
    return sign_statement(StatementKind.OWNER, made, key)


def key_revocation(file: OwnerFile, key_id: str, reason: str, key: PrivateKey, issued: str) -> Statement:
    """A revocation of one of the owner's keys, by another of them or by itself."""
    if key.public.key_id != key_id:
        _speaks(file.authority, key)
    return revocation(file, ("key", key_id), reason, key, issued)


def owner_revocation(file: OwnerFile, reason: str, key: PrivateKey, issued: str) -> Statement:
    """A revocation of the owner as a whole: of everything that any of their keys ever signed, or will."""
    _speaks(file.authority, key)
    return revocation(file, ("owner", file.id), reason, key, issued)


def revocation(file: OwnerFile, target: tuple[str, str], reason: str, key: PrivateKey, issued: str) -> Statement:
    """A revocation in an owner's name, of whosever thing: `target` is its kind (key, content, owner) and its id in hex.

    Whether it counts is for the gate to say: by itself it strikes only what is the owner's.
    """
    payload = {"swarm": file.first.swarm, "issued": issued, "key_id": key.public.key_id, "owner": file.id}
    payload |= {"target_kind": target[0], "target": target[1], "reason": reason}
    return sign_statement(StatementKind.REVOCATION, Revocation.model_validate(payload), key)


def attestation(file: OwnerFile, target: str, key: PrivateKey, issued: str) -> Statement:
    """An owner's word for a statement, by its id in hex."""
    payload = Attestation(swarm=file.first.swarm, issued=issued, key_id=key.public.key_id, owner=file.id, target=target)
    return sign_statement(StatementKind.ATTESTATION, payload, key)


def signatures(file: OwnerFile, key: PrivateKey, issued: str) -> list[Statement]:
    """Attestations by this key of everything pending that it may sign and hasn't signed."""
    at, key_id = file.authority, key.public.key_id
    return [
        attestation(file, one.statement.id.hex(), key, issued)
        for one in file.pending
        if key_id not in one.signed and _may_sign(at, one, key_id)
    ]


def key_named(file: OwnerFile, beginning: str) -> str:
    """The id of the owner's key, of whichever record, that begins so; UsageError for none or several."""
    found = [key_id for key_id in file.authority.keys if key_id.startswith(beginning.lower())]
    if len(found) != 1 or not beginning:
        what = f"{len(found)} keys of {file.first.name} begin with '{beginning}'"
        raise UsageError(what, mend="see `plora owner show`, and give more digits of the key's id")
    return found[0]


def read_owner_file(path: Path) -> OwnerFile:
    """The owner in a `.owner` file; KeyFileError where it can't be read, StatementError where it is none."""
    mend = "name the `.owner` file that lies beside the owner's key"
    try:
        with path.open(encoding="utf-8") as stream:
            lines = stream.read(OWNER_FILE_BYTES_MAX).splitlines()
    except OSError as error:
        made = "make one by `plora keygen`, or ask the owner for theirs"
        raise KeyFileError(f"can't be read ({error.strerror})", where=str(path), mend=made) from error
    except UnicodeDecodeError as error:
        raise StatementError("is not an owner record", where=str(path), mend=mend) from error
    try:
        return OwnerFile(tuple(statement_from_json(line) for line in lines if line))
    except StatementError as error:
        raise StatementError(
            f"is not an owner record: {error.what}", where=str(path), mend=error.mend or mend
        ) from error


def write_owner_file(path: Path, file: OwnerFile) -> None:
    """Put the file in the place of what was there, durably and whole; KeyFileError where that fails."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        with fresh.open("w", encoding="ascii") as stream:
            stream.write(owner_file_text(file.statements))
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
    except OSError as error:
        raise KeyFileError(f"can't be written ({error.strerror})", where=str(path)) from error


def owner_file_text(statements: Iterable[Statement]) -> str:
    """The lines of an owner's file; a single one has no line end."""
    return "\n".join(map(statement_to_json, statements))


def _owner_of(statement: Statement, payload: Payload) -> str | None:
    return payload.owner_id(statement.id) if isinstance(payload, OwnerRecord) else getattr(payload, "owner", None)


def _pending_record(at: Authority, statement: Statement, record: OwnerRecord, dossier: Dossier) -> Pending:
    keys = {**at.current, **{key.key_id: key for key in record.signing_keys()}}
    old, new = missing(at, statement, record, dossier)
    lacks = f"{old} of the owner's keys as they are, {new} of the new ones"
    return Pending(statement, record, tuple(sorted(signed_by(statement, keys, at.owner, dossier))), lacks)


def _may_sign(at: Authority, pending: Pending, key_id: str) -> bool:
    listed = pending.payload.signing_key_ids() if isinstance(pending.payload, OwnerRecord) else ()
    return (key_id in at.current or key_id in listed) and key_id not in at.void_keys


def _dropped(entry: OwnerKey, change: Change, at: Authority) -> bool:
    named = any(entry.key_id.startswith(beginning) for beginning in change.drop)
    return named or entry.key_id in at.void_keys


def _speaks(at: Authority, key: PrivateKey) -> None:
    key_id = key.public.key_id
    if key_id in at.void_keys:
        raise UsageError("this key was revoked", where=key_id[:12], mend="sign with another of the owner's keys")
    if key_id not in at.current:
        mend = "name one of the owner's keys by --key, and the owner's file by --owner"
        raise UsageError("this key is not in the owner's newest record", where=key_id[:12], mend=mend)


def _first_line(error: ValueError) -> str:
    errors = getattr(error, "errors", None)
    return str(errors()[0]["msg"]).removeprefix("Value error, ") if callable(errors) else str(error)
