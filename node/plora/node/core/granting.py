"""What was accepted comes into use, and leaves it: its folder, the domains that this peer knows, merges. Pure.

- Granted is what was accepted durably; whoever calls has waited for that. Withdrawn is at once.
- A domain is known for as long as anything of it is in use.

Not handled here: verdicts (`judging`), when to merge (`merges`), names (`showing`).
"""

from __future__ import annotations

from collections import Counter

from plora.node.core.effects import Emit
from plora.node.core.merges import Merges
from plora.node.core.notices import Outputs
from plora.node.core.now import Now
from plora.node.core.plasmid import Plasmid
from plora.node.core.rows import verdict_row
from plora.node.core.showing import Showing
from plora.node.store.disk import RowOp
from plora.proto.records import Knowledge


class Granting:
    """What of a peer's plasmids is in use."""

    def __init__(self, showing: Showing, merges: Merges) -> None:
        self._showing = showing
        self._merges = merges
        self._domains: Counter[str] = Counter()

    def recall(self, plasmid: Plasmid) -> None:
        """A plasmid that was in use before a restart."""
        self._domains[plasmid.manifest.domain] += 1

    def grant(self, plasmid: Plasmid, now: Now) -> Outputs:
        """Use what isn't in use yet."""
        plasmid.usable = True
        domain = plasmid.manifest.domain
        self._domains[domain] += 1
        out: Outputs = [Emit(Knowledge(domain, "gained"))] if self._domains[domain] == 1 else []
        return [*out, *self._showing.show(plasmid), *self._merges.touch(plasmid.manifest.base_model, now)]

    def withdraw(self, plasmid: Plasmid, now: Now) -> Outputs:
        """Use it no more; nothing where it isn't in use."""
        if not plasmid.usable:
            return []
        plasmid.usable = False
        out = self._showing.hide(plasmid)
        domain = plasmid.manifest.domain
        self._domains[domain] -= 1
        if not self._domains[domain]:
            del self._domains[domain]
            out.append(Emit(Knowledge(domain, "lost")))
        return [*out, *self._merges.touch(plasmid.manifest.base_model, now)]

    def rename(self, plasmid: Plasmid) -> tuple[list[RowOp], Outputs]:
        """The owner's nickname may have changed, or this peer carries now, or no longer: rows to write, and effects."""
        if plasmid.name == self._showing.name(plasmid):
            return [], []
        out = [*self._showing.hide(plasmid), *self._showing.show(plasmid)]
        return [verdict_row(plasmid.content_id, plasmid.row)], out
