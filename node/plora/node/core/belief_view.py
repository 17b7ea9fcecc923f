"""Whom a peer believes and how new it may believe to be, as people ask about it. Pure.

- `root`: the pinned root's members, what each said last, and whether that counts now; None where none is pinned.
- `owners`: everybody of trust.yaml with the keys of their newest record; `forked` are the records that both claim to be
  the next one, of which none is believed.
- `rivals`: versions of which an owner signed two contents, so that neither is accepted.
- Not handled here: strangers (`plora.node.core.owners`), what owners earned (`view.reputations`), certificates
  (`council_view`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from plora.gate import RootMember, TrustedOwner
from plora.gate.signers import keyring
from plora.node.core.freshness import freshness_here
from plora.node.core.now import Now
from plora.node.core.peer import PeerCore
from plora.proto.payloads import Freshness
from plora.proto.words import fingerprint

Json = dict[str, Any]

TWO_CONTENTS = "two_contents"


def beliefs(core: PeerCore, now: Now) -> Json:
    """The whole of it."""
    docket, trust = core.desk.docket, core.desk.trust
    known = {owner.owner for owner in trust.owners}
    return {
        "root": _root(core, now),
        "signed_time_ms": docket.signed_time_ms,
        "clock_behind_ms": max(0, docket.signed_time_ms - now.wall_ms),
        "owners": [_owner(core, owner) for owner in trust.owners],
        "distrusted": [{"name": one.name, "entry": one.entry} for one in trust.distrusted if one.entry not in known],
        "rivals": rivals(core),
    }


def _root(core: PeerCore, now: Now) -> Json | None:
    docket, trust = core.desk.docket, core.desk.trust
    root, found = trust.root, freshness_here(docket, core.desk.policy, trust, now)
    if root is None or found is None:
        return None
    said = [payload for _, payload in docket.freshness]
    return {
        "version": root.version,
        "state": "fresh" if found.fresh else "stale",
        "required": found.required,
        "until_ms": found.until_ms,
        "outdated": found.outdated,
        "members": [_member(one, said, one.name in found.signed) for one in root.members],
    }


def _member(member: RootMember, said: Iterable[Freshness], counts: bool) -> Json:
    """`issued` and `expires` are of what the member said last, empty for nothing; `under`: by which root file."""
    last = max((one for one in said if one.owner == member.owner), key=lambda one: one.issued, default=None)
    return {
        "name": member.name,
        "owner": member.owner,
        "counts": counts,
        "issued": last.issued if last else "",
        "expires": last.expires if last else "",
        "under": last.trust_version if last else 0,
    }


def _owner(core: PeerCore, owner: TrustedOwner) -> Json:
    docket, trust = core.desk.docket, core.desk.trust
    at = keyring(owner, docket.dossier(owner.owner), trust.root).authority
    usable = [key_id for key_id in at.current if key_id not in at.void_keys]
    return {
        "nickname": owner.nickname,
        "owner": owner.owner,
        "words": fingerprint(owner.owner),
        "domains": list(owner.domains),
        "bases": list(owner.bases),
        "roles": list(owner.roles),
        "distrusted": trust.distrusts(owner.owner),
        "keys": len(usable),
        "revoked_keys": len(at.void_keys),
        "threshold": at.threshold,
        "forked": list(at.forked),
    }


def rivals(core: PeerCore) -> list[Json]:
    """Each such version with its contents, by name."""
    found: dict[str, list[str]] = {}
    for plasmid in core.desk.book.live.values():
        if plasmid.verdict is not None and plasmid.verdict.reason == TWO_CONTENTS:
            found.setdefault(core.desk.showing.title(plasmid), []).append(plasmid.content_id.hex())
    return [{"name": name, "contents": sorted(contents)} for name, contents in sorted(found.items())]
