"""The owner that a person means by a name: from the trust file, from what the running peer has seen, or from a record.

- A name that may mean two owners is refused, with the fingerprints of both: a name proves nothing.
- Whom the trust file knows is found without a running peer; a stranger only through it, or by their `.owner` file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plora.cli.output import safe
from plora.gate import Trust, TrustedOwner
from plora.node.admin.client import AdminClient
from plora.proto.canonical import begins
from plora.proto.errors import PeerNotRunningError, UsageError
from plora.proto.home import Home
from plora.proto.owner_chain import read_owner_file
from plora.proto.statement import Statement
from plora.proto.wire import statement_from_pb
from plora.proto.words import fingerprint
from plora.v1 import admin_pb2 as pb

RECORD_SUFFIX = ".owner"


@dataclass(frozen=True, slots=True)
class Acquaintance:
    """An owner: id, the name to call them by, the record that makes them (None: only the trust file knows them).

    `waiting` says what of theirs waits for trust, `waiting_count` how much that is in all. `rotations` are the later
    records that their file proves.
    """

    owner: str
    name: str
    record: Statement | None
    waiting: tuple[str, ...] = ()
    waiting_count: int = 0
    rotations: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The fingerprint that two people compare."""
        return fingerprint(self.owner)


def acquainted(home: Home, trust: Trust, name: str) -> Acquaintance:
    """The one owner whom `name` means: a nickname, a seen owner's name, the start of an id, or a `.owner` file."""
    if name.endswith(RECORD_SUFFIX):
        file = read_owner_file(Path(name))
        return Acquaintance(file.id, file.first.name, file.statements[0], rotations=file.authority.walked)
    found = {one.owner: one for one in _of_file(trust, name)}
    try:
        found |= {one.owner: one for one in seen_owners(home, name)}
    except PeerNotRunningError as error:
        if not found:
            mend = f"start it by `plora up --home {home.root}`, or name the owner's record (NAME{RECORD_SUFFIX})"
            what = f"nobody called '{safe(name)}' is trusted, and no peer is running that may have seen them"
            raise PeerNotRunningError(what, where=str(home.root), mend=mend) from error
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        mend = f"see `plora trust pending`, or ask them for their record (NAME{RECORD_SUFFIX})"
        raise UsageError(f"no owner '{safe(name)}' has been seen here", mend=mend)
    each = "; ".join(f"{one.owner[:12]} ({safe(one.name)}) {one.words}" for one in found.values())
    raise UsageError(f"'{safe(name)}' may mean {len(found)} owners: {each}", mend="name one by the start of its id")


def seen_owners(home: Home, name: str = "") -> list[Acquaintance]:
    """The owners that the running peer finds under a name, or without one the strangers who wait."""
    return [_of_reply(one) for one in owners_reply(home, name).owners]


def owners_reply(home: Home, name: str = "") -> Any:
    """What the running peer says of owners."""
    with AdminClient(home) as client:
        return client.call("Owners", pb.OwnersRequest(name=name))


def _of_file(trust: Trust, name: str) -> list[Acquaintance]:
    known = {owner.owner: owner.nickname for owner in trust.owners}
    known = {one.entry: one.name or one.entry[:12] for one in trust.distrusted} | known
    return [Acquaintance(owner, called, None) for owner, called in known.items() if _means(name, owner, called)]


def _means(name: str, owner: str, called: str) -> bool:
    return name == called or begins(name, owner)


def _of_reply(one: Any) -> Acquaintance:
    record = statement_from_pb(one.record)
    return Acquaintance(one.owner, one.nickname or one.name, record, tuple(one.waiting), one.waiting_count)


def entry_of(trust: Trust, who: Acquaintance) -> TrustedOwner | None:
    """The trust file's entry of an owner, also of one who was distrusted since."""
    return next((owner for owner in trust.owners if owner.owner == who.owner), None)
