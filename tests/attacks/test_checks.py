"""The checks of the gate that no numbered attack is about: each refuses its own input, at its stage, for its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from tests.attacks.test_bytes import DATA, made
from tests.gate.conftest import Owner, World, factors, key_of, record_of

from plora.gate import Case, Policy, decide
from plora.proto.fields import parse_timestamp


@dataclass(frozen=True)
class Scene:
    """Ada's adapters in a world with Bob."""

    world: World
    ada: Owner
    bob: Owner

    def case(self, tensors: object = None, **changes: object) -> Case:
        return self.world.case(self.ada, tensors, **changes)  # type: ignore[arg-type]


Make = Callable[[Scene], Case]


def other_statement(scene: Scene) -> Case:
    case = scene.case()
    return replace(case, statement=scene.world.attestation(scene.ada, case.statement)[0])


def other_manifest(scene: Scene) -> Case:
    case = scene.case()
    return replace(case, manifest=case.manifest.model_copy(update={"domain": "medical"}))


def two_successors(scene: Scene) -> Case:
    """Two records that both follow Ada's first one, both signed by her key and by the new one."""
    records = []
    for name in ("one", "two"):
        new = key_of(name)
        records.append(
            scene.world.owner_record("ada", (new,), owner=scene.ada.id, previous=scene.ada.id, version=2, signer=new)
        )
    words = tuple(scene.world.attestation(scene.ada, record) for record in records)
    case = scene.world.case(scene.ada, key=key_of("one"), lineage=records[0].id.hex())
    return replace(case, owner_records=tuple(map(record_of, records)), attestations=words)


def one_of_two_keys(scene: Scene) -> Case:
    return scene.world.case(scene.world.owner("pair", keys=2, threshold=2))


def expired(scene: Scene) -> Case:
    case = scene.case()
    return replace(case, now_ms=parse_timestamp(case.manifest.expires) * 1000)


def strange_tensor(scene: Scene) -> Case:
    return scene.case(factors() | {"model.embed_tokens.weight": np.ones((2, 2), dtype=np.float32)})


def plain(scene: Scene) -> Case:
    return scene.case()


CHECKS: dict[str, tuple[str, Make, Policy]] = {
    "not_a_manifest": ("envelope and size", other_statement, Policy()),
    "too_large": ("envelope and size", plain, Policy(artifact_bytes_max=100)),
    "manifest_differs": ("strict manifest", other_manifest, Policy()),
    "wrong_base": ("swarm and base", plain, Policy(base_model="smollm2")),
    "target_not_allowed": ("policy", plain, Policy(allowed_targets=("v_proj",))),
    "unknown_lineage": ("signatures and quorum", lambda scene: scene.case(lineage="99" * 32), Policy()),
    "forked_owner": ("signatures and quorum", two_successors, Policy()),
    "below_threshold": ("signatures and quorum", one_of_two_keys, Policy()),
    "expired": ("replay", expired, Policy()),
    "chunk_root_mismatch": ("chunks and hash", lambda scene: scene.case(artifacts={"chunk_root": "00" * 32}), Policy()),
    "unexpected_tensor": ("header", strange_tensor, Policy()),
    "target_mismatch": ("header", lambda scene: scene.case(lora={"target_modules": ("v_proj",)}), Policy()),
    "header_json": ("header", lambda scene: scene.case(made("{" + "[" * 500 + "}", DATA)), Policy()),
}


@pytest.mark.parametrize("reason", sorted(CHECKS))
def test_the_check_refuses_its_own_input(world: World, ada: Owner, bob: Owner, reason: str) -> None:
    stage, make, policy = CHECKS[reason]
    scene = Scene(world, ada, bob)
    pair = world.owner("pair", keys=2, threshold=2)
    trust = world.trust(ada, bob, pair)
    assert decide(plain(scene), Policy(), trust).accepted
    verdict = decide(make(scene), policy, trust)
    assert (verdict.stage, verdict.reason) == (stage, reason), dict(verdict.evidence)
    assert not verdict.accepted and [one.reason for one in verdict.stages if one.reason] == [reason]


def test_trust_ends_at_its_scope_and_where_it_was_taken_back(world: World, ada: Owner) -> None:
    case = world.case(ada)
    narrow = decide(case, Policy(), world.trust(ada, domains=("medical",)))
    assert (narrow.stage, narrow.reason) == ("signatures and quorum", "out_of_scope")
    struck = decide(case, Policy(), world.trust(ada).with_distrusted(ada.key.public.key_id))
    assert (struck.stage, struck.reason) == ("signatures and quorum", "distrusted")
