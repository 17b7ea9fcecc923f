"""What people see of a peer: pure functions from the core's state to values that JSON can carry.

- Names resolve as `owner/id@version`, `owner/id`, `id@version`, `id`, or the beginning of a content id or of an
  artifact digest (at least four digits); `owner` is the local nickname or the beginning of an owner id.
- `why` also answers for what is not here: unknown, not wanted, no source on line, waiting for a signature, fetching.
- States: own, accepted, carried (kept for others, not used here) · fetching, examining, pending, deferred (not yet) ·
  waiting (nobody here trusts the owner) · offered (waits for the person here), unwanted (no subscription), removed (by
  the person here) · quarantined, refused · superseded, expired, evicted (no longer live).
- Where a limit holds something back, `reason` is its setting, and `limit` what it is set to.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from plora.gate import Outcome, explain, layers, sentence
from plora.node.core.detectors import AWAITS
from plora.node.core.freshness import freshness_here
from plora.node.core.limit_sentences import limit_sentence, limit_value
from plora.node.core.now import Now
from plora.node.core.owners import (
    BELOW_QUORUM,
    UNKNOWN_OWNER,
    stranger_sentence,
    strangers_who_signed,
)
from plora.node.core.peer import PeerCore
from plora.node.core.plasmid import Called, Plasmid
from plora.node.core.proving import probed_sentence
from plora.node.core.reputations import OWNER, PEER
from plora.node.transfer.artifact import Progress
from plora.proto.amounts import rate_text, size_text
from plora.proto.canonical import begins
from plora.proto.errors import UsageError

Json = dict[str, Any]

_NAME = re.compile(r"(?:(?P<owner>[^/@]+)/)?(?P<id>[^/@]+)(?:@(?P<version>[0-9]+))?")
_UNTRUSTED = ("unknown_owner", "out_of_scope", "unknown_lineage")
_SENTENCES = {
    "own": "published here",
    "accepted": "passed the gate and is in use",
    "examining": "the bytes are here, and a worker examines them",
    "carried": "passed the gate; it is kept for others and not used here (subscribe.carry)",
    "superseded": "a newer version took its place",
    "expired": "it has expired",
    "evicted": "it gave way to others",
    "no_source": "nobody who is linked to this peer serves it now",
    "fetching": "the bytes are on their way",
    "not_judged": "it has not been judged yet",
    "disk_full": "the disk is full",
    "io_error": "the disk failed",
    "bad_hash": "what came was not what was signed; another source is tried",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a plasmid stands here. `reason` is a code of the gate's table or of this module, or a setting.

    `limit` is what that setting says, as people write it, and `sentence` what follows from it.
    """

    state: str
    reason: str
    percent: int
    limit: str = ""
    sentence: str = ""


def standing_of(core: PeerCore, plasmid: Plasmid, now: Now) -> Standing:
    """The state of one plasmid."""
    held = plasmid.digest in core.desk.larder.held
    verdict = plasmid.verdict
    if plasmid.gone:
        return Standing(plasmid.gone, plasmid.gone, 0)
    if verdict is None:
        return Standing("pending", "not_judged", 0)
    percent = 100 if held else 0
    match verdict.outcome:
        case Outcome.ACCEPT:
            state = "own" if plasmid.own else "carried" if core.desk.carrying else "accepted"
            return Standing(state, "", percent)
        case Outcome.REJECT if verdict.reason == "too_large":
            limit = core.desk.policy.artifact_bytes_max
            return _limited("refused", "policy.artifact_bytes_max", limit, plasmid, percent)
        case Outcome.REJECT:
            return Standing("refused", verdict.reason, percent)
        case Outcome.QUARANTINE:
            return Standing("quarantined", verdict.reason, percent)
        case Outcome.DEFER:
            return Standing("deferred", verdict.reason, percent)
    if verdict.reason in _UNTRUSTED:
        return Standing("waiting", verdict.reason, percent)
    if verdict.reason in AWAITS:
        waits = core.desk.detectors.waiting(plasmid, now)
        return Standing("pending", verdict.reason, percent, sentence=f"{explain(verdict)}: {waits}" if waits else "")
    return _missing(core, plasmid, now) if verdict.wants_bytes else Standing("pending", verdict.reason, percent)


def status(core: PeerCore, now: Now) -> Json:
    """The peer in a few numbers."""
    states: dict[str, int] = {}
    for plasmid in core.desk.book.live.values():
        state = standing_of(core, plasmid, now).state
        states[state] = states.get(state, 0) + 1
    return {
        "peer": core.config.peer,
        "swarm": core.config.swarm,
        "boot": core.config.boot,
        "statements": core.live_count,
        "root": core.live_root.hex(),
        "links": len(core.desk.larder.ready),
        "plasmids": dict(sorted(states.items())),
        "objections": _objections(core),
        "held": len(core.desk.larder.held),
        "held_bytes": sum(core.desk.larder.held.values()),
        "sent_bytes": core.transfer.sent_bytes,
        "trusted_owners": [owner.nickname for owner in core.desk.trust.owners],
        "insecure": core.desk.policy.insecure,
        "reputations": reputation_counts(core, now),
        "freshness": _freshness(core, now),
        "merges": merges(core),
    }


def _objections(core: PeerCore) -> list[Json]:
    """How many live plasmids the gate objects to, by stage and reason."""
    verdicts = [plasmid.verdict for plasmid in core.desk.book.live.values()]
    found = Counter((verdict.stage, verdict.reason) for verdict in verdicts if verdict and verdict.reason)
    return [{"stage": stage, "reason": reason, "plasmids": found[stage, reason]} for stage, reason in sorted(found)]


def _freshness(core: PeerCore, now: Now) -> Json | None:
    """How fresh the peer is by the root that is pinned; None where none is."""
    found = freshness_here(core.desk.docket, core.desk.policy, core.desk.trust, now)
    return None if found is None else {"state": "fresh" if found.fresh else "stale", **asdict(found)}


def ls(core: PeerCore, now: Now) -> list[Json]:
    """One row a live plasmid, by name."""
    rows = [row(core, plasmid, now) for plasmid in core.desk.book.live.values()]
    return sorted(rows, key=lambda entry: (entry["name"], entry["content_id"]))


def row(core: PeerCore, plasmid: Plasmid, now: Now) -> Json:
    """What `plora ls` shows of a plasmid. `accept_s`: seconds from first sight to acceptance, by the local clock."""
    standing = standing_of(core, plasmid, now)
    manifest, progress = plasmid.manifest, _progress(core, plasmid, now)
    accepted = plasmid.accepted_ms if plasmid.usable else None
    return {
        "name": name_of(core, plasmid),
        "content_id": plasmid.content_id.hex(),
        "digest": plasmid.digest,
        "domain": manifest.domain,
        "base": manifest.base_model,
        "size_bytes": manifest.artifacts.size_bytes,
        "own": plasmid.own,
        "state": standing.state,
        "reason": standing.reason,
        "limit": standing.limit,
        "sentence": _sentence(core, plasmid, standing),
        "pinned": core.desk.wishes.pinned(plasmid.content_id),
        "percent": standing.percent,
        "rate_bytes_s": progress.rate_bytes_s if progress else 0,
        "seen_ms": plasmid.seen_ms,
        "accept_s": None if accepted is None else max(0, accepted - plasmid.seen_ms) / 1000,
        "folder": plasmid.name,
    }


def show(core: PeerCore, name: str, now: Now) -> Json:
    """A plasmid with its whole manifest. Raises UsageError for a name that doesn't lead to exactly one."""
    plasmid = one(core, name)
    vouching = [core.desk.trust.nickname(owner) for owner in core.desk.docket.attesters(plasmid.content_id)]
    manifest = plasmid.manifest.model_dump(mode="json", exclude_none=True)
    return {**row(core, plasmid, now), "manifest": manifest, "cosigned_by": vouching}


def why(core: PeerCore, name: str, now: Now, *, found: bool = False) -> Json:
    """What the gate saw of a plasmid, layer by layer, and why it is here or not. An unknown name is an answer too.

    `found`: with what detectors found, word for word. That is for the person at this peer alone: whoever submits again
    and again would learn by it.
    """
    if not resolve(core, name):
        return {"name": name, "state": "unknown", "reason": "unknown", "sentence": _unknown(core), "layers": []}
    plasmid = one(core, name)
    verdict, progress = plasmid.verdict, _progress(core, plasmid, now)
    return {
        **row(core, plasmid, now),
        "outcome": verdict.outcome.value if verdict else "",
        "stage": verdict.stage if verdict else "",
        "layers": [_layer(asdict(layer)) for layer in layers(verdict)] if verdict else [],
        "sources": core.desk.larder.sources(plasmid.content_id),
        "via": plasmid.via or "",
        "hops": plasmid.hops,
        "fetch": asdict(progress) if progress else None,
        "asked_by_others": _asked_by_others(core, plasmid),
        "policy_digest": core.desk.rules.policy_digest,
        "claimed_score": plasmid.manifest.safety.poisoning_score,
        "own_score": core.desk.detectors.score(plasmid),
        **({"found": core.desk.detectors.details(plasmid)} if found else {}),
    }


def merges(core: PeerCore) -> list[Json]:
    """The merge that is served of each base, the newest, and those that can be gone back to."""
    return [
        {
            "base": merge.base,
            "generation": merge.serving,
            "newest": merge.generation,
            "before": [one.number for one in merge.before],
            "inputs": [_short(core, content_id) for content_id in merge.served.inputs],
            "content_ids": list(merge.served.inputs),
            "domains": [source.domain for source in merge.served.sources],
            "kept": sorted(merge.kept, reverse=True),
            "trouble": core.desk.merges.trouble(merge.base),
            "report": merge.served.report,
            "probed": probed_sentence(merge.served.probed),
        }
        for merge in core.desk.merges.standing()
    ]


def reputations(core: PeerCore, now: Now) -> list[Json]:
    """What is known of the conduct of peers and owners, the worst first; how many plasmids are held for it."""
    held = Counter(
        plasmid.manifest.owner
        for plasmid in core.desk.book.live.values()
        if plasmid.verdict is not None and plasmid.verdict.reason == "low_reputation"
    )
    return [
        {**reputation(core, one.subject, now), "held": held[one.subject]} for one in core.reputations.known(now.wall_ms)
    ]


def reputation_counts(core: PeerCore, now: Now) -> dict[str, int]:
    """Of how many peers and owners something is known, and against how many something is held."""
    known = core.reputations.known(now.wall_ms)
    counts = Counter(one.kind for one in known)
    return {"peer": counts[PEER], "owner": counts[OWNER], "faulted": sum(one.reputation.bad > 0 for one in known)}


def reputation(core: PeerCore, subject: str, now: Now) -> Json:
    """What one peer or owner has earned here."""
    one = core.reputations.of(subject, now.wall_ms)
    return {
        "subject": subject,
        "kind": core.reputations.kind(subject),
        "score": round(one.score, 4),
        "good": round(one.good, 4),
        "bad": round(one.bad, 4),
        "fault": one.fault,
        "fault_wall_ms": one.fault_ms,
    }


def neighbour(core: PeerCore, peer: str, now: Now) -> Json:
    """What a linked peer last said of itself: how many statements it has, and when (ms ago); 0 for nothing yet."""
    link = core.gossip.links.get(peer)
    if link is None:
        return {"statements": 0, "heard_ms": 0}
    return {
        "statements": link.heartbeat.count if link.heartbeat else 0,
        "heard_ms": max(0, now.mono_ns - link.heard_ns) // 1_000_000,
    }


def transfers(core: PeerCore, now: Now) -> list[Json]:
    """Every fetch under way: `Progress`, the plasmid's name, its linked sources, and runs of chunks by place."""
    return [_transfer(core, entry) for entry in core.transfer.progress(now)]


def name_of(core: PeerCore, plasmid: Plasmid) -> str:
    """`owner/id@version`, with the local nickname of the owner."""
    return core.desk.showing.title(plasmid)


def resolve(core: PeerCore, name: str) -> list[Plasmid]:
    """The plasmids that a name may mean, live ones first; those that are gone only if no live one fits."""
    book = core.desk.book
    live = [plasmid for plasmid in book.live.values() if _fits(core, plasmid.called, name)]
    return live or [departed.plasmid for departed in book.gone.values() if _fits(core, departed.called, name)]


def one(core: PeerCore, name: str) -> Plasmid:
    """The plasmid of a name. Raises UsageError where there is none or more than one."""
    found = resolve(core, name)
    if not found:
        raise UsageError(f"no plasmid {name!r} is known here", mend="list what is with `plora ls`")
    newest = max(plasmid.manifest.version for plasmid in found)
    if found[0].gone:
        found = [plasmid for plasmid in found if plasmid.manifest.version == newest]
    if len(found) > 1:
        names = ", ".join(f"{name_of(core, plasmid)} ({plasmid.content_id.hex()[:12]})" for plasmid in found[:5])
        raise UsageError(f"{name!r} may mean {names}", mend="name the owner, or a longer part of the digest")
    return found[0]


def wished(core: PeerCore, name: str) -> tuple[bytes, str]:
    """The content id and name of what a person may pin or remove: also what is only kept since it was pinned."""
    for wish in core.desk.wishes.departed():
        if name == wish.name or begins(name, wish.content_id, wish.digest):
            return bytes.fromhex(wish.content_id), wish.name
    plasmid = one(core, name)
    return plasmid.content_id, name_of(core, plasmid)


def _fits(core: PeerCore, called: Called, name: str) -> bool:
    if begins(name, called.content_id, called.digest):
        return True
    parts = _NAME.fullmatch(name)
    if parts is None or parts["id"] != called.plasmid_id:
        return False
    if parts["version"] and int(parts["version"]) != called.version:
        return False
    wanted = parts["owner"]
    if not wanted or wanted == core.desk.trust.nickname(called.owner):
        return True
    return begins(wanted, called.owner)


def _missing(core: PeerCore, plasmid: Plasmid, now: Now) -> Standing:
    """Why the bytes that the gate asks for are not judged yet."""
    larder, progress = core.desk.larder, _progress(core, plasmid, now)
    if larder.has(plasmid):
        return Standing("examining", "examining", 100)
    left_out = larder.unwanted(plasmid)
    if left_out:
        state = {"removed": "removed", "subscribe.mode": "offered"}.get(left_out, "unwanted")
        return _limited(state, left_out, limit_value(left_out, larder.subscription, larder.room.limits), plasmid)
    if plasmid.bound is not None:
        return _limited("pending", plasmid.bound.setting, plasmid.bound.limit, plasmid)
    if progress is None:
        return Standing("pending", plasmid.trouble or "bytes_missing", 0)
    return _coming(core, plasmid, progress)


def _coming(core: PeerCore, plasmid: Plasmid, progress: Progress) -> Standing:
    """How far the bytes under way are, and what holds them up."""
    limits, percent = core.desk.larder.room.limits, progress.percent
    if progress.state == "bad_bytes":
        return Standing("refused", "hash_mismatch", percent)
    if progress.state.startswith("limits."):
        limit = limit_value(progress.state, core.desk.larder.subscription, limits)
        return _limited("pending", progress.state, limit, plasmid, percent)
    if progress.state not in ("list", "fetching", "finishing", "waiting"):
        return Standing("fetching" if progress.source else "pending", progress.state, percent)
    words = f"{_SENTENCES['fetching']}: {percent} %"
    if not progress.limit:
        return Standing("fetching" if progress.source else "pending", "fetching", percent, sentence=words)
    rate = rate_text(limits.download_rate)
    return Standing("fetching", progress.limit, percent, rate, f"{words}, at most {rate} ({progress.limit})")


def _asked_by_others(core: PeerCore, plasmid: Plasmid) -> str:
    """That others wait for bytes of it, and which limit holds them back; empty where nobody does."""
    waiting = core.transfer.waiting_bytes(plasmid.digest)
    rate = core.desk.larder.room.limits.upload_rate
    if not waiting:
        return ""
    return f"others wait for {size_text(waiting)} of it" + (
        f": limits.upload_rate is {rate_text(rate)}" if rate else ""
    )


def _limited(state: str, setting: str, limit: int | str, plasmid: Plasmid, percent: int = 0) -> Standing:
    """A plasmid that a limit keeps out."""
    words = limit_sentence(setting, limit, plasmid.artifact.size_bytes)
    text = limit if isinstance(limit, str) else size_text(limit)
    return Standing(state, setting, percent, text, words)


def _progress(core: PeerCore, plasmid: Plasmid, now: Now) -> Progress | None:
    if plasmid.digest not in core.desk.larder.fetching:
        return None
    return next((entry for entry in core.transfer.progress(now) if entry.digest == plasmid.digest), None)


def _transfer(core: PeerCore, entry: Progress) -> Json:
    plasmids = core.desk.book.of_digest(entry.digest)
    return {
        **asdict(entry),
        "name": name_of(core, plasmids[0]) if plasmids else entry.digest[:12],
        "content_id": plasmids[0].content_id.hex() if plasmids else "",
        "sources": core.transfer.sources(entry.digest),
        "chunks": core.transfer.chunks(entry.digest),
    }


def _sentence(core: PeerCore, plasmid: Plasmid, standing: Standing) -> str:
    verdict = plasmid.verdict
    if standing.sentence:
        return standing.sentence
    if standing.reason == UNKNOWN_OWNER:
        return stranger_sentence(core, plasmid.manifest.owner)
    if verdict is not None and standing.reason == verdict.reason and standing.state not in _SENTENCES:
        too = strangers_who_signed(core, plasmid) if standing.reason == BELOW_QUORUM else ""
        return explain(verdict) + too
    first = core.desk.book.first_of_bytes(plasmid)
    if plasmid.usable and first is not plasmid:
        return f"a copy of {name_of(core, first)}, which was accepted before: it is kept and has no weight in the merge"
    known = _SENTENCES.get(standing.reason) or sentence(standing.reason)
    return known or _SENTENCES.get(standing.state) or standing.reason.replace("_", " ")


def _unknown(core: PeerCore) -> str:
    links = len(core.desk.larder.ready)
    return f"no manifest of that name has been seen; {links} neighbour{'s are' if links != 1 else ' is'} linked"


def _short(core: PeerCore, content_id: str) -> str:
    plasmid = core.desk.book.live.get(bytes.fromhex(content_id))
    return name_of(core, plasmid) if plasmid else content_id[:12]


def _layer(fields: Json) -> Json:
    return {**fields, "evidence": dict(fields["evidence"])}
