"""What event logs of one swarm, of daemons or simulated, tell of transfer entropy between neighbours.

Rules:

- The unit is a publisher: all that one publishes may travel together, so that its adapters aren't told apart, while
  what others publish sets out elsewhere. Intervals and surrogates are over publishers, and speak of this swarm alone:
  its graph is the same for all. What holds of other swarms is said by several runs (`plora.lab.net_it`).
- A publisher is the peer whose log says that it published; adapters of which no log says so, or several, are left out
  and counted.
- A peer got an adapter when it first accepted it. Time counts from its publication, in steps of the median time from a
  peer's accepting to that of the neighbour from whom it first heard of it.
- Logs whose clocks disagree by more than `APART_MAX` of a step are refused: where one heard of an adapter so long
  before the peer from whom it did, or accepted it so long before it was published.
- Neighbours were linked at some time, by either's word. Surrogates give targets the sources of another publisher's
  adapters at the same step, so that peers who are always early or late pass for no influence.
- Figures, and what refuses them: `plora.analysis.network_information`. Of many publishers `PUBLISHERS_MAX` are drawn,
  of many pairs so many that there are `CELLS_MAX` of pair and adapter. More than `PEERS_MAX` peers are refused.

Not handled here: clocks that are apart by less than it takes an adapter to the next peer, which no order of records
shows; links that come and go, peers that are down for a while, acquisitions that are lost again.

>>> spread_information(Gathered())
{'refused': 'no links between peers with logs'}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plora.analysis.log_summary import first_accepted, first_seen, links_of
from plora.analysis.logs import NOBODY, Gathered
from plora.analysis.network_information import Ints, Run, transferred

STEPS_MAX = 64
CELLS_MAX = 200_000
PUBLISHERS_MAX = 64
PEERS_MAX = 2000
SURROGATES = 99
APART_MAX = 0.1
Times = Mapping[int, Mapping[int, int]]
"""Milliseconds by content and peer."""

Heard = Mapping[int, Mapping[int, tuple[int, int]]]
"""By content and peer: from whom it first heard of it, `NOBODY` for who published it, and when, ms."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """Who published it and when (ms), and when each peer accepted it (ms)."""

    publisher: int
    at_ms: int
    accepted: Mapping[int, int]


Published = Sequence[Adapter]
"""All of one publisher."""


def spread_information(gathered: Gathered, seed: int = 0) -> dict[str, Any]:
    """`publishers`, `left_out`, `step_ms`, `steps`, and the figures of `neighbours` and `strangers`; or `refused`: why
    there are none.

    `seed` draws pairs, strangers and surrogates.
    """
    links, heard = links_of(gathered), first_seen(gathered)
    if not links:
        return {"refused": "no links between peers with logs"}
    if len(gathered.own) > PEERS_MAX:
        return {"refused": f"more than {PEERS_MAX:,} peers; take the logs of some"}
    accepted = first_accepted(gathered)
    step_ms, apart_ms = _step_ms(heard, accepted), _clocks_apart_ms(heard, accepted)
    if apart_ms > APART_MAX * step_ms:
        return {"refused": f"clocks of peers are at least {apart_ms / 1000:g} s apart, or logs lack their beginning"}
    if not step_ms:
        return {"refused": "nobody accepted what a neighbour had accepted before"}
    drawn = np.random.default_rng(seed)
    published = _publishers(heard, accepted)
    if not published:
        return {"refused": "no log says who published what was accepted"}
    told = {"left_out": len(accepted) - sum(map(len, published)), "step_ms": step_ms}
    some = sorted(drawn.permutation(len(published))[:PUBLISHERS_MAX].tolist())
    return told | _figures(gathered, links, [published[number] for number in some], step_ms, seed, drawn)


def _figures(
    gathered: Gathered,
    links: Sequence[tuple[int, int]],
    published: Sequence[Published],
    step_ms: int,
    seed: int,
    drawn: np.random.Generator,
) -> dict[str, Any]:
    """`publishers`, `steps`, `neighbours` and `strangers` of what these publishers published."""
    edges = _edges(gathered, links)
    runs = [Run(_acquired(gathered, one, step_ms), edges) for one in published]
    steps = int(max(run.acquired[run.acquired <= STEPS_MAX].max() for run in runs))
    count = max(1, CELLS_MAX // sum(map(len, published)))
    told: dict[str, Any] = {"publishers": len(runs), "steps": steps}
    for kind, pairs in {"neighbours": runs[0].edges, "strangers": runs[0].strangers(seed)}.items():
        some = pairs if len(pairs) <= count else drawn.permutation(pairs)[:count]
        told[kind] = transferred(runs, [some] * len(runs), steps, SURROGATES, seed, "publishers")
    return told


def _clocks_apart_ms(heard: Heard, accepted: Times) -> int:
    """By how much an effect is before its cause, the most; 0 where none is."""
    apart = [0]
    for content, peers in heard.items():
        apart += [peers[sender][1] - at for sender, at in peers.values() if sender in peers]
        first = accepted.get(content, {})
        begins = [at for sender, at in peers.values() if sender == NOBODY]
        apart += [min(begins) - min(first.values())] if begins and first else []
    return max(apart)


def _step_ms(heard: Heard, accepted: Times) -> int:
    """The median time from one's accepting to that of who heard of it from there; 0 where that never was."""
    took = [
        times[peer] - times[sender]
        for content, peers in heard.items()
        if (times := accepted.get(content, {}))
        for peer, (sender, _) in peers.items()
        if sender != NOBODY and times.get(peer, 0) > times.get(sender, np.inf)
    ]
    return int(np.median(took)) if took else 0


def _publishers(heard: Heard, accepted: Times) -> list[Published]:
    """What each published that anybody accepted, in the order of publishers."""
    found: dict[int, list[Adapter]] = {}
    for content, times in sorted(accepted.items()):
        begins = {peer: at for peer, (sender, at) in heard.get(content, {}).items() if sender == NOBODY}
        if len(begins) == 1:
            ((publisher, at),) = begins.items()
            found.setdefault(publisher, []).append(Adapter(publisher, at, times))
    return [found[publisher] for publisher in sorted(found)]


def _acquired(gathered: Gathered, published: Published, step_ms: int) -> Ints:
    """Peers × adapters: the step at whose end each peer had accepted, 0 for who published."""
    own = {peer: number for number, peer in enumerate(gathered.own)}
    acquired = np.full((len(own), len(published)), STEPS_MAX + 1, np.int64)
    for column, one in enumerate(published):
        for peer in one.accepted.keys() & own.keys():
            acquired[own[peer], column] = min(STEPS_MAX + 1, -(-(one.accepted[peer] - one.at_ms) // step_ms))
        acquired[own[one.publisher], column] = 0
    return acquired


def _edges(gathered: Gathered, links: Sequence[tuple[int, int]]) -> Ints:
    own = {peer: number for number, peer in enumerate(gathered.own)}
    return np.array([(own[a], own[b]) for pair in links for a, b in (pair, pair[::-1])], np.int64)
