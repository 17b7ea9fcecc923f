"""What always holds, whatever the network, the disks and others do: one small function an invariant.

- Those of `EFFECTS` and `EVENTS` are asked after each event of a core, before its effects are carried out; `ROUNDS`
  after each round, of every honest peer that runs; `REST` once nothing is under way and nobody is cut off.
- Each yields what is wrong, as (about what: an id or "", a sentence); nothing if it holds.
- They say what honest peers do. What adversaries do is their own matter.

| invariant | whose guard it is |
|---|---|
| `only_signed_statements_enter` | signatures in gossip |
| `nothing_is_told_before_it_is_durable` | persist before send, vote, expose |
| `only_what_the_gate_accepts_is_shown`, `only_what_was_shown_is_merged` | the gate's verdict, the bytes that it saw |
| `no_false_chunk_is_kept`, `held_bytes_are_those_signed` | hashes of chunks and of wholes |
| `certificates_hold`, `a_slot_has_one_content` | counting of votes, one vote a slot |
| `versions_only_go_up` | the floor of versions |
| `nobody_honest_is_blamed` | bad bytes are the sender's fault, bad content the signer's, nothing the relayer's |
| `bounds_are_kept` | bounds on what others make a peer keep |
| `the_store_is_what_the_log_says`, `what_was_acknowledged_is_there`, `what_is_written_is_read` | transactions |
| `all_have_the_same_root`, `everything_clean_arrived` | reconciliation, transfer |

Not handled here: who asks (`watcher`), what is known beside the core (`world`).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from plora.gate import Outcome, decide
from plora.gate.consensus import Certificate, certificate_fault
from plora.node.audit.verify import faults_of
from plora.node.core.council_rows import BALLOTS, CERTIFICATES
from plora.node.core.effects import Emit, Expose, Merge, Persist, Send, ServeMerge, SignWord
from plora.node.core.events import BlobFinished, ChunkStored
from plora.node.core.messages import Have, Push
from plora.node.core.plasmid import Plasmid
from plora.node.core.reputations import OWNER
from plora.node.core.rows import UNTOLD, VERDICTS, VERSIONS, decode_verdict
from plora.node.gossip.entries import entry_of
from plora.node.gossip.rows import STATEMENTS, decode_statement
from plora.node.store.disk import Delete, Put
from plora.node.store.rows import CHUNKS, CORE_TABLES
from plora.node.store.store import blob_path
from plora.proto.manifest import Manifest
from plora.proto.payloads import Choice, Slot, Vote
from plora.proto.records import BoundHit, EvidenceFound, Penalty, Reputation, VerdictGiven
from plora.proto.statement import statement_from_json
from plora.sim.meeting import ready_to_vote
from plora.sim.peer import SimPeer
from plora.sim.world import Look, World

Fault = tuple[str, str]
"""About what (an id in hex, or ""), and what is wrong."""

CONTENT_FAULTS = frozenset({"bad_signature", "malformed", "wrong_swarm", "bad_chunk", "bad_chunk_list"})
"""Penalties for what somebody sent; lost and doubled frames alone can't bring one about."""

GOOD_CONDUCT = frozenset({"accepted", "gave_bytes", "forgiven"})


# After each event


def only_signed_statements_enter(look: Look, effect: Persist) -> Iterator[Fault]:
    """Whatever is written as a statement is signed by a key that may speak."""
    for row in effect.rows:
        if isinstance(row, Put) and row.table == STATEMENTS:
            statement, _ = decode_statement(row.key, row.value)
            if not look.world.signed(entry_of(statement), look.peer):
                yield row.key.hex(), "a statement is taken up that nobody signed who may"


def what_is_written_is_read(look: Look, effect: Persist) -> Iterator[Fault]:
    """A table that a core writes is one that a start reads."""
    for table in sorted({row.table for row in effect.rows} - {*CORE_TABLES, CHUNKS}):
        yield "", f"what is written to `{table}` is forgotten by the next start"


def versions_only_go_up(look: Look, effect: Persist) -> Iterator[Fault]:
    """The newest version of a series that was written down never sinks."""
    floors = look.memory.floors
    for row in effect.rows:
        if row.table != VERSIONS:
            continue
        version = 0 if isinstance(row, Delete) else int(json.loads(row.value)["version"])
        if version < floors.get(row.key, 0):
            yield row.key.decode(), f"its newest version sinks from {floors[row.key]} to {version}"
        floors[row.key] = max(version, floors.get(row.key, 0))


def certificates_hold(look: Look, effect: Persist) -> Iterator[Fault]:
    """A certificate is a quorum of different members' valid votes for one content."""
    members = look.peer.config.members
    for row in effect.rows:
        if isinstance(row, Put) and row.table == CERTIFICATES and members is not None:
            certificate = _certificate(row.key, row.value)
            fault = certificate_fault(certificate, members)
            if fault:
                yield certificate.content, f"a certificate doesn't hold: {fault}"


def a_slot_has_one_content(look: Look, effect: Persist) -> Iterator[Fault]:
    """No two honest peers hold certificates for different contents of one slot."""
    members = look.peer.config.members
    if members is None or look.world.liars > members.faults:
        return
    for row in effect.rows:
        if isinstance(row, Put) and row.table == CERTIFICATES:
            content = str(json.loads(row.value)["content"])
            agreed = look.world.slots.setdefault(row.key, content)
            if content != agreed:
                yield content, f"somebody else has a certificate for {agreed[:12]} in the same slot"


def nothing_is_sent_before_it_is_durable(look: Look, effect: Send) -> Iterator[Fault]:
    """A statement that is passed on lies on the disk."""
    items = effect.message.items if isinstance(effect.message, Have | Push) else ()
    for item in items:
        if look.row(STATEMENTS, item.statement.id) is None:
            yield item.statement.id.hex(), "a statement is passed on that isn't durable"


def no_vote_is_signed_before_it_is_durable(look: Look, effect: SignWord) -> Iterator[Fault]:
    """An ACCEPT that is signed is the ballot that lies on the disk."""
    vote = effect.payload
    if not isinstance(vote, Vote) or vote.choice is not Choice.ACCEPT:
        return
    ballots = {Slot.model_validate_json(key): json.loads(value) for key, value in look.peer.disk.rows(BALLOTS)}
    if ballots.get(vote.slot, {}).get("content") != vote.content:
        yield vote.content, "a vote is signed whose ballot isn't durable"


def only_what_the_gate_accepts_is_shown(look: Look, effect: Expose) -> Iterator[Fault]:
    """What is shown was accepted durably, and the gate accepts the bytes that lie there."""
    fault = unacceptable(look, effect.content_id)
    if fault:
        yield effect.content_id.hex(), f"it is shown, and {fault}"


def shown_versions_only_go_up(look: Look, effect: Expose) -> Iterator[Fault]:
    """What is shown of a series is never older than what was shown before, nor another content of that version."""
    manifest = Manifest.from_bytes(effect.payload)
    series = (manifest.owner, manifest.lineage, manifest.plasmid_id)
    before = look.memory.shown.get(series, 0)
    if manifest.version < before:
        yield effect.content_id.hex(), f"version {manifest.version} is shown after version {before}"
    look.memory.shown[series] = max(before, manifest.version)


def honest_peers_show_one_content(look: Look, effect: Expose) -> Iterator[Fault]:
    """Where certificates decide, no two honest peers show different contents of one version."""
    members, manifest = look.peer.config.members, Manifest.from_bytes(effect.payload)
    if members is None or not look.peer.core.desk.policy.consensus or look.world.liars > members.faults:
        return
    name = (manifest.owner, manifest.lineage, manifest.plasmid_id, str(manifest.version))
    agreed = look.world.contents.setdefault(name, effect.content_id)
    if agreed != effect.content_id:
        yield effect.content_id.hex(), f"somebody else shows {agreed.hex()[:12]} as the same version"


def only_what_the_gate_accepts_is_merged(look: Look, effect: Merge) -> Iterator[Fault]:
    """Each input of a merge is what could be shown at this moment."""
    for content_id in (item.content_id for item in effect.inputs):
        fault = unacceptable(look, content_id)
        if fault:
            yield content_id.hex(), f"it is merged, and {fault}"


def no_merge_is_served_of_what_was_never_shown(look: Look, effect: ServeMerge) -> Iterator[Fault]:
    """Whatever is in a merge that is served was accepted here once."""
    for content_id in look.memory.merges.get((effect.base, effect.generation), ()):
        if content_id not in look.memory.exposed:
            yield content_id.hex(), f"generation {effect.generation} is served, and it was never accepted here"


def nobody_honest_is_blamed(look: Look, effect: Emit) -> Iterator[Fault]:
    """No honest peer is penalised for a content, and no honest owner or member found guilty."""
    match effect.body:
        case Penalty(subject, reason) if reason in CONTENT_FAULTS and look.world.is_honest(subject):
            yield subject, f"an honest peer is blamed: {reason}"
        case Reputation(subject, subject_kind=kind, reason=reason) if kind == OWNER and reason not in GOOD_CONDUCT:
            if subject in look.world.owners:
                yield subject, f"an honest owner is blamed: {reason}"
        case EvidenceFound("two_votes", accused) if accused in _honest_voters(look.world):
            yield accused, "an honest member is found guilty of two votes"


def no_false_chunk_is_kept(look: Look, event: ChunkStored) -> Iterator[Fault]:
    """What a store says that it stored had the right hash."""
    if (event.digest, event.index) in look.memory.wrong_chunks:
        yield event.digest, f"chunk {event.index} is stored whose hash is wrong"


def held_bytes_are_those_signed(look: Look, event: BlobFinished) -> Iterator[Fault]:
    """Bytes that are held have the digest that was signed."""
    if _digest(look.peer, event.digest) != event.digest:
        yield event.digest, "bytes are held that are others than were signed"


# After each round


def bounds_are_kept(look: Look) -> Iterator[Fault]:
    """Nobody makes a peer keep more than it says."""
    core, bounds = look.peer.core, look.peer.config.bounds
    trusted = {owner.owner for owner in core.desk.trust.believed}
    entries = [entry for entry in core.gossip.seen.entries() if not entry.word]
    of_owners = Counter((entry.owner or "", entry.lasting) for entry in entries)
    strangers = {owner for owner, _ in of_owners} - trusted
    links = [link.dialed for link in core.gossip.links.ready()]
    counted = {
        "statements_per_owner": max(of_owners.values(), default=0),
        "untrusted_owners": len(strangers),
        "links_in": links.count(False),
        "links_out": links.count(True),
    }
    for setting, count in counted.items():
        if count > getattr(bounds, setting):
            yield "", f"{count} of at most {getattr(bounds, setting)} ({setting})"


def the_store_is_what_the_log_says(look: Look) -> Iterator[Fault]:
    """The newest verdict in the event log is the one on the disk, unless the disk says that it is yet to be told."""
    told = _newest_verdicts(look)
    untold = {key for key, _ in look.peer.disk.rows(UNTOLD)}
    for key, value in look.peer.disk.rows(VERDICTS):
        verdict = decode_verdict(value).verdict
        given = (verdict.outcome.value, verdict.stage, verdict.reason)
        if key not in untold and told.get(key.hex()) != given:
            yield key.hex(), f"the store says {'/'.join(given)}, the log {'/'.join(told.get(key.hex(), ('nothing',)))}"


def what_was_acknowledged_is_there(look: Look) -> Iterator[Fault]:
    """Every row that was acknowledged lies on the disk, over crashes too."""
    unsure = look.memory.unsure | look.memory.under_way()
    for (table, key), value in look.memory.durable.items():
        if table != CHUNKS and (table, key) not in unsure and look.row(table, key) != value:
            yield key.hex(), f"its row of `{table}` was acknowledged and is {'gone' if value else 'back'}, or another"


def the_audit_holds(look: Look) -> Iterator[Fault]:
    """The chain of facts fits itself and the state beside it."""
    for fault in faults_of(look.peer.store.audit()):
        yield "", f"the audit: {fault.what}"


# At rest


def all_have_the_same_root(world: World, part: Sequence[SimPeer]) -> Iterator[tuple[SimPeer, str, str]]:
    """Peers that reach each other have the same live statements; of strangers, unless a bound left some out."""
    roots = {peer.id: _root(peer, all(map(_has_room, part))) for peer in part}
    common, count = Counter(roots.values()).most_common(1)[0]
    for peer in part:
        if roots[peer.id] != common:
            yield peer, "", f"it has other statements than {count} of {len(part)} peers who reach each other"


def everything_clean_arrived(world: World, part: Sequence[SimPeer]) -> Iterator[tuple[SimPeer, str, str]]:
    """What is clean, and whose bytes one of them has, is accepted by all who reach each other.

    Detectors may hold it for a person.

    Where certificates decide, only those who reach a quorum of honest members that may vote can have one.
    """
    if any(peer.core.desk.policy.consensus for peer in part) and not _have_quorum(part):
        return
    known = {key for peer in part for key, one in peer.core.desk.book.live.items() if _has_bytes(peer, one)}
    known &= world.clean
    for peer in part:
        for key in sorted(known):
            plasmid = peer.core.desk.book.live.get(key)
            if plasmid is None or not (plasmid.usable or _may_be_held(peer, plasmid.verdict)):
                said = "isn't there" if plasmid is None or plasmid.verdict is None else _reason(plasmid.verdict)
                yield peer, key.hex(), f"what is clean is not accepted: {said}"


def unacceptable(look: Look, content_id: bytes) -> str:
    """Why a content may not be used here, found anew from its rows and its bytes; empty if it may."""
    row = look.row(VERDICTS, content_id)
    if row is None or not decode_verdict(row).usable:
        return "no durable verdict accepts it"
    stored = look.row(STATEMENTS, content_id)
    if stored is None:
        return "its manifest isn't durable"
    entry = entry_of(decode_statement(content_id, stored)[0])
    if not look.world.signed(entry, look.peer):
        return "nobody signed it who may"
    if not isinstance(entry.payload, Manifest):
        return "it is no manifest"
    if _digest(look.peer, entry.payload.artifacts.sha256) != entry.payload.artifacts.sha256:
        return "its bytes aren't those that were signed"
    return _objection(look, content_id, entry.payload)


def _objection(look: Look, content_id: bytes, manifest: Manifest) -> str:
    """What the gate says against it, asked anew of the bytes on the disk and by what the core knows beside them."""
    desk = look.peer.core.desk
    plasmid = desk.book.live.get(content_id)
    if plasmid is None:
        return "its manifest isn't live"
    features = look.world.features(look.peer, manifest.artifacts.sha256)
    verdict = decide(desk.judging.case_of(plasmid, features, look.now), desk.policy, desk.trust)
    return "" if verdict.accepted else f"the gate says {_reason(verdict)}"


def _digest(peer: SimPeer, digest: str) -> str:
    """The digest of what is held under a digest; empty for nothing."""
    path = blob_path(digest)
    if not peer.disk.exists(path):
        return ""
    return hashlib.sha256(peer.disk.read(path, 0, peer.disk.size(path))).hexdigest()


def _root(peer: SimPeer, strangers: bool) -> object:
    """What a peer holds; without `strangers` only what trusted owners say."""
    if strangers:
        return peer.core.live_root
    trusted = {owner.owner for owner in peer.core.desk.trust.believed}
    return frozenset(entry.id for entry in peer.core.gossip.seen.entries() if entry.owner in trusted)


def _has_room(peer: SimPeer) -> bool:
    """Whether no stranger, and nothing of one, had to be left out for a bound."""
    return not any(isinstance(record.body, BoundHit) for record in peer.log.since(0))


def _has_bytes(peer: SimPeer, plasmid: Plasmid) -> bool:
    return plasmid.manifest.artifacts.sha256 in peer.core.desk.larder.held


def _have_quorum(part: Sequence[SimPeer]) -> bool:
    """Whether enough members can vote: after its start each reads first what others hold, itself among a quorum."""
    members = part[0].config.members
    if members is None:
        return False
    voters = {peer.id: {other.peer for other in peer.config.neighbours} for peer in part if peer.vote_key is not None}
    return len(ready_to_vote(voters, members.quorum)) >= members.quorum


def _may_be_held(peer: SimPeer, verdict: Any) -> bool:
    policy = peer.core.desk.policy
    looks = policy.tensor_outliers or policy.probes
    return looks and verdict is not None and verdict.outcome in (Outcome.QUARANTINE, Outcome.PENDING)


def _reason(verdict: Any) -> str:
    return f"{verdict.outcome.value}/{verdict.stage}/{verdict.reason}"


def _honest_voters(world: World) -> set[str]:
    keys = (world.swarm.peers[name].vote_key for name in world.honest)
    return {key.public.key_id for key in keys if key is not None}


def _newest_verdicts(look: Look) -> Mapping[str, tuple[str, str, str]]:
    """The newest verdict of each content in the peer's log, read as far as it goes."""
    memory, log = look.memory, look.peer.log
    for record in log.since(memory.read_records):
        if isinstance(record.body, VerdictGiven):
            memory.told[record.body.id] = (record.body.outcome, record.body.stage, record.body.reason)
    memory.read_records = len(log)
    return memory.told


def _certificate(key: bytes, value: bytes) -> Certificate:
    fields = json.loads(value)
    return Certificate(
        Slot.model_validate_json(key), fields["content"], tuple(map(statement_from_json, fields["votes"]))
    )


Checks = Mapping[type, tuple[Callable[[Look, Any], Iterator[Fault]], ...]]

EVENTS: Checks = {
    ChunkStored: (no_false_chunk_is_kept,),
    BlobFinished: (held_bytes_are_those_signed,),
}
EFFECTS: Checks = {
    Persist: (
        only_signed_statements_enter,
        what_is_written_is_read,
        versions_only_go_up,
        certificates_hold,
        a_slot_has_one_content,
    ),
    Send: (nothing_is_sent_before_it_is_durable,),
    SignWord: (no_vote_is_signed_before_it_is_durable,),
    Expose: (only_what_the_gate_accepts_is_shown, shown_versions_only_go_up, honest_peers_show_one_content),
    Merge: (only_what_the_gate_accepts_is_merged,),
    ServeMerge: (no_merge_is_served_of_what_was_never_shown,),
    Emit: (nobody_honest_is_blamed,),
}
ROUNDS: Sequence[Callable[[Look], Iterator[Fault]]] = (
    bounds_are_kept,
    the_store_is_what_the_log_says,
    what_was_acknowledged_is_there,
    the_audit_holds,
)
REST: Sequence[Callable[[World, Sequence[SimPeer]], Iterable[tuple[SimPeer, str, str]]]] = (
    all_have_the_same_root,
    everything_clean_arrived,
)
