"""Owners with several keys, end to end: a rotation is believed, and a revocation counts, when the threshold signed."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from plora.gate import Trust, TrustedOwner
from plora.node.core.plasmid import Plasmid as Standing
from plora.proto.dsse import StatementKind
from plora.proto.fields import format_timestamp
from plora.proto.keys import PrivateKey, private_key_from_seed
from plora.proto.payloads import Attestation, OwnerKey, OwnerRecord
from plora.proto.statement import Statement, sign_statement
from plora.sim.material import ISSUED_S, Owner, make_plasmid, revoke, tiny_adapter
from plora.sim.peer import SimPeer
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID, Swarm
from plora.sim.topology import ring

FIRST, SECOND, NEXT = (private_key_from_seed(hashlib.sha256(name).digest()) for name in (b"1st", b"2nd", b"next"))
SHARED = Shared()
ISSUED = format_timestamp(ISSUED_S)


def record(*keys: PrivateKey, signer: PrivateKey, threshold: int, before: Statement | None = None) -> Statement:
    """The first record of the owner "ada", or the one that follows `before`."""
    first = before.id.hex() if before else None
    payload = OwnerRecord(
        swarm=SWARM_ID,
        issued=ISSUED,
        key_id=signer.public.key_id,
        name="ada",
        version=2 if before else 1,
        keys=tuple(OwnerKey.of(key.public) for key in keys),
        threshold=threshold,
        owner=first,
        previous=first,
    )
    return sign_statement(StatementKind.OWNER, payload, signer)


def witness(owner: Owner, key: PrivateKey, target: Statement) -> Statement:
    """One more key of the owner signs a statement."""
    payload = Attestation(
        swarm=SWARM_ID, issued=ISSUED, key_id=key.public.key_id, owner=owner.id, target=target.id.hex()
    )
    return sign_statement(StatementKind.ATTESTATION, payload, key)


def owned(*keys: PrivateKey, threshold: int = 1) -> Owner:
    return Owner("ada", SWARM_ID, keys[0], record(*keys, signer=keys[0], threshold=threshold))


def swarm_trusting(owner: Owner) -> tuple[Swarm, SimPeer, SimPeer]:
    """Two linked peers that trust the owner as first seen."""
    swarm = Swarm(1, shared=SHARED)
    ids = swarm.add(2, ring(2), trust=Trust(owners=(TrustedOwner.of_record(owner.record),)))
    swarm.boot()
    swarm.run(2)
    return swarm, swarm.peer(ids[0]), swarm.peer(ids[1])


def standing(peer: SimPeer, content_id: bytes) -> Standing:
    return peer.core.desk.book.live[content_id]


def reason(peer: SimPeer, content_id: bytes) -> str:
    verdict = standing(peer, content_id).verdict
    assert verdict is not None
    return verdict.reason


def test_a_rotated_key_is_believed_once_old_and_new_have_signed() -> None:
    ada = owned(FIRST)
    swarm, giver, taker = swarm_trusting(ada)
    following = record(NEXT, signer=FIRST, threshold=1, before=ada.record)
    plasmid = make_plasmid(replace(ada, key=NEXT), "legal", tiny_adapter(1))
    # The manifest names the owner by the first record, and is signed by a key that only the second one lists.
    giver.publish((ada.record, following, plasmid.statement), (plasmid.data,))
    assert swarm.run_until(lambda: swarm.agree(3), 30)
    swarm.run(5)
    assert reason(taker, plasmid.content_id) == "bad_signature"
    assert not standing(taker, plasmid.content_id).usable

    giver.publish((witness(ada, NEXT, following),))
    assert swarm.run_until(lambda: swarm.usable(plasmid.content_id) == 2, 30)
    assert taker.adapters == {"ada--legal": plasmid.content_id.hex()}


def test_a_rotation_outlives_a_restart() -> None:
    ada = owned(FIRST)
    swarm, giver, taker = swarm_trusting(ada)
    following = record(NEXT, signer=FIRST, threshold=1, before=ada.record)
    plasmid = make_plasmid(replace(ada, key=NEXT), "legal", tiny_adapter(1))
    giver.publish((ada.record, following, witness(ada, NEXT, following), plasmid.statement), (plasmid.data,))
    assert swarm.run_until(lambda: swarm.usable(plasmid.content_id) == 2, 30)
    taker.crash()
    taker.boot()
    assert standing(taker, plasmid.content_id).usable


def test_an_owner_speaks_by_two_of_two_keys_and_by_no_single_one() -> None:
    ada = owned(FIRST, SECOND, threshold=2)
    swarm, giver, taker = swarm_trusting(ada)
    plasmid = make_plasmid(ada, "legal", tiny_adapter(1))
    giver.publish((ada.record, plasmid.statement), (plasmid.data,))
    held = taker.core.desk.larder.held
    assert swarm.run_until(lambda: plasmid.manifest.artifacts.sha256 in held, 30), "the other key's holder must see it"
    swarm.run(5)
    assert reason(taker, plasmid.content_id) == "below_threshold"
    assert swarm.usable(plasmid.content_id) == 0

    giver.publish((witness(ada, SECOND, plasmid.statement),))
    assert swarm.run_until(lambda: swarm.usable(plasmid.content_id) == 2, 30)
    strike = revoke(ada, "owner", ada.id)
    giver.publish((strike,))
    assert swarm.run_until(lambda: swarm.agree(4), 30)
    swarm.run(5)
    assert swarm.usable(plasmid.content_id) == 2, "one key of two must not speak for the owner"

    giver.publish((witness(ada, SECOND, strike),))
    assert swarm.run_until(lambda: swarm.usable(plasmid.content_id) == 0, 30)
    assert reason(taker, plasmid.content_id) == "revoked_owner"
    assert taker.adapters == giver.adapters == {}
    assert plasmid.manifest.artifacts.sha256 not in taker.core.desk.larder.held
