"""Under which name an accepted plasmid lies in adapters/, and who has it where two want the same. Pure.

- The name is OWNER--ID, with the owner's local nickname. A peer that only carries uses nothing and shows nothing.
- What is taken away leaves its name to another plasmid of that name (of another lineage) that is in use.
"""

from __future__ import annotations

from collections.abc import Callable

from plora.gate import Trust
from plora.node.core.effects import Expose, Hide
from plora.node.core.notices import Outputs
from plora.node.core.plasmid import Book, Plasmid


class Showing:
    """Names and folders of the plasmids in a book. `trust` and `carrying` say how things are now."""

    def __init__(self, book: Book, trust: Callable[[], Trust], carrying: Callable[[], bool]) -> None:
        self._book = book
        self._trust = trust
        self._carrying = carrying

    def nickname(self, owner: str) -> str:
        """What an owner is called here."""
        return self._trust().nickname(owner)

    def title(self, plasmid: Plasmid) -> str:
        """`owner/id@version`, with the local nickname of the owner."""
        manifest = plasmid.manifest
        return f"{self.nickname(manifest.owner)}/{manifest.plasmid_id}@{manifest.version}"

    def title_of_bytes(self, digest: str) -> str:
        """The name of the first live plasmid with these bytes; else how their digest begins."""
        live = self._book.of_digest(digest)
        return self.title(live[0]) if live else digest[:12]

    def name(self, plasmid: Plasmid) -> str:
        """The name of its folder; empty where this peer uses nothing."""
        return "" if self._carrying() else f"{self.nickname(plasmid.manifest.owner)}--{plasmid.manifest.plasmid_id}"

    def show(self, plasmid: Plasmid) -> Outputs:
        """Make its folder."""
        plasmid.name = self.name(plasmid)
        if not plasmid.name:
            return []
        return [Expose(plasmid.name, plasmid.content_id, plasmid.digest, plasmid.statement.payload)]

    def hide(self, plasmid: Plasmid) -> Outputs:
        """Take its folder away, or leave the name to another."""
        name, plasmid.name = plasmid.name, ""
        heir = next((one for one in self._book.live.values() if one.usable and one.name == name), None)
        if heir is not None:
            return self.show(heir) if name else []
        return [Hide(name)] if name else []
