"""Statements of a person on their way into the swarm: handed to the core, and its answer waited for.

What the core refuses is an error with the core's reason, never a success: a revocation or a signature that was thrown
away must not be taken for given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from plora.gate import STAGES, Case, Verdict, decide_bytes, explain
from plora.node.core.docket import series_of
from plora.node.core.events import Examined, Publish
from plora.proto.errors import RefusedError, StoreError
from plora.proto.manifest import Manifest
from plora.proto.statement import Statement

if TYPE_CHECKING:
    from plora.node.daemon.node import Node

SPREAD_WAIT_S = 10.0
RAISE = "sign it again by `plora sign` with a higher --version"
BYTE_STAGES = tuple(stage.name for stage in STAGES if stage.needs_bytes)
_MENDS: Mapping[str, str] = {  # what is no matter of one peer's policy or trust
    "revoked_content": "a revocation is never undone: train or sign something new",
    "revoked_key": "sign it with another key of the owner",
    "revoked_owner": "make another owner by `plora keygen`",
    "superseded": RAISE,
    "expired": "sign it again by `plora sign`",
}

_REFUSALS: Mapping[str, str] = {
    "superseded": "a newer version of it is known here",
    "expired": "it has expired",
    "unknown key": "the owner's record, which has the key, is not known here",
    "unknown target": "what it is about is not known here",
    "bad_signature": "the signature is not valid",
    "malformed": "it breaks the schema of its kind",
    "wrong_swarm": "it was made for another swarm",
    "untrusted_owners": "no more owners who are not trusted here are kept (limits.untrusted_owners)",
    "statements_per_owner": "no more statements of one owner are kept (limits.statements_per_owner)",
}


async def spread(
    node: Node,
    statements: tuple[Statement, ...],
    main: Statement,
    held: tuple[str, ...] = (),
    examined: tuple[Examined, ...] = (),
) -> None:
    """Publish, and wait until `main` is durable. Raises RefusedError with the core's reason where it isn't taken up.

    `held` are digests of artifacts that lie whole in the store, `examined` what a worker saw of those.
    """
    seen, driver = node.core.gossip.seen, node.driver
    driver.handle(Publish(statements, held, examined))
    reason = node.core.gossip.refusals.get(main.id)
    if reason is not None:
        raise RefusedError(_REFUSALS.get(reason, reason))
    async with asyncio.timeout(SPREAD_WAIT_S):
        await driver.until(lambda: not seen.under_way(main.id))
    if seen.get(main.id) is None:
        raise StoreError("it could not be written", where="state.db", mend="see `plora status`")


def check_publishable(node: Node, statement: Statement, manifest: Manifest, where: str) -> None:
    """Raises RefusedError for a manifest that could only be refused, before anything of it is stored or spread."""
    docket = node.core.desk.docket
    series = series_of(manifest)
    name = f"{manifest.plasmid_id}@{manifest.version}"
    newest = docket.newest(series)
    if newest > manifest.version:
        raise RefusedError(
            f"version {newest} is known here, this is version {manifest.version}", where=where, mend=RAISE
        )
    others = [content for content in docket.contents(series, manifest.version) if content != statement.id.hex()]
    if others:
        what = f"{name} was published already with other content ({others[0][:12]}); two contents block each other"
        raise RefusedError(what, where=where, mend=RAISE)
    check_taken_up(node, statement, where)


async def check_bytes(node: Node, statement: Statement, manifest: Manifest, artifact: Path) -> tuple[Examined, ...]:
    """What the worker saw, if the file is what the manifest names. Raises RefusedError for bytes that every peer would
    refuse, before anything of them is stored or spread.
    """
    examined = await node.driver.examined(artifact)
    verdict = decide_bytes(Case(statement, manifest, now_ms=0, features=examined.features))
    if verdict.bytes_only:
        found = verdict.evidence.get("tensor") or verdict.evidence.get("detail")
        what = f"{explain(verdict)}{f' ({found})' if found else ''}, so every peer would refuse it"
        raise RefusedError(what, where=str(artifact), mend="save the adapter anew, then publish it")
    return (examined,) if examined.digest == manifest.artifacts.sha256 else ()


def check_taken_up(node: Node, statement: Statement, where: str) -> None:
    """Raises RefusedError where the gate refuses a manifest for what every peer that knows as much refuses it for."""
    verdict = _held_back(node, statement)
    if verdict is not None and verdict.reason in _MENDS:
        raise RefusedError(explain(verdict), where=where, mend=_MENDS[verdict.reason])


def held_here(node: Node, statement: Statement) -> str:
    """Why this peer, by its own policy and trust, doesn't use what it spreads; empty while only bytes are missing."""
    verdict = _held_back(node, statement)
    return explain(verdict) if verdict is not None else ""


def _held_back(node: Node, statement: Statement) -> Verdict | None:
    plasmid = node.core.desk.book.live.get(statement.id)
    verdict = plasmid.verdict if plasmid is not None else None
    return None if verdict is None or verdict.accepted or verdict.stage in BYTE_STAGES else verdict
