"""A run as one HTML file: the swarm, coverage and verdicts over time, scrubbed by a slider.

Rules:

- The file needs nothing else: no network, no other file; its policy (CSP) names the digests of its own script and
  style, and allows no other.
- Places of peers are computed here, from the links that there ever were, and are the same for equal runs.
- Whatever comes from a run is data in JSON and becomes text, never markup.

Not handled here: reading runs (`plora.sim.trace`), the words for events: `say` turns a record's line into a sentence.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from plora.analysis.outcomes import OUTCOMES
from plora.proto.amounts import counted
from plora.sim.page.layout import places_of
from plora.sim.trace import Frame, Trace

LINKS_MAX = 20_000
"""Of more links only so many are drawn, evenly chosen; nobody sees more, and browsers draw these smoothly."""


def page_of(trace: Trace, say: Callable[[str], str]) -> str:
    """The page of a run."""
    return render(f"Run of {trace.report['scenario']['name']}", data_of(trace, say))


def render(title: str, data: Mapping[str, Any], more: str = "") -> str:
    """A page of what its script shows (see `data_of`); `more` is markup below it, with pictures in `data:` URLs."""
    parts = {name: resources.files(__package__).joinpath(f"page.{name}").read_text("utf-8") for name in ("css", "js")}
    policy = (
        f"default-src 'none'; script-src '{_digest(parts['js'])}'; style-src '{_digest(parts['css'])}'; "
        f"{'img-src data:; ' if more else ''}base-uri 'none'; form-action 'none'"
    )
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Template(resources.files(__package__).joinpath("page.html").read_text("utf-8")).substitute(
        title=html.escape(title),
        policy=html.escape(policy),
        style=parts["css"],
        script=parts["js"],
        data=text.replace("<", "\\u003c"),
        more=more,
    )


def write_page(path: Path, trace: Trace, say: Callable[[str], str]) -> None:
    """Write the page of a run into a file."""
    path.write_text(page_of(trace, say), encoding="utf-8")


def data_of(trace: Trace, say: Callable[[str], str]) -> dict[str, Any]:
    """What the script knows of a run."""
    report = trace.report
    links = sorted({link for frame in trace.frames for link in frame.linked})
    shown = frozenset(links[:: -(-len(links) // LINKS_MAX)] if links else ())
    return {
        "facts": facts_of(report),
        "alarms": trace.alarms,
        "notes": list(report["notes"]),
        "note": _note(trace, len(links), len(shown)),
        "outcomes": list(OUTCOMES),
        "kinds": ["clean", "trojan"],
        "moments": None,
        "shares": "Share of the peers that can be reached; the last three columns say in which round.",
        "adapters": [
            {"name": one.plasmid, "domain": one.domain, "kind": one.kind, "trojan": one.trojan} for one in trace.truth
        ],
        "liars": trace.liars,
        "rounds_to": report["rounds_to"],
        "theory": report["theory"],
        "rounds": [{name: one[name] for name in ("coverage", "verdicts")} for one in report["rounds"]],
        "places": places_of(trace.peers, links, report["scenario"]["graph"]["kind"]),
        "frames": [_frame(frame, shown, say) for frame in trace.frames],
    }


def facts_of(report: Mapping[str, Any]) -> str:
    """The run in one line."""
    scenario, graph = report["scenario"], report["graph"]
    adapters = report["adapters"]
    trojans = sum(one["kind"] != "clean" for one in adapters)
    told = [
        f"{scenario['engine']} of {counted(graph['peers'], 'peer')}",
        f"graph {scenario['graph']['kind']} with {counted(graph['edges'], 'edge')}",
        f"{counted(len(adapters), 'adapter')}, of which trojans: {trojans}",
        f"detectors {'on' if scenario['security']['detectors'] else 'off'}",
        f"consensus {'on' if scenario['security']['consensus'] else 'off'}",
        f"seed {scenario['seed']}",
    ]
    if report.get("adversaries"):
        count = len(report["adversaries"])
        told.insert(-1, f"{counted(count, 'peer')} break{'s' if count == 1 else ''} rules")
    return " · ".join(told)


def _note(trace: Trace, links: int, shown: int) -> str:
    if not trace.peers:
        return "This run kept no event logs, so single peers can't be shown."
    return f"Drawn are {shown:,} of {links:,} links." if shown < links else ""


def _frame(frame: Frame, shown: frozenset[tuple[int, int]], say: Callable[[str], str]) -> dict[str, Any]:
    return {
        "verdicts": _flat(frame.verdicts),
        "linked": _flat(link for link in frame.linked if link in shown),
        "unlinked": _flat(link for link in frame.unlinked if link in shown),
        "moved": _flat(link for link in frame.moved if link in shown),
        "up": frame.up,
        "down": frame.down,
        "planned": frame.planned,
        "said": [say(line) for line in frame.lines],
        "untold": frame.untold,
    }


def _flat(rows: Iterable[Sequence[int]]) -> list[int]:
    return [value for row in rows for value in row]


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
