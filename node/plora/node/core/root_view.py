"""The pinned root as people ask about it: its owners, what they revoke together, what one more would change. Pure.

- A revocation that an owner of the root signed is *begun*; it *counts* once as many of them signed as the root says.
  What an owner takes back that is their own anyway needs the others not, and isn't listed.
- What a revocation would change is found by judging what it touches as if it counted already.
- Not handled here: signing, and spreading it (`plora.node.admin`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from plora.gate import Root, Verdict, explain
from plora.gate.root import members_behind
from plora.node.core.now import Now
from plora.node.core.peer import PeerCore
from plora.node.core.plasmid import Plasmid
from plora.proto.payloads import Revocation
from plora.proto.rotation import Dossier
from plora.proto.statement import Statement

Json = dict[str, Any]


def root(core: PeerCore) -> Json:
    """The root that is pinned here, and its revocations, the oldest first; only `pinned` where there is none."""
    found = core.desk.trust.root
    if found is None:
        return {"pinned": False}
    known = core.desk.docket.revocations()
    begun = [pair for pair in known.revocations if found.member(pair[1].owner) and not _of_their_own(core, pair[1])]
    begun.sort(key=lambda pair: (pair[1].issued, pair[0].id))
    return {
        "pinned": True,
        "version": found.version,
        "threshold": found.threshold,
        "members": [
            {"name": one.name, "owner": one.owner, "keys": [key.key_id for key in one.keys], "threshold": one.threshold}
            for one in found.members
        ],
        "revocations": [_revocation(core, found, statement, body, known) for statement, body in begun],
    }


def weighed(core: PeerCore, revocation: Revocation, now: Now) -> list[Json]:
    """What would change here if the root's owners had signed this, a row a plasmid; empty without a root."""
    desk = core.desk
    if desk.trust.root is None:
        return []
    supposed = replace(desk.trust, root=replace(desk.trust.root, supposed=(revocation,)))
    touched = (desk.book.live[key] for key in desk.docket.struck_by(revocation) if key in desk.book.live)
    after = ((plasmid, desk.judging.verdict_under(supposed, plasmid, now)) for plasmid in touched)
    rows = (_change(core, plasmid, verdict) for plasmid, verdict in after if _differs(plasmid.verdict, verdict))
    return sorted(rows, key=lambda row: (row["name"], row["content_id"]))


def about(core: PeerCore, kind: str, target: str) -> str:
    """What people here call the target of a revocation."""
    if kind == "content":
        plasmid = core.desk.book.live.get(bytes.fromhex(target))
        return core.desk.showing.title(plasmid) if plasmid is not None else target[:12]
    if kind == "owner":
        return _called(core, target)
    names = ", ".join(_called(core, owner) for owner in holders(core, kind, target))
    return f"{target[:12]} of {names or 'nobody known here'}"


def holders(core: PeerCore, kind: str, target: str) -> tuple[str, ...]:
    """The owners whose thing it is, as far as that is known here: they take it back without the others."""
    if kind == "owner":
        return (target,)
    if kind == "key":
        return core.desk.docket.listing(target)
    plasmid = core.desk.book.live.get(bytes.fromhex(target))
    return (plasmid.manifest.owner,) if plasmid is not None else ()


def _called(core: PeerCore, owner: str) -> str:
    """An owner's nickname here, else the name that they gave themselves."""
    record = core.desk.docket.first_record(owner)
    if core.desk.trust.owner(owner) is not None or record is None:
        return core.desk.trust.nickname(owner)
    return f"{record.name} ({owner[:12]})"


def _of_their_own(core: PeerCore, revocation: Revocation) -> bool:
    return revocation.owner in holders(core, revocation.target_kind, revocation.target)


def _revocation(core: PeerCore, root: Root, statement: Statement, revocation: Revocation, known: Dossier) -> Json:
    signed = members_behind(root, statement, known)
    return {
        "id": statement.id.hex(),
        "target_kind": revocation.target_kind,
        "target": revocation.target,
        "about": about(core, revocation.target_kind, revocation.target),
        "reason": revocation.reason,
        "issued": revocation.issued,
        "signed": list(signed),
        "counts": len(signed) >= root.threshold,
    }


def _differs(before: Verdict | None, after: Verdict) -> bool:
    return before is None or (before.outcome, before.reason) != (after.outcome, after.reason)


def _change(core: PeerCore, plasmid: Plasmid, after: Verdict) -> Json:
    return {
        "name": core.desk.showing.title(plasmid),
        "content_id": plasmid.content_id.hex(),
        "used": plasmid.usable,
        "after": explain(after),
    }
