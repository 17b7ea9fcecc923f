"""The larder: which bytes are wanted, held, examined, served and deleted. Pure.

- Bytes are wanted if the gate says that they are missing and somebody asked for them: a subscription, `carry`, a
  person. An empty list of bases, domains or owners subscribes to all of them; `ask` leaves it to the person.
- What a person removed is not wanted before they ask for it again, whatever the subscriptions say.
- What has no room (see `room`) is a record that names the setting, once; it is tried again when room comes free.
- Held bytes are examined once, one's own before they are published; a worker that fails is tried again once, and anew
  when a person asks for the bytes.
- Bytes are served once the gate has passed them; whoever is on a ready link is told, and told again every
  `ANNOUNCE_MS`, for a peer may have learned of the manifest later.
- Bytes that can never be used again are deleted: rejected for what they are, revoked, superseded, expired. Bytes
  refused for another reason (policy, trust) stay: reasons change. One's own and pinned ones stay (see `wishes`).
- Bytes that have to give way to others are deleted with a record; whoever calls judges again what was `emptied`.
- Bytes that were spoilt on the disk are dropped and fetched again; one's own are refused ("hash_mismatch") until they
  are published again or asked for.
- Not handled here: moving bytes (`plora.node.transfer`), judging them (`desk`).
"""

from __future__ import annotations

from collections.abc import Callable

from plora.gate import Features, Outcome
from plora.node.core.config import CoreConfig, Subscription
from plora.node.core.effects import DropBlob, Emit, Examine, Send, SetTimer
from plora.node.core.events import DiskSpace, Examined, SettingsChanged
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
from plora.node.core.room import ARTIFACT_MAX, DISK_FREE_MIN, Room
from plora.node.core.rows import FEATURES, decode_features, features_row
from plora.node.core.wishes import Wishes
from plora.node.store.disk import RowOp
from plora.node.store.snapshot import Snapshot
from plora.node.transfer.artifact import Artifact
from plora.proto.records import BoundHit, Evicted

ANNOUNCE_TIMER = "desk:announce"
ANNOUNCE_MS = 30_000
EXAMINE_TRIES = 2
OWNER_DIGITS_MIN = 8
HOPEFUL_MAX = 64

FINAL_REASONS = frozenset({"superseded", "expired", "revoked_key", "revoked_content", "revoked_owner"})


class Larder:
    """The bytes of one peer. Everything is keyed by artifact digest, since two manifests may name the same bytes.

    `nickname` gives an owner's local name.
    """

    def __init__(
        self, config: CoreConfig, book: Book, wishes: Wishes, snapshot: Snapshot, nickname: Callable[[str], str]
    ) -> None:
        self.subscription = config.subscription
        self.held: dict[str, int] = dict(snapshot.held)
        self.fetching: dict[str, int] = {}
        self.damaged: dict[str, dict[bytes, None]] = {}
        self.unreadable: dict[str, str] = {}
        self.defects: dict[str, None] = {}
        self.served: dict[str, None] = {}
        self.ready: dict[str, None] = {}
        self._features = _read_features(snapshot)
        self._examining: dict[str, None] = {}
        self._fetched_as: dict[str, bytes] = {}
        self._tries: dict[str, int] = {}
        self._sources: dict[str, dict[bytes, None]] = {}
        self._stored = (*snapshot.held, *snapshot.plans)
        self._bounds = config.bounds
        self._book = book
        self._wishes = wishes
        self._nickname = nickname
        self.room = Room(config.limits, self.held, self.fetching, book, wishes, snapshot.free_bytes)
        self._short: dict[bytes, None] = {}
        self._awaited: dict[str, None] = {}
        self._emptied: list[str] = []
        self._freed = False

    def start(self, now: Now) -> Outputs:
        """Delete bytes that no manifest names, and begin to tell neighbours what is served."""
        named = (digest for digest in self._stored if not self._wishes.kept(digest))
        orphans = [digest for digest in named if not self._book.of_digest(digest)]
        for digest in orphans:
            self.held.pop(digest, None)
            self._forget(digest)
        self._stored = ()
        unwanted = (BytesUnwanted(digest) for digest in orphans)
        dropped = (DropBlob(digest) for digest in orphans)
        return [*unwanted, *dropped, *self._collect(now), *self._announce_later(now)]

    def _announce_later(self, now: Now) -> Outputs:
        return [SetTimer(ANNOUNCE_TIMER, now.after_ms(ANNOUNCE_MS))]

    def publish(self, digests: tuple[str, ...], sizes: dict[str, int], awaited: tuple[str, ...]) -> None:
        """Artifacts of one's own lie whole in the store already.

        A manifest that names those in `awaited` is yet to come: until then nothing else has them deleted.
        """
        for digest in digests:
            self.held[digest] = sizes.get(digest, 0)
            self.damaged.pop(digest, None)
            self.room.promised = 0
        self._awaited.update(dict.fromkeys(digest for digest in awaited if digest in digests))

    def arrived(self, digest: str) -> list[RowOp]:
        """A manifest that names these bytes is live: what is known of them is kept for it."""
        self._awaited.pop(digest, None)
        features = self._features.get(digest)
        return [features_row(digest, features)] if features is not None else []

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

    def attend(self, plasmid: Plasmid, now: Now) -> Outputs:
        """Do what the newest verdict asks for: examine, fetch, stop fetching, serve, stop serving, delete."""
        digest = plasmid.digest
        if digest in self.held and self._droppable(digest):
            return self.drop(digest)
        if not self.has(plasmid):
            return self._fetch(plasmid, now)
        return [*self._examine(plasmid), *self._serve(plasmid)]

    def has(self, plasmid: Plasmid) -> bool:
        """Whether its bytes are here for it: they may be here for a twin alone, after a person removed it."""
        return plasmid.digest in self.held and not self._wishes.removed(plasmid.content_id)

    def drop(self, digest: str) -> Outputs:
        """Let go of bytes and of everything that was under way for them."""
        out: Outputs = []
        if self.fetching.pop(digest, None) is not None:
            out.append(BytesUnwanted(digest))
            self._freed = True
        out += self._withhold(digest)
        self._examining.pop(digest, None)
        if self.held.pop(digest, None) is not None:
            out.append(DropBlob(digest))
            self._freed = True
        return out

    def leave(self, digest: str) -> Outputs:
        """No live manifest names these bytes any more: delete them, unless a wish keeps them."""
        out = self._withhold(digest) if self._wishes.kept(digest) else self.drop(digest)
        self._forget(digest)
        return out

    def spoilt(self, digest: str) -> Outputs:
        """Bytes on the disk are gone or no longer what was examined: drop them.

        They are fetched again, unless all that name them are one's own: then a person must look after them.
        """
        plasmids = self._book.of_digest(digest)
        if all(plasmid.own for plasmid in plasmids):
            self.damaged[digest] = {plasmid.artifact.chunk_root: None for plasmid in plasmids}
        return self.drop(digest)

    def look_again(self, digest: str) -> None:
        """A person asks for these bytes: what failed with them so far is tried anew."""
        self._tries.pop(digest, None)
        self.damaged.pop(digest, None)
        self.unreadable.pop(digest, None)
        self.defects.pop(digest, None)

    def _forget(self, digest: str) -> None:
        self.look_again(digest)
        self.room.came_back(digest)
        self._features.pop(digest, None)
        self._examining.pop(digest, None)
        self._fetched_as.pop(digest, None)

    def source_found(self, peer: str, content_id: bytes) -> Outputs:
        """A peer said that it serves a content, which may not be known here yet."""
        contents = self._sources.setdefault(peer, {})
        limit = self._bounds.announced_per_link
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

    def bytes_held(self, notice: BytesHeld, now: Now) -> Outputs:
        """An artifact is whole. What was published meanwhile may have taken its room."""
        sizes = [plasmid.artifact.size_bytes for plasmid in self._book.of_digest(notice.digest)]
        self.held[notice.digest] = self.fetching.pop(notice.digest, sizes[0] if sizes else 0)
        self.damaged.pop(notice.digest, None)
        self._freed = True  # what is coming gives way to nothing, what is here may
        return self._collect(now)

    def bytes_failed(self, notice: BytesFailed) -> None:
        """An artifact can't be had. A wrong hash of the whole after right chunks is the signer's fault."""
        self._freed = self.fetching.pop(notice.digest, None) is not None or self._freed
        root = self._fetched_as.get(notice.digest)
        if notice.reason == "bad_hash" and root is not None:
            self.damaged.setdefault(notice.digest, {})[root] = None

    def examined(self, event: Examined) -> bool:
        """Take up a worker's answer; whether it has something to judge by."""
        self._examining.pop(event.digest, None)
        if event.features is not None:
            self._features[event.digest] = event.features
            self.unreadable.pop(event.digest, None)
            self.defects.pop(event.digest, None)
            return True
        if event.defect:
            self.defects[event.digest] = None
        self._tries[event.digest] = self._tries.get(event.digest, 0) + 1
        if self._tries[event.digest] >= EXAMINE_TRIES:
            self.unreadable[event.digest] = event.reason or "failed"
        return event.digest in self.unreadable

    def examining(self, digest: str) -> bool:
        """Whether a worker looks at the bytes now."""
        return digest in self._examining

    def changed(self, settings: SettingsChanged, now: Now) -> Outputs:
        """Other subscriptions and limits; whoever calls attends to the plasmids."""
        self.subscription, self.room.limits = settings.subscription, settings.limits
        self._freed = True
        return self._collect(now)

    def measured(self, space: DiskSpace, now: Now) -> Outputs:
        """The file system has so much left."""
        self.room.measured(space.free_bytes, now)
        bounds = (plasmid.bound for plasmid in self.short())
        self._freed = self._freed or any(bound is not None and bound.setting == DISK_FREE_MIN for bound in bounds)
        return self._collect(now)

    def make_room(self, size_bytes: int, now: Now) -> Outputs:
        """So many bytes of one's own are about to come, before which everything gives way that may, and nothing else
        takes their room meanwhile; 0: they don't come after all.
        """
        self.room.promised, self._freed = 0, self._freed or not size_bytes
        out = self._give_way(*self.room.excess(size_bytes), now)
        self.room.promised = size_bytes
        return out

    def look_for_room(self) -> None:
        """Something may give way that didn't before."""
        self._freed = True

    def emptied(self) -> list[str]:
        """The digests whose bytes gave way since the last call: what names them is to be judged again."""
        emptied, self._emptied = self._emptied, []
        return emptied

    def short(self) -> list[Plasmid]:
        """The plasmids that find no room."""
        found = (self._book.live.get(content_id) for content_id in self._short)
        return [plasmid for plasmid in found if plasmid is not None]

    def hopeful(self) -> list[Plasmid]:
        """After room came free: some that lack it, the newest first; the others have their turn the next time."""
        if not self._freed:
            return []
        self._freed = False
        waiting = self.short()
        self._short = {plasmid.content_id: None for plasmid in waiting}
        turn = waiting[:HOPEFUL_MAX]
        for plasmid in turn:
            self._short[plasmid.content_id] = self._short.pop(plasmid.content_id)
        return sorted(turn, key=lambda plasmid: (-plasmid.seen_ms, plasmid.content_id))

    def unwanted(self, plasmid: Plasmid) -> str:
        """Why nobody here asks for a plasmid, whatever the gate says: "removed", a setting; empty if somebody does."""
        if self._wishes.removed(plasmid.content_id):
            return "removed"
        if plasmid.asked or self.subscription.carry:
            return ""
        return _left_out(self.subscription, plasmid, self._nickname(plasmid.manifest.owner))

    def _wants(self, plasmid: Plasmid) -> bool:
        return plasmid.verdict is not None and plasmid.verdict.wants_bytes and not self.unwanted(plasmid)

    def _fetch(self, plasmid: Plasmid, now: Now) -> Outputs:
        digest = plasmid.digest
        if digest in self.fetching:
            still = any(self._wants(twin) for twin in self._book.of_digest(digest))
            return [] if still else self.drop(digest)
        if digest in self.held or not self._wants(plasmid):
            self._enough(plasmid)
            return []
        room = self._make_room(plasmid, now)
        bound = self.room.hindrance(plasmid)
        if bound is not None:
            return [*room, *self._lacks_room(plasmid, bound)]
        self._enough(plasmid)
        self.room.came_back(digest)
        self.fetching[digest] = plasmid.artifact.size_bytes
        self._fetched_as[digest] = plasmid.artifact.chunk_root
        offers = (BytesOffered(peer, digest) for peer in self.sources(plasmid.content_id))
        return [*room, BytesWanted(plasmid.artifact), *offers]

    def _make_room(self, plasmid: Plasmid, now: Now) -> Outputs:
        bound = self.room.hindrance(plasmid)
        if bound is None or bound.setting == ARTIFACT_MAX:
            return []
        return self._give_way(self.room.victims(plasmid), bound.setting, now)

    def _lacks_room(self, plasmid: Plasmid, bound: BoundHit) -> Outputs:
        """Say so once, and remember to try again."""
        news = plasmid.bound is None or plasmid.bound.setting != bound.setting
        plasmid.bound = bound
        self._short[plasmid.content_id] = None
        return [Emit(bound)] if news else []

    def _enough(self, plasmid: Plasmid) -> None:
        plasmid.bound, plasmid.trouble = None, ""
        self._short.pop(plasmid.content_id, None)

    def _collect(self, now: Now) -> Outputs:
        """Delete what exceeds a bound that was lowered, or that others than this peer have come to."""
        return self._give_way(*self.room.excess(), now)

    def _give_way(self, digests: list[str], setting: str, now: Now) -> Outputs:
        out: Outputs = []
        for digest in digests:
            self.room.gave_way(digest, setting, now)
            out.append(Emit(Evicted(digest, self.held[digest], setting)))
            out += self.drop(digest)
            self._emptied.append(digest)
        return out

    def _examine(self, plasmid: Plasmid) -> Outputs:
        digest = plasmid.digest
        if digest in self._features or digest in self._examining or digest in self.unreadable:
            return []
        self._examining[digest] = None
        return [Examine(digest, plasmid.manifest.owner)]

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
        twins = self._book.of_digest(digest)
        lost = all(self._wishes.removed(twin.content_id) or _hopeless(twin) for twin in twins)
        return lost and digest not in self._awaited and not self._wishes.kept(digest)

    def _servable_ids(self) -> list[bytes]:
        return [plasmid.content_id for digest in self.served for plasmid in self._book.of_digest(digest)]

    def _announce(self, ids: list[bytes], peers: list[str]) -> Outputs:
        frames = [IHave(tuple(ids[at : at + IHAVE_MAX])) for at in range(0, len(ids), IHAVE_MAX)]
        return [Send(peer, frame) for peer in peers for frame in frames]


def _hopeless(plasmid: Plasmid) -> bool:
    verdict = plasmid.verdict
    if verdict is None or verdict.outcome is not Outcome.REJECT:
        return False
    aged = verdict.reason == "expired" and plasmid.own  # by a clock that may be wrong
    final = verdict.reason in FINAL_REASONS and not aged
    return final or (verdict.bytes_only and not plasmid.own)


def _left_out(subscription: Subscription, plasmid: Plasmid, nickname: str) -> str:
    """The setting by which a subscription leaves a plasmid out; empty if it doesn't."""
    manifest = plasmid.manifest
    owners = subscription.owners
    named = any(name == nickname or _begins(manifest.owner, name) for name in owners)
    tests = (
        ("subscribe.mode", not subscription.ask),
        ("subscribe.bases", not subscription.bases or manifest.base_model in subscription.bases),
        ("subscribe.domains", not subscription.domains or manifest.domain in subscription.domains),
        ("subscribe.owners", not owners or named),
        ("subscribe.size_max", not 0 < subscription.size_max < plasmid.artifact.size_bytes),
    )
    return next((setting for setting, passed in tests if not passed), "")


def _begins(owner: str, name: str) -> bool:
    return len(name) >= OWNER_DIGITS_MIN and owner.startswith(name)


def _read_features(snapshot: Snapshot) -> dict[str, Features]:
    rows = ((key.hex(), decode_features(value)) for key, value in snapshot.rows(FEATURES))
    return {digest: features for digest, features in rows if features is not None}
