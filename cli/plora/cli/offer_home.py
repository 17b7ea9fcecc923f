"""The home of `plora offer`: one identity that stays, everything else new at each start.

- Nothing is removed while another peer works on that home, nor from a folder that is no home of this command.
- Its peer trusts the one owner whose record is named.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from plora.gate import Trust, TrustedOwner, save_trust
from plora.node.home import init_home, settings_text
from plora.node.store.home_lock import HomeLock
from plora.proto.errors import ConfigError
from plora.proto.fields import format_timestamp
from plora.proto.home import Home
from plora.proto.owner_chain import read_owner_file
from plora.proto.swarm import open_swarm

NAME = "offer"
MARK = "OFFER"
SERVING = "serving"
"""Peer id and address of a peer that has published everything, for those who fetch on this machine."""

STATE = ("adapters", "merged", "blobs", "partial", "events", "tmp", "run")


def prepare_offer_home(root: Path, swarm: str, listen: str, record: Path) -> Home:
    """A home without any plasmid; ConfigError for a folder of another kind, StoreLockedError while it is in use."""
    trust = _trust(record)
    home = Home(root)
    if not home.peer_id.exists():
        init_home(root, name=NAME, swarm=open_swarm(swarm), listen=listen, now_s=int(time.time()))
        (root / MARK).write_text("Made by `plora offer`, which empties it at each start.\n", encoding="ascii")
    if not (root / MARK).exists():
        raise ConfigError("is the home of another peer", where=str(root), mend="name another folder by --home")
    lock = HomeLock(root)
    try:
        _empty(root)
        home.config.write_text(settings_text(NAME, listen), encoding="utf-8")
        save_trust(home.trust, trust)
    finally:
        lock.release()
    return home


def _trust(record: Path) -> Trust:
    when = format_timestamp(int(time.time()))
    file = read_owner_file(record)
    rotations = file.authority.walked
    owner = TrustedOwner.of_record(file.statements[0], rotations=rotations, who="plora offer", when=when)
    return Trust((owner,), version=1)


def _empty(root: Path) -> None:
    for name in STATE:
        if (root / name).is_dir():
            shutil.rmtree(root / name)
    for path in (*sorted(root.glob("state.db*")), *sorted(root.glob(SERVING))):
        path.unlink()
