"""The larder: which bytes are wanted, held, examined, served and deleted. Pure.

- Bytes are wanted if the gate says that they are missing and somebody asked for them: a subscription, `carry`, a
  person. An empty list of bases or domains subscribes to all of them.
- Held bytes are examined once; a worker that fails is tried again once.
- Bytes are served once the gate has passed them; whoever is on a ready link is told, and told again every
  `ANNOUNCE_MS`, for a peer may have learned of the manifest later.
- Bytes that can never be used again are deleted: rejected for what they are, revoked, superseded, expired. Bytes
  refused for another reason (policy, trust) stay: reasons change. One's own stay while the manifest is live.
- Bytes that were spoilt on the disk are dropped and fetched again; one's own are refused ("hash_mismatch") until they
  are published again or asked for.
- Not handled here: moving bytes (`plora.node.transfer`), judging them (`desk`).
"""

from __future__ import annotations

from dataclasses import replace

from plora.gate import Features, Outcome
from plora.node.core.config import CoreConfig
from plora.node.core.effects import DropBlob, Emit, Examine, Send, SetTimer
from plora.node.core.events import Examined, SettingsChanged
from plora.node.core.messages import IHAVE_MAX, IHave
from plora.node.core.notices import (
    BytesFailed,
    BytesHeld,
    BytesOffered,
    BytesServable,
    BytesUnwanted,
    BytesWanted,
    BytesWithheld,
    Outputs,
)
from plora.node.core.now import Now
from plora.node.core.plasmid import Book, Plasmid
from plora.node.core.rows import FEATURES, decode_features
from plora.node.store.snapshot import Snapshot
from plora.node.transfer.artifact import Artifact
from plora.proto.records import BoundHit

ANNOUNCE_TIMER = "desk:announce"
ANNOUNCE_MS = 30_000
EXAMINE_TRIES = 2

FINAL_REASONS = frozenset({"superseded", "expired", "revoked_key", "revoked_content", "revoked_owner"})


class Larder:
    """The bytes of one peer. Everything is keyed by artifact digest, since two manifests may name the same bytes."""

    def __init__(self, config: CoreConfig, book: Book, snapshot: Snapshot) -> None:
        self.held: dict[str, int] = dict(snapshot.held)
        self.fetching: dict[str, int] = {}
        self.damaged: dict[str, dict[bytes, None]] = {}
        self.unreadable: dict[str, str] = {}
        self.served: dict[str, None] = {}
        self.ready: dict[str, None] = {}
        self._features = _read_features(snapshot)
        self._examining: dict[str, None] = {}
        self._fetched_as: dict[str, bytes] = {}
        self._tries: dict[str, int] = {}
        self._sources: dict[str, dict[bytes, None]] = {}
        self._stored = (*snapshot.held, *snapshot.plans)
        self._config = config
        self._book = book

    def start(self, now: Now) -> Outputs:
        """Delete bytes that no manifest names, and begin to tell neighbours what is served."""
        orphans = [digest for digest in self._stored if not self._book.of_digest(digest)]
        for digest in orphans:
            self.held.pop(digest, None)
            self.forget(digest)
        self._stored = ()
        unwanted = (BytesUnwanted(digest) for digest in orphans)
        return [*unwanted, *(DropBlob(digest) for digest in orphans), *self._announce_later(now)]

    def _announce_later(self, now: Now) -> Outputs:
        return [SetTimer(ANNOUNCE_TIMER, now.after_ms(ANNOUNCE_MS))]

    def publish(self, digests: tuple[str, ...], sizes: dict[str, int]) -> None:
        """Artifacts of one's own lie whole in the store already."""
        for digest in digests:
            self.held[digest] = sizes.get(digest, 0)
            self.damaged.pop(digest, None)

    def features(self, artifact: Artifact) -> Features | None:
        """The features to judge by: of bytes that came and were not what was signed, just that.

        Bytes that came by the chunk list of one signer say nothing about another who signed the same digest.
        """
        if artifact.chunk_root in self.damaged.get(artifact.digest, {}):
            return Features(sha256="", size_bytes=artifact.size_bytes)
        return self._features.get(artifact.digest)

    def sources(self, content_id: bytes) -> list[str]:
        """The linked peers that said they serve a content."""
        return [peer for peer, contents in self._sources.items() if content_id in contents]

    def attend(self, plasmid: Plasmid) -> Outputs:
        """Do what the newest verdict asks for: examine, fetch, stop fetching, serve, stop serving, delete."""
        digest = plasmid.digest
        if digest not in self.held:
            return self._fetch(plasmid)
        if self._droppable(digest):
            return self.drop(digest)
        return [*self._examine(digest), *self._serve(plasmid)]

    def drop(self, digest: str) -> Outputs:
        """Let go of bytes and of everything that was under way for them."""
        out: Outputs = []
        if self.fetching.pop(digest, None) is not None:
            out.append(BytesUnwanted(digest))
        out += self._withhold(digest)
        self._examining.pop(digest, None)
        if self.held.pop(digest, None) is not None:
            out.append(DropBlob(digest))
        return out

    def spoilt(self, digest: str) -> Outputs:
        """Bytes on the disk are gone or no longer what was examined: drop them.

        They are fetched again, unless all that name them are one's own: then a person must look after them.
        """
        plasmids = self._book.of_digest(digest)
        if all(plasmid.own for plasmid in plasmids):
            self.damaged[digest] = {plasmid.artifact.chunk_root: None for plasmid in plasmids}
        return self.drop(digest)

    def forget(self, digest: str) -> None:
        """No manifest names these bytes any more."""
        self._features.pop(digest, None)
        self._examining.pop(digest, None)
        self._tries.pop(digest, None)
        self.damaged.pop(digest, None)
        self.unreadable.pop(digest, None)
        self._fetched_as.pop(digest, None)

    def source_found(self, peer: str, content_id: bytes) -> Outputs:
        """A peer said that it serves a content, which may not be known here yet."""
        contents = self._sources.setdefault(peer, {})
        limit = self._config.bounds.announced_per_link
        if content_id not in contents and len(contents) >= limit:
            return [Emit(BoundHit("announced_per_link", limit, len(contents) + 1))]
        contents[content_id] = None
        plasmid = self._book.live.get(content_id)
        if plasmid is None or plasmid.digest not in self.fetching:
            return []
        return [BytesOffered(peer, plasmid.digest)]

    def link_ready(self, peer: str) -> Outputs:
        """Tell a new neighbour everything that is served."""
        self.ready[peer] = None
        return self._announce(self._servable_ids(), [peer])

    def link_lost(self, peer: str) -> None:
        """A neighbour is gone, and what it served with it."""
        self.ready.pop(peer, None)
        self._sources.pop(peer, None)

    def announce_due(self, now: Now) -> Outputs:
        """Tell all neighbours again."""
        return [*self._announce(self._servable_ids(), list(self.ready)), *self._announce_later(now)]

    def bytes_held(self, notice: BytesHeld) -> None:
        """An artifact is whole."""
        sizes = [plasmid.artifact.size_bytes for plasmid in self._book.of_digest(notice.digest)]
        self.held[notice.digest] = self.fetching.pop(notice.digest, sizes[0] if sizes else 0)
        self.damaged.pop(notice.digest, None)

    def bytes_failed(self, notice: BytesFailed) -> None:
        """An artifact can't be had. A wrong hash of the whole after right chunks is the signer's fault."""
        self.fetching.pop(notice.digest, None)
        root = self._fetched_as.get(notice.digest)
        if notice.reason == "bad_hash" and root is not None:
            self.damaged.setdefault(notice.digest, {})[root] = None

    def examined(self, event: Examined) -> bool:
        """Take up a worker's answer; whether it has something to judge by."""
        self._examining.pop(event.digest, None)
        if event.features is not None:
            self._features[event.digest] = event.features
            self.unreadable.pop(event.digest, None)
            return True
        self._tries[event.digest] = self._tries.get(event.digest, 0) + 1
        if self._tries[event.digest] >= EXAMINE_TRIES:
            self.unreadable[event.digest] = event.reason or "failed"
        return event.digest in self.unreadable

    def examining(self, digest: str) -> bool:
        """Whether a worker looks at the bytes now."""
        return digest in self._examining

    def subscribe(self, settings: SettingsChanged) -> None:
        """Want other things than before; whoever calls attends to the plasmids."""
        self._config = replace(
            self._config,
            subscribe_bases=settings.subscribe_bases,
            subscribe_domains=settings.subscribe_domains,
            carry=settings.carry,
        )

    def wanted(self, plasmid: Plasmid) -> bool:
        """Whether somebody here asked for a plasmid, whatever the gate says."""
        config, manifest = self._config, plasmid.manifest
        base = not config.subscribe_bases or manifest.base_model in config.subscribe_bases
        domain = not config.subscribe_domains or manifest.domain in config.subscribe_domains
        return plasmid.asked or config.carry or (base and domain)

    def _wants(self, plasmid: Plasmid) -> bool:
        return plasmid.verdict is not None and plasmid.verdict.wants_bytes and self.wanted(plasmid)

    def _fetch(self, plasmid: Plasmid) -> Outputs:
        digest = plasmid.digest
        if digest in self.fetching:
            still = any(self._wants(twin) for twin in self._book.of_digest(digest))
            return [] if still else self.drop(digest)
        if not self._wants(plasmid):
            return []
        bound = self._no_room(plasmid)
        if bound is not None:
            plasmid.trouble = bound.setting
            return [Emit(bound)]
        plasmid.trouble = ""
        self.fetching[digest] = plasmid.artifact.size_bytes
        self._fetched_as[digest] = plasmid.artifact.chunk_root
        offers = (BytesOffered(peer, digest) for peer in self.sources(plasmid.content_id))
        return [BytesWanted(plasmid.artifact), *offers]

    def _no_room(self, plasmid: Plasmid) -> BoundHit | None:
        size, config = plasmid.artifact.size_bytes, self._config
        if size > config.artifact_bytes_max:
            return BoundHit("artifact_bytes_max", config.artifact_bytes_max, size)
        total = sum(self.held.values()) + sum(self.fetching.values()) + size
        if total > config.store_bytes_max:
            return BoundHit("store_bytes_max", config.store_bytes_max, total)
        return None

    def _examine(self, digest: str) -> Outputs:
        if digest in self._features or digest in self._examining or digest in self.unreadable:
            return []
        self._examining[digest] = None
        return [Examine(digest)]

    def _serve(self, plasmid: Plasmid) -> Outputs:
        digest = plasmid.digest
        servable = [twin for twin in self._book.of_digest(digest) if twin.servable]
        if not servable:
            return self._withhold(digest)
        if digest in self.served:
            return []
        self.served[digest] = None
        artifact = servable[0].artifact  # what others sign about these bytes doesn't matter
        told = self._announce([twin.content_id for twin in self._book.of_digest(digest)], list(self.ready))
        return [BytesServable(digest, artifact.size_bytes, artifact.chunk_bytes), *told]

    def _withhold(self, digest: str) -> Outputs:
        if digest not in self.served:
            return []
        del self.served[digest]
        return [BytesWithheld(digest)]

    def _droppable(self, digest: str) -> bool:
        return all(_hopeless(plasmid) for plasmid in self._book.of_digest(digest))

    def _servable_ids(self) -> list[bytes]:
        return [plasmid.content_id for digest in self.served for plasmid in self._book.of_digest(digest)]

    def _announce(self, ids: list[bytes], peers: list[str]) -> Outputs:
        frames = [IHave(tuple(ids[at : at + IHAVE_MAX])) for at in range(0, len(ids), IHAVE_MAX)]
        return [Send(peer, frame) for peer in peers for frame in frames]


def _hopeless(plasmid: Plasmid) -> bool:
    verdict = plasmid.verdict
    if verdict is None or verdict.outcome is not Outcome.REJECT:
        return False
    final = verdict.reason in FINAL_REASONS
    return final or (verdict.bytes_only and not plasmid.own)


def _read_features(snapshot: Snapshot) -> dict[str, Features]:
    rows = ((key.hex(), decode_features(value)) for key, value in snapshot.rows(FEATURES))
    return {digest: features for digest, features in rows if features is not None}
