"""What a peer once believed of an owner's keys it goes on believing, after a restart too."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.gate.conftest import SWARM, Owner, World, key_of

from plora.gate import Trust
from plora.gate.signers import keyring
from plora.node.core.docket import Docket
from plora.node.core.rotations import believed_ids, follow
from plora.node.store.disk import Put
from plora.proto.errors import StoreError
from plora.proto.statement import Statement


@pytest.fixture
def ada(tmp_path: Path) -> Owner:
    return World(tmp_path).owner("ada")


def rotation(world: World, ada: Owner, to: str) -> list[Statement]:
    """A record that brings one new key, signed by both, and the attestation that makes it count."""
    new = key_of(to)
    record = world.owner_record("ada", (new,), owner=ada.id, previous=ada.id, version=2, signer=new)
    return [record, world.attestation(ada, record)[0]]


def docket_of(*statements: Statement) -> Docket:
    docket = Docket(SWARM)
    for statement in statements:
        docket.add(statement)
    return docket


def test_a_rotation_that_was_believed_outlives_a_rival_and_a_restart(tmp_path: Path, ada: Owner) -> None:
    world = World(tmp_path)
    trust, first, rival = world.trust(ada), rotation(world, ada, "new"), rotation(world, ada, "thief")
    docket = docket_of(ada.record, *first)
    rows, told = follow(docket, trust, [ada.id])
    assert [body.keys for body in told] == [(key_of("new").public.key_id,)]
    assert follow(docket, trust, [ada.id]) == ([], [])

    put = rows[0]
    assert isinstance(put, Put)
    restarted = docket_of(ada.record, *rival, *first)
    restarted.believed = believed_ids([(put.key, put.value)])
    owner = trust.owner(ada.id)
    assert owner is not None
    assert keyring(owner, restarted.dossier(ada.id)).authority.record == first[0].id.hex()
    newcomer = keyring(owner, docket_of(ada.record, *rival, *first).dossier(ada.id))
    assert len(newcomer.forked) == 2


def test_nothing_is_believed_of_strangers(tmp_path: Path, ada: Owner) -> None:
    docket = docket_of(ada.record, *rotation(World(tmp_path), ada, "new"))
    assert follow(docket, Trust(), [ada.id]) == ([], [])
    assert not docket.believed


def test_a_row_of_another_shape_is_refused() -> None:
    with pytest.raises(StoreError):
        believed_ids([(b"ada", b"7")])
