"""The owners that a peer knows of, as a person asks about them: who they say they are, and what of theirs waits. Pure.

- Whoever has a first owner record among the seen statements is known; a name that they gave themselves proves nothing.
- An owner is found by nickname, by the name they gave themselves, or by the beginning of their id (`begins`). Whoever
  asks must refuse a name that finds two.
- What waits are manifests that the gate holds back because nobody here trusts their owner; their bytes are not here.
  How many there can be is bounded by `untrusted_owners` and `statements_per_owner`.
- Not handled here: trusting them (`plora.gate.trust_file`), what the verdicts say (`plora.gate.sentences`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, zip_longest

from plora.gate import Outcome
from plora.node.core.docket import owner_speaking
from plora.node.core.peer import PeerCore
from plora.node.core.plasmid import Plasmid
from plora.proto.canonical import begins
from plora.proto.dsse import StatementKind
from plora.proto.statement import Statement
from plora.proto.words import fingerprint

UNKNOWN_OWNER = "unknown_owner"
BELOW_QUORUM = "below_quorum"
STRANGERS_NAMED = 3


@dataclass(frozen=True, slots=True)
class KnownOwner:
    """One owner: id in hex, the name they gave themselves, the nickname here ("" for none), the record that makes them.

    `waiting` are the plasmids of theirs that wait for trust, the first seen first.
    """

    owner: str
    name: str
    nickname: str
    distrusted: bool
    record: Statement
    waiting: tuple[Plasmid, ...]


def named(core: PeerCore, name: str) -> list[KnownOwner]:
    """The owners that a name or the beginning of an id may mean, by id."""
    trust = core.desk.trust
    found = []
    for statement, record in core.desk.docket.owners():
        owner = statement.id.hex()
        entry = next((one for one in trust.owners if one.owner == owner), None)
        if begins(name, owner) or name == (entry.nickname if entry else record.name) or name == record.name:
            found.append(owner)
    return sorted(_described(core, found), key=lambda one: one.owner)


def strangers(core: PeerCore) -> list[KnownOwner]:
    """The owners of whom something waits for trust, the longest waiting first."""
    waiting = {plasmid.manifest.owner: None for plasmid in core.desk.book.live.values() if _waits(plasmid)}
    return sorted(_described(core, waiting), key=lambda one: (one.waiting[0].seen_ms, one.owner))


def stranger_sentence(core: PeerCore, owner: str) -> str:
    """Why a plasmid of this owner waits, and what ends it."""
    record = core.desk.docket.first_record(owner)
    called = f", who goes by '{record.name}'" if record else ""
    return (
        f"nobody here trusts its owner {fingerprint(owner)}{called}; if you know them: `plora trust add {owner[:12]}`"
    )


def strangers_who_signed(core: PeerCore, plasmid: Plasmid) -> str:
    """Who attests a plasmid without being trusted here, as the end of a sentence; empty for nobody."""
    trust, docket = core.desk.trust, core.desk.docket
    owners = [owner for owner in docket.attesters(plasmid.content_id) if not trust.knows(owner)]
    if not owners:
        return ""
    named = (f"{record.name} ({owner[:12]})" for owner in owners if (record := docket.first_record(owner)) is not None)
    more = f" and {len(owners) - STRANGERS_NAMED} more" if len(owners) > STRANGERS_NAMED else ""
    return f"; signed too by {', '.join(islice(named, STRANGERS_NAMED))}{more}, whom nobody here trusts"


def attestations(core: PeerCore, plasmid: Plasmid) -> list[Statement]:
    """The attestations of a plasmid, those of trusted owners first and owners in turn: nobody crowds others out."""
    groups: dict[str, list[Statement]] = {}
    for statement in core.desk.docket.about(plasmid.content_id.hex()):
        owner = owner_speaking(statement)
        if statement.kind == StatementKind.ATTESTATION and owner is not None:
            groups.setdefault(owner, []).append(statement)
    known = [words for owner, words in groups.items() if core.desk.trust.owner(owner)]
    others = [words for owner, words in groups.items() if not core.desk.trust.owner(owner)]
    return [word for group in (known, others) for turn in zip_longest(*group) for word in turn if word is not None]


def _described(core: PeerCore, owners: Iterable[str]) -> list[KnownOwner]:
    trust = core.desk.trust
    records = {statement.id.hex(): (statement, record) for statement, record in core.desk.docket.owners()}
    waiting: dict[str, list[Plasmid]] = {}
    for plasmid in core.desk.book.live.values():
        if _waits(plasmid):
            waiting.setdefault(plasmid.manifest.owner, []).append(plasmid)
    nicknames = {entry.owner: entry.nickname for entry in trust.owners}
    return [
        KnownOwner(
            owner=owner,
            name=records[owner][1].name,
            nickname=nicknames.get(owner, ""),
            distrusted=trust.distrusts(owner),
            record=records[owner][0],
            waiting=tuple(sorted(waiting.get(owner, ()), key=lambda one: (one.seen_ms, one.content_id))),
        )
        for owner in owners
        if owner in records
    ]


def _waits(plasmid: Plasmid) -> bool:
    verdict = plasmid.verdict
    return verdict is not None and (verdict.outcome, verdict.reason) == (Outcome.PENDING, UNKNOWN_OWNER)
