"""What people are told of a pinned root: who revoked what together, and what one more revocation would change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.node.core.test_owners import run
from tests.sim.roots import GUARDIANS, ROOT, begins_to_revoke, says, signs_too

from plora.gate import Policy, Trust
from plora.node.admin.rooting import target_of
from plora.node.core.config import CoreConfig
from plora.node.core.events import Examined, Publish, Start
from plora.node.core.now import Now
from plora.node.core.peer import PeerCore
from plora.node.core.root_view import about, root, weighed
from plora.node.store.snapshot import Snapshot
from plora.proto.errors import UsageError
from plora.proto.payloads import Revocation
from plora.proto.statement import open_statement
from plora.sim.clock import WALL_START_MS
from plora.sim.material import make_owner, make_plasmid, revoke, tiny_adapter
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID

ADA = make_owner("ada", SWARM_ID)
LEGAL, TAX = (make_plasmid(ADA, name, tiny_adapter(seed)) for seed, name in enumerate(("legal", "tax")))
NOW = Now(2, WALL_START_MS)
KINDS = {"content": LEGAL.content_id.hex(), "key": ADA.key.public.key_id, "owner": ADA.id}


@pytest.fixture
def core() -> PeerCore:
    """A fresh peer that uses two adapters of ada's, and has a root pinned."""
    trust = Trust((ADA.trusted,), root=ROOT)
    made = PeerCore(CoreConfig(peer="aa" * 32, swarm=SWARM_ID, boot="1"), Policy(), trust, Snapshot())
    run(made, Start(), *(Publish(says(number, WALL_START_MS)) for number in (0, 1)))
    for plasmid in (LEGAL, TAX):
        digest = plasmid.manifest.artifacts.sha256
        seen = Examined(digest, Shared().features(plasmid.data))
        run(made, Publish((ADA.record, plasmid.statement), (digest,), (seen,)))
    return made


def supposed(kind: str) -> Revocation:
    opened = open_statement(begins_to_revoke(0, kind, KINDS[kind])[1])
    assert isinstance(opened, Revocation)
    return opened


@pytest.mark.parametrize(("kind", "names"), [("content", ["ada/legal@1"]), ("key", None), ("owner", None)])
def test_what_a_revocation_would_change_is_what_it_changes(core: PeerCore, kind: str, names: list[str] | None) -> None:
    foretold = weighed(core, supposed(kind), NOW)
    assert [row["name"] for row in foretold] == (names or ["ada/legal@1", "ada/tax@1"])
    assert all(row["used"] and "by the pinned root" in row["after"] for row in foretold)
    assert all(core.desk.book.live[one.content_id].usable for one in (LEGAL, TAX)), "looking changes nothing"
    _, begun = words = begins_to_revoke(0, kind, KINDS[kind])
    run(core, Publish(words), Publish(signs_too(1, begun)))
    gone = {row["content_id"] for row in foretold}
    assert {key.hex() for key, one in core.desk.book.live.items() if not one.usable} == gone
    assert weighed(core, supposed(kind), NOW) == []


def test_a_revocation_is_listed_with_who_signed_until_it_counts_and_after(core: PeerCore) -> None:
    _, begun = words = begins_to_revoke(2, "owner", ADA.id)
    run(core, Publish(words))
    (listed,) = root(core)["revocations"]
    assert (listed["id"], listed["about"], listed["signed"]) == (begun.id.hex(), "ada", ["west"])
    assert not listed["counts"]
    run(core, Publish(signs_too(0, begun)))
    (listed,) = root(core)["revocations"]
    assert (listed["signed"], listed["counts"]) == (["north", "west"], True)


def test_what_is_an_owners_own_needs_no_others_and_is_not_listed(core: PeerCore) -> None:
    north = GUARDIANS[0].owner
    run(core, Publish((north.record, revoke(north, "owner", north.id), revoke(north, "key", north.key.public.key_id))))
    run(core, Publish((revoke(ADA, "owner", ADA.id),)))
    assert root(core)["revocations"] == []


def test_without_a_root_there_is_nothing_to_tell(core: PeerCore) -> None:
    core.desk.rules.trust = replace(core.desk.trust, root=None)
    assert root(core) == {"pinned": False} and weighed(core, supposed("owner"), NOW) == []


@pytest.mark.parametrize(
    ("kind", "name", "found"),
    [
        ("content", "ada/legal", LEGAL.content_id.hex()),
        ("key", ADA.key.public.key_id[:8], ADA.key.public.key_id),
        ("owner", "ada", ADA.id),
        ("owner", "f" * 64, "f" * 64),
        ("content", "e" * 64, "e" * 64),
    ],
)
def test_a_target_is_named_as_people_name_it(core: PeerCore, kind: str, name: str, found: str) -> None:
    assert target_of(core, kind, name) == found


@pytest.mark.parametrize(("kind", "name"), [("key", "abcd"), ("owner", "bob"), ("content", "tux")])
def test_a_target_that_nobody_knows_is_refused(core: PeerCore, kind: str, name: str) -> None:
    with pytest.raises(UsageError):
        target_of(core, kind, name)


def test_targets_are_called_what_people_call_them(core: PeerCore) -> None:
    said: Any = [about(core, kind, target) for kind, target in KINDS.items()]
    assert said == ["ada/legal@1", f"{ADA.key.public.key_id[:12]} of ada", "ada"]
    assert about(core, "key", "f" * 64) == f"{'f' * 12} of nobody known here"
    assert about(core, "owner", GUARDIANS[0].owner.id) == f"north ({GUARDIANS[0].owner.id[:12]})"
