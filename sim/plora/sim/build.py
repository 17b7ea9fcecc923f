"""From a scenario to peers that are ready to boot, and to what they will publish. Pure.

- Each adapter has an owner of its own, with a valid key; all peers trust all of them.
- Which adapters are trojans is drawn; where they are published is not: they are spread evenly, or as `at` says.
- Links are bounded by the graph alone, so that peers know whom the graph says. Members of a consensus know each other
  besides, as whoever runs one is told to see to; a sparse graph alone would mostly leave them apart, unable to vote.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from itertools import combinations
from typing import Any, get_type_hints

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic_core import to_json

from plora.gate import Policy, Trust
from plora.gate.consensus import Member, membership, quorum_of
from plora.gate.findings import Findings
from plora.node.core.config import Bounds, CoreConfig
from plora.node.core.detectors import PROBES, WEIGHTS
from plora.node.core.events import Detector, DetectorsChanged
from plora.node.core.streams import Streams
from plora.proto.errors import UsageError
from plora.proto.keys import PrivateKey, private_key_from_seed
from plora.sim import topology
from plora.sim.choices import check
from plora.sim.material import BASE_DIGEST, Owner, Plasmid, make_owner, make_plasmid, tiny_adapter
from plora.sim.peer import Costs, SimPeer
from plora.sim.scenario import Scenario
from plora.sim.shared import Shared
from plora.sim.swarm import SWARM_ID, Swarm, peer_id
from plora.sim.topology import Edges, neighbours
from plora.sim.truth import CLEAN, Truth
from plora.sim.verdicts import NOTHING_FOUND, model_of

DETECTORS = DetectorsChanged(tuple(Detector(name, BASE_DIGEST, "sim") for name in (WEIGHTS, PROBES)))

MIDDLE = 0.5
"""Synchronous peers exchange in the middle of a round: what is published at its beginning goes with it, and all that is
said is heard before its end."""

Published = tuple[Truth, Owner, Plasmid]


def edges_of(scenario: Scenario) -> Edges:
    """Who knows whom."""
    return network(scenario).pairs()


def network(scenario: Scenario) -> topology.Graph:
    """Who knows whom: the graph's edges, and those of members among each other where they are linked."""
    drawn = topology.of(scenario.graph, scenario.agents, scenario.seed)
    if not scenario.security.members_linked:
        return drawn
    members = range(min(voters(scenario), scenario.agents))
    return topology.graph_of(drawn.n, [*drawn.pairs(), *combinations(members, 2)]) if members else drawn


def truths(scenario: Scenario) -> list[Truth]:
    """What is published, in the order of its times; content ids are "". UsageError for a publisher that isn't there."""
    told = scenario.publish
    for peer in told.at:
        check(peer, scenario.agents, "publish.at")
    trojans, found = _trojans(scenario), []
    for number in range(told.plasmids):
        domain = told.domains[number % len(told.domains)]
        kind = told.trojan_kind if number in trojans else CLEAN
        at = told.at[number % len(told.at)] if told.at else number * scenario.agents // told.plasmids
        round_ = told.first_round + number * told.every
        found.append(Truth(f"p{number}", "", domain, kind, f"owner-{number}", at, round_))
    return found


def adapters(scenario: Scenario) -> list[Published]:
    """What is published: the truth about it, its owner, the signed adapter."""
    found = []
    for number, truth in enumerate(truths(scenario)):
        owner = make_owner(truth.owner, SWARM_ID)
        plasmid = make_plasmid(owner, truth.plasmid, tiny_adapter(number), domain=truth.domain)
        found.append((replace(truth, content=plasmid.content_id.hex()), owner, plasmid))
    return found


def build(
    scenario: Scenario,
    edges: Edges,
    published: Sequence[Published],
    kinds: Mapping[int, type[SimPeer]] | None = None,
    crooks: Sequence[Owner] = (),
) -> tuple[Swarm, list[str]]:
    """The swarm and the ids of its peers, none of which is started; `crooks` are trusted like all other owners."""
    keys, shared = _vote_keys(scenario), Shared()
    for _, _, plasmid in published:
        for detector in (WEIGHTS, PROBES):
            shared.findings[detector, plasmid.manifest.artifacts.sha256] = NOTHING_FOUND
    shared.drawn = _drawn(scenario, published)
    swarm = Swarm(scenario.seed, scenario.links, shared=shared, costs=Costs(inspect_ms=scenario.security.inspect_ms))
    ids = swarm.add(
        scenario.agents,
        edges,
        policy=_policy(scenario),
        trust=Trust(owners=tuple(owner.trusted for owner in (*(owner for _, owner, _ in published), *crooks))),
        template=_template(scenario, edges, keys),
        vote_keys=keys,
        kinds=kinds,
    )
    if scenario.security.detectors:
        for peer in swarm.peers.values():
            peer.detectors = DETECTORS
    return swarm, ids


def _drawn(scenario: Scenario, published: Sequence[Published]) -> Callable[[str, str, str], Findings | None]:
    """What a peer's probes find in an artifact; weights have no say of their own. Whoever publishes an adapter finds
    nothing in it, for its peer would hold it and serve it to nobody."""
    model = model_of(scenario)
    truths = {plasmid.manifest.artifacts.sha256: truth for truth, _, plasmid in published}

    def drawn(peer: str, detector: str, digest: str) -> Findings | None:
        truth = truths.get(digest)
        if model is None or truth is None or detector != PROBES or peer == peer_id(truth.peer):
            return None
        return model.draw(scenario.seed, peer, digest, truth.kind)

    return drawn


def members_of(quorum: int) -> int:
    """The most members of whom so many are a safe quorum.

    >>> [members_of(quorum) for quorum in (1, 2, 3, 5)]
    [1, 3, 4, 7]
    """
    count = 1
    while quorum_of(count + 1) <= quorum:
        count += 1
    return count


def configured(default: Any, changes: Mapping[str, Any], where: str) -> Any:
    """A settings object with some of its fields changed; `UsageError` names one that is unknown or of another type."""
    values: dict[str, Any] = {}
    known = {place.name for place in fields(default)}
    for name, value in changes.items():
        if name not in known:
            raise UsageError("no such setting", where=f"{where}.{name}", mend=f"use {', '.join(sorted(known))}")
        standing = getattr(default, name)
        if is_dataclass(standing) and isinstance(value, Mapping):
            values[name] = configured(standing, value, f"{where}.{name}")
        else:
            values[name] = _of_type(get_type_hints(type(default))[name], value, f"{where}.{name}")
    return replace(default, **values)


def _of_type(declared: Any, value: Any, where: str) -> Any:
    """The value as a field of that type has it: lists of TOML as tuples, whole numbers as fractions; nothing else."""
    try:
        written = to_json(value, inf_nan_mode="constants")
        return TypeAdapter(declared).validate_json(written, strict=True)
    except PydanticSchemaGenerationError:
        raise UsageError("it can't be told", where=where) from None
    except ValidationError as error:
        raise UsageError(f"{error.errors()[0]['msg']}: {value!r}", where=where) from None


def voters(scenario: Scenario) -> int:
    """How many of the first peers vote."""
    told = scenario.security
    return (told.members or members_of(told.quorum)) if told.consensus else 0


def _trojans(scenario: Scenario) -> frozenset[int]:
    told = scenario.publish
    draws = Streams(scenario.seed, "").stream("trojans")
    return frozenset(draws.sample(range(told.plasmids), round(told.trojan_rate * told.plasmids)))


def _policy(scenario: Scenario) -> Policy:
    told = scenario.security
    layers = {"tensor_outliers": told.detectors, "probes": told.detectors, "consensus": told.consensus}
    return Policy.parse({**layers, **told.policy}, where="security.policy")


def _template(scenario: Scenario, edges: Edges, keys: Mapping[int, PrivateKey]) -> CoreConfig:
    degree = max(map(len, neighbours(scenario.agents, edges)), default=0)
    links = Bounds(links_in=max(degree, 1), links_out=max(degree, 1))
    phase = MIDDLE if scenario.synchronous else None
    base = CoreConfig(peer="", swarm=SWARM_ID, boot="", bounds=links, phase=phase)
    members = (Member(f"m{number}", key.public, peer_id(number)) for number, key in keys.items())
    voting = membership(SWARM_ID, members, scenario.security.quorum) if keys else None
    template: CoreConfig = configured(base, scenario.core, "core")
    return replace(template, members=voting)


def _vote_keys(scenario: Scenario) -> dict[int, PrivateKey]:
    """The keys of the first peers, who vote where there is a consensus."""
    told = scenario.security
    if not told.consensus:
        return {}
    count = voters(scenario)
    if count > scenario.agents:
        raise UsageError(f"{count} members among {scenario.agents} peers", where="security.members")
    return {
        number: private_key_from_seed(hashlib.sha256(f"plora/sim/vote\x00{number}".encode()).digest())
        for number in range(count)
    }
