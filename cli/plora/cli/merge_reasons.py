"""`plora why merged`: what is in the merge that is served, and why everything else of its base isn't.

Pure: messages of the admin service in, plain data and text out.

>>> ada = pb.Contribution(name="ada/legal@1", content_id="aa", domain="legal", weight=1, norm_merged=3)
>>> merge = pb.MergeInfo(generation=2, newest=2, base_model="mini", rank=8, discarded_energy=0.25, contributions=[ada])
>>> eve = pb.Plasmid(name="eve/tax@1", content_id="bb", base_model="mini", state="waiting", sentence="who?")
>>> print(*merge_why_lines(merge_why(merge, [eve])), sep="\\n")
merged/mini: generation 2 of 1 adapter, rank 8, 25.0% of energy discarded
+ ada/legal@1            weight 1      norm 3         legal
- eve/tax@1              waiting: who?
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from plora.v1 import admin_pb2 as pb

_NAME = re.compile(r"merged(?:(?:/|--)(?P<base>.+))?")
_USED = ("accepted", "own")


def names_a_merge(name: str) -> bool:
    """Whether a name means merges and no plasmid: `merged`, `merged/BASE` or `merged--BASE`."""
    return _NAME.fullmatch(name) is not None


def merges_of(name: str, merges: Iterable[pb.MergeInfo], plasmids: Iterable[pb.Plasmid]) -> list[pb.MergeInfo]:
    """The merges that a name means, by base; an empty one for a base of which nothing is merged."""
    found = _NAME.fullmatch(name)
    wanted = found["base"] if found else None
    made = {one.base_model: one for one in merges}
    bases = sorted({*made, *(one.base_model for one in plasmids)})
    return [made.get(base) or pb.MergeInfo(base_model=base) for base in bases if wanted in (None, base)]


def merge_why(merge: pb.MergeInfo, plasmids: Iterable[pb.Plasmid]) -> dict[str, Any]:
    """One base's merge: its numbers, what is in it, and what else of that base is known with the reason against it."""
    plasmids = [one for one in plasmids if one.base_model == merge.base_model]
    counting = [one for one in merge.contributions if not (one.left_out or one.copy_of)]
    inside = {one.content_id for one in counting}
    weightless = {one.content_id: _weightless(one) for one in merge.contributions if one not in counting}
    bytes_of = {one.sha256: one.name for one in plasmids if one.content_id in inside and one.sha256}
    return {
        "name": f"merged/{merge.base_model}",
        "generation": merge.generation,
        "newest": merge.newest,
        "trouble": merge.trouble,
        "probed": merge.probed,
        "rank": merge.rank,
        "discarded_energy": merge.discarded_energy,
        "inputs": [
            {
                "name": one.name,
                "content_id": one.content_id,
                "domain": one.domain,
                "weight": one.weight,
                "norm": one.norm_merged,
            }
            for one in counting
        ],
        "left_out": [
            {
                "name": one.name,
                "content_id": one.content_id,
                "state": one.state,
                "reason": _reason(one, merge, weightless, bytes_of),
            }
            for one in plasmids
            if one.content_id not in inside
        ],
    }


def merge_why_lines(document: dict[str, Any]) -> Iterator[str]:
    """The same for people: a line for the merge, one for each adapter in it (+) and each that isn't (-)."""
    if document["generation"]:
        adapters = f"{len(document['inputs'])} adapter{'s' if len(document['inputs']) != 1 else ''}"
        lost = f"{document['discarded_energy']:.1%} of energy discarded"
        numbers = f"generation {document['generation']} of {adapters}, rank {document['rank']}, {lost}"
    else:
        numbers = "nothing is served"
    yield f"{document['name']}: {numbers}"
    if document["probed"]:
        yield f"  {document['probed']}"
    if document["trouble"]:
        yield f"! the newest attempt failed: {document['trouble']}"
    for one in document["inputs"]:
        yield f"+ {one['name']:<22} weight {one['weight']:<6.3g} norm {one['norm']:<9.3g} {one['domain']}"
    for one in document["left_out"]:
        yield f"- {one['name']:<22} {one['reason']}"


def _weightless(one: pb.Contribution) -> str:
    """Why an adapter that is in a merge has no weight there."""
    if one.left_out:
        return f"it doesn't fit the others: {one.left_out}"
    return f"it is the same update as {one.copy_of}, which counts once"


def _reason(plasmid: pb.Plasmid, merge: pb.MergeInfo, weightless: dict[str, str], bytes_of: dict[str, str]) -> str:
    """Why an adapter is not in the merge that is served."""
    if plasmid.state not in _USED:
        return f"{plasmid.state}: {plasmid.sentence}" if plasmid.sentence else plasmid.state
    if plasmid.content_id in weightless:
        return weightless[plasmid.content_id]
    if plasmid.sha256 in bytes_of:
        return f"its bytes are those of {bytes_of[plasmid.sha256]}, which count once"
    if merge.generation and merge.generation != merge.newest:
        return f"generation {merge.generation} was gone back to (`plora rollback --forward` serves {merge.newest})"
    if merge.trouble:
        return "the newest attempt failed"
    return "accepted; it is in the next merge (none comes while `merge.enabled` is false)"
