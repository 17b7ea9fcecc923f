"""A simulation's run again in the terminal, round by round.

- A line for each adapter has a sign for each peer, or one for as many peers as a column stands for: `█` accepted,
  `▓` to `░` the share that did, `o` held apart, `·` waiting, `x` rejected; what is trojan and was accepted is red.
- Below it, coverage of each domain, and the newest events as sentences.
- On a terminal it plays; space stops and goes on, arrows step, q leaves. Elsewhere every round is printed once.

Not handled here: reading runs (`plora.sim.trace`), the words for events (`event_lines`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from plora.analysis.outcomes import OUTCOMES
from plora.cli.event_lines import saying
from plora.cli.output import safe
from plora.gate import sentence
from plora.sim.trace import Frame, Trace

STEP_S = 0.6
ACCEPTED, HELD, WAITING, REJECTED = range(len(OUTCOMES))
SIGNS = {ACCEPTED: "█", HELD: "o", WAITING: "·", REJECTED: "x"}
SHADES = " ░▒▓█"
STYLES = {ACCEPTED: "green", HELD: "yellow", WAITING: "dim", REJECTED: "magenta"}
BAR_CELLS = 30
NAMES_CELLS = 38
"""Of a line that says which adapter it is, and how many accepted it."""

HINT = "space stops and goes on · ← → step · q leaves"
LEFT, RIGHT, SPACE, QUIT = "\x1b[D", "\x1b[C", " ", "q"


class Sayings:
    """Records of a run as sentences, with peers by number and adapters by name."""

    def __init__(self, trace: Trace) -> None:
        liars = {number: f" ({kind})" for number, kind in trace.liars.items()}
        self._names = {peer: f"peer {number}{liars.get(number, '')}" for peer, number in trace.numbers.items()}
        self._names |= {
            one.content: f"{one.plasmid} ({one.kind})" if one.trojan else one.plasmid for one in trace.truth
        }

    def __call__(self, line: str) -> str:
        """The sentence of a line of a log."""
        record = json.loads(line)
        return f"{self._names.get(record['peer'], 'somebody')}: {saying(record, self._name, sentence)}"

    def _name(self, identity: str) -> str:
        return self._names.get(identity, "")


def replay(trace: Trace, console: Console, pressed: Callable[[float], str]) -> None:
    """Show a run; `pressed(wait_s)` has the keys of the next while."""
    said, states = Sayings(trace), list(states_of(trace))
    if not console.is_terminal:
        for number, frame in enumerate(trace.frames):
            console.print(picture(trace, frame, states[number], said, console.width))
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        number, plays = 0, True
        while True:
            shown = picture(trace, trace.frames[number], states[number], said, *console.size)
            live.update(Group(shown, Text(HINT, style="dim")), refresh=True)
            keys = pressed(STEP_S)
            if QUIT in keys.lower():
                return
            plays ^= SPACE in keys
            step = (RIGHT in keys) - (LEFT in keys)
            plays &= not step
            number = max(0, min(number + (step or plays), len(states) - 1))


def states_of(trace: Trace) -> Iterator[np.ndarray[tuple[int, int], np.dtype[np.int8]]]:
    """After each round, an index into `OUTCOMES` or -1: (peers, adapters)."""
    state = np.full((trace.peers, len(trace.truth)), -1, dtype=np.int8)
    for frame in trace.frames:
        for peer, adapter, outcome in frame.verdicts:
            state[peer, adapter] = outcome
        yield state.copy()


def picture(
    trace: Trace,
    frame: Frame,
    state: np.ndarray[tuple[int, int], np.dtype[np.int8]],
    said: Callable[[str], str],
    width: int,
    height: int = 0,
) -> RenderableType:
    """One round, at most `height` lines; 0 for as many as it takes."""
    rounds = trace.report["rounds"]
    title = f"{trace.report['scenario']['name']}: round {frame.number} of {len(rounds)}, {trace.peers} peers"
    bars = _coverage(trace, frame.number)
    told = [*(f"scenario: {words}" for words in frame.planned), *map(said, frame.lines)]
    rows, events = len(trace.truth), len(told)
    if height:
        free = max(4, height - len(trace.report["rounds_to"]) - len(trace.alarms) - 6)
        rows = min(rows, max(2, free * 2 // 3))
        events = max(1, free - rows)
    strips = _strips(trace, state, rows, max(10, width - NAMES_CELLS))
    alarms = [Text(safe(alarm), style="bold red") for alarm in trace.alarms]
    newest = map(_line, _newest(told, len(frame.planned), events))
    return Group(Text(safe(title), style="bold"), *alarms, strips, Text(), bars, Text(), *newest)


def _newest(told: list[str], first: int, most: int) -> list[str]:
    """Of what is told so many lines: the `first` ones before others, and of the others the newest."""
    kept = told[: min(first, most)]
    return kept + told[max(first, len(told) - (most - len(kept))) :]


def strip(column: Sequence[int], cells: int, *, trojan: bool) -> Text:
    """What peers say of one adapter in at most so many cells, each for as many peers.

    >>> strip([0, 0, 1, 2, 3, -1], 6, trojan=False).plain, strip([0, 0, 0, -1, -1, -1], 2, trojan=False).plain
    ('██o·x ', '█ ')
    """
    each = -(-len(column) // cells)
    text = Text()
    for start in range(0, len(column), each):
        some = column[start : start + each]
        most = max(set(some), key=lambda one: (some.count(one), -one)) if each > 1 else some[0]
        share = some.count(ACCEPTED) / len(some)
        sign = SIGNS.get(most, " ") if each == 1 or not share else SHADES[-(-int(share * 100) * 4 // 100)]
        style = ("red" if trojan else STYLES[ACCEPTED]) if share else STYLES.get(most, "")
        text.append(sign, style)
    return text


def _strips(
    trace: Trace, state: np.ndarray[tuple[int, int], np.dtype[np.int8]], rows: int, cells: int
) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold cyan")
    more = f" ({rows} of {len(trace.truth)})" if rows < len(trace.truth) else ""
    each = -(-trace.peers // cells)
    peers = "peers" if each <= 1 else f"peers, {each} a sign"
    for column in (f"adapter{more}", "domain", "really", "have it", peers):
        table.add_column(column, no_wrap=True)
    for number, one in enumerate(trace.truth[:rows]):
        column = state[:, number].tolist()
        count = str(column.count(ACCEPTED))
        kind = Text(safe(one.kind), style="red" if one.trojan else "")
        table.add_row(safe(one.plasmid), safe(one.domain), kind, count, strip(column, cells, trojan=one.trojan))
    return table


def _coverage(trace: Trace, number: int) -> RenderableType:
    table = Table(box=None, pad_edge=False, show_header=False)
    for domain in trace.report["rounds_to"]:
        share = trace.report["rounds"][number - 1]["coverage"][domain] if number else 0.0
        full = int(share * BAR_CELLS)
        bar = Text.assemble(("━" * full, "green"), ("━" * (BAR_CELLS - full), "dim"))
        table.add_row(safe(domain), bar, f"{share:.0%}")
    return table


def _line(text: str) -> Text:
    return Text(safe(text), no_wrap=True, overflow="ellipsis")
