"""The report of `plora analyze`: the page of simulated runs with what event logs say, plots and a table of adapters.

Rules:

- One file that needs nothing else; everything that comes from a log is text in it, never markup.
- Above `CHANGES_MAX` changes of verdicts the swarm isn't drawn, only its curves: a browser would choke on it.

Not handled here: figures (`plora.analysis.log_summary`), the page itself (`plora.sim.page`).
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from plora.analysis.log_frames import Frame, flat, frames_of, links_over_time
from plora.analysis.log_lines import whole
from plora.analysis.log_summary import KINDS, slices_of
from plora.analysis.logs import Gathered, Plasmid
from plora.analysis.outcomes import OUTCOMES
from plora.cli.analysis_plots import plots
from plora.cli.event_lines import saying
from plora.gate import sentence
from plora.proto.amounts import counted
from plora.sim.page import LINKS_MAX, render
from plora.sim.page.layout import places_of

CHANGES_MAX = 1_000_000
MARKS = ("50%", "90%", "100%")
PLASMIDS_SHOWN = 500
NOTE = (
    "Without: share of pairs of peer and adapter that had not accepted it, by Kaplan and Meier with 95 % intervals; "
    "pairs of one swarm depend on each other, so intervals describe this run. Steps: along first senders."
)


def page_of(gathered: Gathered, summary: Mapping[str, Any], title: str) -> str:
    """The page, of a summary and what it was made from."""
    return render(title, _data(gathered, summary), _more(gathered, summary))


def moments(seconds: float, slices: int) -> list[str]:
    """How long after the first record the slices end, and before them nothing.

    >>> moments(30, 3), moments(7200, 2)[1], moments(10 * 86400, 2)[1]
    (['0 s', '10.0 s', '20.0 s', '30.0 s'], '1:00:00', '5 d 0 h')
    """
    return ["0 s", *(_elapsed(seconds * number / slices) for number in range(1, slices + 1))]


def _elapsed(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours // 24} d {hours % 24} h" if hours >= 48 else f"{hours}:{minutes:02}:{rest:02}"


def _data(gathered: Gathered, summary: Mapping[str, Any]) -> dict[str, Any]:
    """What the page's script wants, see `plora.sim.page.data_of`."""
    frames = frames_of(gathered, slices_of(gathered))
    links = list(links_over_time(frames))
    too_many = sum(len(frame.verdicts) for frame in frames) > 3 * CHANGES_MAX
    if too_many:
        frames, links = [Frame(lines=frame.lines, untold=frame.untold) for frame in frames], []
    peers = 0 if too_many else len(gathered.own)
    shown = frozenset(links[:: -(-len(links) // LINKS_MAX)] if links else ())
    say = _sayings(gathered)
    return {
        "facts": _facts(gathered, summary),
        "alarms": [],
        "notes": [*_notes(summary), *(["Too much happened to draw the swarm."] if too_many else [])],
        "note": f"Drawn are {len(shown):,} of {len(links):,} links." if len(shown) < len(links) else "",
        "outcomes": list(OUTCOMES),
        "kinds": [kind for kind in KINDS if _is_there(kind, summary)] or [KINDS[-1]],
        "shares": "Share of the peers whose logs were read; the last three columns say when it came so far.",
        "moments": moments(summary["span"]["seconds"], len(summary["slices"])),
        "adapters": [
            _adapter(gathered.plasmids.get(number, Plasmid()), content) for content, number in gathered.contents.items()
        ],
        "liars": {},
        "rounds_to": {domain: _marks(series) for domain, series in summary["coverage"].items()},
        "rounds": [
            {
                "coverage": {domain: series[number] for domain, series in summary["coverage"].items()},
                "verdicts": verdicts,
            }
            for number, verdicts in enumerate(summary["verdicts"])
        ],
        "places": places_of(peers, links, "file"),
        "frames": [_frame(frame, shown, say) for frame in frames],
    }


def _is_there(kind: str, summary: Mapping[str, Any]) -> bool:
    return any(counts[kind] for one in summary["verdicts"] for counts in one.values())


def _adapter(plasmid: Plasmid, content: str) -> dict[str, Any]:
    name = f"{plasmid.name}@{plasmid.version}" if plasmid.version else plasmid.name or content[:12]
    kind = plasmid.kind or "unknown"
    return {"name": name, "domain": plasmid.domain or "unknown", "kind": kind, "trojan": plasmid.trojan}


def _frame(frame: Frame, shown: frozenset[tuple[int, int]], say: Callable[[bytes], str]) -> dict[str, Any]:
    return {
        "verdicts": frame.verdicts,
        "linked": flat(link for link in frame.linked if link in shown),
        "unlinked": flat(link for link in frame.unlinked if link in shown),
        "moved": flat(link for link in frame.moved if link in shown),
        "up": frame.up,
        "down": frame.down,
        "planned": [],
        "said": [say(raw) for raw in frame.lines],
        "untold": frame.untold,
    }


def _sayings(gathered: Gathered) -> Callable[[bytes], str]:
    peers = list(gathered.peers)
    names = {peers[row]: gathered.names.get(row, "") or f"peer {number}" for number, row in enumerate(gathered.own)}
    names |= {
        content: _adapter(gathered.plasmids.get(number, Plasmid()), content)["name"]
        for content, number in gathered.contents.items()
    }

    def say(raw: bytes) -> str:
        record = whole(raw)
        return f"{names.get(record['peer'], 'somebody')}: {saying(record, lambda one: names.get(one, ''), sentence)}"

    return say


def _marks(series: Sequence[float]) -> dict[str, int | None]:
    """The slice in which coverage came so far."""
    shares = {mark: float(mark[:-1]) / 100 for mark in MARKS}
    return {
        mark: next((number for number, one in enumerate(series, 1) if one >= share - 1e-12), None)
        for mark, share in shares.items()
    }


def _facts(gathered: Gathered, summary: Mapping[str, Any]) -> str:
    told = [
        f"{counted(summary['peers']['logs'], 'peer')} with logs",
        f"{counted(summary['read']['records'], 'record')} over {_elapsed(summary['span']['seconds'])}",
        counted(len(summary["plasmids"]), "adapter"),
        f"graph of {counted(summary['graph']['links'], 'link')}",
    ]
    if gap := summary["graph"].get("lambda2_normalized"):
        told.append(f"λ₂ {gap:.3f} (normalised Laplacian)")
    return " · ".join(told)


def _notes(summary: Mapping[str, Any]) -> list[str]:
    read = summary["read"]
    missing = (
        [f"{counted(read['missing'], 'record')} that numbers tell of weren't in the logs."] if read["missing"] else []
    )
    return [*(f"Left out: {one}" for one in read["left_out"][:20]), *missing, *read["notes"]]


def _more(gathered: Gathered, summary: Mapping[str, Any]) -> str:
    """Plots and the table of adapters."""
    picture = base64.b64encode(plots(gathered, summary)).decode()
    alternative = "Four plots; their figures are in the JSON summary and in the table below"
    return (
        '<section id="more" aria-labelledby="more-title"><h2 id="more-title">Over the whole time</h2>'
        f'<p><img alt="{alternative}" src="data:image/png;base64,{picture}"></p>'
        f'<p class="small">{NOTE}</p>{_table(summary)}</section>'
    )


def _table(summary: Mapping[str, Any]) -> str:
    head = (
        "Adapter",
        "Domain",
        "Kind",
        "Seen by",
        "Accepted by",
        *(f"{mark[:-1]} % after" for mark in MARKS),
        "Mean steps",
    )
    rows = [
        (
            f"{one['plasmid'] or one['content'][:12]}",
            one["domain"] or "unknown",
            one["kind"],
            f"{one['seen']:,}",
            f"{one['accepted']:,}",
            *("–" if one["seconds_to"][mark] is None else _elapsed(one["seconds_to"][mark]) for mark in MARKS),
            "–" if one["mean_steps"] is None else f"{one['mean_steps']:.1f}",
        )
        for one in summary["plasmids"][:PLASMIDS_SHOWN]
    ]
    left = len(summary["plasmids"]) - len(rows)
    cells = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    names = "".join(f'<th scope="col">{name}</th>' for name in head)
    more = f'<p class="small">and {left:,} more in the JSON summary</p>' if left > 0 else ""
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Adapters"><table><thead><tr>'
        f"{names}</tr></thead><tbody>{cells}</tbody></table></div>{more}"
    )
