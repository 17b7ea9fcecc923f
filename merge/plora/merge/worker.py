"""One merge in a process of its own: `python -m plora.merge.worker`, a JSON line in, a JSON line out.

Request: {"inputs": [{"folder", "digest", "came"?, "weight"?}], "out", "base_model_name", "strategy"?, "rank_max"?,
"max_delta_fro"?, "kept"?}. Weights are given for all inputs or for none (then 1/K). `digest` is the SHA-256 of the
tensor file that was examined, and comes back in the report's `inputs`, beside the content digest that ordered the
operands. `came` is an integer that says when it was accepted, in any unit; 0 where it is left out.

`kept` is {"folder", "fresh", "bytes_max", "seed"}: blocks of earlier merges to read, where to write those that are new,
and what else `plora.merge.gram_store` wants to know. Then the report's `kept` names the files that are of use, and
`reused` says which part of all pairs of operands was not computed, from 0 to 1; `damaged`, whether they were wrong.

Reply: {"report": …} when the folder `out` is written and synced to disk, or {"error": {"kind", "what", "where",
"mend"}}, with exit code 1. The caller makes `out`'s parent and gives the result its place.

What was examined is what is merged: a file with another SHA-256 is the error SpoiltBytesError, whose `where` is the
digest that was asked for.

An input that is a merge of other inputs alone is left out (its name in `inputs` is no operand then): they are there
themselves, and what it says of their weights is a stranger's word. Another merge counts as an adapter of its own.

An input that can't be merged with the others (`plora.merge.compatible`) is left out, and named with the reason in the
report's `left_out`: one adapter doesn't keep all others from being merged.

Of inputs with the same update under other values (`plora.merge.copies`) the first that came counts, of those that came
at once the first given; the others name it, by its `digest`, as `copy_of` in the report's `inputs`.

Not handled: limits of time and memory, and what a merge may touch (the caller's: `plora.node.workers`).
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from plora.merge.compatible import misfits
from plora.merge.engine import merge_laid_out
from plora.merge.folder_sink import FolderSink
from plora.merge.gram_store import GramStore
from plora.merge.layout import Layout, lay_out
from plora.merge.peft_folder import TENSORS_NAME
from plora.merge.plan import RANK_MAX_DEFAULT
from plora.merge.provenance import Shelf, describe, places_of_leaves
from plora.merge.registry import plan_of
from plora.proto.errors import AdapterError, PloraError, SpoiltBytesError, UsageError

REQUEST_BYTES_MAX = 4 << 20
INPUTS_MAX = 1024
_REQUIRED = frozenset({"inputs", "out", "base_model_name"})
_KINDS: Mapping[str, tuple[type, ...]] = {
    "out": (str,),
    "base_model_name": (str,),
    "strategy": (str,),
    "rank_max": (int,),
    "max_delta_fro": (int, float, type(None)),
}
_OPTIONAL = frozenset({"strategy", "rank_max", "max_delta_fro", "kept"})
_KEPT: Mapping[str, type] = {"folder": str, "fresh": str, "bytes_max": int, "seed": int}


def answer(line: str) -> str:
    """Carry out one request line; the reply as one line of JSON."""
    reply: dict[str, Any]
    try:
        reply = {"report": carry_out(parse_request(line.encode()))}
    except PloraError as error:
        kind = type(error).__name__
        reply = {"error": {"kind": kind, "what": error.what, "where": error.where, "mend": error.mend}}
    except Exception as error:  # A crash must reach the caller as a reply, not as an empty pipe.
        reply = {"error": {"kind": type(error).__name__, "what": str(error), "where": "", "mend": ""}}
    return json.dumps(reply, sort_keys=True, separators=(",", ":"))


def serve(source: BinaryIO, sink: BinaryIO) -> int:
    """Read one request, carry it out, write one reply; returns the exit code."""
    reply = answer(source.readline(REQUEST_BYTES_MAX + 1).decode("utf-8", "replace"))
    sink.write(reply.encode() + b"\n")
    sink.flush()
    return 1 if "error" in json.loads(reply) else 0


def parse_request(line: bytes) -> Mapping[str, Any]:
    """A checked request. Raises UsageError."""
    if len(line) > REQUEST_BYTES_MAX:
        raise UsageError(f"the request is over {REQUEST_BYTES_MAX} bytes")
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError("the request is not JSON") from error
    if not isinstance(request, dict) or not _REQUIRED <= request.keys() <= _REQUIRED | _OPTIONAL:
        raise UsageError(f"a request has {', '.join(sorted(_REQUIRED))} and at most {', '.join(sorted(_OPTIONAL))}")
    _check_inputs(request["inputs"])
    for key, kinds in _KINDS.items():
        if key in request and type(request[key]) not in kinds:
            raise UsageError(f"{key} has the wrong type")
    if "kept" in request:
        _check_kept(request["kept"])
    return request


def _check_inputs(inputs: object) -> None:
    if not isinstance(inputs, list) or not 1 <= len(inputs) <= INPUTS_MAX or not all(map(_is_input, inputs)):
        raise UsageError(f"inputs are 1 to {INPUTS_MAX} objects of folder, digest, perhaps came and weight")
    if len({"weight" in item for item in inputs}) != 1:
        raise UsageError("weights are given for some inputs only")


def _check_kept(kept: object) -> None:
    if not isinstance(kept, dict) or kept.keys() != _KEPT.keys():
        raise UsageError(f"kept has {', '.join(_KEPT)}")
    if any(type(kept[key]) is not kind for key, kind in _KEPT.items()):
        raise UsageError("what is said of kept has the wrong type")


def carry_out(request: Mapping[str, Any]) -> dict[str, Any]:
    """Merge as a checked request says, write the result; returns the report with the caller's names of the inputs."""
    inputs = request["inputs"]
    shelf, folders = Shelf(), [Path(item["folder"]) for item in inputs]
    named = [_examined(shelf, folder, item["digest"]) for folder, item in zip(folders, inputs, strict=True)]
    places, left_out = _fitting(places_of_leaves(folders, shelf), folders, shelf)
    weights = [float(inputs[place]["weight"]) for place in places] if "weight" in inputs[0] else None
    plan = plan_of(
        request.get("strategy", "weighted_sum"),
        weights,
        request.get("rank_max", RANK_MAX_DEFAULT),
        request.get("max_delta_fro"),
    )
    merged = [shelf.source(folders[place]) for place in places]
    came = [inputs[place].get("came", 0) for place in places]
    layout = lay_out(merged, plan, request["base_model_name"], came)
    store = _store(request["kept"], layout) if "kept" in request else None
    with FolderSink(Path(request["out"]), metadata=describe(merged, layout).metadata()) as sink:
        report = merge_laid_out(sink, layout, keeper=store)
    misfits = [{"digest": inputs[place]["digest"], "reason": reason} for place, reason in left_out.items()]
    return {**report.document(), "inputs": _naming_copies(named, layout), "left_out": misfits, **_kept(store)}


def _naming_copies(named: Sequence[dict[str, str]], layout: Layout) -> list[dict[str, str]]:
    """The inputs, copies with the operand and the input that count for them."""
    counting = {copy: operand.digest for operand in layout.operands for copy in operand.copies}
    first = {each["operand"]: each["digest"] for each in reversed(named)}
    return [
        {**each, "operand": counting[each["operand"]], "copy_of": first[counting[each["operand"]]]}
        if each["operand"] in counting
        else each
        for each in named
    ]


def _store(kept: Mapping[str, Any], layout: Layout) -> GramStore:
    return GramStore(
        Path(kept["folder"]),
        [operand.digest for operand in layout.operands],
        fresh=Path(kept["fresh"]),
        bytes_max=kept["bytes_max"],
        seed=kept["seed"],
    )


def _kept(store: GramStore | None) -> dict[str, Any]:
    """What the report says of kept blocks, the new ones in their files."""
    if store is None:
        return {}
    store.commit()
    return {"kept": store.stays(), "damaged": store.damaged, "reused": store.reused / max(1, store.pairs)}


def _fitting(places: Sequence[int], folders: Sequence[Path], shelf: Shelf) -> tuple[list[int], dict[int, str]]:
    """The places that can be merged together, and the others with the reason. AdapterError where none is left."""
    clashing = misfits([shelf.source(folders[place]) for place in places])
    left_out = {places[number]: reason for number, reason in clashing.items()}
    if len(left_out) == len(places):
        place, reason = next(iter(left_out.items()))
        raise AdapterError(reason, where=str(folders[place]))
    return [place for place in places if place not in left_out], left_out


def _examined(shelf: Shelf, folder: Path, digest: str) -> dict[str, str]:
    """Both names of an input whose file has that digest; SpoiltBytesError for another one, even if it can't be read."""
    try:
        return {"digest": digest, "operand": shelf.source(folder).digest}
    finally:
        # Only after reading; from here on the source notices if the file changes.
        path = folder / TENSORS_NAME
        if path.is_file() and _sha256(path) != digest:
            raise SpoiltBytesError("the bytes are not those that were examined", where=digest)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_input(item: object) -> bool:
    if not isinstance(item, dict) or not {"folder", "digest"} <= item.keys() <= {"folder", "digest", "came", "weight"}:
        return False
    weight = item.get("weight", 1.0)
    return (
        isinstance(item["folder"], str)
        and isinstance(item["digest"], str)
        and type(item.get("came", 0)) is int
        and isinstance(weight, int | float)
        and not isinstance(weight, bool)
    )


if __name__ == "__main__":
    sys.exit(serve(sys.stdin.buffer, sys.stdout.buffer))
