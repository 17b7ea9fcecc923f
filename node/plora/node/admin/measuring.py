"""What was measured of a merge: told by whoever measured it, kept beside that merge, and shown while it is served.

- A peer measures nothing itself, since scoring text needs torch; `plora measure` does, and reports here.
- It is kept as `measured.json` in the folder of its generation: it survives a restart, and goes when the merge does.
- A later report of the same generation takes the place of the one before. One that can't be read counts as none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from google.protobuf import json_format

from plora.node.admin.serving import row_of
from plora.node.driver.driver import SHELF_KEY
from plora.node.driver.shelf import Shelf
from plora.proto.errors import RefusedError, StoreError, UsageError
from plora.proto.records import MergeMeasured
from plora.v1 import admin_pb2 as pb

if TYPE_CHECKING:
    from plora.node.daemon.node import Node

DOMAINS_MAX = 64


async def keep_measure(node: Node, shelf: Shelf, request: pb.MeasuredRequest) -> pb.MeasuredReply:
    """Keep a report durably and record it.

    Raises RefusedError if that merge is gone, UsageError for what are no figures, StoreError if the disk fails.
    """
    measure, row = request.measure, row_of(node, request.base_model)
    _check(measure)
    if measure.generation not in row.kept:
        raise _gone(row.base, measure.generation)
    text = json_format.MessageToJson(measure, preserving_proto_field_name=True, sort_keys=True)
    try:
        await node.driver.blocking(SHELF_KEY, lambda: shelf.keep_measure(row.base, measure.generation, text))
    except FileNotFoundError as error:
        raise _gone(row.base, measure.generation) from error
    except OSError as error:
        raise StoreError(f"the measure can't be written ({error.strerror})", where=f"merged/{row.base}") from error
    node.driver.note(_body(row.base, measure))
    return pb.MeasuredReply()


def measure_of(shelf: Shelf, base: str, generation: int) -> pb.Measure:
    """What was measured of a generation; without domains where nothing was."""
    try:
        return json_format.Parse(shelf.measure(base, generation) or "{}", pb.Measure(), ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError):
        return pb.Measure()


def _gone(base: str, generation: int) -> RefusedError:
    gone = f"generation {generation} is no longer kept"
    return RefusedError(gone, where=f"merged/{base}", mend="measure the one that is served now")


def _check(measure: pb.Measure) -> None:
    if not 1 <= len(measure.domains) <= DOMAINS_MAX:
        raise UsageError(f"{len(measure.domains)} domains; a measure has 1 to {DOMAINS_MAX}", where="measure")
    for one in measure.domains:
        if not all(map(math.isfinite, _figures(one))):
            raise UsageError("a figure is no number", where=f"measure of {one.domain}")


def _figures(one: pb.DomainMeasure) -> Iterator[float]:
    for estimate in (one.base, one.before, one.after, one.change):
        yield from (estimate.value, estimate.low, estimate.high)


def _body(base: str, measure: pb.Measure) -> MergeMeasured:
    domains = measure.domains
    return MergeMeasured(
        base=base,
        generation=measure.generation,
        before=measure.before,
        domains=tuple(one.domain for one in domains),
        perplexity_base=tuple(one.base.value for one in domains),
        perplexity_before=tuple(one.before.value for one in domains) if measure.before else (),
        perplexity_after=tuple(one.after.value for one in domains),
        by=measure.by,
    )
