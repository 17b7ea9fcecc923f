"""What can be seen of a home without its peer: settings, keys, modes, disk, port, file limit, audit, neighbours.

- Changes nothing that a peer reads; the port is bound for a moment, neighbours are dialed with the peer's own identity.
- Of a running peer only settings, keys and who reaches its page are looked at: it knows the rest better
  (`plora.node.doctor.running`).
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from plora.node.audit.copies import verify
from plora.node.audit.stopped import STATE, stopped_store
from plora.node.core.messages import DialTry
from plora.node.daemon.config import PeerConfig, faults_of
from plora.node.daemon.node import Checked, check
from plora.node.doctor.finding import Finding, audit_findings, detector_findings, file_limit, unreachable
from plora.node.driver.instruments import detector_troubles
from plora.node.gossip.addresses import is_local
from plora.node.reach import REACHED
from plora.node.transport.probing import try_address
from plora.node.workers.cage import lacks
from plora.proto.amounts import size_text
from plora.proto.errors import PloraError, StoreError, StoreLockedError
from plora.proto.home import Home
from plora.proto.host_port import split

PRIVATE_MODE = 0o077
CONTAINER = (".dockerenv", "run/.containerenv", "run/systemd/container", "run/secrets/kubernetes.io")
"""What runtimes leave in a container's root: docker, podman, nspawn and LXC under systemd, Kubernetes."""


def examine_home(home: Home, *, running: bool) -> list[Finding]:
    """Everything that is wrong with a home, the first cause first."""
    if not home.config.is_file():
        return [
            Finding("settings", f"no peer's home is at {home.root}", "make one by `plora init`, or name it by --home")
        ]
    faults = [Finding("settings", f"{error.where}: {error.what}", error.mend) for error in faults_of(home.config)]
    if faults:
        return faults
    found = list(_modes(home))
    try:
        checked = check(home.config)
    except PloraError as error:
        return [*found, *_once(found, Finding("keys", f"{error.where}: {error.what}", error.mend))]
    found += exposed_page(checked.peer)
    if running:
        return found
    found += [*_disk(home, checked.peer), *_audit(home), *_system(), *_detection(home, checked.peer)]
    return [*found, *_port(checked.peer), *_neighbours(checked)]


def _system() -> list[Finding]:
    """What this machine doesn't give a peer."""
    return [*file_limit(), *(Finding("isolation", what) for what in lacks())]


def _modes(home: Home) -> Iterator[Finding]:
    """Secrets that others on this machine could read."""
    keys = (home.identity_key, home.vote_key, home.probe_secret)
    secrets = [home.root, *keys, home.swarm, *sorted(home.owner_folder.glob("*.pem")), home.web_token]
    for path in secrets:
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & PRIVATE_MODE:
            what = "others can look into it" if path.is_dir() else "readable by others"
            yield Finding("keys", f"{path}: {what}", f"chmod {'700' if path.is_dir() else '600'} {path}")


def exposed_page(peer: PeerConfig, root: Path = Path("/")) -> Iterator[Finding]:
    """Whether the page listens beyond loopback where nothing says that `root` is a container's.

    On a bare host nothing forwards to it, and whoever reaches the host reads the page, for a program may name any Host.
    """
    listen = peer.web.listen
    if listen and not is_local(listen) and not any((root / mark).exists() for mark in CONTAINER):
        what = f"the page listens on {listen} for everybody, and this seems to be no container (`web.forwarded`)"
        yield Finding("web", what, "take `forwarded` out and listen on 127.0.0.1; from elsewhere come through `ssh -L`")


def _once(found: list[Finding], finding: Finding) -> list[Finding]:
    """The finding, unless it was made already in the same words."""
    return [] if finding in found else [finding]


def _detection(home: Home, peer: PeerConfig) -> list[Finding]:
    return detector_findings(detector_troubles(peer.policy, home, peer.named_bases()))


def _disk(home: Home, peer: PeerConfig) -> Iterator[Finding]:
    free, floor = shutil.disk_usage(home.root).free, peer.limits.disk_free_min
    if free < floor:
        what = f"{size_text(free)} are left, limits.disk_free_min keeps {size_text(floor)} free: nothing is fetched"
        yield Finding("disk", what, "free some space, or lower `limits.disk_free_min`")
    blobs = sum(one.stat().st_size for one in (home.root / "blobs").glob("*/*") if one.is_file())
    if peer.limits.store_max and blobs >= peer.limits.store_max:
        what = f"the store has reached the {size_text(peer.limits.store_max)} of limits.store_max"
        yield Finding("disk", what, "raise `limits.store_max`")


def _audit(home: Home) -> list[Finding]:
    """Whether what the peer decided was changed while it was away; nothing of one that never ran."""
    if not (home.root / STATE).is_file():
        return []
    try:
        with stopped_store(home) as store:
            return audit_findings(verify(store, home.events))
    except StoreLockedError:
        return []  # started meanwhile, and a running peer says it itself
    except StoreError as error:
        return [Finding("disk", f"{error.where}: {error.what}", error.mend)]


def _port(peer: PeerConfig) -> Iterator[Finding]:
    named = (("listen", peer.listen), ("metrics", peer.metrics), ("web.listen", peer.web.listen))
    for setting, address in named:
        parts = split(address) if address else None
        if parts is None:
            continue
        reason = _unbindable(*parts)
        if reason:
            yield Finding(
                "port", f"can't listen on {address} ({reason})", f"change `{setting}`, or stop who has the port"
            )


def _unbindable(host: str, port: int) -> str:
    try:
        family, kind, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _neighbours(checked: Checked) -> list[Finding]:
    """Who of the configured neighbours can't be dialed from here."""
    wanted = [(one.peer, one.address) for one in checked.peer.neighbours if one.address]

    async def tries() -> list[DialTry]:
        return await asyncio.gather(*(try_address(checked.identity, peer, address) for peer, address in wanted))

    found = zip(wanted, asyncio.run(tries()), strict=True)
    return [unreachable(peer[:12], one.address, one.outcome) for (peer, _), one in found if one.outcome != REACHED]
