"""What a peer works at, as the admin service's messages: fetches under way, and the merges that stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from plora.node.admin.measuring import measure_of
from plora.node.core import view
from plora.node.core.merge_report import InputFacts, read_report
from plora.node.core.now import Now
from plora.node.core.peer import PeerCore
from plora.node.driver.shelf import Shelf
from plora.v1 import admin_pb2 as pb

TRANSFERS_MAX = 200


def merges_reply(core: PeerCore, shelf: Shelf) -> pb.MergesReply:
    """The merge that stands for each base."""
    standing = [merge for merge in view.merges(core) if merge["inputs"] or merge["trouble"]]
    return pb.MergesReply(merges=[_merge(shelf, merge) for merge in standing])


def _merge(shelf: Shelf, merge: view.Json) -> pb.MergeInfo:
    base, facts = merge["base"], read_report(merge["report"])
    names = merge["inputs"]
    inputs = zip(merge["content_ids"], names, merge["domains"], facts.inputs, strict=False)
    return pb.MergeInfo(
        base_model=base,
        generation=merge["generation"],
        inputs=names,
        weights=[one.weight for one in facts.inputs],
        discarded_energy=facts.discarded_energy,
        folder=shelf.merged_folder(base),
        rank=facts.rank,
        trouble=merge["trouble"],
        newest=merge["newest"],
        before=merge["before"],
        contributions=[_contribution(*one, names) for one in inputs],
        kept=[pb.KeptMerge(generation=one, folder=str(shelf.merge_folder(base, one))) for one in merge["kept"]],
        probed=merge["probed"],
        measure=measure_of(shelf, base, merge["generation"]),
    )


def _contribution(content_id: str, name: str, domain: str, facts: InputFacts, names: Sequence[str]) -> pb.Contribution:
    said = asdict(facts) | {"copy_of": "" if facts.copy_of is None else names[facts.copy_of]}
    return pb.Contribution(name=name, content_id=content_id, domain=domain, **said)


def transfers_reply(core: PeerCore, now: Now) -> pb.TransfersReply:
    """What is being fetched, the first `TRANSFERS_MAX` of it, and how much was given."""
    found = view.transfers(core, now)
    shown = [_transfer(entry) for entry in found[:TRANSFERS_MAX]]
    left_out = max(0, len(found) - TRANSFERS_MAX)
    return pb.TransfersReply(transfers=shown, left_out=left_out, sent_bytes=core.transfer.sent_bytes)


def _transfer(entry: view.Json) -> pb.Transfer:
    chunks = [pb.ChunkRun(state=state, count=count) for state, count in entry["chunks"]]
    return pb.Transfer(**entry | {"chunks": chunks})
