"""The settings that the core obeys; `plora.node.daemon.config` reads them from peer.yaml under the same names."""

from __future__ import annotations

from dataclasses import dataclass

from plora.gate.consensus import Membership
from plora.node.core.messages import PeerAddress
from plora.proto.errors import UsageError


@dataclass(frozen=True, slots=True)
class Bounds:
    """Caps on what others can make this peer keep. Reaching one is a `bound_hit` record that names the field."""

    statements_per_owner: int = 256
    untrusted_owners: int = 1000
    links_in: int = 32
    links_out: int = 8
    passive_max: int = 256
    refused_ids: int = 65_536
    announced_per_link: int = 4096
    reconcile_legs: int = 32
    outstanding_bytes_per_peer: int = 16 << 20
    outstanding_bytes: int = 64 << 20
    callers: int = 8
    reputations: int = 4096


@dataclass(frozen=True, slots=True)
class Subscription:
    """What is fetched without being asked for. An empty list leaves nothing out, `size_max` 0 neither.

    `owners` are local nicknames, or beginnings of owner ids (8 digits at least). `ask`: nothing is fetched unless a
    person asks for it. `carry`: everything is, for others' sake; nothing is used here.
    """

    bases: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    size_max: int = 0
    ask: bool = False
    carry: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be spent: bytes, and bytes a second. 0 switches a limit off.

    `lan_exempt`: the rates don't count for links within private address ranges. `collect_garbage`: what is older and
    not pinned gives way when `store_max` or `disk_free_min` is reached.
    """

    upload_rate: int = 0
    download_rate: int = 0
    lan_exempt: bool = True
    store_max: int = 20 << 30
    disk_free_min: int = 0
    artifact_max: int = 1 << 30
    collect_garbage: bool = True


@dataclass(frozen=True, slots=True)
class Recipe:
    """How accepted adapters are merged: a strategy of `plora.merge.registry`, the rank of the result, a bound.

    `max_delta_fro`: of each module's ‖ΔW‖_F; None for none.
    """

    strategy: str = "weighted_sum"
    rank_max: int = 16
    max_delta_fro: float | None = None


@dataclass(frozen=True, slots=True)
class ProbeBudget:
    """How many probes an hour are spent on the adapters of one owner, and on all."""

    per_owner: int = 20
    per_hour: int = 60


@dataclass(frozen=True, slots=True)
class CoreConfig:
    """Everything the core needs to know of its configuration.

    Rounds begin at a phase of a peer's own, which is drawn; with `phase`, at that part of a round after its start;
    `UsageError` unless it is at least 0 and less than 1.
    `members` vote on what is accepted; `vote_key` is the id of this peer's own key among theirs, "" if it has none.
    """

    peer: str
    swarm: str
    boot: str
    seed: int = 0
    name: str = ""
    neighbours: tuple[PeerAddress, ...] = ()
    denied: tuple[str, ...] = ()
    exchange: bool = False
    exchange_ms: int = 60_000
    addresses: tuple[str, ...] = ()
    dialable: bool = True
    round_ms: int = 1000
    phase: float | None = None
    fanout: int = 1
    eager_fanout: int = 0
    heartbeat_ms: int = 1000
    link_timeout_ms: int = 5000
    redial_ms_max: int = 30_000
    stall_ms: int = 10_000
    subscription: Subscription = Subscription()
    limits: Limits = Limits()
    merge: bool = True
    merge_delay_ms: int = 500
    merge_generations_max: int = 3
    recipe: Recipe = Recipe()
    probe_budget: ProbeBudget = ProbeBudget()
    members: Membership | None = None
    vote_key: str = ""
    bounds: Bounds = Bounds()

    def __post_init__(self) -> None:
        if self.phase is not None and not 0 <= self.phase < 1:
            raise UsageError(f"{self.phase} is no part of a round", where="phase", mend="use 0 or more, less than 1")
