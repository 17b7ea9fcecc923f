"""One frame of `plora top`, from answers of the admin service: pure, so that a test can look at it.

- From top to bottom: what is wrong, who and how fast, peers, transfers with a strip of their chunks, last events.
- A frame of `height` lines never has more; what doesn't fit is counted. Peers that are up and transfers that move come
  first.
- Names and reasons come from others: all text is escaped (`safe`), and no markup is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from plora.cli.output import safe
from plora.cli.peering import place_of
from plora.cli.status_lines import headline, plasmid_text
from plora.node.reach import sentence_of
from plora.proto.amounts import rate_text, size_text, span_text
from plora.v1 import admin_pb2 as pb

STRIP_CELLS = 24
STORED, PARTLY, ASKED, TODO = "█", "▒", "░", "·"
TROUBLES_SHOWN = 2
TITLE_LINES = 2
"""Of a part: an empty line, and the heads of its columns or another line."""

JUST_NOW_MS = 2000
PEER_STYLES = {"up": "green", "dialing": "yellow", "down": "red", "denied": "red"}


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen at one moment. `events`: lines for people, the newest last. `hint`: how to leave."""

    status: pb.StatusReply
    peers: Sequence[pb.PeerInfo]
    transfers: pb.TransfersReply
    events: Sequence[str]
    now_ms: int
    troubles: Sequence[str] = ()
    hint: str = ""


@dataclass(frozen=True, slots=True)
class _Room:
    """How many rows each part has."""

    peers: int
    transfers: int
    events: int


def picture(sight: Sight, width: int = 0, height: int = 0) -> RenderableType:
    """The frame, at most `height` lines of `width` columns; 0 for as many as it takes."""
    troubles = [Text(safe(f"! {one}"), style="bold red") for one in [*sight.troubles, *sight.status.warnings]]
    head = _head(sight)
    taken = len(head) + sum(-(-one.cell_len // width) for one in troubles[:TROUBLES_SHOWN] if width)
    room = _room(sight, max(1, height - taken) if height else 0)
    peers, transfers, events = _peers(sight, room.peers), _transfers(sight, room.transfers), _events(sight, room.events)
    return Group(*troubles[:TROUBLES_SHOWN], *head, peers, *transfers, *events)


def strip(runs: Sequence[pb.ChunkRun], cells: int) -> str:
    """Chunks as a strip of `cells` signs: all stored, some of them, asked for, none.

    >>> strip([pb.ChunkRun(state="stored", count=6), pb.ChunkRun(state="asked", count=1)], 7)
    '██████░'
    """
    ends, total = [], 0
    for run in runs:
        total += run.count
        ends.append((total, run.state))
    if not total:
        return TODO * cells
    return "".join(_sign(ends, total * cell // cells, max(1, -(-total * (cell + 1) // cells))) for cell in range(cells))


def _sign(ends: Sequence[tuple[int, str]], begin: int, end: int) -> str:
    """The sign for the chunks from `begin` to before `end`."""
    states, start = set(), 0
    for stop, state in ends:
        if start < end and stop > begin:
            states.add(state)
        start = stop
    if states == {"stored"}:
        return STORED
    if states & {"stored", "storing"}:
        return PARTLY
    return ASKED if "asked" in states else TODO


def _room(sight: Sight, lines: int) -> _Room:
    """Peers and transfers have a third of the lines each, as far as they need them; the rest is for events."""
    peers, transfers = len(sight.peers), len(sight.transfers.transfers)
    if not lines:
        return _Room(peers, transfers, len(sight.events))
    titles = TITLE_LINES * (2 + bool(transfers)) - 1
    free = max(3, lines - titles)
    shown_peers, shown_transfers = (min(count, max(1, free // 3)) for count in (max(1, peers), transfers))
    return _Room(shown_peers, shown_transfers, max(1, free - shown_peers - shown_transfers))


def _head(sight: Sight) -> list[RenderableType]:
    status = sight.status
    most = f" of {size_text(status.store_bytes_max)}" if status.store_bytes_max else ""
    rates = f"up {rate_text(status.sent_bytes_s)}  down {rate_text(status.received_bytes_s)}"
    store = f"store {size_text(status.store_bytes)}{most}  ·  disk {size_text(status.disk_free_bytes)} free"
    return [
        Text.assemble(
            (safe(headline(status)), "bold"), (f"    {sight.hint}", "dim"), no_wrap=True, overflow="ellipsis"
        ),
        _line(f"{rates}  ·  {store}"),
        _line(f"plasmids  {plasmid_text(status)}"),
        Text(),
    ]


def _peers(sight: Sight, rows: int) -> RenderableType:
    order = sorted(sight.peers, key=lambda one: (one.state != "up", one.nickname, one.peer))
    table = _table(_more("peer", len(order), rows), "state", "has", "heard", "address", "")
    for one in order[:rows]:
        name, has, heard = one.nickname or one.peer[:12], str(one.statements or ""), _heard(one, sight.now_ms)
        cells = (name, one.state, has, heard, place_of(one))
        texts = [Text(safe(cell)) for cell in cells]
        texts[1].stylize(PEER_STYLES.get(one.state, ""))
        table.add_row(*texts, Text(safe(sentence_of(one.last_error)), style="dim"))
    if not order:
        table.add_row(Text("nobody yet", style="dim"))
    return table


def _heard(one: pb.PeerInfo, now_ms: int) -> str:
    if not one.last_seen_wall_ms:
        return ""
    ago_ms = now_ms - one.last_seen_wall_ms
    return "now" if ago_ms < JUST_NOW_MS else f"{span_text(ago_ms)} ago"


def _transfers(sight: Sight, rows: int) -> list[RenderableType]:
    order = sorted(sight.transfers.transfers, key=lambda one: (not one.source, one.name))
    if not order:
        return []
    names = {one.peer: one.nickname for one in sight.peers}
    count = len(order) + sight.transfers.left_out
    table = _table(_more("transfer", count, rows), "chunks", "", "rate", "from")
    for one in order[:rows]:
        percent = 100 * one.stored_bytes // one.size_bytes if one.size_bytes else 0
        source = names.get(one.source) or one.source[:12] or one.state.replace("_", " ")
        rate = rate_text(one.rate_bytes_s) if one.source else ""
        done = f"{percent} % of {size_text(one.size_bytes)}"
        table.add_row(Text(safe(one.name)), _strip_text(one), Text(done), Text(rate), Text(safe(source)))
    return [Text(), table]


def _strip_text(one: pb.Transfer) -> Text:
    styles = {STORED: "green", PARTLY: "green", ASKED: "yellow", TODO: "dim"}
    return Text.assemble(*((sign, styles[sign]) for sign in strip(one.chunks, STRIP_CELLS)))


def _events(sight: Sight, rows: int) -> list[RenderableType]:
    return [Text(), *(_line(line) for line in list(sight.events)[-rows:])] if sight.events else []


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold cyan", show_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ellipsis", min_width=len(column))
    return table


def _more(title: str, count: int, rows: int) -> str:
    return f"{title} ({rows} of {count})" if count > rows else title


def _line(text: str, style: str = "") -> Text:
    return Text(safe(text), style=style, no_wrap=True, overflow="ellipsis")
