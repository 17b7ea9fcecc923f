"""The neighbours that commands add and remove: entries of joined.json. peer.yaml is read and never written."""

from __future__ import annotations

import time
from pathlib import Path

from plora.cli.running import running_peer
from plora.node.daemon.config import load_config
from plora.node.joined import KEPT_MAX, Acquaintance, Told, change_told, load_told
from plora.proto.canonical import begins, is_hex_digest
from plora.proto.errors import PeerNotRunningError, UsageError
from plora.proto.fields import format_timestamp
from plora.proto.home import Home
from plora.proto.host_port import checked
from plora.proto.ticket import ADDRESSES_MAX
from plora.v1 import admin_pb2 as pb


def add_neighbour(root: Path, peer: str, address: str) -> Acquaintance:
    """Add an entry, or another address first to the one that is there. Raises UsageError for what is no peer."""
    if not is_hex_digest(peer):
        raise UsageError(f"{peer!r:.80} is no peer id", mend="write 64 hexadecimal digits, as `plora status` prints")
    checked(address, "ADDRESS")
    home = Home(root)
    config = load_config(home.config)
    if peer == home.peer_id.read_text("ascii").strip():
        raise UsageError("that is this peer itself", where=peer[:12], mend="name another one")
    if peer in config.peer.deny:
        raise UsageError("that peer is denied here", where=peer[:12], mend="take it off `deny` in peer.yaml first")
    fresh = Acquaintance(peer=peer, addresses=(address,), when=format_timestamp(int(time.time())))
    told = change_told(home.joined, lambda told: _with(told, fresh))
    return next(one for one in told.neighbours if one.peer == peer)


def remove_neighbour(root: Path, name: str) -> str:
    """Remove the one entry that a name means; its peer id. Raises UsageError where there is none, or several."""
    home = Home(root)
    kept = {one.peer: (one.name, *one.addresses) for one in load_told(home.joined).neighbours}
    of_human = {one.peer: (one.address or "",) for one in load_config(home.config).peer.neighbours}
    found = [peer for peer, names in {**of_human, **kept}.items() if begins(name, peer) or (name and name in names)]
    if not found:
        raise UsageError(f"no neighbour {name!r:.80}", mend="list who is with `plora peers`")
    if len(found) > 1:
        raise UsageError(f"{name!r} may mean {', '.join(peer[:12] for peer in found)}", mend="name a peer id")
    if found[0] not in kept:
        mend = "take it out there, then `plora reload`: no command rewrites that file"
        raise UsageError(f"{found[0][:12]} stands in peer.yaml", where=str(home.config), mend=mend)
    change_told(home.joined, lambda told: _without(told, found[0]))
    return found[0]


def told_peer(root: Path) -> bool:
    """Have a running peer read its neighbours again; whether one runs."""
    try:
        with running_peer(root) as client:
            client.call("Reload", pb.ReloadRequest())
    except PeerNotRunningError:
        return False
    return True


def _with(told: Told, fresh: Acquaintance) -> Told:
    before = next((one for one in told.neighbours if one.peer == fresh.peer), fresh)
    others = _without(told, fresh.peer)
    if len(others.neighbours) >= KEPT_MAX:
        raise UsageError(f"joined.json holds {KEPT_MAX} neighbours", mend="name further ones in peer.yaml")
    addresses = tuple(dict.fromkeys((*fresh.addresses, *before.addresses)))[:ADDRESSES_MAX]
    entry = before.model_copy(update={"addresses": addresses})
    return told.model_copy(update={"neighbours": (*others.neighbours, entry)})


def _without(told: Told, peer: str) -> Told:
    return told.model_copy(update={"neighbours": tuple(one for one in told.neighbours if one.peer != peer)})
