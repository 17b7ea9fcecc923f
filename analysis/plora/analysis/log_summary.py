"""What event logs come to: coverage, verdicts, ways, traffic and links, as one JSON document.

Rules:

- Time is cut into `SLICES` of equal length; a series has the state at the end of each.
- Peers are those whose logs were read: shares are of them. Times to 50, 90 and 100 % are seconds since an adapter was
  first seen, None where it never came so far.
- A pair is a peer and an adapter: its last verdict counts, until it is revoked, superseded or expired.
- Kinds are `clean`, `trojan`, or `unknown`, since no peer knows what it has.

Not handled here: reading (`plora.analysis.logs`), the page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plora.analysis.diffusion import component_sizes, deltas, mutual_information, redundancy
from plora.analysis.logs import NOBODY, Gathered, Plasmid
from plora.analysis.outcomes import OUTCOMES
from plora.analysis.paths import tree_of
from plora.analysis.spectra import cheeger_bounds, conductance_estimate, spectral_gap
from plora.analysis.survival import Curve, log_rank, survival

SLICES = 60
MARKS = (0.5, 0.9, 1.0)
KINDS = ("clean", "trojan", "unknown")
SPECTRUM_MAX = 10_000
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Slices:
    """The times between the first record and the last, cut into equal parts."""

    begin_ms: int
    end_ms: int
    count: int = SLICES

    def edges(self) -> Rows:
        """When each slice ends; the last one after everything."""
        ends = self.begin_ms + (self.end_ms - self.begin_ms) * np.arange(1, self.count + 1) / self.count
        ends[-1] = self.end_ms
        return np.ceil(ends).astype(np.int64)

    def of(self, rows: Rows, column: int) -> Iterator[Rows]:
        """The rows of each slice by the time in a column, those of one time in their order."""
        rows = rows[np.argsort(rows[:, column], kind="stable")]
        yield from np.split(rows, np.searchsorted(rows[:, column], self.edges(), side="right")[:-1])


@dataclass(frozen=True)
class State:
    """What each peer says of each content at the end of a slice, and what changed in it: (peer, content, outcome)."""

    verdicts: NDArray[np.int8]
    changed: Rows


def slices_of(gathered: Gathered) -> Slices:
    """From the first record to the last one."""
    spans = list(gathered.spans.values()) or [[0, 0]]
    return Slices(min(begin for begin, _ in spans), max(end for _, end in spans))


def states(gathered: Gathered, slices: Slices) -> Iterator[State]:
    """The state of all pairs, slice by slice."""
    contents = max(1, len(gathered.contents))
    verdicts = np.full((len(gathered.peers), contents), -1, np.int8)
    for rows in slices.of(gathered.verdicts.rows(), 4):
        pairs, last = np.unique((rows[:, 0] * contents + rows[:, 1])[::-1], return_index=True)
        outcomes = rows[::-1][last, 2]
        new = verdicts.flat[pairs] != outcomes
        verdicts.flat[pairs] = outcomes
        yield State(verdicts, np.column_stack((pairs // contents, pairs % contents, outcomes))[new])


def summary(gathered: Gathered) -> dict[str, Any]:
    """The document."""
    slices, lines = slices_of(gathered), gathered.lines
    return {
        "summary_version": 1,
        "read": {
            "bytes": lines.bytes,
            "lines": lines.total,
            "records": lines.used,
            "missing": lines.missing,
            "left_out": [str(one) for one in lines.left_out()],
            "notes": list(gathered.notes),
        },
        "span": {
            "begin_ms": slices.begin_ms,
            "end_ms": slices.end_ms,
            "seconds": (slices.end_ms - slices.begin_ms) / 1000,
        },
        "peers": {"logs": len(gathered.own), "heard_of": len(gathered.peers) - len(gathered.own)},
        "kinds": dict(gathered.kinds.most_common()),
        "graph": _graph(gathered),
        **_series(gathered, slices),
        "plasmids": _plasmids(gathered),
        "gate": _gate(gathered),
        "survival": _survivals(gathered),
        "traffic": {
            **dict(sorted(gathered.traffic.items())),
            "redundancy": redundancy(gathered.traffic["heard"], gathered.traffic["useless"]),
        },
    }


def kind_of(plasmid: Plasmid | None) -> str:
    """One of `KINDS`."""
    if plasmid is None or not plasmid.kind:
        return "unknown"
    return "trojan" if plasmid.trojan else "clean"


def _kinds(gathered: Gathered) -> list[str]:
    return [kind_of(gathered.plasmids.get(number)) for number in range(len(gathered.contents))]


def domains_of(gathered: Gathered) -> dict[str, list[int]]:
    """The contents of each domain that was told of."""
    found: dict[str, list[int]] = {}
    for number, plasmid in sorted(gathered.plasmids.items()):
        found.setdefault(plasmid.domain or "unknown", []).append(number)
    return dict(sorted(found.items()))


def counts_of(verdicts: NDArray[np.int8], kinds: list[str]) -> dict[str, dict[str, int]]:
    """How many pairs there are by outcome and kind."""
    of = np.array(kinds)
    return {
        outcome: {kind: int((verdicts[:, : len(of)][:, of == kind] == number).sum()) for kind in KINDS}
        for number, outcome in enumerate(OUTCOMES)
    }


def _series(gathered: Gathered, slices: Slices) -> dict[str, Any]:
    domains, kinds, own = domains_of(gathered), _kinds(gathered), gathered.own
    coverage: dict[str, list[float]] = {domain: [] for domain in domains}
    verdicts, information = [], []
    for state in states(gathered, slices):
        accepted = state.verdicts[own] == 0
        knows = np.array([accepted[:, contents].any(axis=1) for contents in domains.values()]).T
        for number, domain in enumerate(domains):
            coverage[domain].append(float(knows[:, number].mean()) if own else 0.0)
        information.append(mutual_information(knows) if domains else 0.0)
        verdicts.append(counts_of(state.verdicts[own], kinds))
    return {
        "slices": slices.edges().tolist(),
        "coverage": coverage,
        "verdicts": verdicts,
        "mutual_information": information,
        "mutual_information_delta": deltas(information),
    }


def first_seen(gathered: Gathered) -> dict[int, dict[int, tuple[int, int]]]:
    """By content and peer: from whom it first heard of it, and when."""
    found: dict[int, dict[int, tuple[int, int]]] = {}
    rows = gathered.seen.rows()
    for content, peer, sender, at in rows[np.argsort(rows[:, 3], kind="stable")].tolist():
        found.setdefault(content, {}).setdefault(peer, (sender, at))
    return found


def first_accepted(gathered: Gathered) -> dict[int, dict[int, int]]:
    """By content and peer: when it was first accepted."""
    found: dict[int, dict[int, int]] = {}
    rows = gathered.verdicts.rows()
    rows = rows[rows[:, 2] == 0]
    for peer, content, _, _, at in rows[np.argsort(rows[:, 4], kind="stable")].tolist():
        found.setdefault(content, {}).setdefault(peer, at)
    return found


def _plasmids(gathered: Gathered) -> list[dict[str, Any]]:
    seen, accepted, names = first_seen(gathered), first_accepted(gathered), list(gathered.contents)
    peers, told = list(gathered.peers), []
    for content in sorted(seen, key=lambda one: (min(at for _, at in seen[one].values()), one)):
        begin = min(at for _, at in seen[content].values())
        plasmid = gathered.plasmids.get(content, Plasmid())
        tree = tree_of({peer: sender for peer, (sender, _) in seen[content].items()})
        took = sorted((at - begin) / 1000 for at in accepted.get(content, {}).values())
        told.append(
            {
                "content": names[content],
                "plasmid": plasmid.name,
                "version": plasmid.version,
                "domain": plasmid.domain,
                "kind": plasmid.kind or "unknown",
                "first_seen_ms": begin,
                "seen": len(seen[content]),
                "accepted": len(took),
                "seconds_to": _marks(took, len(gathered.own)),
                "steps": tree.by_depth,
                "mean_steps": tree.mean_depth,
                "told_most": None
                if tree.most_children is None
                else [peers[tree.most_children[0]], tree.most_children[1]],
            }
        )
    return told


def _marks(took: list[float], peers: int) -> dict[str, float | None]:
    places = {f"{mark:.0%}": int(np.ceil(mark * peers - 1e-9)) for mark in MARKS}
    return {name: took[place - 1] if 0 < place <= len(took) else None for name, place in places.items()}


def _gate(gathered: Gathered) -> dict[str, Any]:
    """Pairs by their last verdict, and why they weren't accepted."""
    rows, kinds = gathered.verdicts.rows(), _kinds(gathered)
    rows = rows[np.argsort(rows[:, 4], kind="stable")][::-1]
    _, last = np.unique(rows[:, 0] * max(1, len(kinds)) + rows[:, 1], return_index=True)
    pairs = {outcome: dict.fromkeys(KINDS, 0) for outcome in OUTCOMES}
    reasons: dict[str, Counter[str]] = {}
    names = list(gathered.reasons)
    for _, content, outcome, reason, _ in rows[last].tolist():
        if outcome >= 0:
            pairs[OUTCOMES[outcome]][kinds[content]] += 1
        if outcome > 0:
            reasons.setdefault(f"{OUTCOMES[outcome]}: {names[reason]}", Counter())[kinds[content]] += 1
    return {"pairs": pairs, "reasons": {name: dict(counts) for name, counts in sorted(reasons.items())}}


def times_by_kind(gathered: Gathered) -> dict[str, tuple[list[float], list[float]]]:
    """By kind: seconds until pairs accepted, and for how long the others were watched. Publishers don't count."""
    seen, accepted = first_seen(gathered), first_accepted(gathered)
    found: dict[str, tuple[list[float], list[float]]] = {}
    for content, heard in seen.items():
        got, watched = found.setdefault(kind_of(gathered.plasmids.get(content)), ([], []))
        begin, when = min(at for _, at in heard.values()), accepted.get(content, {})
        for peer in gathered.own:
            if heard.get(peer, (0, 0))[0] == NOBODY:
                continue
            if peer in when:
                got.append((when[peer] - begin) / 1000)
            elif (late := (gathered.spans[peer][1] - begin) / 1000) > 0:
                watched.append(late)
    return found


def curves_by_kind(gathered: Gathered) -> dict[str, Curve]:
    """Shares of pairs that are still without, by kind."""
    return {kind: survival(*times) for kind, times in sorted(times_by_kind(gathered).items())}


def _survivals(gathered: Gathered) -> dict[str, Any]:
    times, curves = times_by_kind(gathered), curves_by_kind(gathered)
    told: dict[str, Any] = {
        kind: {
            "accepted": len(times[kind][0]),
            "watched": len(times[kind][1]),
            "seconds_to": {f"{mark:.0%}": curve.time_to(mark) for mark in MARKS},
        }
        for kind, curve in curves.items()
    }
    if "clean" in times and "trojan" in times:
        told["log_rank_p"] = log_rank(times["clean"], times["trojan"])
    return told


def links_of(gathered: Gathered) -> list[tuple[int, int]]:
    """Pairs of peers with logs that were ever linked, by either's word, the smaller first."""
    own = set(gathered.own)
    rows = np.unique(gathered.links.rows()[:, :2], axis=0).tolist()
    return sorted({(min(a, b), max(a, b)) for a, b in rows if a in own and b in own and a != b})


def _graph(gathered: Gathered) -> Mapping[str, Any]:
    """The graph of all links that there ever were between peers with logs."""
    place = {peer: number for number, peer in enumerate(gathered.own)}
    near: list[list[int]] = [[] for _ in place]
    links = links_of(gathered)
    for a, b in links:
        near[place[a]].append(place[b])
        near[place[b]].append(place[a])
    told: dict[str, Any] = {"links": len(links), "components": component_sizes(near)}
    if links and 2 <= len(near) <= SPECTRUM_MAX:
        told |= {
            "lambda2_normalized": spectral_gap(near),
            "lambda2_combinatorial": spectral_gap(near, normalized=False),
            "conductance": conductance_estimate(near).value,
            "cheeger_normalized": list(cheeger_bounds(near)),
        }
    return told
