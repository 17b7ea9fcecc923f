"""A peer's home: where everything lies, for all who look into it.

    peer.yaml peer.schema.json trust.yaml swarm.json joined.json
    identity/{key.pem,peer_id,vote.pem} owner/NAME.{pem,pub,owner}
    owners/NAME.owner run/admin.sock
    LOCK VERSION restored state.db blobs/ partial/ adapters/ merged/ kept/ events/ tmp/

Not handled here: making a home (`plora.node.home`), what the store keeps in its own files (`plora.node.store`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def default_home() -> Path:
    """The home of the peer that commands use when none is named.

    It is `$PLORA_HOME`, else `$XDG_DATA_HOME/plora`, else `~/.local/share/plora`.
    """
    home = os.environ.get("PLORA_HOME")
    if home:
        return Path(home)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "plora"


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of a home."""

    root: Path

    @property
    def config(self) -> Path:
        """Settings, written by a person."""
        return self.root / "peer.yaml"

    @property
    def schema(self) -> Path:
        """What editors check peer.yaml by."""
        return self.root / "peer.schema.json"

    @property
    def trust(self) -> Path:
        """Trusted owners, written by commands."""
        return self.root / "trust.yaml"

    @property
    def swarm(self) -> Path:
        """Id and secret of the swarm."""
        return self.root / "swarm.json"

    @property
    def identity_key(self) -> Path:
        """The peer's Ed25519 key."""
        return self.root / "identity" / "key.pem"

    @property
    def peer_id(self) -> Path:
        """The peer id that this home belongs to: another key in its place is refused."""
        return self.root / "identity" / "peer_id"

    @property
    def vote_key(self) -> Path:
        """The key by which this peer votes, if its person made one."""
        return self.root / "identity" / "vote.pem"

    @property
    def owner_folder(self) -> Path:
        """Keys of the owner who works at this peer; they may live elsewhere."""
        return self.root / "owner"

    @property
    def joined(self) -> Path:
        """What `plora join` was told; there only if this peer came by an invitation."""
        return self.root / "joined.json"

    @property
    def restored(self) -> Path:
        """When this home was made of a backup; there only if it was."""
        return self.root / "restored"

    @property
    def owners(self) -> Path:
        """Records of owners whom this peer lets the swarm know."""
        return self.root / "owners"

    @property
    def admin_socket(self) -> Path:
        """Where the running peer takes commands."""
        return self.root / "run" / "admin.sock"

    @property
    def web_token(self) -> Path:
        """What a browser must show before the web page changes anything."""
        return self.root / "run" / "web.token"

    @property
    def events(self) -> Path:
        """The event log's folder."""
        return self.root / "events"

    @property
    def adapters(self) -> Path:
        """Accepted plasmids as PEFT folders."""
        return self.root / "adapters"

    @property
    def merged(self) -> Path:
        """Merged adapters, one folder a base."""
        return self.root / "merged"

    @property
    def calibration(self) -> Path:
        """Calibrations of detectors that are this peer's own, one file a base; it may be absent."""
        return self.root / "calibration"

    @property
    def probe_secret(self) -> Path:
        """What this peer draws its own probes from."""
        return self.root / "identity" / "probes.secret"

    @property
    def kept(self) -> Path:
        """What merges keep for the next one, one folder a base; it may be deleted at any time."""
        return self.root / "kept"
