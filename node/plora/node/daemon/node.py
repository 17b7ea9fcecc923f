"""One running peer: its parts put together at start, reloaded, and taken apart in the right order.

Order at start: configuration and keys, lock and store, core from the snapshot, sockets, then the first event. Nothing
is written before everything that can be checked was. At the end: goodbyes, sockets, disk, log, lock.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from plora.gate import BaseFacts, Trust, check_quorum, load_root, load_trust
from plora.gate.consensus import Membership
from plora.node.admin.auditing import look
from plora.node.admin.service import AdminService, serve_admin
from plora.node.audit.copies import Verified
from plora.node.audit.verify import Fault
from plora.node.core.config import CoreConfig
from plora.node.core.events import NeighboursChanged, Noted, PolicyChanged, SettingsChanged, Start, Stop
from plora.node.core.ledger import Ledger
from plora.node.core.merge_rows import MERGES, decode_merge, merge_row
from plora.node.core.peer import PeerCore
from plora.node.core.rows import VERDICTS, decode_verdict
from plora.node.daemon.config import LoadedConfig, PeerConfig, load_config
from plora.node.daemon.detecting import Detecting
from plora.node.daemon.health import Health
from plora.node.daemon.joins import Joins
from plora.node.daemon.space import Space
from plora.node.driver.clock import read_clocks
from plora.node.driver.driver import Driver
from plora.node.driver.instruments import Instruments
from plora.node.driver.library import CoreLibrary
from plora.node.driver.probe_secret import ProbeSecret, current_secret
from plora.node.driver.shelf import Shelf
from plora.node.eventlog import EventLog
from plora.node.home import UNFINISHED
from plora.node.joined import Told, introductions
from plora.node.lan import FOUND_MAX, Lan
from plora.node.logs import log_view
from plora.node.recorder import Recorder
from plora.node.serving.accepted import hook_of, key_of
from plora.node.store.real_disk import RealDisk
from plora.node.store.snapshot import Snapshot
from plora.node.store.store import COPY, TMP, Store
from plora.node.transport.identity import Identity, load_identity_key
from plora.node.transport.transport import Transport
from plora.node.web.server import WebPage
from plora.node.workers.pool import Workers, lacks
from plora.proto.errors import PloraError
from plora.proto.home import Home
from plora.proto.keys import PrivateKey, load_private_key
from plora.proto.records import Boot, BoundHit, ErrorMet, Repair
from plora.proto.records import Stop as StopRecord
from plora.proto.swarm import Swarm, load_swarm

GOODBYE_WAIT_S = 1.0
SOFTWARE = importlib.metadata.version("plora")


@dataclass(frozen=True, slots=True)
class Checked:
    """Everything that can be checked without touching the store."""

    loaded: LoadedConfig
    identity: Identity
    trust: Trust
    members: Membership | None = None
    vote_key: PrivateKey | None = None

    @property
    def peer(self) -> PeerConfig:
        """The settings."""
        return self.loaded.peer

    @property
    def home(self) -> Home:
        """The home."""
        return self.loaded.home


def check(path: Path) -> Checked:
    """Read configuration, trust, swarm and identity; raises the first fault."""
    loaded = load_config(path)
    home = loaded.home
    trust = trust_of(home, loaded.peer)
    check_quorum(loaded.peer.policy, trust)
    key_of(loaded.peer.serving.vllm, home.root)
    swarm = load_swarm(home.swarm)
    expected = home.peer_id.read_text("ascii").strip() if home.peer_id.is_file() else ""
    identity = Identity(load_identity_key(home.identity_key, expected), swarm)
    return Checked(loaded, identity, trust, loaded.peer.consensus.membership(swarm.id), vote_key_of(home))


def vote_key_of(home: Home) -> PrivateKey | None:
    """The key by which this peer votes, if it has one. Raises KeyFileError for one that others can read."""
    return load_private_key(home.vote_key) if home.vote_key.exists() else None


def trust_of(home: Home, peer: PeerConfig) -> Trust:
    """Whom this peer believes: trust.yaml, and the root that peer.yaml pins."""
    root = load_root(home.root / peer.root) if peer.root else None
    return replace(load_trust(home.trust), root=root)


def core_config(checked: Checked, boot: str, addresses: tuple[str, ...]) -> CoreConfig:
    """What the core needs of peer.yaml."""
    peer = checked.peer
    return CoreConfig(
        peer=checked.identity.peer_id,
        swarm=checked.identity.swarm.id,
        boot=boot,
        seed=peer.seed or secrets.randbits(63),
        name=peer.name,
        neighbours=peer.peer_addresses(),
        denied=peer.deny,
        exchange=peer.discovery.exchange,
        exchange_ms=peer.discovery.exchange_ms,
        bounds=peer.core_bounds(),
        addresses=addresses,
        dialable=peer.dialable,
        **peer.gossip.model_dump(),
        subscription=peer.subscription(),
        limits=peer.core_limits(),
        merge=peer.merge.enabled,
        merge_delay_ms=peer.merge.delay_ms,
        merge_generations_max=peer.merge.generations_max,
        recipe=peer.merge.recipe(),
        probe_budget=peer.detection.budget(),
        members=checked.members,
        vote_key=checked.vote_key.public.key_id if checked.vote_key else "",
    )


def base_facts(peer: PeerConfig) -> dict[str, BaseFacts]:
    """The bases at hand among those that the configuration names; one that isn't here is checked less."""
    named = peer.named_bases()
    if not named:
        return {}
    from plora.base import base_info  # numpy comes with it: 10 MB

    facts: dict[str, BaseFacts] = {}
    for name in named:
        try:
            info = base_info(name)
        except PloraError:
            continue
        dims = {module: (inputs, outputs) for module, (outputs, inputs) in info.modules.items()}
        facts[name] = BaseFacts(name, info.digest.removeprefix("sha256:"), dims=dims)
    return facts


def granted(snapshot: Snapshot) -> tuple[dict[str, str], dict[str, int]]:
    """What the rows let a shelf show: content ids in hex by name, and generations of merges by base."""
    verdicts = ((key, decode_verdict(value)) for key, value in snapshot.rows(VERDICTS))
    exposed = {row.name: key.hex() for key, row in verdicts if row.usable and row.name}
    merges = (decode_merge(key, value) for key, value in snapshot.rows(MERGES))
    return exposed, {row.base: row.serving for row in merges}


def with_folders(snapshot: Snapshot, shelf: Shelf) -> tuple[Snapshot, list[str]]:
    """The snapshot without merges whose folders are gone, so that they are made again, and the bases of those."""
    rows = [decode_merge(key, value) for key, value in snapshot.rows(MERGES)]
    kept = [row.having(shelf.generations(row.base)) for row in rows]
    lost = [row.base for row, left in zip(rows, kept, strict=True) if row.kept != left.kept]
    puts = tuple((put.key, put.value) for put in map(merge_row, kept))
    return replace(snapshot, tables={**snapshot.tables, MERGES: puts}) if lost else snapshot, lost


class Node:
    """A peer from `start` to `stop`."""

    def __init__(self, path: Path, checked: Checked) -> None:
        self._path = path
        self._checked = checked
        self._boot = os.urandom(16).hex()
        self._limits = checked.peer.limits
        self._closers: list[asyncio.Server] = []
        self._recording: TextIO | None = None
        self._copying = threading.Lock()
        self.reload_trouble = ""
        self.lacks: tuple[str, ...] = ()
        self.lan: Lan | None = None
        self.audited: Verified | None = None
        self.on_lag: Callable[[float], None] = lambda lag_s: None  # told how late the event loop was

    async def start(self) -> None:
        """Open the store and the sockets, then let the core run."""
        home, limits = self._checked.home, self._limits
        self._disk = await asyncio.to_thread(
            lambda: RealDisk(home.root, store_max=limits.store_max, disk_free_min=limits.disk_free_min)
        )
        try:
            (home.root / UNFINISHED).unlink(missing_ok=True)  # nobody shall take this home for a half made one
            await self._assemble(home)
        except BaseException:
            self._disk.close()
            raise

    async def _assemble(self, home: Home) -> None:
        checked, peer = self._checked, self._checked.peer
        self._store = store = Store(self._disk)
        store.audit_max = peer.limits.audit_max
        now_ms = read_clocks().wall_ms
        changed = await asyncio.to_thread(store.look_back, now_ms)
        snapshot = await asyncio.to_thread(store.load_snapshot, now_ms)
        snapshot = replace(snapshot, free_bytes=self._disk.system_free_bytes())
        self._shelf = shelf = Shelf(home.root, peer.base_paths)
        shelf.kept.limit(bytes_max=peer.merge.kept_max, disk_free_min=peer.limits.disk_free_min)
        snapshot, lost = await asyncio.to_thread(with_folders, snapshot, shelf)
        await asyncio.to_thread(shelf.keep_only, *granted(snapshot))
        await asyncio.to_thread(shelf.sweep)
        bases = await asyncio.to_thread(base_facts, peer)
        config = core_config(checked, self._boot, peer.advertise or (peer.listen,))
        self.core = PeerCore(config, peer.policy, checked.trust, snapshot, bases)
        self.log = EventLog(
            home.events, Ledger(config.peer, self._boot), read_clocks(), self._boot, peer.limits.events_max
        )
        self.log.follow(log_view(peer.log, peer.name))
        workers = Workers()
        self.instruments = Instruments(home, workers, self._probe_secret, peer.detection.probe_s)
        self.driver = Driver(
            self.core,
            home=home.root,
            store=store,
            shelf=shelf,
            log=self.log,
            clock=read_clocks,
            recorder=self._recorder(config, snapshot, bases),
            vote_key=checked.vote_key,
            workers=workers,
            inspector=self.instruments,
        )
        self.driver.prober = self.instruments.probe_merge
        self.joins = await asyncio.to_thread(Joins, self, store)
        self._introductions = await asyncio.to_thread(introductions, home)
        self.transport = Transport(checked.identity, self.driver, CoreLibrary(self.core, self.driver), self.joins)
        self.transport.watch(peer.limits.watch_connections)
        self.log.dropped = self._events_dropped
        self.transport.deny(peer.deny)
        self.driver.attach(self.transport)
        service = AdminService(self, store, shelf)
        self.serving = hook_of(self, shelf)
        self.web = WebPage(peer.web.listen or "", home.web_token, service, self.log, self.driver.note)
        await self._open_sockets(service)
        self._begin(snapshot, lost, changed)

    def _probe_secret(self, now_ms: int) -> ProbeSecret:
        return current_secret(self.home.probe_secret, now_ms, self.config.detection.secret_ms)

    def _events_dropped(self, limit: int, size_bytes: int) -> None:
        """After the record that is being written: the core numbers them all."""
        self.driver.later(Noted(BoundHit("limits.events_max", limit, size_bytes)))

    def _recorder(self, config: CoreConfig, snapshot: Snapshot, bases: Mapping[str, BaseFacts]) -> Recorder | None:
        if not self._checked.peer.record:
            return None
        place = self.log.path.with_suffix(".inputs")
        self._recording = os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")
        limit, checked = self._limits.events_max, self._checked
        parts = (config, checked.peer.policy, checked.trust, snapshot, bases)
        return Recorder(self._recording, *parts, bytes_max=limit, on_full=lambda: self._events_dropped(limit, limit))

    async def _open_sockets(self, service: AdminService) -> None:
        peer, home = self._checked.peer, self._checked.home
        self.port = await self.transport.listen(peer.listen)
        try:
            self._admin = await serve_admin(home.admin_socket, service)
            if peer.web.listen:
                await self.web.open()
            if peer.metrics:
                from plora.node.metrics.endpoint import open_metrics

                self._closers.append(await open_metrics(self, peer.metrics))
            if peer.discovery.lan:
                self.lan = self._lan()
                await self.lan.start()
        except BaseException:
            await self.transport.stop()
            raise

    def _lan(self) -> Lan:
        peer = self._checked.peer

        def full() -> None:
            self.driver.note(BoundHit("FOUND_MAX", FOUND_MAX, FOUND_MAX + 1))

        return Lan(self._checked.identity.peer_id, peer.listen, self.port, dialable=peer.dialable, on_full=full)

    def _begin(self, snapshot: Snapshot, unmerged: Sequence[str], changed: Sequence[Fault]) -> None:
        digest = hashlib.sha256(self._checked.peer.model_dump_json().encode()).hexdigest()
        self.driver.note(Boot(self._checked.peer.name, SOFTWARE, digest))
        for lost in snapshot.lost:
            self.driver.note(Repair("a blob was gone or cut short; it is fetched again when wanted", lost))
        for base in unmerged:
            self.driver.note(Repair("a merge's folder was gone; what is left is served, and merged again", base))
        for fault in changed:
            self.driver.note(ErrorMet(fault.what, "state.db: audit", "see `plora audit verify`"))
        self.health = Health(self.driver, self.transport.traffic, self.on_lag)
        self._space = Space(self._disk.system_free_bytes, self.driver.handle)
        self.driver.handle(Start())
        if self.serving is not None:
            self.driver.on_shelved = self.serving.wake
            self.serving.start()
        self.joins.introduce(self._introductions)
        self._asking = asyncio.create_task(self._look_around())
        self._detecting = Detecting(self.instruments, lambda: self.config, self.driver)

    async def _look_around(self) -> None:
        """Workers run without what the platform lacks, and whoever looks is told; so of what the audit shows."""
        self.lacks = await lacks()
        for what in self.lacks:
            self.driver.note(ErrorMet(what, "isolation", "see docs/architecture.md"))
        try:
            await look(self, self._store)
        except PloraError as error:
            self.driver.note(ErrorMet(error.what, error.where, error.mend))

    def reload(self) -> list[str]:
        """Read the configuration again: neighbours, trust, policy, subscriptions, limits, how to merge take effect.

        The next handshakes show a new TLS certificate. What else changed needs a restart. The names of what changed.
        """
        try:
            fresh = check(self._path)
        except PloraError as error:
            self.reload_trouble = str(error)
            self.driver.note(ErrorMet(f"not reloaded: {error.what}", error.where, error.mend))
            raise
        self.reload_trouble = ""
        old, self._checked = self._checked, fresh
        changed = []
        self._detecting.look_again()
        self.transport.renew_certificate()
        if (old.peer.policy, old.trust) != (fresh.peer.policy, fresh.trust):
            changed.append("policy and trust")
            self.driver.handle(PolicyChanged(fresh.peer.policy, fresh.trust))
        if old.peer.merge.kept_max != fresh.peer.merge.kept_max:
            changed.append("what merges keep")
        self._shelf.kept.limit(bytes_max=fresh.peer.merge.kept_max, disk_free_min=fresh.peer.limits.disk_free_min)
        merges_otherwise = old.peer.merge.recipe() != fresh.peer.merge.recipe()
        fetches_otherwise = (old.peer.subscribe, old.peer.limits) != (fresh.peer.subscribe, fresh.peer.limits)
        probes_otherwise = old.peer.detection != fresh.peer.detection
        if merges_otherwise:
            changed.append("how to merge")
        if fetches_otherwise:
            changed.append("subscriptions and limits")
        if probes_otherwise:
            changed.append("detection")
        if merges_otherwise or fetches_otherwise or probes_otherwise:
            peer, limits = fresh.peer, fresh.peer.limits
            self._disk.limit(store_max=limits.store_max, disk_free_min=limits.disk_free_min)
            self.log.limit(limits.events_max)
            self.transport.watch(limits.watch_connections)
            self._store.audit_max = limits.audit_max
            settings = (peer.subscription(), peer.core_limits(), peer.core_bounds(), peer.merge.recipe())
            self.driver.handle(SettingsChanged(*settings, peer.detection.budget()))
        if (old.peer.neighbours, old.peer.deny) != (fresh.peer.neighbours, fresh.peer.deny):
            changed.append("neighbours")
            self.transport.deny(fresh.peer.deny)
            self.driver.handle(NeighboursChanged(fresh.peer.peer_addresses(), fresh.peer.deny))
        return changed

    def reload_trust(self) -> list[str]:
        """Read trust.yaml alone, so that a fault elsewhere keeps nobody believed. The names of what changed."""
        trust = trust_of(self.home, self.config)
        if trust == self._checked.trust:
            return []
        self._checked = replace(self._checked, trust=trust)
        self.driver.handle(PolicyChanged(self.config.policy, trust))
        return ["policy and trust"]

    def copy_rows(self) -> Path:
        """A new file in the home with the rows as of now; blocking. Whoever asked opens and removes it.

        What a killed one left goes at the next copy or start, so of two who ask at once one may find theirs gone.
        """
        path = f"{TMP}/{COPY}{secrets.token_hex(8)}"
        with self._copying:
            for left in self._disk.names(TMP):
                if left.startswith(COPY):
                    self._disk.unlink(f"{TMP}/{left}")
            self._disk.copy_rows(path)
        return self.home.root / path

    def audit_head(self) -> str:
        """The newest durable head of the audit, for freshness statements; zeros before the first entry."""
        return self.core.auditor.head.head

    @property
    def name(self) -> str:
        """The peer's own name."""
        return self._checked.peer.name

    @property
    def swarm_name(self) -> str:
        """What the swarm is called; its id is what counts."""
        return self._checked.identity.swarm.name

    @property
    def home(self) -> Home:
        """Where everything lies."""
        return self._checked.home

    @property
    def told(self) -> Told:
        """What `plora join` was told."""
        return self._checked.loaded.told

    @property
    def identity(self) -> Identity:
        """Who this peer is on the wire."""
        return self._checked.identity

    @property
    def swarm(self) -> Swarm:
        """The swarm, with its secret."""
        return self._checked.identity.swarm

    @property
    def config(self) -> PeerConfig:
        """The settings, as last read."""
        return self._checked.peer

    async def stop(self, reason: str) -> None:
        """Say goodbye, then take everything apart; nothing that was acknowledged is lost."""
        self.health.stop()
        self._space.stop()
        await self._detecting.stop()
        await self._asking
        self.driver.handle(Stop())
        if self.lan is not None:
            await self.lan.stop()
        if self.serving is not None:
            await self.serving.stop()
        await self.transport.stop()
        await self.web.close()
        await self._admin.stop(GOODBYE_WAIT_S)
        self._checked.home.admin_socket.unlink(missing_ok=True)
        for server in self._closers:
            server.close()
        await self.driver.stop()
        self.driver.note(StopRecord(reason))
        self.log.close()
        if self._recording is not None:
            self._recording.close()
        self._disk.close()
