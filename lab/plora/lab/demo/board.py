"""The live table of the demo: a row a plasmid, a column a peer; and what has happened, line by line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from plora.lab.demo.plan import PEERS, PIECES, Piece
from plora.v1 import admin_pb2

Known = Mapping[str, Mapping[str, admin_pb2.Plasmid]]
STYLES = {"accepted": "green", "own": "cyan", "refused": "red", "down": "bold red"}
LINES_SHOWN = 12


@dataclass(slots=True)
class Board:
    """What a person watches. Without a terminal only new lines are printed, and the table once at the end."""

    console: Console
    known: Known = field(default_factory=dict)
    down: frozenset[str] = frozenset()
    training: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    _live: Live | None = None

    def __enter__(self) -> Board:
        if self.console.is_terminal:
            self._live = Live(self._picture(), console=self.console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self.console.print(*(Text(line) for line in self.lines), sep="\n")
        self.console.print(self.table())

    def say(self, text: str) -> None:
        """One more thing that happened."""
        self.lines.append(text)
        if self._live is None:
            self.console.print(Text(text))
        self.refresh()

    def refresh(self) -> None:
        """Draw what is known now."""
        if self._live is not None:
            self._live.update(self._picture())

    def table(self) -> Table:
        """Who has what."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("plasmid", no_wrap=True)
        for peer in PEERS:
            table.add_column(peer)
        for piece in PIECES:
            table.add_row(piece.plasmid_id, *(self._cell(piece, peer) for peer in PEERS))
        return table

    def _picture(self) -> Group:
        training = [Text(f"training {name}: {progress}") for name, progress in sorted(self.training.items())]
        return Group(self.table(), Text(), *training, *(Text(line) for line in self.lines[-LINES_SHOWN:]))

    def _cell(self, piece: Piece, peer: str) -> Text:
        if peer in self.down:
            return Text("down", style=STYLES["down"])
        found = self.known.get(peer, {}).get(piece.plasmid_id)
        return Text("") if found is None else cell(found)


def cell(found: admin_pb2.Plasmid) -> Text:
    """One plasmid at one peer in a word or two: own, percent, seconds until accepted, or why not."""
    if found.state == "accepted":
        seconds = max(0, found.accepted_wall_ms - found.seen_wall_ms) / 1000
        return Text(f"✓ {seconds:.1f} s", style=STYLES["accepted"])
    if found.state == "fetching":
        return Text(f"{found.percent:.0f} %")
    words = {"own": "own", "refused": f"✗ {found.reason.replace('_', ' ')}"}
    return Text(words.get(found.state, f"{found.state} {found.reason}".strip()), style=STYLES.get(found.state, ""))
