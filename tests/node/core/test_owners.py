"""The owners that a peer knows of: whom a name means, what waits, who signed too, and whose word is shown first."""

from __future__ import annotations

from typing import Any

import pytest

from plora.gate import Policy, Trust, TrustedOwner
from plora.node.core import view
from plora.node.core.config import CoreConfig
from plora.node.core.effects import Persist
from plora.node.core.events import Event, Examined, Persisted, PolicyChanged, Publish, Start
from plora.node.core.now import Now
from plora.node.core.owners import attestations, named, strangers
from plora.node.core.peer import PeerCore
from plora.node.store.snapshot import Snapshot
from plora.proto.words import fingerprint
from plora.proto.yaml_view import COSIGNATURES_MAX, SignedManifest
from plora.sim.clock import WALL_START_MS
from plora.sim.material import attest, make_owner, make_plasmid, revoke, tiny_adapter
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID

ADA, BOB, EVE = (make_owner(name, SWARM_ID) for name in ("ada", "bob", "eve"))
TWIN = make_owner("ada", SWARM_ID, issued_s=WALL_START_MS // 1000 - 7200)
LEGAL = make_plasmid(ADA, "legal", tiny_adapter(1))
TAX = make_plasmid(EVE, "tax", tiny_adapter(2))
TWO = Policy(quorum_required=2)


def run(core: PeerCore, *events: Event, wall_ms: int = WALL_START_MS) -> None:
    queue: list[Any] = list(events)
    while queue:
        effects = core.handle(queue.pop(0), Now(1, wall_ms))
        queue += [Persisted(one.token) for one in effects if isinstance(one, Persist)]


def core_of(*trusted: TrustedOwner, policy: Policy = TWO) -> PeerCore:
    core = PeerCore(CoreConfig(peer="aa" * 32, swarm=SWARM_ID, boot="1"), policy, Trust(trusted), Snapshot())
    run(core, Start(), Publish((ADA.record, BOB.record, EVE.record, LEGAL.statement, TAX.statement)))
    return core


def sentence(core: PeerCore) -> str:
    said = view.why(core, LEGAL.content_id.hex(), Now(2, WALL_START_MS))["sentence"]
    assert isinstance(said, str)
    return said


@pytest.mark.parametrize("name", ["ada", ADA.id, ADA.id[:4]])
def test_an_owner_is_found_by_name_and_by_the_start_of_the_id(name: str) -> None:
    assert [one.owner for one in named(core_of(), name)] == [ADA.id]


@pytest.mark.parametrize("name", ["", "ad", "carl", ADA.id[:3], "f" * 64])
def test_other_names_find_nobody(name: str) -> None:
    assert named(core_of(), name) == []


def test_a_name_that_two_gave_themselves_finds_both_whatever_they_are_called_here() -> None:
    core = core_of(TrustedOwner.of_record(ADA.record, nickname="dr-ada"))
    run(core, Publish((TWIN.record,)))
    assert [one.owner for one in named(core, "ada")] == sorted([ADA.id, TWIN.id])
    assert [(one.owner, one.name, one.nickname) for one in named(core, "dr-ada")] == [(ADA.id, "ada", "dr-ada")]


def test_strangers_are_those_of_whom_something_waits_the_first_seen_first() -> None:
    core = core_of(BOB.trusted)
    assert [one.name for one in strangers(core)] == [name for _, name in sorted([(ADA.id, "ada"), (EVE.id, "eve")])]
    older = make_plasmid(EVE, "older", tiny_adapter(3))
    run(core, Publish((older.statement,)), wall_ms=WALL_START_MS - 5)
    assert [(one.name, len(one.waiting)) for one in strangers(core)] == [("eve", 2), ("ada", 1)]
    run(core, PolicyChanged(TWO, Trust((BOB.trusted, ADA.trusted)).with_distrusted(EVE.id)))
    assert strangers(core) == []
    (eve,) = named(core, "eve")
    assert eve.distrusted and eve.waiting == ()


def test_under_a_policy_that_refuses_strangers_nothing_waits() -> None:
    assert strangers(core_of(policy=Policy(unknown_owner="reject"))) == []


def test_a_stranger_is_named_by_fingerprint_and_by_what_they_call_themselves() -> None:
    words = fingerprint(ADA.id)
    assert sentence(core_of()) == (
        f"nobody here trusts its owner {words}, who goes by 'ada'; if you know them: `plora trust add {ADA.id[:12]}`"
    )


def test_it_says_which_strangers_signed_too() -> None:
    core = core_of(ADA.trusted)
    run(core, Publish((), (LEGAL.manifest.artifacts.sha256,)))
    run(core, Examined(LEGAL.manifest.artifacts.sha256, Shared().features(LEGAL.data)))
    assert sentence(core).startswith("1 of 2 owners signed (ada)") and "signed too" not in sentence(core)
    run(core, Publish((attest(EVE, LEGAL.content_id),)))
    run(core, PolicyChanged(TWO, Trust((ADA.trusted,), version=1)))
    assert sentence(core).endswith(f"; signed too by eve ({EVE.id[:12]}), whom nobody here trusts")
    run(core, PolicyChanged(TWO, Trust((ADA.trusted,)).with_distrusted(EVE.id)))
    assert "signed too" not in sentence(core)


def test_strangers_crowd_no_trusted_owner_out_of_a_view() -> None:
    """Of more attestations than a plora.yml holds, those of known owners are kept, one a key, whatever the ids."""
    crowd = [make_owner(f"crowd{number}", SWARM_ID) for number in range(COSIGNATURES_MAX + 4)]
    core = core_of(ADA.trusted, BOB.trusted)
    flood = [attest(BOB, LEGAL.content_id, issued_s=WALL_START_MS // 1000 - 60 - n) for n in range(3)]
    run(core, Publish((*(one.record for one in crowd), *(attest(one, LEGAL.content_id) for one in crowd), *flood)))
    found = attestations(core, core.desk.book.live[LEGAL.content_id])
    assert len(found) == len(crowd) + len(flood)
    kept = SignedManifest.of(LEGAL.statement, found).cosignatures
    assert (len(kept), sum(one.owner == BOB.id for one in kept)) == (COSIGNATURES_MAX, 1)
    assert [one.key_id for one in kept] == sorted(one.key_id for one in kept)


def test_why_a_publication_was_refused_is_kept_until_the_next() -> None:
    core = core_of()
    newer = make_plasmid(ADA, "legal", tiny_adapter(5), version=2)
    run(core, Publish((newer.statement,)))
    run(core, Publish((LEGAL.statement,)))
    assert core.gossip.refusals == {LEGAL.content_id: "superseded"}
    orphan = make_owner("late", SWARM_ID)
    word = attest(orphan, newer.content_id)
    run(core, Publish((word,)))
    assert core.gossip.refusals == {word.id: "unknown key"}
    past = make_plasmid(ADA, "past", tiny_adapter(6), issued_s=WALL_START_MS // 1000 - 9 * 86_400, life_s=86_400)
    run(core, Publish((past.statement,)))
    assert core.gossip.refusals == {past.content_id: "expired"}
    run(core, Publish((revoke(ADA, "content", newer.content_id.hex()),)))
    assert core.gossip.refusals == {}
    assert core.desk.docket.newest((ADA.id, ADA.id, "legal")) == 2
    assert core.desk.docket.contents((ADA.id, ADA.id, "legal"), 2) == (newer.content_id.hex(),)
