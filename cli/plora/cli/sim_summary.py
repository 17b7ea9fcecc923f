"""What came of a simulation, for people: from its report alone, whichever engine made it.

- A strip shows a figure over all rounds, from nothing (a blank) to its most (a full block).
- Shares are of the peers that can be reached; the first line says how many those are where they aren't all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from plora.cli.output import safe
from plora.proto.amounts import counted, size_text
from plora.sim.scenario import Expect

STRIP_CELLS = 30
SHADES = " ▁▂▃▄▅▆▇█"
REASONS_SHOWN = 4
NOTHING = Expect().model_dump(mode="json")
"""What a scenario expects that says nothing of it."""


def summary(report: Mapping[str, Any]) -> RenderableType:
    """The whole summary."""
    parts: list[RenderableType] = [_head(report), Text(), _domains(report), Text(), _gate(report), *_reasons(report)]
    notes = (Text(note, style="yellow") for note in report["notes"])
    return Group(*parts, Text(), _figures(report), Text(), *notes, verdict(report), *_ending(report))


def strip(values: Sequence[float], most: float = 1.0) -> str:
    """A value for each cell, the last one of the rounds that it stands for.

    >>> strip([0.0, 0.05, 0.5, 1.0])
    ' ▁▄█'
    """
    cells = min(len(values), STRIP_CELLS)
    shown = [values[(cell + 1) * len(values) // cells - 1] / most if most else 0.0 for cell in range(cells)]
    return "".join(SHADES[_shade(share)] for share in shown)


def _shade(share: float) -> int:
    """A full block for all and a blank for nothing, neither for anything between."""
    top = len(SHADES) - 1
    return top if share >= 1 else 0 if share <= 0 else min(top - 1, max(1, int(share * top)))


def _head(report: Mapping[str, Any]) -> Text:
    told, graph = report["scenario"], report["graph"]
    parts = ", ".join(map(str, graph["components"][:3])) + (", …" if len(graph["components"]) > 3 else "")
    whole = "connected" if graph["connected"] else f"in {len(graph['components'])} parts ({parts})"
    line = Text.assemble(
        (safe(told["name"]), "bold"), f" · engine {told['engine']} · {counted(graph['peers'], 'peer')}"
    )
    line.append(f" · {told['graph']['kind']}, {counted(graph['edges'], 'edge')}, {whole}")
    if breaking := report.get("adversaries"):
        kinds = ", ".join(dict.fromkeys(safe(one["kind"]) for one in breaking))
        line.append(f" · {len(breaking)} break{'s' if len(breaking) == 1 else ''} rules ({kinds})", style="yellow")
    if others := report.get("other_releases"):
        line.append(f" · {len(others)} of other releases")
    if graph["reached"] < graph["peers"]:
        line.append(f" · {counted(graph['reached'], 'peer')} can be reached", style="yellow")
    return line.append(f" · {counted(len(report['rounds']), 'round')} · seed {told['seed']}")


def _domains(report: Mapping[str, Any]) -> Table:
    table = _table("domain", f"coverage, rounds 1 to {len(report['rounds'])}", "at end", "50% at", "90% at", "all at")
    for domain, marks in report["rounds_to"].items():
        series = [one["coverage"][domain] for one in report["rounds"]]
        reached = (_round(marks[mark]) for mark in ("50%", "90%", "100%"))
        table.add_row(safe(domain), Text(strip(series), style="cyan"), _share(series[-1]), *reached)
    return table


def _gate(report: Mapping[str, Any]) -> Table:
    table = _table("gate", "clean", "trojan")
    for outcome, kinds in report["gate"]["pairs"].items():
        bad = outcome == "accepted" and kinds["trojan"]
        table.add_row(outcome, f"{kinds['clean']:,}", Text(f"{kinds['trojan']:,}", style="bold red" if bad else ""))
    return table


def _reasons(report: Mapping[str, Any]) -> Iterator[Text]:
    for outcome, reasons in report["gate"]["reasons"].items():
        most = sorted(reasons.items(), key=lambda item: -sum(item[1].values()))
        said = (f"{safe(reason)} {sum(kinds.values()):,} ({kinds['trojan']:,} trojan)" for reason, kinds in most)
        yield Text(f"{outcome}: {', '.join(list(said)[:REASONS_SHOWN])}", style="dim")


def _figures(report: Mapping[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    information = [one["mutual_information"] for one in report["rounds"]]
    said = f"at most {max(information):.3f} bits, {information[-1]:.3f} at the end"
    table.add_row("I(Agent; Domain)", Text.assemble((strip(information, max(information)), "cyan"), f" {said}"))
    if kinds := report.get("verdicts", {}).get("kinds"):
        passed = ", ".join(f"{safe(kind)} {rate['accept']:.1%}" for kind, rate in kinds.items())
        table.add_row("detectors pass", f"{passed} ({report['verdicts']['source']})")
    traffic = report["traffic"]
    table.add_row("traffic", _traffic(traffic))
    known = f"{traffic['redundancy']:.1%} of {traffic['statements_heard']:,} statements heard were known already"
    table.add_row("redundancy", known)
    if traffic["hops"]:
        table.add_row("hops", _hops(traffic["hops"]))
    if report["graph"]["spectrum"]:
        table.add_row("graph", _spectrum(report["graph"]["spectrum"]))
    if report["theory"]:
        table.add_row("rounds to all", _theory(report["theory"]))
    return table


def _spectrum(spectrum: Mapping[str, Any]) -> str:
    normalized, combinatorial = (f"{spectrum[f'lambda2_{name}']:.3g}" for name in ("normalized", "combinatorial"))
    cut = spectrum["conductance"]
    conductance = f"conductance {'' if cut['exact'] else 'at most '}{cut['value']:.3g}"
    return f"λ₂ {normalized} (normalised Laplacian), {combinatorial} (combinatorial); {conductance}"


def _theory(rounds: Mapping[str, Any]) -> str:
    seen = "not all arrived" if rounds["observed"] is None else f"{rounds['observed']:.1f} on average"
    expected = f"a complete graph would take {rounds['complete_graph']:.1f}"
    shape = "" if rounds["spectral_shape"] is None else f"; ln n / λ₂ is {rounds['spectral_shape']:.3g}"
    return f"{seen}; {expected}{shape}"


def _traffic(traffic: Mapping[str, Any]) -> str:
    """What was sent; a model of it has messages, and no bytes."""
    said = f"{traffic['messages']:,} messages"
    if not traffic["wire_bytes"]:
        return said
    return f"{said} of {size_text(traffic['wire_bytes'])}; adapters are {size_text(traffic['bytes'])} of it"


def _hops(hops: Mapping[str, int]) -> str:
    counts = {int(hop): count for hop, count in hops.items()}
    total = sum(hop * count for hop, count in counts.items())
    return f"{total / sum(counts.values()):.1f} on average, {max(counts)} at most"


def verdict(report: Mapping[str, Any]) -> Text:
    """The one sentence: whether all that is clean arrived, and whether anything else did."""
    clean = [one for one in report["adapters"] if one["kind"] == "clean"]
    short = [one for one in clean if one["holders"][-1] < one["reachable"]]
    taken = report["gate"]["pairs"].get("accepted", {}).get("trojan", 0)
    trojans = f"; trojans were accepted {taken:,} times" if taken else ""
    if short:
        worst = min(short, key=lambda one: one["holders"][-1] / one["reachable"])
        held = f"{safe(worst['plasmid'])} reached {worst['holders'][-1]:,} of {worst['reachable']:,}"
        return Text(
            f"{len(short)} of {len(clean)} clean adapters didn't reach everybody ({held}){trojans}", style="red"
        )
    return Text(f"Everything clean reached everybody{trojans}", style="red" if taken else "green")


def _ending(report: Mapping[str, Any]) -> Iterator[Text]:
    """Whether it ended as its scenario expects, where that expects anything."""
    if missed := report.get("unexpected", ()):
        yield from (Text(safe(f"Not as expected: {one}"), style="red") for one in missed)
    elif report["scenario"].get("expect", NOTHING) != NOTHING:
        yield Text("Ended as its scenario expects", style="green")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 or "coverage" in column else "right", no_wrap=True)
    return table


def _share(share: float) -> str:
    return f"{share:.0%}" if share in (0.0, 1.0) else f"{share:.1%}"


def _round(number: float | None) -> str:
    return "–" if number is None else f"{number:g}"
