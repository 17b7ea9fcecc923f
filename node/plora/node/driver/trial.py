"""Probing a merge, and merges of fewer that are made for this alone.

- What is made lies in `tmp/` while it is probed, and is removed whatever comes of it; what a crash leaves there goes at
  the next start (`shelf.sweep`).
- Nothing that earlier merges kept is used or added to: a trial's pairs are pairs of the merge that was just made, and
  what it would keep would push out what the next merge needs.

Not handled: what is to be probed and what follows (the core), how a worker probes (`Prober`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from plora.gate.findings import Findings
from plora.node.core.effects import Merge, Try
from plora.node.core.events import Tried
from plora.node.driver.shelf import Shelf
from plora.node.workers.pool import Workers
from plora.proto.errors import PloraError

UNABLE = "this peer has nothing to probe merges with (see `plora doctor`)"


class Prober(Protocol):
    """How merges are probed here."""

    async def __call__(self, folder: Path, base: str) -> Findings:
        """What the merge in a folder shows. Raises PloraError where the worker failed."""


async def no_prober(folder: Path, base: str) -> Findings:
    """For a peer that can't probe."""
    return Findings("", note=UNABLE)


async def carry_out(
    effect: Try, shelf: Shelf, workers: Workers, prober: Prober, on_shelf: Callable[[Callable[[], Any]], Awaitable[Any]]
) -> Tried:
    """Probe as the effect says; `on_shelf` does blocking work in the shelf's thread."""
    try:
        if not effect.inputs:
            findings = await prober(shelf.merge_folder(effect.base, effect.generation), effect.base)
        else:
            findings = await _of_fewer(effect, shelf, workers, prober, on_shelf)
    except (OSError, PloraError) as error:
        return _answer(effect, None, str(error) or type(error).__name__)
    return _answer(effect, findings)


async def _of_fewer(
    effect: Try, shelf: Shelf, workers: Workers, prober: Prober, on_shelf: Callable[[Callable[[], Any]], Awaitable[Any]]
) -> Findings:
    merge = Merge(effect.base, effect.generation, effect.inputs, effect.recipe)
    request = await on_shelf(lambda: shelf.merge_request(merge, weights=effect.weights))
    try:
        await workers.merge(request)
        return await prober(Path(request["out"]), effect.base)
    finally:
        await on_shelf(lambda: shelf.forget_merge(merge, request))


def _answer(effect: Try, findings: Findings | None, reason: str = "") -> Tried:
    return Tried(effect.base, effect.generation, effect.trial, findings, reason)
