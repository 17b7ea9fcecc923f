"""What this peer has for model servers, and the hook that keeps the configured one up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from plora.node.core.view import name_of
from plora.node.driver.shelf import MERGED_NAME, Shelf, folder_name
from plora.node.serving.hook import ServingHook
from plora.node.serving.plan import Adapter
from plora.node.serving.vllm_api import VllmApi
from plora.proto.errors import ConfigError

if TYPE_CHECKING:
    from plora.node.core.peer import PeerCore
    from plora.node.daemon.config import VllmBlock
    from plora.node.daemon.node import Node

Links = list[tuple[str, Path, str]]
"""Name, link under adapters/, and the base's name in adapter_config.json."""


def hook_of(node: Node, shelf: Shelf) -> ServingHook | None:
    """The hook of the server that peer.yaml names; None where it names none. Raises ConfigError for its key."""
    vllm, home = node.config.serving.vllm, node.home
    if vllm.url is None:
        return None

    async def wanted() -> Mapping[str, Adapter]:
        await node.driver.shelved()
        return await asyncio.to_thread(resolved, links_of(node.core, shelf, home.adapters))

    server = VllmApi(vllm.url, key_of(vllm, home.root))
    return ServingHook(server, str(home.root), wanted, node.driver.note, vllm.check_ms)


def key_of(vllm: VllmBlock, root: Path) -> str:
    """The server's key, empty where there is none. Raises ConfigError where its file can't be read."""
    if not vllm.key_file:
        return ""
    path = root / vllm.key_file
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"can't be read ({error})", where=f"serving.vllm.key_file: {path}") from error


def links_of(core: PeerCore, shelf: Shelf, adapters: Path) -> Links:
    """Every accepted plasmid as `owner/id`, every served merge as `merged/BASE`."""
    plasmids = [
        (name_of(core, one).partition("@")[0], adapters / one.name, one.manifest.base_model)
        for one in core.desk.book.live.values()
        if one.usable and one.name
    ]
    merges = [
        (f"merged/{row.base}", adapters / f"{MERGED_NAME}{folder_name(row.base)}", row.base)
        for row in core.desk.merges.standing()
        if row.serving
    ]
    return [(name, link, shelf.base_name(base)) for name, link, base in (*plasmids, *merges)]


def resolved(links: Links) -> dict[str, Adapter]:
    """The adapters behind links that are there now; blocking."""
    there = ((name, link, link.resolve(), base) for name, link, base in links if link.exists())
    return {name: Adapter(str(target), base, str(link)) for name, link, target, base in there}
