"""Where the adapters are that others load, and which merge of a base is served: the admin service's answers.

- `merged` means the only merge there is, `merged--BASE` (as the folder is called) or `merged/BASE` that of one base.
- An answer names two folders: one whose link moves with versions, and the one behind it that never changes.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from plora.node.core import view
from plora.node.core.events import RollbackAsked
from plora.node.core.merge_rows import MergeRow
from plora.node.driver.clock import read_clocks
from plora.node.driver.shelf import MERGED_NAME, Shelf, folder_name
from plora.proto.errors import RefusedError, StoreError, UsageError
from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from plora.node.daemon.node import Node

MERGED = "merged"
ROLLBACK_WAIT_S = 20.0


async def locate(node: Node, shelf: Shelf, name: str) -> pb.LocateReply:
    """The folder of an accepted plasmid or of a served merge. Raises RefusedError where there is none to load."""
    await node.driver.shelved()
    if name == MERGED or name.startswith((MERGED_NAME, f"{MERGED}/")):
        row = row_of(node, name.removeprefix(MERGED).lstrip("-/"))
        if not row.serving:
            raise RefusedError("no merge of that base is served", where=name, mend="see `plora ls`")
        folder = node.home.adapters / f"{MERGED_NAME}{folder_name(row.base)}"
        return _located(f"{MERGED}/{row.base}@{row.serving}", folder, shelf.base_name(row.base))
    plasmid = view.one(node.core, name)
    if not plasmid.usable:
        known = view.row(node.core, plasmid, read_clocks())
        said = f"{known['state']}: {known['sentence'] or known['reason']}"
        raise RefusedError(said, where=name, mend=f"see `plora why {name}`")
    base = shelf.base_name(plasmid.manifest.base_model)
    return _located(view.name_of(node.core, plasmid), node.home.adapters / plasmid.name, base)


async def roll_back(node: Node, shelf: Shelf, request: pb.RollbackRequest) -> pb.RollbackReply:
    """Serve the merge before, or the newest again; answers when it is durable and its link switched."""
    row, merges, driver = row_of(node, request.base_model), node.core.desk.merges, node.driver
    chosen = merges.choice(row.base, request.forward, read_clocks())
    driver.handle(RollbackAsked(row.base, chosen))
    async with asyncio.timeout(ROLLBACK_WAIT_S):
        await driver.until(lambda: merges.generation(row.base) == chosen)
        await driver.shelved()
    folder = shelf.merged_folder(row.base)
    if not (await asyncio.to_thread(os.path.realpath, folder)).endswith(f"gen-{chosen}"):
        raise StoreError(f"the folder of generation {chosen} is gone", where=folder, mend="see `plora events`")
    return pb.RollbackReply(base_model=row.base, before=row.serving, generation=chosen, folder=folder)


def row_of(node: Node, base: str) -> MergeRow:
    """The merges of a base, or of the only one that has any. Raises RefusedError for none, UsageError for several."""
    rows = [row for row in node.core.desk.merges.standing() if row.kept]
    found = [row for row in rows if not base or base in (row.base, folder_name(row.base))]
    if len(found) == 1:
        return found[0]
    if not found and rows:
        here = ", ".join(row.base for row in rows)
        raise UsageError("nothing was merged of that base", where=base, mend=f"there are merges of: {here}")
    if not found:
        raise RefusedError("nothing is merged", where=base or MERGED, mend="see `plora ls`")
    names = ", ".join(f"{MERGED_NAME}{folder_name(row.base)}" for row in found)
    raise UsageError(f"there are merges of several bases: {names}", where=MERGED, mend="name one of them")


def _located(name: str, folder: Path, base: str) -> pb.LocateReply:
    if not folder.exists():
        raise RefusedError("its folder is not there", where=str(folder), mend="see `plora events --kind error`")
    return pb.LocateReply(name=name, folder=str(folder), target=str(folder.resolve()), base_model=base)
