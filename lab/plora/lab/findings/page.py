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
    if failed:
        yield f"**No.** Of the rule's three parts {_listed(failed)} {'fails' if len(failed) == 1 else 'fail'}:"
    else:
        provided = ", if detectors find what is assumed" if found["verdicts"]["assumed"] else ""
        yield f"**Yes{provided}.** Each part of the rule holds:"
    yield ""
    for letter, part in zip(LETTERS, parts, strict=True):
        yield f"- ({letter}) {'holds' if part['holds'] else '**fails**'}: {part['sentence']}"
    yield ""
    yield from _of_spread(found)
    yield from _of_value(found)


def _of_spread(found: Findings) -> Lines:
    """What (a) alone would hide."""
    spread, ratio = found["parts"][0], found["layers"]["t90_ratio"]
    if spread["holds"] and (spread["high"] is None or spread["high"] > spread["limit"]):
        yield "The interval of (a) reaches beyond its limit; the rule asks for the estimate alone."
    whole = "never reached" if ratio is None else f"{ratio:.2f} times that with none"
    fits = "is" if ratio is not None and ratio <= spread["limit"] else "is not"
    yield "(a) is of the gate that each peer has by itself. With all layers on, the consensus of members too, which is"
    yield f"optional, T90 is {whole} ({found['layers']['seeds']} seeds); that {fits} within the limit."


def _of_value(found: Findings) -> Lines:
    """What (c) alone would hide."""
    routed = [bounds_text(one["kept"]) for one in found["value"]["kept"] if one["cell"] == "routed" and one["kept"]]
    if routed:
        yield "(c) is of the default merge. A router, which sends each question to one adapter, keeps this share of the"
        yield f"gain: {', '.join(routed)}."


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


def _layers(found: Findings) -> Lines:
    told = found["layers"]
    size = f"{told['peers']} real cores, a quorum of {told['quorum']}"
    yield f"{size}, 20 adapters, 6 of them trojans; means and ranges of {told['seeds']} seeds."
    yield ""
    columns = ("layers", "serve a trojan", "trojans merged", "clean merged", "T90, rounds")
    yield from table(columns, [_layer_row(one) for one in told["rows"]])


def _percolation(found: Findings) -> Lines:
    columns = (
        "peers that let a trojan pass",
        "verdicts correlate by",
        "peers that it comes to",
        "95 % interval",
        "theory",
    )
    rows = []
    for one in found["percolation"]["rows"]:
        seen, interval = Figure("", **one["seen"], unit="share").text()
        rows.append([percent(one["accept"]), f"{one['correlation']:g}", seen, interval, percent(one["theory"])])
    yield from table(columns, rows)


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


def _listed(names: Sequence[str]) -> str:
    told = [f"({name})" for name in names]
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"


PLACES: Mapping[str, Callable[[Findings], Lines]] = {
    "answer": _answer,
    "verdicts": _verdicts,
    "diffusion": _figures("diffusion"),
    "theory": _figures("theory"),
    "safety": _figures("safety"),
    "layers": _layers,
    "thresholds": _figures("thresholds"),
    "percolation": _percolation,
    "served": _served,
    "value": _value,
}
"""What stands in each place."""
