"""docs/findings.md: what findings say, between marks, from results/findings.json alone.

Rules:

- Whatever depends on a number stands between `<!-- findings:NAME -->` and `<!-- /findings -->` and is made here. A page
  without one of the places, or with one that isn't known, is refused.

Not handled here: the numbers (`plora.lab.findings.document`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from plora.lab.findings.figures import Figure, percent
from plora.lab.value_add.page import bounds_text, cell_text, table
from plora.proto.errors import UsageError

_PLACE = re.compile(r"(<!-- findings:(?P<name>[a-z]+) -->\n).*?(<!-- /findings -->)", re.DOTALL)
COLUMNS = ("", "value", "95 % interval", "of")
LETTERS = "abc"
BY_VERDICTS = ("spread", "safe")
"""Parts that hang on what detectors find."""
SHARES = ("trojan_rate", "trojan_accepted_upper_max", "value_kept_lower_min")
PROVISO = "if detectors find what is assumed"

Findings = Mapping[str, Any]
Lines = Iterator[str]


def with_findings(page: str, found: Findings) -> str:
    """The page with what stands between its marks made anew. Raises UsageError where places and findings differ."""
    names = [place["name"] for place in _PLACE.finditer(page)]
    if sorted(names) != sorted(PLACES):
        mend = f"<!-- findings:NAME --> and <!-- /findings --> once for each of {', '.join(PLACES)}"
        raise UsageError(f"its places are {', '.join(names) or 'none'}", where="the page of findings", mend=mend)
    return _PLACE.sub(lambda place: place[1] + "\n".join(PLACES[place["name"]](found)) + "\n" + place[3], page)


def _answer(found: Findings) -> Lines:
    parts = found["parts"]
    failed = [letter for letter, part in zip(LETTERS, parts, strict=True) if not part["holds"]]
    provided = f", {PROVISO}" if found["verdicts"]["assumed"] else ""
    if failed:
        fail = f"{_listed(failed)} {'fails' if len(failed) == 1 else 'fail'}"
        sure = any(not part["holds"] and part["name"] not in BY_VERDICTS for part in parts)
        yield f"**No{'' if sure else provided}.** Of the rule's three parts {fail}:"
    else:
        yield f"**Yes{provided}.** Each part of the rule holds:"
    yield ""
    for letter, part in zip(LETTERS, parts, strict=True):
        of = provided if part["name"] in BY_VERDICTS else ""
        yield f"- ({letter}) {'holds' if part['holds'] else '**fails**'}{of}: {part['sentence']}"
    yield ""
    if provided:
        yield "Verdicts of detectors are assumed: whether (b) holds or fails says nothing of Plora's own gate."
    yield from _of_spread(found)
    yield from _of_value(found)


def _of_spread(found: Findings) -> Lines:
    """What (a) alone would hide."""
    spread, ratio = found["parts"][0], found["layers"]["t90_ratio"]
    if spread["holds"] and (spread["high"] is None or spread["high"] > spread["limit"]):
        yield "The interval of (a) reaches beyond its limit; the rule asks for the estimate alone."
    looks = found["looks"]
    yield f"For (a) a look takes {_seconds(looks['inspect_ms'])}, {_of_rounds(looks)}: what probes take on `mini`,"
    yield "one adapter after the other. What quicker looks would come to stands below."
    whole = "never reached" if ratio is None else f"{ratio:.2f} times that with none"
    fits = "is" if ratio is not None and ratio <= spread["limit"] else "is not"
    yield "(a) is of the gate that each peer has by itself. With all layers on, the consensus of members too, which is"
    yield f"optional, and looks of {_seconds(found['layers']['inspect_ms'])}, T90 is {whole}"
    yield f"({found['layers']['seeds']} seeds); that {fits} within the limit."


def _of_value(found: Findings) -> Lines:
    """What (c) alone would hide."""
    routed = [bounds_text(one["kept"]) for one in found["value"]["kept"] if one["cell"] == "routed" and one["kept"]]
    if routed:
        yield "(c) is of the default merge. A router, which sends each question to one adapter, keeps this share of the"
        yield f"gain: {', '.join(routed)}."
    told, asked = found["value"], found["value"]["asked"]
    ranks = sorted({one["rank"] for one in told["kept"]})
    yield f"It is decided by rank {_and(ranks)} and {_and(told['documents'])} held-out questions a domain. The full"
    yield f"experiment, of ranks {_and(asked['ranks'])} and {asked['dev_size']:,} questions, is not what it is of."


def _verdicts(found: Findings) -> Lines:
    told = found["verdicts"]
    if told["assumed"]:
        clean, trojan = (percent(told[name]) for name in ("accept_clean", "accept_trojan"))
        yield "**What detectors find here is assumed, not measured**:"
        yield f"they pass {clean} of clean adapters and {trojan} of trojans, and two peers' verdicts on one adapter"
        yield f"correlate by {told['correlation']:g}. So (b) says what such a gate does in a swarm, and not that"
        yield "Plora's is one."
        return
    yield f"What detectors find was measured; trojans are of the kind that passes most often, `{told['worst']}`."
    yield ""
    rows = [[f"`{kind}`", percent(one["accept"]), f"{one['correlation']:.2f}"] for kind, one in told["kinds"].items()]
    yield from table(("kind", "passed", "correlation of two peers"), rows)


def _figures(name: str) -> Callable[[Findings], Lines]:
    def lines(found: Findings) -> Lines:
        rows = [Figure(**one) for one in found[name]]
        yield from table(COLUMNS, [[one.what, *one.text(), one.of] for one in rows])
        yield ""
        yield f"By {', '.join(f'`{one}`' for one in dict.fromkeys(one.command for one in rows))}."

    return lines


def _rule(found: Findings) -> Lines:
    told = found["rule"]
    share, most, least = (f"{100 * told[name]:g} %" for name in SHARES)
    yield "- (a) the rounds until 90 % have what is clean (T90) are with the gate on"
    yield f"  at most {told['t90_ratio_max']:g} times those with it off;"
    yield f"- (b) of {share} trojans among what is published, the upper end of the 95 % interval of honest peers"
    yield f"  that accept one is at most {most};"
    yield f"- (c) the lower bound of the gain that the default merge keeps of the adapters' is at least {least}."


def _looks(found: Findings) -> Lines:
    told = found["looks"]
    rows = []
    for one in told["rows"]:
        within = f"never within {one['rounds']}" if one["on"]["value"] is None else ""
        ratio, on = (Figure("", **one[name], unit=unit).text() for name, unit in (("ratio", "x"), ("on", "rounds")))
        look = f"{_seconds(one['inspect_ms'])}{', decides (a)' if one['inspect_ms'] == told['inspect_ms'] else ''}"
        rows.append([look, f"{one['inspect_ms'] / told['round_ms']:g}", within or on[0], *ratio, f"{one['runs']} runs"])
    yield from table(("a look takes", "in rounds", "T90, gate on", "on by off", "95 % interval", "of"), rows)


def _layers(found: Findings) -> Lines:
    told = found["layers"]
    size = f"{told['peers']} real cores, a quorum of {told['quorum']}"
    of = f"{told['adapters']} adapters, {told['trojans']} of them trojans; a look takes {_seconds(told['inspect_ms'])}"
    yield f"{size}, {of}. Means and ranges of {told['seeds']} seeds."
    yield ""
    columns = ("layers", "serve a trojan", "trojans merged", "clean merged", "T90, rounds")
    yield from table(columns, [_layer_row(one) for one in told["rows"]])


def _percolation(found: Findings) -> Lines:
    told = found["percolation"]
    graphs = f"graphs of mean degree {told['degree']:.1f} (`{told['family']}`)"
    yield f"Runs of the fleet: {told['peers']:,} peers on {graphs}, {told['rounds']} rounds. All that is"
    yield "published are trojans."
    yield ""
    columns = (
        "peers that let a trojan pass",
        "verdicts correlate by",
        "peers that it comes to",
        "95 % interval",
        "theory",
        "within the interval",
    )
    rows = []
    for one in told["rows"]:
        seen, interval = Figure("", **one["seen"], unit="share").text()
        theory = [percent(one["theory"]), "yes" if one["within"] else "no"]
        rows.append([percent(one["accept"]), f"{one['correlation']:g}", seen, interval, *theory])
    yield from table(columns, rows)
    outside = sum(not one["within"] for one in told["rows"])
    yield ""
    yield f"Theory is outside of {outside} of {len(rows)} intervals."


def _served(found: Findings) -> Lines:
    if not found["served"]:
        yield "Not measured yet: `make bench-detection` does, for hours."
        return
    rows = [[one["metric"], f"{one['value']:.3g}", one["goal"], one["peer"]] for one in found["served"]]
    yield from table(("", "value", "goal", "of"), rows)


def _value(found: Findings) -> Lines:
    told = found["value"]
    seeds, asked = (", ".join(map(str, told[name])) for name in ("seeds", "documents"))
    yield f"Training seeds {seeds}; {asked} held-out questions a domain; by `{told['command']}`."
    yield ""
    rows = [_kept_row(one) for one in told["kept"]]
    yield from table(("over all domains", "rank, modules", "gain kept", "over seeds alone", "lower bound"), rows)
    yield ""
    columns = (
        "questions",
        "answered by",
        "rank, modules",
        "nats a token, less the base's",
        "nats a question tells, less the base's",
        "exact, less the base's",
        "gain kept",
    )
    yield from table(columns, [_cell_row(one) for one in told["cells"]])


def _kept_row(one: Mapping[str, Any]) -> list[str]:
    lower = "–" if one["lower"] is None else f"{one['lower']:.3g}"
    return [cell_text({"of": "", **one}), _make(one), bounds_text(one["kept"]), bounds_text(one["over_seeds"]), lower]


def _cell_row(one: Mapping[str, Any]) -> list[str]:
    told = [bounds_text(one["difference"][name]) for name in ("nll", "question_information", "em")]
    return [one["domain"], cell_text(one), _make(one), *told, bounds_text(one["kept"])]


def _make(one: Mapping[str, Any]) -> str:
    return f"{one['rank']}, {one['scheme']}"


def _range(one: Mapping[str, float]) -> str:
    mean, least, most = (percent(one[name]) for name in ("mean", "least", "most"))
    return mean if least == most else f"{mean} ({least} to {most})"


def _layer_row(one: Mapping[str, Any]) -> list[str]:
    shares = (_range(one[name]) for name in ("peers", "trojans", "clean"))
    return [one["layers"], *shares, Figure("", one["t90"], unit="rounds").text()[0]]


def _seconds(ms: float) -> str:
    return f"{ms / 1000:g} s"


def _of_rounds(looks: Mapping[str, Any]) -> str:
    return f"{looks['inspect_ms'] / looks['round_ms']:g} rounds of {_seconds(looks['round_ms'])}"


def _and(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _listed(names: Sequence[str]) -> str:
    told = [f"({name})" for name in names]
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"


PLACES: Mapping[str, Callable[[Findings], Lines]] = {
    "rule": _rule,
    "answer": _answer,
    "verdicts": _verdicts,
    "diffusion": _figures("diffusion"),
    "looks": _looks,
    "theory": _figures("theory"),
    "safety": _figures("safety"),
    "layers": _layers,
    "thresholds": _figures("thresholds"),
    "percolation": _percolation,
    "served": _served,
    "value": _value,
}
"""What stands in each place."""
