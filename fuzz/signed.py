"""Statements that a key of this world signed, whatever they say: what lies behind the check of a signature.

- `said` brings a payload into canonical form and signs it by the key that it names, where that is one of this world's.
- `World` is a peer that takes such statements from a link: it trusts ada and ben, who are its pinned root, holds ada's
  adapter, and is the first of four members of a consensus. What it is asked to sign, it signs; its disk never fails.
- Promises: no error record, no "internal_error", and after a restart the same statements live, with the same verdicts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from fuzz.mutations import DIGEST, Values, values_of

from plora.gate import Policy, Root, RootMember, Trust
from plora.gate.consensus import Member, accusation, membership
from plora.node.core import messages as m
from plora.node.core.config import CoreConfig
from plora.node.core.effects import Effect, Emit, Examine, Persist, SignWord
from plora.node.core.events import Event, Examined, LinkOpened, Persisted, Publish, Received, Start, WordSigned
from plora.node.core.now import Now
from plora.node.core.peer import PeerCore
from plora.node.store.disk import Put
from plora.node.store.snapshot import Snapshot
from plora.proto.canonical import INTEGER_MAX, canonical_bytes
from plora.proto.dsse import StatementKind, pae
from plora.proto.errors import FormatError
from plora.proto.fields import format_timestamp
from plora.proto.keys import PrivateKey, private_key_from_seed
from plora.proto.payload import Payload
from plora.proto.payloads import Choice, Freshness, OwnerKey, OwnerRecord, Vote
from plora.proto.statement import Statement, named_key_id, open_statement, sign_statement
from plora.sim.clock import WALL_START_MS
from plora.sim.liars import acceptance
from plora.sim.material import ISSUED_S, Owner, attest, make_plasmid, revoke, tiny_adapter
from plora.sim.shared import Shared

SWARM = "ab" * 32
ME, LINKED = "5" * 64, "b" * 64
NOW = Now(0, WALL_START_MS)
ISSUED, DAY_S = format_timestamp(ISSUED_S), 86_400
HELLO = m.Hello((m.WIRE_VERSION,), (), SWARM, "11" * 16, NOW.epoch_day)
SHARED = Shared()


def _key(name: str) -> PrivateKey:
    return private_key_from_seed(hashlib.sha256(f"plora/fuzz/{name}".encode()).digest())


def _record(name: str, *, before: Statement | None = None) -> Statement:
    """The first record of an owner, with a key to sign and one for freshness; or the one that hands on to a new key."""
    signer, own = _key(name), _key(f"{name} next" if before else name)
    first = before.id.hex() if before else None
    keys = (OwnerKey.of(own.public), OwnerKey.of(_key(f"{name} fresh").public, "freshness"))
    payload = OwnerRecord(
        swarm=SWARM,
        issued=ISSUED,
        key_id=signer.public.key_id,
        owner=first,
        previous=first,
        name=name,
        version=2 if before else 1,
        keys=keys,
        threshold=1,
    )
    return sign_statement(StatementKind.OWNER, payload, signer)


ADA, BEN = (Owner(name, SWARM, _key(name), _record(name)) for name in ("ada", "ben"))
NEXT = _record("ada", before=ADA.record)
LEGAL = make_plasmid(ADA, "legal", tiny_adapter(1, width=8))
VOTERS = tuple(_key(f"member {number}") for number in range(4))
MEMBERS = membership(SWARM, (Member(f"m{n}", key.public, f"{n + 5}" * 64) for n, key in enumerate(VOTERS)))
OWNER_KEYS = tuple(_key(f"{name}{what}") for name in ("ada", "ben") for what in ("", " next", " fresh"))
KEYS = {key.public.key_id: key for key in (*OWNER_KEYS, *VOTERS)}
ROOT = Root(
    1,
    1,
    tuple(
        RootMember(one.name, one.id, (one.key.public,), 1, (_key(f"{one.name} fresh").public,)) for one in (ADA, BEN)
    ),
)
TRUST = Trust((ADA.trusted, BEN.trusted), root=ROOT)
POLICY = Policy(reputation=True, consensus=True)


def said(kind: str, payload: bytes) -> Statement:
    """The payload, signed by the key that it names. Raises FormatError where that is none of this world."""
    try:
        canonical = canonical_bytes(json.loads(payload))
    except (ValueError, RecursionError) as error:
        raise FormatError("no JSON") from error
    unsigned = Statement(kind, canonical, "00" * 32, "Ed25519", bytes(64))
    key = KEYS.get(named_key_id(unsigned))
    if key is None:
        raise FormatError("a key that nobody here has")
    return replace(unsigned, key_id=key.public.key_id, signature=key.sign(pae(kind, canonical)))


class World:
    """The peer, and the rows that it wrote."""

    def __init__(self, snapshot: Snapshot) -> None:
        config = CoreConfig(peer=ME, swarm=SWARM, boot="00" * 16, members=MEMBERS, vote_key=VOTERS[0].public.key_id)
        self.core = PeerCore(config, POLICY, TRUST, snapshot)
        self._rows = {(name, key): value for name, rows in snapshot.tables.items() for key, value in rows}
        self.tell(
            Start(), LinkOpened(LINKED, False), Received(LINKED, HELLO), Received(LINKED, m.Welcome(m.WIRE_VERSION))
        )

    def hear(self, statement: Statement) -> None:
        """The linked peer sends it."""
        self.tell(Received(LINKED, m.Push((m.Carried(statement),))))

    def snapshot(self) -> Snapshot:
        """What it wrote."""
        tables: dict[str, list[tuple[bytes, bytes]]] = {}
        for (table, key), value in sorted(self._rows.items()):
            tables.setdefault(table, []).append((key, value))
        rows = {name: tuple(found) for name, found in tables.items()}
        return Snapshot(tables=rows, held=dict(self.core.desk.larder.held))

    def verdicts(self) -> dict[bytes, str]:
        """Outcome and reason of every live manifest."""
        found = {key: one.verdict for key, one in self.core.desk.book.live.items() if one.verdict is not None}
        assert not [one.stages[-1].evidence for one in found.values() if one.reason == "internal_error"]
        return {key: f"{one.outcome} {one.reason}" for key, one in found.items()}

    def tell(self, *events: Event) -> None:
        """Events in turn; whatever is asked for is done at once."""
        queue = list(events)
        while queue:
            for effect in self.core.handle(queue.pop(0), NOW):
                queue += self._answers(effect)

    def _answers(self, effect: Effect) -> Iterator[Event]:
        match effect:
            case Persist(token, rows):
                self._write(rows)
                yield Persisted(token)
            case Examine(digest):
                yield Examined(digest, SHARED.features(LEGAL.data))
            case SignWord(payload):
                yield WordSigned(sign_statement(payload.kind, payload, VOTERS[0]))
            case Emit(body):
                assert body.kind != "error", body

    def _write(self, rows: tuple[object, ...]) -> None:
        for row in rows:
            if isinstance(row, Put):
                self._rows[(row.table, row.key)] = row.value
            else:
                self._rows.pop((row.table, row.key), None)  # type: ignore[attr-defined]


@cache
def furnished() -> Snapshot:
    """A peer with the statements that others build on, the adapter's bytes, and one vote too few."""
    world = World(Snapshot())
    known = (ADA.record, BEN.record, NEXT, LEGAL.statement, _fresh(BEN), _vote(1), _vote(3))
    world.tell(Publish(known, (LEGAL.manifest.artifacts.sha256,)))
    return world.snapshot()


def taken(statement: Statement) -> str:
    """What the furnished peer makes of a statement, in a word."""
    open_statement(statement)
    world = World(furnished())
    world.hear(statement)
    after, verdicts = World(world.snapshot()), world.verdicts()
    assert after.core.live_root == world.core.live_root, "another set after a restart"
    assert after.verdicts() == verdicts, "other verdicts after a restart"
    entered = "in" if world.core.gossip.seen.get(statement.id) is not None else "out"
    return " ".join([statement.kind, entered, *sorted(set(verdicts.values()))])


def examples() -> Iterator[Statement]:
    """Valid statements of every kind."""
    yield make_plasmid(ADA, "medical", tiny_adapter(2, width=8)).statement
    yield make_plasmid(ADA, "legal", tiny_adapter(3, width=8), version=2).statement
    yield ADA.record
    yield NEXT
    yield attest(BEN, LEGAL.content_id)
    yield attest(replace(ADA, key=_key("ada next")), NEXT.id)
    yield from (revoke(ADA, kind, target) for kind, target in _targets())
    yield _fresh(ADA)
    first, second = make_plasmid(ADA, "twin", tiny_adapter(4)), make_plasmid(ADA, "twin", tiny_adapter(5))
    yield _vote(2)
    yield _signed(_reject(2), VOTERS[2])
    lies = [
        _signed(acceptance(MEMBERS, LEGAL.manifest, one.content_id.hex(), VOTERS[1].public), VOTERS[1])
        for one in (first, second)
    ]
    yield _signed(accusation(lies[0], lies[1], VOTERS[2].public.key_id), VOTERS[2])


@cache
def values() -> Values:
    """What stands in valid payloads, and some more that fits."""
    found = values_of(said.payload for said in (*examples(), BEN.record, LEGAL.statement))
    found["version"] = [1, 2, 3, INTEGER_MAX]
    for field in ("issued", "expires"):
        found[field] = [format_timestamp(NOW.wall_ms // 1000 + days * DAY_S) for days in (-90, -1, 0, 1, 90)]
    found[DIGEST] += KEYS
    return found


def _targets() -> tuple[tuple[str, str], ...]:
    return (("key", ADA.key.public.key_id), ("content", LEGAL.content_id.hex()), ("owner", ADA.id))


def _vote(number: int) -> Statement:
    """The ACCEPT of a member for ada's adapter."""
    key = VOTERS[number]
    return _signed(acceptance(MEMBERS, LEGAL.manifest, LEGAL.content_id.hex(), key.public), key)


def _reject(number: int) -> Vote:
    accept = acceptance(MEMBERS, LEGAL.manifest, LEGAL.content_id.hex(), VOTERS[number].public)
    return accept.model_copy(update={"choice": Choice.REJECT, "reason": "norm_too_large"})


def _fresh(owner: Owner) -> Statement:
    key = _key(f"{owner.name} fresh")
    payload = Freshness(
        swarm=SWARM,
        issued=ISSUED,
        key_id=key.public.key_id,
        owner=owner.id,
        trust_version=1,
        revocation_root="0" * 64,
        audit_head="0" * 64,
        expires=format_timestamp(ISSUED_S + DAY_S),
    )
    return _signed(payload, key)


def _signed(payload: Payload, key: PrivateKey) -> Statement:
    return sign_statement(payload.kind, payload, key)
