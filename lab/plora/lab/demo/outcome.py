"""What came of the demo, claim by claim, from the peers' own logs and from a fresh evaluation. Nothing is assumed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from plora.lab.demo.board import Known
from plora.lab.demo.peers import DemoPeer
from plora.lab.demo.plan import BAD, CRASHED, GOOD, MALLORY, PEERS, Piece, Plan
from plora.proto.errors import WorkerError
from plora.v1 import admin_pb2


@dataclass(frozen=True, slots=True)
class Crash:
    """Which plasmid was on its way when the peer was killed, its artifact, and how far it was."""

    plasmid: str = ""
    digest: str = ""
    percent: float = 0.0


@dataclass(frozen=True, slots=True)
class Claim:
    """One line of the summary, and whether it is true."""

    text: str
    true: bool


def summarise(
    console: Console, folder: Path, plan: Plan, peers: Mapping[str, DemoPeer], crash: Crash, known: Known
) -> bool:
    """Print the summary; returns whether every claim holds."""
    rows = evaluate(plan, folder, peers["ada"])
    console.print(f"\nPerplexity of answers given their questions ({plan.documents} held-out a domain, 95 % interval):")
    console.print(perplexity_table(rows))
    claims = [held(known), refused(known), resumed(peers[CRASHED], crash, plan), improved(rows)]
    console.print()
    for claim in claims:
        console.print(f"{'✓' if claim.true else '✗'} {claim.text}", markup=False)
    result = {"rows": rows, "claims": [{"text": claim.text, "true": claim.true} for claim in claims]}
    (folder / "result.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    home = peers["ada"].home
    console.print(f"\nFiles: {home}/adapters, {home}/merged, {home}/events, {folder}/logs, {folder}/result.json")
    console.print("Next, while the swarm is up, from another terminal:")
    for words in ("ls", "why arithmetic-dee", "peers", "events -f"):
        console.print(f"  .venv/bin/plora {words} --home {home}", markup=False)
    return all(claim.true for claim in claims)


def held(known: Known) -> Claim:
    """Good copies at all peers."""
    states = [_find(known, piece, peer) for piece in GOOD for peer in PEERS]
    count = sum(one is not None and one.state in ("accepted", "own") for one in states)
    return Claim(f"{count} of {len(states)} good copies held", count == len(states))


def refused(known: Known) -> Claim:
    """Bad copies refused for the reason that is theirs; where the bytes were spoilt, that copy is the peer's own."""
    places = [(piece, peer) for piece in BAD for peer in PEERS if piece.owner == MALLORY or peer != piece.peer]
    count = 0
    for piece, peer in places:
        one, reason = _find(known, piece, peer), "unknown_owner" if piece.owner == MALLORY else "hash_mismatch"
        count += one is not None and one.state == "refused" and one.reason == reason
    return Claim(f"{count} of {len(places)} bad copies refused for the right reason", count == len(places))


def resumed(peer: DemoPeer, crash: Crash, plan: Plan) -> Claim:
    """The killed peer took up the transfer and fetched no stored chunk again."""
    if not crash.digest:
        return Claim("no peer could be killed in the middle of a transfer", False)
    done = [one for one in peer.records("fetch_done") if one["digest"] == crash.digest]
    size = next((one["size_bytes"] for one in peer.records("fetch_started") if one["digest"] == crash.digest), 0)
    if len(done) != 1:
        return Claim(f"{peer.name} did not finish {crash.plasmid} after the crash", False)
    kept, fetched = done[0]["resumed_bytes"], done[0]["wire_bytes"]
    true = kept > 0 and kept + fetched == size and done[0]["wasted_bytes"] == 0
    chunks = f"{kept // plan.chunk_bytes} chunks kept, {-(-fetched // plan.chunk_bytes)} fetched, none twice"
    return Claim(f"{peer.name} was killed at {crash.percent:.0f} % of {crash.plasmid} and resumed: {chunks}", true)


def improved(rows: list[dict[str, Any]]) -> Claim:
    """Domains in which the merged adapter is better than the base, with an interval that excludes no change."""
    better = [row["domain"] for row in rows if row["adapter"] == "merged" and row["helps"]]
    text = f"{len(better)} of {len(GOOD)} domains improved by the merged adapter: {', '.join(better)}"
    return Claim(text, len(better) == len(GOOD))


def evaluate(plan: Plan, folder: Path, peer: DemoPeer) -> list[dict[str, Any]]:
    """Score base, own adapters and the merged one, all as `peer` holds them."""
    merges = peer.ask("Merges", admin_pb2.MergesRequest()).merges
    if not merges:
        return []
    command = [sys.executable, "-m", "plora.lab.evaluate", "--base", plan.base, "--documents", str(plan.documents)]
    for piece in GOOD:
        command += ["--adapter", f"{piece.domain}={peer.home}/adapters/{piece.owner}--{piece.plasmid_id}"]
    command += ["--adapter", f"merged={merges[0].folder}", "--domains", ",".join(piece.domain for piece in GOOD)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    if last.get("event") != "done":
        raise WorkerError(str(last.get("what") or done.stderr[-300:]), where="evaluation", mend=f"see {folder}/logs")
    return list(last["rows"])


def perplexity_table(rows: list[dict[str, Any]]) -> Table:
    """A row a domain: base, own adapter, merged adapter."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("domain", "base", "own adapter", "merged adapter"):
        table.add_column(column)
    cells = {(row["adapter"], row["domain"]): row["perplexity"] for row in rows}
    for piece in GOOD:
        found = [cells.get((name, piece.domain)) for name in ("base", piece.domain, "merged")]
        table.add_row(piece.domain, *(_interval(one) for one in found))
    return table


def _interval(interval: Mapping[str, float] | None) -> str:
    return f"{interval['value']:.1f}  [{interval['low']:.1f}, {interval['high']:.1f}]" if interval else "—"


def _find(known: Known, piece: Piece, peer: str) -> admin_pb2.Plasmid | None:
    return known.get(peer, {}).get(piece.plasmid_id)
