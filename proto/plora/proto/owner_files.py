"""An owner on disk: the private key, the public key, and the signed owner record that others import.

For a name `ada` the files are `ada.pem` (0600), `ada.pub` and `ada.owner`. They can live apart from any peer, since an
owner's key is never a peer's identity. What the `.owner` file comes to hold over the owner's life is told in
`owner_chain`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from plora.proto.dsse import StatementKind
from plora.proto.errors import KeyFileError
from plora.proto.fields import format_timestamp
from plora.proto.keys import ED25519, PrivateKey, generate_private_key, load_private_key, write_new_file
from plora.proto.owner_chain import read_owner_file
from plora.proto.payloads import OwnerKey, OwnerRecord
from plora.proto.statement import Statement, sign_statement, statement_to_json


@dataclass(frozen=True, slots=True)
class OwnerFiles:
    """Where an owner's three files are."""

    private: Path
    public: Path
    record: Path

    @classmethod
    def of_key(cls, private: Path) -> OwnerFiles:
        """The files beside a private key."""
        return cls(private, private.with_suffix(".pub"), private.with_suffix(".owner"))


@dataclass(frozen=True, slots=True)
class Owner:
    """An owner whose private key is at hand: the newest record's statement, what it says, and the whole file."""

    key: PrivateKey
    statement: Statement
    record: OwnerRecord
    statements: tuple[Statement, ...]

    @property
    def id(self) -> str:
        """Owner id: the statement id of the first record, 64 hexadecimal digits."""
        return self.record.owner_id(self.statement.id)

    @property
    def lineage(self) -> str:
        """Statement id of the record that opened the current lineage."""
        return self.record.lineage or self.statement.id.hex()


def create_owner(private: Path, *, name: str, swarm: str, issued_s: int, algorithm: str = ED25519) -> Owner:
    """Make a key and the first record of an owner in three new files; `KeyFileError` if one of them exists."""
    files = OwnerFiles.of_key(private)
    for path in (files.private, files.public, files.record):
        if path.exists():
            raise KeyFileError("already exists", where=str(path), mend="choose another name")
    key = generate_private_key(algorithm)
    record = OwnerRecord.model_validate(
        {
            "swarm": swarm,
            "issued": format_timestamp(issued_s),
            "key_id": key.public.key_id,
            "name": name,
            "version": 1,
            "keys": [OwnerKey.of(key.public).model_dump()],
            "threshold": 1,
        }
    )
    statement = sign_statement(StatementKind.OWNER, record, key)
    key.save(files.private)
    write_new_file(files.public, key.public.pem().encode("ascii"), mode=0o644)
    write_new_file(files.record, statement_to_json(statement).encode("ascii"), mode=0o644)
    return Owner(key, statement, record, (statement,))


def read_owner_record(path: Path) -> tuple[Statement, OwnerRecord]:
    """The validly self-signed first record in a `.owner` file: the one that makes the owner."""
    file = read_owner_file(path)
    return file.statements[0], file.first


def load_owner(private: Path, passphrase: str | None = None) -> Owner:
    """The owner of a private key, from the key and the file beside it."""
    key = load_private_key(private, passphrase)
    path = OwnerFiles.of_key(private).record
    file = read_owner_file(path)
    if key.public.key_id in file.authority.void_keys:
        raise KeyFileError("this key was revoked", where=str(private), mend="sign with another of the owner's keys")
    if key.public.key_id not in file.authority.current:
        mend = "put the `.owner` file that was made with this key beside it"
        raise KeyFileError("the owner record does not list this key", where=str(path), mend=mend)
    return Owner(key, *file.newest, statements=file.statements)
