"""What a person wants for one content, carried out: wishes noted, the larder told. Pure.

Not handled: judging the content again, which follows (`desk`).
"""

from __future__ import annotations

from plora.node.core.events import FetchAsked, PinAsked, ReleaseAsked, RemoveAsked, Wanted
from plora.node.core.larder import Larder
from plora.node.core.plasmid import Plasmid
from plora.node.core.wishes import Wishes
from plora.node.store.disk import RowOp

Errand = tuple[str, list[RowOp]]
"""The word that the record has for what was done, and the rows to write."""


def run_errand(event: Wanted, plasmid: Plasmid, title: str, wishes: Wishes, larder: Larder) -> Errand:
    """What a person wants for a live plasmid; `title` is its name here."""
    match event:
        case FetchAsked(content_id):
            larder.look_again(plasmid.digest)
            plasmid.asked = True
            return "asked", wishes.ask(content_id)
        case PinAsked(_, pinned):
            rows = wishes.pin(plasmid, title, pinned)
            larder.look_for_room()
            return "pinned" if pinned else "unpinned", rows
        case ReleaseAsked():
            return "released", wishes.release(plasmid, title)
        case RemoveAsked():
            plasmid.asked = False
            return "removed", wishes.remove(plasmid, title)


def let_go(event: Wanted, wishes: Wishes) -> Errand | None:
    """What a person wants for a content whose manifest is gone: that its bytes may go; None for anything else."""
    if wishes.get(event.content_id) is None:
        return None
    match event:
        case PinAsked(content_id, pinned=False):
            return "unpinned", wishes.unpin(content_id)
        case RemoveAsked(content_id):
            return "removed", wishes.forget(content_id)
    return None
