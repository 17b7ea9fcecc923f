"""What a merge was made of, written into its tensor file, and merges of merges taken apart into their leaves.

Rules:

- A merge is a function of the *set of leaves*: adapters that somebody trained. The tensor file's metadata says which
  (`plora_merge`): content digest and weight of each leaf, in the order of the digests, and the method. So it goes
  wherever the bytes go, and a signature over them covers it.
- An input that is a merge stands for its leaves, each at its weight there times the input's; where a leaf turns up
  twice, by file or by leaf, the engine counts it once. Without weights each distinct input has its default weight.
- A leaf is whatever folder has that content digest, found among the inputs, in the folder of the merge and in those
  named. A merge whose leaves aren't all found, or whose weights differ between modules, is refused; taken as it is, it
  becomes a leaf itself, and the result says so (`opaque`).
- A peer merges what it accepted, as it weighs it: a merge among that is left out if all its leaves are there
  (`places_of_leaves`), and counts as an adapter of its own otherwise, also where what it says can't be read.
- Up to `LEAVES_MAX` leaves are named, which fit into the metadata that the gate accepts; of more only the number.
- One adapter at weight 1 gives itself back: it names itself as its leaf, and is one.
- The text is RFC 8785 JSON and names no folder and no time: equal merges stay equal bytes.

Not handled: whether what a file says of itself is true (whoever unfolds a stranger's merge merges what it names, not
what it holds), and merges saved anew by other programs, which drop the metadata.

>>> made = Provenance({"rule": "linear"}, (Leaf("ab" * 32, 0.25), Leaf("cd" * 32, 0.75)))
>>> Provenance.from_text(made.text()) == made
True
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import rfc8785

from plora.merge.folder_source import FolderSource
from plora.merge.layout import Layout, check_counts, default_weight
from plora.merge.peft_folder import TENSORS_NAME
from plora.merge.plan import MergePlan, Method, Override
from plora.merge.safetensors_io import read_header
from plora.proto.errors import AdapterError

FIND = "put the adapters it was made of beside it, name their place by --leaves, or take it as it is: --opaque"
METADATA_KEY = "plora_merge"
FORMAT = 1
LEAVES_MAX = 400
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Leaf:
    """An adapter in a merge: content digest and weight; `opaque`: it is a merge itself that was taken as it is."""

    digest: str
    weight: float
    opaque: bool = False


@dataclass(frozen=True, slots=True)
class Provenance:
    """The method of a merge as JSON values, and its leaves; `unnamed`: their number where a header can't hold them."""

    method: Mapping[str, Any]
    leaves: tuple[Leaf, ...]
    unnamed: int = 0

    @classmethod
    def of(cls, method: Mapping[str, Any], leaves: Sequence[Leaf]) -> Provenance:
        """The provenance of a merge of these leaves, which are named if they are at most `LEAVES_MAX`."""
        if len(leaves) > LEAVES_MAX:
            return cls(method, (), len(leaves))
        return cls(method, tuple(sorted(leaves, key=lambda leaf: leaf.digest)))

    def text(self) -> str:
        """Canonical JSON."""
        leaves = [asdict(leaf) for leaf in self.leaves]
        document: dict[str, Any] = {
            "format": FORMAT,
            "method": dict(self.method),
            "leaves": leaves,
            "unnamed": self.unnamed,
        }
        return rfc8785.dumps(document).decode()

    def metadata(self) -> dict[str, str]:
        """What goes into the tensor file's header."""
        return {METADATA_KEY: self.text()}

    @classmethod
    def from_text(cls, text: str) -> Provenance:
        """Read it back. Raises AdapterError for anything that `text` doesn't write."""
        try:
            document = json.loads(text)
            leaves, unnamed = tuple(_leaf(item) for item in document["leaves"]), document["unnamed"]
            method = document["method"]
            counted = type(unnamed) is int and (len(leaves) > 0) != (unnamed > 0) and len(leaves) <= LEAVES_MAX
            fits = document["format"] == FORMAT and isinstance(method, dict) and counted
        except (ValueError, OverflowError, TypeError, KeyError, RecursionError) as error:
            raise AdapterError(f"{METADATA_KEY} in its header can't be read", mend="merge its adapters anew") from error
        if not fits:
            raise AdapterError(f"{METADATA_KEY} in its header is not of format {FORMAT}", mend="update Plora")
        return cls(method, leaves, unnamed)


class Shelf:
    """Adapters by folder, each opened once; `places` are where leaves are looked for, beside the inputs' own."""

    def __init__(self, places: Sequence[Path] = (), base: Path | None = None) -> None:
        self._places, self._base = tuple(places), base
        self._open: dict[Path, FolderSource] = {}

    def source(self, folder: Path) -> FolderSource:
        """The adapter in a folder. Raises AdapterError."""
        place = folder.resolve()
        if place not in self._open:
            self._open[place] = FolderSource(folder, base=self._base)
        return self._open[place]

    def find(self, digest: str, nearby: Iterable[Path]) -> Path | None:
        """The folder whose adapter has that digest: of those nearby, then of those in `places`."""
        for folder in (*nearby, *(folder for place in self._places for folder in adapters_in(place))):
            try:
                if self.source(folder).digest == digest:
                    return folder
            except AdapterError:
                continue  # a neighbour that is no LoRA isn't the leaf
        return None


def adapters_in(place: Path) -> Iterator[Path]:
    """The folder itself and those in it that hold a tensor file, by name."""
    inside = sorted(place.iterdir()) if place.is_dir() else []
    yield from (folder for folder in (place, *inside) if (folder / TENSORS_NAME).is_file())


def read_provenance(folder: Path) -> Provenance | None:
    """What the adapter in a folder was merged from; None where it isn't a merge. Raises AdapterError."""
    path = folder / TENSORS_NAME
    return _read(read_header(path).metadata, path)


def _read(metadata: Mapping[str, str], path: Path) -> Provenance | None:
    text = metadata.get(METADATA_KEY)
    if text is None:
        return None
    try:
        return Provenance.from_text(text)
    except AdapterError as error:
        raise AdapterError(error.what, where=str(path), mend=error.mend) from error


def unfolded(paths: Sequence[Path], plan: MergePlan, shelf: Shelf) -> tuple[list[Path], MergePlan]:
    """The inputs of a plan with merges among them replaced by their leaves, and the plan with the leaves' weights.

    Raises AdapterError for a merge that can't be taken apart, UsageError where weights are not one a path.
    """
    check_counts(plan, len(paths))
    groups = [_leaves_of(path, paths, shelf) for path in paths]
    folders = [folder for group in groups for folder, _ in group]
    if folders == list(paths):
        return folders, plan
    distinct = len({shelf.source(path).digest for path in paths})

    def spread(weights: Sequence[float] | None, method: Method) -> tuple[float, ...]:
        given = weights if weights is not None else [default_weight(method, distinct)] * len(paths)
        return _of_leaves(given, groups)

    def spread_in(each: Override) -> Override:
        weighed = spread(each.weights, each.method or plan.method) if _weighs_anew(each, plan) else None
        return replace(each, weights=weighed, densities=_repeated(each.densities, groups))

    return folders, replace(
        plan,
        weights=spread(plan.weights, plan.method),
        densities=_repeated(plan.densities, groups),
        overrides=tuple(map(spread_in, plan.overrides)),
    )


def _of_leaves(weights: Sequence[float], groups: Sequence[Sequence[tuple[Path, float]]]) -> tuple[float, ...]:
    """The weight of each leaf: its input's, times its own in that input."""
    return tuple(weight * share for weight, group in zip(weights, groups, strict=True) for _, share in group)


def _repeated(
    densities: Sequence[float] | None, groups: Sequence[Sequence[tuple[Path, float]]]
) -> tuple[float, ...] | None:
    """The density of each leaf: its input's."""
    if densities is None:
        return None
    return tuple(density for density, group in zip(densities, groups, strict=True) for _ in group)


def _weighs_anew(override: Override, plan: MergePlan) -> bool:
    """Whether an override has weights of its own: given, or its method's where the plan gives none."""
    return override.weights is not None or (plan.weights is None and override.method is not None)


def places_of_leaves(paths: Sequence[Path], shelf: Shelf) -> list[int]:
    """The places of all inputs but of merges of which every leaf is an input itself: these bring nothing new.

    What a merge says of weights isn't looked at, so that a stranger's can't make others' adapters weigh more.
    """
    sources = [shelf.source(path) for path in paths]
    origins = [_claimed(source) for source in sources]
    leaves = {source.digest for source, origin in zip(sources, origins, strict=True) if origin is None}
    return [
        place
        for place, origin in enumerate(origins)
        if origin is None or not origin.leaves or not leaves.issuperset(leaf.digest for leaf in origin.leaves)
    ]


def describe(sources: Sequence[FolderSource], layout: Layout) -> Provenance:
    """The provenance of the merge of these, over which a plan was laid."""
    leaves = []
    for operand in layout.operands:
        opaque = _claimed(sources[operand.places[0]]) is not None
        leaves.append(Leaf(operand.digest, layout.base.weight_of(operand), opaque))
    return Provenance.of(document(layout.plan), leaves)


def document(plan: MergePlan) -> dict[str, Any]:
    """What a plan says of all inputs alike, as JSON values.

    `by_module`: weights differ between modules; the method's density is None where inputs have their own.
    """
    settings = {key: value for key, value in asdict(plan).items() if key not in ("weights", "densities", "signs")}
    by_module = any(each.weights is not None for each in plan.overrides)
    if plan.densities is not None or any(each.densities is not None for each in plan.overrides):
        settings["method"]["density"] = None
    return {**settings, "overrides": len(plan.overrides), "by_module": by_module}


def _leaves_of(path: Path, inputs: Sequence[Path], shelf: Shelf) -> list[tuple[Path, float]]:
    """Folders and weights of the leaves of a merge; a leaf stands for itself."""
    origin = _origin(shelf.source(path))
    if origin is None:
        return [(path, 1.0)]
    if origin.unnamed:
        raise _whole(path, f"is a merge of {origin.unnamed} adapters, more than a file names")
    if origin.method.get("by_module"):
        raise _whole(path, "is a merge whose weights differ between modules")
    nearby = [folder for folder in (*inputs, *adapters_in(path.parent)) if folder.resolve() != path.resolve()]
    found = [(shelf.find(leaf.digest, nearby), leaf) for leaf in origin.leaves]
    lost = next((leaf for folder, leaf in found if folder is None), None)
    if lost is not None:
        raise _whole(path, f"is a merge of {len(found)} adapters, of which {lost.digest[:16]} isn't found")
    return [(folder, leaf.weight) for folder, leaf in found if folder is not None]


def _whole(path: Path, why: str) -> AdapterError:
    return AdapterError(why, where=str(path), mend=FIND)


def _origin(source: FolderSource) -> Provenance | None:
    """What a merge was made of; None for a leaf, also one that names itself."""
    origin = _read(source.metadata, source.path)
    return None if origin is None or [leaf.digest for leaf in origin.leaves] == [source.digest] else origin


def _claimed(source: FolderSource) -> Provenance | None:
    """The same where nobody asks for leaves: a merge that can't be read names none, and stops no merge of others."""
    try:
        return _origin(source)
    except AdapterError:
        return Provenance({}, ())


def _leaf(item: Mapping[str, Any]) -> Leaf:
    leaf = Leaf(item["digest"], float(item["weight"]), item["opaque"])
    if not _DIGEST.fullmatch(leaf.digest) or not math.isfinite(leaf.weight) or not isinstance(leaf.opaque, bool):
        raise ValueError("not a leaf")
    return leaf
