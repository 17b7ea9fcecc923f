"""A scenario: everything that a simulation is told. TOML, command line and sweeps all end in one of these.

Rules:

- Times are rounds (1.0 is one round of a peer, a second of virtual time by default), counted from when the peers that
  are there at the start know their neighbours. Peers are numbered from 0.
- Whatever is drawn is drawn from `seed`; equal scenarios, equal runs.
- Both engines read it. What an engine can't do it refuses by name (`UsageError`); it never leaves anything out.

Not handled here: running it (`plora.sim.run`).

>>> Scenario.parse({"agents": 8, "graph": {"kind": "ring"}}).graph.kind
'ring'
>>> Scenario.parse({"agents": 8, "grph": {}})
Traceback (most recent call last):
    ...
plora.proto.errors.UsageError: scenario: grph: Extra inputs are not permitted; see docs/simulator.md
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from plora.proto.errors import UsageError

GraphKind = Literal["er", "ws", "ba", "complete", "ring", "star", "hypercube", "regular", "file"]
DelayKind = Literal["constant", "uniform", "exponential", "lognormal"]
Action = Literal[
    "start",
    "stop",
    "kill",
    "power_cut",
    "cut",
    "heal",
    "links",
    "jump_clock",
    "slow_gate",
    "disk_full",
    "disk_error",
    "disk_free",
]


class Part(BaseModel):
    """A table of a scenario: nothing unknown in it, nothing changed later, no number that isn't one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Graph(Part):
    """Who knows whom. `connected` draws again until all can reach all; `dropout` is the share of edges that are down,
    drawn anew each round. `p` is of `er`, `k` and `beta` of `ws`, `m` of `ba`, `d` of `regular`, `file` an edge list or
    GraphML."""

    kind: GraphKind = "er"
    p: float = Field(default=0.25, ge=0, le=1)
    k: int = Field(default=4, ge=2)
    beta: float = Field(default=0.1, ge=0, le=1)
    m: int = Field(default=2, ge=1)
    d: int = Field(default=4, ge=1)
    file: Path | None = None
    connected: bool = False
    dropout: float = Field(default=0.0, ge=0, lt=1)


class Links(Part):
    """How bad the network is.

    `delay_ms` is the least delay and a typical one: `constant` is the first, `uniform` between both, `exponential` and
    `lognormal` (sigma 1) add one whose mean, or median, is their difference. `bandwidth` of a peer's way out in bytes a
    second, 0 for no limit. The others are probabilities for each frame; `bulk_loss` is for frames of artifacts.
    """

    delay: DelayKind = "uniform"
    delay_ms: tuple[float, float] = (1.0, 20.0)
    bandwidth: int = Field(default=0, ge=0)
    loss: float = Field(default=0.0, ge=0, le=1)
    bulk_loss: float = Field(default=0.0, ge=0, le=1)
    duplication: float = Field(default=0.0, ge=0, le=1)
    reorder: float = Field(default=0.0, ge=0, le=1)

    @field_validator("delay_ms")
    @classmethod
    def _in_order(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] <= value[1]:
            raise ValueError("the least delay, then a typical one that is no less")
        return value


class Choice(Part):
    """Some peers: these ones, or a share of all, or so many; the latter two are drawn. Nothing said is everybody."""

    peers: tuple[int, ...] = ()
    share: float | None = Field(default=None, ge=0, le=1)
    count: int | None = Field(default=None, ge=0)


class Publishing(Part):
    """What is published: `plasmids` adapters of as many owners, in turn of `domains`, the first at `first_round`, each
    `every` rounds later than the one before, spread evenly over the peers unless `at` names them. All owners have valid
    keys and are trusted; `trojan_rate` is the share of them whose adapters are trojans of `trojan_kind`."""

    domains: tuple[str, ...] = ("arithmetic", "legal", "medical")
    plasmids: int = Field(default=10, ge=1)
    trojan_rate: float = Field(default=0.0, ge=0, le=1)
    trojan_kind: str = "rare-token"
    first_round: float = Field(default=0.0, ge=0)
    every: float = Field(default=0.0, ge=0)
    at: tuple[int, ...] = ()


class Verdicts(Part):
    """What detectors find, where it isn't what was measured: see `plora.sim.verdicts`. What is `assumed` counts only
    while nothing was measured."""

    accept_clean: float = Field(ge=0, le=1)
    accept_trojan: float = Field(ge=0, le=1)
    correlation: float = Field(ge=0, le=1)
    assumed: bool = False


class Security(Part):
    """What the gates of all peers look at beyond what every gate checks (signatures, digests, forms, bounds).

    `detectors`: weights and probes, which find what `verdicts` say, or what was measured. `consensus`: the first
    `members` peers vote, `quorum` of them make a certificate; with 0, as many as that quorum is safe for.
    `members_linked`: they know each other, whatever the graph says. What measuring weights or probing takes is
    `inspect_ms` of virtual time. `policy` is further settings of a peer's policy.
    """

    detectors: bool = True
    consensus: bool = False
    quorum: int = Field(default=2, ge=1)
    members: int = Field(default=0, ge=0)
    members_linked: bool = True
    inspect_ms: float = Field(default=100.0, ge=0)
    policy: Mapping[str, Any] = Field(default_factory=dict)
    verdicts: Verdicts | None = None


class Happening(Choice):
    """Something that is done to some peers at a round.

    `cut` parts them from all others, `heal` ends every cut, `links` changes the network's state, `jump_clock` moves
    their wall clocks by `by` seconds, `slow_gate` makes their examinations `by` times as slow as they were at first,
    `disk_full` leaves `by` bytes free, `disk_error` lets nothing be written, `disk_free` ends both. `start` starts who
    is down; whom it names or draws isn't there before, unless something ended them.
    """

    round: float = Field(ge=0)
    do: Action
    by: float = 0.0
    links: Links | None = None


class Adversaries(Choice):
    """Peers that break rules from a round on; `kind` names one of `plora.sim.kinds.KINDS`. `around` makes those of them
    that a peer knows, but for `spared` that stay honest."""

    kind: str
    from_round: float = Field(default=0.0, ge=0)
    around: int | None = Field(default=None, ge=0)
    spared: int = Field(default=1, ge=0)


class Churn(Part):
    """Peers that come and go: in each round so many of a hundred are killed and start again `away` rounds later; with
    `whitewash` under a new id, unless they vote."""

    percent: float = Field(default=0.0, ge=0, le=100)
    away: float = Field(default=2.0, ge=0)
    whitewash: bool = False


class Expect(Part):
    """What must be so at the end, of peers that keep the rules; what isn't said is not asked.

    `clean_accepted` and `trojans_accepted_max` are shares of pairs of a peer and a clean adapter or a trojan. `agree`:
    all who run have the same live statements. `blamed_max`: how many of them another such peer penalised for what it
    sent. `met`: reasons, or bounds, that at least one such peer's log must name; without it a scenario might pass for
    want of what it is about.
    """

    clean_accepted: float | None = Field(default=None, ge=0, le=1)
    trojans_accepted_max: float | None = Field(default=None, ge=0, le=1)
    agree: bool = False
    blamed_max: int | None = Field(default=None, ge=0)
    met: tuple[str, ...] = ()


class Fleet(Part):
    """What the engine `fleet` is told beside; see docs/simulator.md, The fleet.

    `call`: who calls tells (`push`), asks (`pull`), or both; in a `flood` everybody hears all neighbours at once, each
    adapter with probability min(1, `beta` k) where k of them have it. `answers`: a peer answers all who call it in a
    round, or one. `regard`: peers call those more often who brought or gave them something, as the swarm's do.
    `poisson`: not each calls once a round, but anybody, drawn evenly, and a round is as many calls as there are peers.
    What a peer's gate finds is said by `security`.
    """

    call: Literal["push-pull", "push", "pull", "flood"] = "push-pull"
    answers: Literal["all", "one"] = "all"
    regard: bool = True
    poisson: bool = False
    beta: float = Field(default=1.0, gt=0)


def laid_over(base: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values with others in their place, table by table.

    >>> laid_over({"graph": {"kind": "ring"}, "seed": 1}, {"graph": {"p": 0.5}, "rounds": 3})
    {'graph': {'kind': 'ring', 'p': 0.5}, 'seed': 1, 'rounds': 3}
    """
    laid = dict(base)
    for name, value in told.items():
        both = isinstance(value, Mapping) and isinstance(laid.get(name), Mapping)
        laid[name] = laid_over(laid[name], value) if both else value
    return laid


def at_path(path: str, value: Any) -> dict[str, Any]:
    """A value in the tables that a dotted path names.

    >>> at_path("security.verdicts.correlation", 0.9)
    {'security': {'verdicts': {'correlation': 0.9}}}
    """
    for name in reversed(path.split(".")):
        value = {name: value}
    found: dict[str, Any] = value
    return found


class Scenario(Part):
    """One simulation. `synchronous`: all peers begin their rounds at once, else each at a phase of its own. With
    `invariants` honest peers are watched, and after all rounds network and machines are well for `settle` more at most,
    until nothing is under way."""

    name: str = "swarm"
    about: str = ""
    engine: Literal["swarm", "fleet"] = "swarm"
    agents: int = Field(default=20, ge=1)
    rounds: int = Field(default=30, ge=1)
    seed: int = 0
    synchronous: bool = False
    graph: Graph = Graph()
    links: Links = Links()
    publish: Publishing = Publishing()
    security: Security = Security()
    core: Mapping[str, Any] = Field(default_factory=dict)
    churn: Churn = Churn()
    happenings: tuple[Happening, ...] = ()
    adversaries: tuple[Adversaries, ...] = ()
    expect: Expect = Expect()
    invariants: bool = False
    settle: int = Field(default=0, ge=0)
    fleet: Fleet = Fleet()

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str = "scenario") -> Self:
        """A scenario of plain values; `UsageError` names the first field that is wrong."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise UsageError(f"{field}: {first['msg']}", where=where, mend="see docs/simulator.md") from None

    @classmethod
    def read(cls, path: Path) -> Self:
        """The scenario of a TOML file; `UsageError` where it is missing or wrong."""
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            raise UsageError(f"no scenario: {said}", where=str(path), mend="see docs/simulator.md") from None
        return cls.parse({"name": path.stem} | values, where=str(path))
