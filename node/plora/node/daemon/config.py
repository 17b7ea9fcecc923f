"""peer.yaml: strict, every field known, every fault one line with the nearest known key.

- `load_config` raises the first fault; `faults_of` lists all of them, for `--check`.
- Sizes are bytes or text such as `64MiB`; rates are bytes a second, 0 is unlimited; times end in `_ms`.
- Relative paths are relative to the file. The home is the file's folder.
- Not handled here: trust.yaml (`plora.gate.trust_file`), what the core makes of its part (`plora.node.core.config`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from plora.gate import Policy
from plora.gate.consensus import Member, Membership, membership
from plora.node.audit.chain import AUDIT_MAX_MIN
from plora.node.core.config import Bounds, Limits, ProbeBudget, Recipe, Subscription
from plora.node.core.messages import PeerAddress
from plora.node.eventlog import EVENTS_MAX_MIN
from plora.node.gossip.addresses import is_local
from plora.node.joined import Told, load_told
from plora.node.workers.limits import PROBE_S_MAX
from plora.proto.errors import ConfigError, FormatError, PloraError
from plora.proto.fields import Id, ListAsTuple
from plora.proto.home import Home
from plora.proto.host_port import LISTEN_PATTERN, PATTERN, HostPort, ListenAt, join, split
from plora.proto.keys import ED25519, PublicKey
from plora.proto.strict_yaml import parse_yaml

_PEER_ID = r"^[0-9a-f]{64}$"
_SHAPES = {
    PATTERN: "HOST:PORT, such as 192.0.2.1:4700; ports are 1 to 65535",
    LISTEN_PATTERN: "HOST:PORT, such as 0.0.0.0:4700; ports end at 65535, and 0 takes a free one",
    _PEER_ID: "a peer id of 64 hexadecimal digits",
}
SIZE = re.compile(r"([0-9]+)\s*(B|KiB|MiB|GiB|TiB)?")
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def parse_size(value: object) -> object:
    """Bytes of `64MiB` and the like; anything else is returned for pydantic to refuse.

    >>> parse_size("20GiB") == 20 << 30
    True
    """
    match = SIZE.fullmatch(value) if isinstance(value, str) else None
    return int(match[1]) * _UNITS[match[2] or "B"] if match else value


PeerId = Annotated[str, Field(pattern=_PEER_ID)]
Size = Annotated[int, BeforeValidator(parse_size), Field(strict=True, ge=0)]
Milliseconds = Annotated[int, Field(strict=True, ge=1)]
AtLeastOne = Annotated[int, Field(strict=True, ge=1)]
Count = Annotated[int, Field(strict=True, ge=0)]
Names = Annotated[tuple[str, ...], ListAsTuple]


class Block(BaseModel):
    """A part of peer.yaml: frozen, no unknown field."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NeighbourBlock(Block):
    """A peer that is dialed, or awaited where there is no address."""

    peer: PeerId
    address: HostPort | None = None


class GossipBlock(Block):
    """How statements spread."""

    round_ms: Milliseconds = 1000
    fanout: Annotated[int, Field(strict=True, ge=1, le=64)] = 1
    eager_fanout: Count = 0
    heartbeat_ms: Milliseconds = 1000
    link_timeout_ms: Milliseconds = 5000
    redial_ms_max: Milliseconds = 30_000
    stall_ms: Milliseconds = 10_000


class SubscribeBlock(Block):
    """What is fetched; empty wants everything that trust may come to accept."""

    mode: Literal["all", "ask"] = "all"
    bases: Names = ()
    domains: Names = ()
    owners: Names = ()
    size_max: Size = 0
    carry: StrictBool = False

    @model_validator(mode="after")
    def _carry_needs_no_asking(self) -> SubscribeBlock:
        if self.carry and self.mode == "ask":
            raise ValueError("`carry: true` fetches everything, `mode: ask` nothing unasked: choose one")
        return self


class LimitsBlock(Block):
    """What others may make this peer spend."""

    upload_rate: Size = 4 << 20
    download_rate: Size = 16 << 20
    lan_exempt: StrictBool = True
    store_max: Size = 20 << 30
    disk_free_min: Size = 1 << 30
    artifact_max: Size = 256 << 20
    invitations_max: Annotated[int, Field(strict=True, ge=0, le=1024)] = 16
    collect_garbage: StrictBool = True
    watch_connections: StrictBool = True
    events_max: Annotated[Size, Field(ge=EVENTS_MAX_MIN)] = 256 << 20
    audit_max: Annotated[int, Field(strict=True, ge=AUDIT_MAX_MIN)] = 100_000
    untrusted_owners: AtLeastOne = 1000
    statements_per_owner: AtLeastOne = 256


class DiscoveryBlock(Block):
    """How further peers are found."""

    lan: StrictBool = False
    exchange: StrictBool = True
    exchange_ms: Annotated[int, Field(strict=True, ge=100)] = 60_000
    links_out: Annotated[int, Field(strict=True, ge=1, le=64)] = 8
    links_in: Annotated[int, Field(strict=True, ge=1, le=64)] = 32
    passive_max: Annotated[int, Field(strict=True, ge=2, le=4096)] = 256


class DetectionBlock(Block):
    """What looking into adapters may cost, and how long the secret of this peer's own probes lasts."""

    probes_per_owner: AtLeastOne = 20
    probes_per_hour: AtLeastOne = 60
    probe_s: Annotated[int, Field(strict=True, ge=1, le=PROBE_S_MAX)] = 120
    secret_ms: Annotated[int, Field(strict=True, ge=60_000)] = 86_400_000

    def budget(self) -> ProbeBudget:
        """What may be spent, as the core takes it."""
        return ProbeBudget(self.probes_per_owner, self.probes_per_hour)


def _known_strategy(name: str) -> str:
    from plora.merge.registry import STRATEGIES

    if name not in STRATEGIES:
        raise ValueError(f"must be one of {', '.join(STRATEGIES)}")
    return name


class MergeBlock(Block):
    """The merged adapter."""

    enabled: StrictBool = True
    delay_ms: Milliseconds = 500
    generations_max: Annotated[int, Field(strict=True, ge=1, le=64)] = 3
    kept_max: Size = 1 << 30
    strategy: Annotated[str, AfterValidator(_known_strategy)] = "weighted_sum"
    rank_max: Annotated[int, Field(strict=True, ge=1, le=1024)] = 16
    max_delta_fro: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] | None = None

    def recipe(self) -> Recipe:
        """How to merge."""
        return Recipe(self.strategy, self.rank_max, self.max_delta_fro)


def loopback(address: str) -> str:
    """The address, if only this machine reaches it; ValueError otherwise."""
    if is_local(address):
        return address
    raise ValueError("must be a loopback address such as 127.0.0.1:9480; from elsewhere come through `ssh -L`")


class WebBlock(Block):
    """The web page. Beyond loopback only where a container's runtime forwards a port of its host's loopback."""

    forwarded: StrictBool = False
    listen: ListenAt | None = None

    @field_validator("listen")
    @classmethod
    def _here(cls, listen: str | None, info: ValidationInfo) -> str | None:
        return listen if listen is None or info.data.get("forwarded") else loopback(listen)


def server_url(url: str) -> str:
    """The URL, if it is one of a host alone, by TLS or on this machine; ValueError otherwise."""
    scheme, _, place = url.partition("://")
    named = split(place) or split(f"{place}:80")
    if scheme not in ("http", "https") or named is None:
        raise ValueError("must look like http://127.0.0.1:8000 or https://HOST:PORT")
    if scheme == "http":
        loopback(join(*named))
    return url


class VllmBlock(Block):
    """A running vLLM whose adapters follow what is accepted here."""

    url: Annotated[str, AfterValidator(server_url)] | None = None
    key_file: str = ""
    check_ms: Milliseconds = 30_000


class ServingBlock(Block):
    """Model servers."""

    vllm: VllmBlock = VllmBlock()


class MemberBlock(Block):
    """One who votes. `key` is what `plora consensus key` prints; `peer` the id of the daemon that holds it."""

    name: Id
    key: str
    peer: PeerId | None = None

    def member(self) -> Member:
        """The member. Raises ConfigError for what is no key to vote with."""
        mend = "copy what `plora consensus key` prints on the member's machine"
        try:
            key = PublicKey.from_text(self.key)
        except FormatError as error:
            raise ConfigError(f"the key of {self.name}: {error.what}", where="consensus.members", mend=mend) from error
        if key.algorithm != ED25519:
            what = f"the key of {self.name} is an {key.algorithm} key, votes are {ED25519}"
            raise ConfigError(what, where="consensus.members", mend=mend)
        return Member(self.name, key, self.peer or "")


class ConsensusBlock(Block):
    """Who votes on what the swarm accepts. All peers have the same block: all of it is in the epoch's id."""

    members: Annotated[tuple[MemberBlock, ...], ListAsTuple] = ()
    quorum: AtLeastOne | None = None
    number: AtLeastOne = 1

    def membership(self, swarm: str) -> Membership | None:
        """The members of the epoch in a swarm, None if there are none. Raises ConfigError for what isn't safe."""
        if not self.members:
            return None
        return membership(swarm, [one.member() for one in self.members], self.quorum, self.number)

    @model_validator(mode="after")
    def _safe(self) -> ConsensusBlock:
        self.membership("")
        return self


class PeerConfig(Block):
    """All of peer.yaml."""

    name: Id
    listen: ListenAt = "127.0.0.1:4700"
    advertise: Annotated[tuple[HostPort, ...], ListAsTuple] = ()
    dialable: StrictBool = True
    neighbours: Annotated[tuple[NeighbourBlock, ...], ListAsTuple] = ()
    deny: Annotated[tuple[PeerId, ...], ListAsTuple] = ()
    discovery: DiscoveryBlock = DiscoveryBlock()
    gossip: GossipBlock = GossipBlock()
    policy: Policy = Policy()
    consensus: ConsensusBlock = ConsensusBlock()
    root: str = ""
    subscribe: SubscribeBlock = SubscribeBlock()
    limits: LimitsBlock = LimitsBlock()
    merge: MergeBlock = MergeBlock()
    detection: DetectionBlock = DetectionBlock()
    base_paths: Mapping[str, str] = Field(default_factory=dict)
    log: Literal["console", "json"] = "console"
    metrics: ListenAt | None = None
    web: WebBlock = WebBlock()
    serving: ServingBlock = ServingBlock()
    record: StrictBool = False
    seed: Count = 0

    @model_validator(mode="after")
    def _certificates_need_members(self) -> PeerConfig:
        if self.policy.consensus and not self.consensus.members:
            raise ConfigError(
                "wants a certificate for all that is accepted, and nobody votes",
                where="policy.consensus",
                mend="list the members under consensus.members, or set consensus: false",
            )
        return self

    def peer_addresses(self) -> tuple[PeerAddress, ...]:
        """The neighbours as the core takes them; entries of one peer are addresses of it."""
        addresses: dict[str, tuple[str, ...]] = {}
        for one in self.neighbours:
            addresses[one.peer] = (*addresses.get(one.peer, ()), *((one.address,) if one.address else ()))
        return tuple(PeerAddress(peer, known) for peer, known in addresses.items())

    def with_told(self, told: Told) -> PeerConfig:
        """With the neighbours and denials of joined.json, where this file doesn't name those peers itself."""
        own = {one.peer for one in self.neighbours}
        more = [
            NeighbourBlock(peer=one.peer, address=address)
            for one in told.neighbours
            if one.peer not in own
            for address in one.addresses
        ]
        deny = tuple(dict.fromkeys((*self.deny, *told.deny)))
        return self.model_copy(update={"neighbours": (*self.neighbours, *more), "deny": deny})

    def named_bases(self) -> tuple[str, ...]:
        """The base models that policy and subscriptions name."""
        own = (self.policy.base_model,) if self.policy.base_model else ()
        return tuple(dict.fromkeys((*self.subscribe.bases, *own)))

    def subscription(self) -> Subscription:
        """What is fetched, as the core takes it."""
        block = self.subscribe
        asks = block.mode == "ask"
        return Subscription(block.bases, block.domains, block.owners, block.size_max, ask=asks, carry=block.carry)

    def core_limits(self) -> Limits:
        """The limits that the core obeys itself."""
        return Limits(**self.limits.model_dump(include={one.name for one in fields(Limits)}))

    def core_bounds(self) -> Bounds:
        """The caps on what others can make the core keep, as far as they are settings."""
        return Bounds(
            statements_per_owner=self.limits.statements_per_owner,
            untrusted_owners=self.limits.untrusted_owners,
            links_in=self.discovery.links_in,
            links_out=self.discovery.links_out,
            passive_max=self.discovery.passive_max,
        )


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration (with what `plora join` was told), and the home that it belongs to."""

    home: Home
    peer: PeerConfig
    told: Told


def load_config(path: Path) -> LoadedConfig:
    """Read peer.yaml. Raises ConfigError for the first fault."""
    raw = _read(path)
    faults = list(_faults(raw, path))
    if faults:
        raise faults[0]
    home = Home(path.resolve().parent)
    told = load_told(home.joined)
    return LoadedConfig(home, PeerConfig.model_validate(raw).with_told(told), told)


def faults_of(path: Path) -> list[PloraError]:
    """Every fault of a peer.yaml, in the order of its fields; empty when it can be used."""
    try:
        faults: list[PloraError] = list(_faults(_read(path), path))
        load_told(Home(path.resolve().parent).joined)
        return faults
    except PloraError as error:
        return [error]


def _read(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        mend = "make a home by `plora init`, or name the file by --config"
        raise ConfigError(f"can't be read ({error.strerror})", where=str(path), mend=mend) from error
    try:
        document = parse_yaml(data).tree
    except PloraError as error:
        where = f"{path}: {error.where}" if error.where else str(path)
        raise ConfigError(error.what, where=where, mend=error.mend) from error
    if not isinstance(document, dict):
        raise ConfigError("is not a map of settings", where=str(path), mend="start from what `plora init` writes")
    return document


def _faults(raw: dict[str, Any], path: Path) -> Iterator[ConfigError]:
    try:
        PeerConfig.model_validate(raw)
    except ConfigError as error:
        yield ConfigError(error.what, where=f"{path}: {error.where}", mend=error.mend)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            place = ".".join(str(part) for part in fault["loc"])
            if fault["type"] == "extra_forbidden":
                what, mend = f"unknown field '{fault['loc'][-1]}'", _nearest(fault["loc"])
            elif fault["type"] == "string_pattern_mismatch":
                what, mend = f"is not {_SHAPES[fault['ctx']['pattern']]}", f"it was {fault['input']!r:.60}"
            else:
                what, mend = fault["msg"].lower().removeprefix("value error, "), f"it was {fault['input']!r:.60}"
            yield ConfigError(what, where=f"{path}: {place}", mend=mend)


def _nearest(loc: tuple[int | str, ...]) -> str:
    known = _fields_at(loc[:-1])
    close = difflib.get_close_matches(str(loc[-1]), known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(known)}"


def _fields_at(loc: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the block at a path into peer.yaml."""
    model: type[BaseModel] = PeerConfig
    for part in loc:
        field: FieldInfo | None = model.model_fields.get(str(part)) if isinstance(part, str) else None
        if field is not None:
            model = _block_of(field.annotation) or model
    return sorted(model.model_fields)


def _block_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in getattr(annotation, "__args__", ()) if (found := _block_of(part))), None)
