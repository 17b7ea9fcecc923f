"""Merges of merges: the same leaves, at the product of their weights, whatever the way to them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from plora.merge.api import merge_folders
from plora.merge.peft_folder import TENSORS_NAME, Adapter, read_adapter, write_adapter
from plora.merge.plan import MergePlan, Method, Override
from plora.merge.provenance import LEAVES_MAX, METADATA_KEY, Leaf, Provenance, document, read_provenance
from plora.merge.safetensors_io import read_header, read_tensors, write_tensors
from plora.proto.errors import AdapterError, UsageError

Make = Callable[..., Adapter]


@pytest.fixture
def leaves(make_adapter: Make, tmp_path: Path) -> dict[str, Path]:
    folders = {name: tmp_path / name for name in "abcd"}
    for seed, folder in enumerate(folders.values()):
        write_adapter(folder, make_adapter(seed))
    return folders


def plan(weights: list[float], rank_max: int = 16) -> MergePlan:
    return MergePlan(weights=tuple(weights), rank_max=rank_max)


def content(folder: Path) -> bytes:
    return (folder / TENSORS_NAME).read_bytes()


def test_a_merge_says_what_it_was_made_of(leaves: dict[str, Path], tmp_path: Path) -> None:
    merge_folders([leaves["a"], leaves["b"]], tmp_path / "out", plan([0.25, 0.75]))
    made = read_provenance(tmp_path / "out")
    assert made is not None
    weight_of = {leaf.digest: leaf.weight for leaf in made.leaves}
    assert weight_of == {read_adapter(leaves["a"]).digest: 0.25, read_adapter(leaves["b"]).digest: 0.75}
    assert not any(leaf.opaque for leaf in made.leaves)
    assert read_provenance(leaves["a"]) is None


def test_merging_a_merge_is_merging_its_leaves(leaves: dict[str, Path], tmp_path: Path) -> None:
    a, b, c, d = leaves.values()
    merge_folders([a, b], tmp_path / "ab", plan([0.5, 0.25], 2))
    merge_folders([c, tmp_path / "ab"], tmp_path / "abc", plan([1.0, 0.5], 2))
    merge_folders([tmp_path / "abc", d], tmp_path / "abcd", plan([0.5, 2.0], 6))
    merge_folders([a, b, c, d], tmp_path / "direct", plan([0.125, 0.0625, 0.5, 2.0], 6))
    assert content(tmp_path / "abcd") == content(tmp_path / "direct")


def test_a_leaf_counts_once_by_file_and_by_merge(leaves: dict[str, Path], tmp_path: Path) -> None:
    a, b, *_ = leaves.values()
    merge_folders([a, b], tmp_path / "ab", plan([0.5, 0.5]))
    report = merge_folders([tmp_path / "ab", a], tmp_path / "again", plan([1.0, 0.5]))
    assert report["collapsed"] == 1
    assert content(tmp_path / "again") == content(tmp_path / "ab")


def test_without_weights_each_input_has_its_share(leaves: dict[str, Path], tmp_path: Path) -> None:
    a, b, c, _ = leaves.values()
    merge_folders([a, b], tmp_path / "ab", plan([0.5, 0.5]))
    merge_folders([tmp_path / "ab", c, c], tmp_path / "abc")
    made = read_provenance(tmp_path / "abc")
    assert made is not None
    assert {leaf.digest: leaf.weight for leaf in made.leaves} == {
        read_adapter(a).digest: 0.25,
        read_adapter(b).digest: 0.25,
        read_adapter(c).digest: 0.5,
    }


def test_a_missing_leaf_is_named(leaves: dict[str, Path], tmp_path: Path) -> None:
    a, b, c, _ = leaves.values()
    merge_folders([a, b], tmp_path / "ab")
    digest = read_adapter(b).digest
    b.rename(tmp_path / "elsewhere")
    with pytest.raises(AdapterError, match=rf"ab: is a merge of 2 adapters, of which {digest[:16]} isn't found; put"):
        (tmp_path / "elsewhere").rename(tmp_path.parent / f"{tmp_path.name}-away")
        merge_folders([tmp_path / "ab", c], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    away = tmp_path.parent / f"{tmp_path.name}-away"
    merge_folders([tmp_path / "ab", c], tmp_path / "out", leaves=[away])
    made = read_provenance(tmp_path / "out")
    assert made is not None and digest in {leaf.digest for leaf in made.leaves}


def test_an_opaque_merge_is_a_leaf_and_said_to_be(leaves: dict[str, Path], tmp_path: Path) -> None:
    a, b, c, _ = leaves.values()
    merge_folders([a, b], tmp_path / "ab")
    merge_folders([tmp_path / "ab", c], tmp_path / "out", opaque=True)
    made = read_provenance(tmp_path / "out")
    assert made is not None
    assert {leaf.digest: leaf.opaque for leaf in made.leaves} == {
        read_adapter(tmp_path / "ab").digest: True,
        read_adapter(c).digest: False,
    }


def test_one_adapter_at_weight_one_stays_a_leaf(leaves: dict[str, Path], tmp_path: Path) -> None:
    a, b, *_ = leaves.values()
    merge_folders([a], tmp_path / "same")
    a.rename(tmp_path.parent / f"{tmp_path.name}-a")
    merge_folders([tmp_path / "same", b], tmp_path / "out")
    made = read_provenance(tmp_path / "out")
    assert made is not None and not any(leaf.opaque for leaf in made.leaves)
    assert read_adapter(tmp_path / "same").digest in {leaf.digest for leaf in made.leaves}


def test_neighbours_that_are_no_lora_do_not_disturb(leaves: dict[str, Path], tmp_path: Path) -> None:
    a, b, c, _ = leaves.values()
    merge_folders([a, b], tmp_path / "ab")
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / TENSORS_NAME).write_bytes(b"nonsense")
    merge_folders([tmp_path / "ab", c], tmp_path / "out")


def test_equal_numbers_in_other_precision_are_the_same_leaf(leaves: dict[str, Path], tmp_path: Path) -> None:
    a, b, c, _ = leaves.values()
    file = a / TENSORS_NAME
    halves = {name: tensor.astype(np.float16) for name, tensor in read_tensors(file).items()}
    write_tensors(file, halves)
    merge_folders([a, b], tmp_path / "ab")
    write_tensors(file, {name: tensor.astype(np.float32) for name, tensor in halves.items()})
    merge_folders([tmp_path / "ab", c], tmp_path / "out")


def test_as_many_leaves_as_allowed_fit_into_a_header(leaves: dict[str, Path]) -> None:
    many = tuple(Leaf(f"{index:064x}", -1e-17 / 3) for index in range(LEAVES_MAX))
    file = leaves["a"] / TENSORS_NAME
    tensors = {name: np.array(tensor) for name, tensor in read_tensors(file).items()}
    write_tensors(file, tensors, Provenance.of(document(MergePlan()), many).metadata())
    assert read_provenance(leaves["a"]) == Provenance(document(MergePlan()), many)
    assert Provenance.of({}, [*many, Leaf("f" * 64, 1.0)]) == Provenance({}, (), LEAVES_MAX + 1)


def test_a_merge_too_large_to_name_its_leaves_is_taken_as_it_is_or_not_at_all(leaves: dict[str, Path]) -> None:
    a, b, *_ = leaves.values()
    tensors = {name: np.array(tensor) for name, tensor in read_tensors(a / TENSORS_NAME).items()}
    write_tensors(a / TENSORS_NAME, tensors, Provenance({}, (), 300).metadata())
    with pytest.raises(AdapterError, match="a merge of 300 adapters, more than a file names"):
        merge_folders([a, b], a.parent / "out")
    merge_folders([a, b], a.parent / "out", opaque=True)
    made = read_provenance(a.parent / "out")
    assert made is not None and sorted(leaf.opaque for leaf in made.leaves) == [False, True]


LEAF = {"digest": "a" * 64, "weight": 1.0, "opaque": False}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 10_000,
        json.dumps({"format": 1, "method": {}, "leaves": [], "unnamed": 0}),
        json.dumps({"format": 2, "method": {}, "leaves": [LEAF], "unnamed": 0}),
        json.dumps({"format": 1, "method": [], "leaves": [LEAF], "unnamed": 0}),
        json.dumps({"format": 1, "method": {}, "leaves": [{**LEAF, "digest": "../x"}], "unnamed": 0}),
        json.dumps({"format": 1, "method": {}, "leaves": [{**LEAF, "digest": None}], "unnamed": 0}),
        json.dumps({"format": 1, "method": {}, "leaves": [{**LEAF, "weight": 1e400}], "unnamed": 0}),
        json.dumps({"format": 1, "method": {}, "leaves": [{**LEAF, "weight": 10**400}], "unnamed": 0}),
        json.dumps({"format": 1, "method": {}, "leaves": [{**LEAF, "opaque": 1}], "unnamed": 0}),
        json.dumps({"format": 1, "method": {}, "leaves": [1], "unnamed": 0}),
        json.dumps({"format": 1, "method": {}, "leaves": [LEAF], "unnamed": 3}),
        json.dumps({"format": 1, "method": {}, "leaves": [], "unnamed": True}),
    ],
)
def test_what_others_wrote_there_is_refused(text: str, leaves: dict[str, Path]) -> None:
    file = leaves["a"] / TENSORS_NAME
    tensors = {name: np.array(tensor) for name, tensor in read_tensors(file).items()}
    write_tensors(file, tensors, {METADATA_KEY: text})
    with pytest.raises(AdapterError, match=rf"{TENSORS_NAME}: plora_merge in its header"):
        read_provenance(leaves["a"])


def test_one_weight_an_input(leaves: dict[str, Path], tmp_path: Path) -> None:
    merge_folders([leaves["a"], leaves["b"]], tmp_path / "ab")
    with pytest.raises(UsageError, match="1 weights for 2 adapters"):
        merge_folders([tmp_path / "ab", leaves["c"]], tmp_path / "out", plan([1.0]))


def test_overrides_follow_the_leaves(leaves: dict[str, Path], tmp_path: Path) -> None:
    a, b, c, _ = leaves.values()
    merge_folders([a, b], tmp_path / "ab", plan([0.5, 0.25]))
    by_merge = MergePlan(weights=(1.0, 1.0), overrides=(Override("up_proj", weights=(2.0, 0.5)),))
    directly = MergePlan(weights=(0.5, 0.25, 1.0), overrides=(Override("up_proj", weights=(1.0, 0.5, 0.5)),))
    merge_folders([tmp_path / "ab", c], tmp_path / "one", by_merge)
    merge_folders([a, b, c], tmp_path / "two", directly)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    with pytest.raises(AdapterError, match="weights differ between modules"):
        merge_folders([tmp_path / "one", c], tmp_path / "three")


def test_densities_follow_the_leaves(leaves: dict[str, Path], tmp_path: Path) -> None:
    a, b, c, _ = leaves.values()
    merge_folders([a, b], tmp_path / "ab", plan([0.5, 0.25]))
    ties = Method("core", "ties")
    by_merge = MergePlan(ties, (1.0, 1.0), densities=(0.3, 0.9), overrides=(Override("up_proj", densities=(0.5, 0.2)),))
    overrides = (Override("up_proj", densities=(0.5, 0.5, 0.2)),)
    directly = MergePlan(ties, (0.5, 0.25, 1.0), densities=(0.3, 0.3, 0.9), overrides=overrides)
    merge_folders([tmp_path / "ab", c], tmp_path / "one", by_merge)
    merge_folders([a, b, c], tmp_path / "two", directly)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    made = read_provenance(tmp_path / "one")
    assert made is not None and made.method["method"]["density"] is None
    with pytest.raises(UsageError, match="1 densities for 2 adapters"):
        merge_folders([tmp_path / "ab", c], tmp_path / "out", MergePlan(ties, densities=(0.5,)))


def test_default_weights_of_task_arithmetic(leaves: dict[str, Path], tmp_path: Path) -> None:
    a, b, c, _ = leaves.values()
    merge_folders([a, b], tmp_path / "ab", plan([0.5, 0.25]))
    merge_folders([tmp_path / "ab", c], tmp_path / "out", MergePlan(Method(rule="task_arithmetic")))
    made = read_provenance(tmp_path / "out")
    assert made is not None and sorted(leaf.weight for leaf in made.leaves) == [0.25, 0.5, 1.0]


def test_nothing_of_the_machine_is_written(leaves: dict[str, Path], tmp_path: Path) -> None:
    merge_folders([leaves["a"], leaves["b"]], tmp_path / "out")
    metadata = read_header(tmp_path / "out" / TENSORS_NAME).metadata
    assert metadata["format"] == "pt" and str(tmp_path) not in metadata[METADATA_KEY]
