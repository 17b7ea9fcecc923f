"""The verdicts that rows tell at a start: taken up with their plasmids, and cleared away where those are gone. Pure.

- A verdict that was written and perhaps not recorded before a crash is taken up as one that is to be granted anew.
- A folder whose plasmid is gone, or is to be granted anew, goes.

Not handled here: that all is judged again (`desk`).
"""

from __future__ import annotations

from collections.abc import Container

from plora.node.core.effects import Hide
from plora.node.core.plasmid import Plasmid
from plora.node.core.rows import UNTOLD, VERDICTS, decode_verdict, forget_verdict, told
from plora.node.store.disk import RowOp
from plora.node.store.snapshot import Snapshot


class Recalled:
    """Verdicts of an earlier run, by content id, until all plasmids of that run are there again."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._kept = {key: decode_verdict(value) for key, value in snapshot.rows(VERDICTS)}
        self._untold = {key for key, _ in snapshot.rows(UNTOLD)}

    def take_up(self, plasmid: Plasmid) -> None:
        """What was known of a plasmid."""
        row = self._kept.get(plasmid.content_id)
        if row is not None:
            plasmid.recall(row, recorded=plasmid.content_id not in self._untold)
        else:
            plasmid.via = ""  # seen before the restart; who brought it wasn't kept

    def clear(self, live: Container[bytes]) -> tuple[list[RowOp], list[Hide]]:
        """All plasmids are there: rows of those that aren't live, and folders that are to go."""
        lost = [key for key in self._kept if key not in live]
        shown = {key: row.name for key, row in self._kept.items() if row.name}
        hidden = [Hide(name) for key, name in shown.items() if key in lost or key in self._untold]
        self._kept, self._untold = {}, set()
        return [row for key in lost for row in (forget_verdict(key), told(key))], hidden
