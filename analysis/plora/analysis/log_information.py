"""What event logs of one swarm, of daemons or simulated, tell of transfer entropy between neighbours.

Rules:

- The unit is a publisher: all that one publishes may travel together, so that its adapters aren't told apart, while
  what others publish sets out elsewhere. Intervals and surrogates are over publishers, and speak of this swarm alone:
  its graph is the same for all. What holds of other swarms is said by several runs (`plora.lab.net_it`).
- A peer got an adapter when it first accepted it. Time counts from the first who did, in steps of the median time from
  a peer's to that of the neighbour from whom it first heard of it.
- Neighbours were linked at some time, by either's word. Surrogates give targets the sources of another publisher's
  adapters at the same step, so that peers who are always early or late pass for no influence.
- Figures, and what refuses them: `plora.analysis.network_information`. Of many publishers `PUBLISHERS_MAX` are drawn,
  of many pairs so many that there are `CELLS_MAX` of pair and adapter. More than `PEERS_MAX` peers are refused.

Not handled here: links that come and go, peers that are down for a while, acquisitions that are lost again.

>>> spread_information(Gathered())
{'refused': 'no links between peers with logs'}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
Times = Mapping[int, Mapping[int, int]]
"""Milliseconds by content and peer."""


def spread_information(gathered: Gathered, seed: int = 0) -> dict[str, Any]:
    """`publishers`, `step_ms`, and the figures of `neighbours` and `strangers`; or why there are none (`refused`).

    `seed` draws pairs, strangers and surrogates.
    """
    links = links_of(gathered)
    if not links:
        return {"refused": "no links between peers with logs"}
    if len(gathered.own) > PEERS_MAX:
        return {"refused": f"more than {PEERS_MAX:,} peers; take the logs of some"}
    accepted = first_accepted(gathered)
    step_ms = _step_ms(gathered, accepted)
    if not step_ms:
        return {"refused": "nobody accepted what a neighbour had accepted before"}
    drawn = np.random.default_rng(seed)
    published = _publishers(accepted, drawn)
    edges = _edges(gathered, links)
    runs = [Run(_acquired(gathered, one, step_ms), edges) for one in published]
    steps = int(max(run.acquired[run.acquired <= STEPS_MAX].max() for run in runs))
    count = max(1, CELLS_MAX // sum(map(len, published)))
    told: dict[str, Any] = {"publishers": len(runs), "step_ms": step_ms, "steps": steps}
    for kind, pairs in {"neighbours": runs[0].edges, "strangers": runs[0].strangers(seed)}.items():
        some = pairs if len(pairs) <= count else drawn.permutation(pairs)[:count]
        told[kind] = transferred(runs, [some] * len(runs), steps, SURROGATES, seed, "publishers")
    return told


def _step_ms(gathered: Gathered, accepted: Times) -> int:
    """The median time from one's accepting to that of who heard of it from there; 0 where that never was."""
    took = [
        times[peer] - times[sender]
        for content, heard in first_seen(gathered).items()
        if (times := accepted.get(content, {}))
        for peer, (sender, _) in heard.items()
        if sender != NOBODY and times.get(peer, 0) > times.get(sender, np.inf)
    ]
    return int(np.median(took)) if took else 0


def _publishers(accepted: Times, drawn: np.random.Generator) -> list[Times]:
    """What each published that anybody accepted, at most `PUBLISHERS_MAX` of them: who accepted it when."""
    found: dict[int, dict[int, Mapping[int, int]]] = {}
    for content, times in sorted(accepted.items()):
        found.setdefault(next(iter(times)), {})[content] = times
    chosen = sorted(drawn.permutation(sorted(found))[:PUBLISHERS_MAX].tolist())
    return [found[publisher] for publisher in chosen]


def _acquired(gathered: Gathered, published: Times, step_ms: int) -> Ints:
    """Peers × adapters: the step at whose end each peer had accepted, 0 for who published."""
    own = {peer: number for number, peer in enumerate(gathered.own)}
    acquired = np.full((len(own), len(published)), STEPS_MAX + 1, np.int64)
    for column, times in enumerate(published.values()):
        begin = min(times.values())
        for peer in times.keys() & own.keys():
            acquired[own[peer], column] = min(STEPS_MAX + 1, -(-(times[peer] - begin) // step_ms))
    return acquired


def _edges(gathered: Gathered, links: Sequence[tuple[int, int]]) -> Ints:
    own = {peer: number for number, peer in enumerate(gathered.own)}
    return np.array([(own[a], own[b]) for pair in links for a, b in (pair, pair[::-1])], np.int64)
