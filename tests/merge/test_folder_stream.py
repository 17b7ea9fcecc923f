"""Folders read and written module by module, against the readers and writers that hold a whole adapter."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from plora.merge.factors import FactorPair
from plora.merge.folder_sink import FolderSink
from plora.merge.folder_source import FolderSource
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import TENSORS_NAME, Adapter, read_adapter, write_adapter
from plora.merge.safetensors_io import read_tensors, write_tensors
from plora.proto.errors import AdapterError

Make = Callable[..., Adapter]

SPECS: tuple[dict[str, Any], ...] = (
    {},
    {"use_rslora": True},
    {"rank_pattern": {"1.mlp.up_proj": 2}, "alpha_pattern": {"up_proj": 5.0}},
)


def put_all(sink: FolderSink, adapter: Adapter, *, backwards: bool = False) -> None:
    pairs = adapter.pairs
    sink.begin(adapter.spec, {name: (pair.out_features, pair.in_features, pair.rank) for name, pair in pairs.items()})
    for module in sorted(pairs, reverse=backwards):
        sink.put(module, pairs[module])


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def recast(folder: Path, dtype: Any) -> None:
    """Write the tensors anew in another dtype."""
    path = folder / TENSORS_NAME
    write_tensors(path, {name: tensor.astype(dtype) for name, tensor in read_tensors(path).items()})


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("spec", SPECS)
def test_a_folder_reads_as_the_whole_adapter(
    make_adapter: Make, tmp_path: Path, spec: dict[str, object], dtype: Any
) -> None:
    write_adapter(tmp_path, make_adapter(3, **spec))
    recast(tmp_path, dtype)
    whole, source = read_adapter(tmp_path), FolderSource(tmp_path)
    assert (source.digest, source.spec, list(source.modules())) == (whole.digest, whole.spec, list(whole.pairs))
    for module, pair in whole.pairs.items():
        own = source.pair(module)
        assert (own.A.tobytes(), own.B.tobytes(), own.scale) == (pair.A.tobytes(), pair.B.tobytes(), pair.scale)
        assert source.shape(module) == (pair.out_features, pair.in_features, pair.rank)


def test_a_signed_spec_takes_the_place_of_the_configuration(make_adapter: Make, tmp_path: Path) -> None:
    adapter = make_adapter(3)
    write_adapter(tmp_path, adapter)
    (tmp_path / "adapter_config.json").unlink()
    assert FolderSource(tmp_path, adapter.spec).digest == adapter.digest


def test_no_value_is_read_before_it_is_asked_for(make_adapter: Make, tmp_path: Path) -> None:
    """Four megabytes a factor: names and shapes are checked in half of that."""
    pairs = {"0.q_proj": FactorPair(np.ones((4, 1 << 18), np.float32), np.ones((1 << 18, 4), np.float32), 2.0)}
    write_adapter(tmp_path, Adapter.of(pairs, make_adapter(1).spec))
    tracemalloc.start()
    FolderSource(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 21


def test_a_file_that_changes_is_noticed(make_adapter: Make, tmp_path: Path) -> None:
    write_adapter(tmp_path, make_adapter(3))
    source = FolderSource(tmp_path)
    write_adapter(tmp_path / "other", make_adapter(4))
    (tmp_path / "other" / TENSORS_NAME).replace(tmp_path / TENSORS_NAME)
    with pytest.raises(AdapterError, match="changed"):
        source.pair(source.modules()[0])


def test_what_is_wrong_is_said_as_by_the_whole_reader(make_adapter: Make, tmp_path: Path) -> None:
    adapter = make_adapter(3)
    write_adapter(tmp_path, adapter)
    with pytest.raises(AdapterError, match=r"rank 4, its configuration says 2"):
        FolderSource(tmp_path, LoraSpec(r=2, alpha=4, target_modules=adapter.spec.target_modules))
    with pytest.raises(AdapterError, match="not among target_modules"):
        FolderSource(tmp_path, LoraSpec(r=4, alpha=8, target_modules=("q_proj",)))
    with pytest.raises(AdapterError, match="No such file"):
        FolderSource(tmp_path / "nowhere", adapter.spec)
    path = tmp_path / TENSORS_NAME
    tensors = {name: tensor.copy() for name, tensor in read_tensors(path).items()}
    last = max(tensors)
    tensors[last][0, 0] = np.inf
    write_tensors(path, tensors)
    source = FolderSource(tmp_path)
    source.pair(source.modules()[0])
    with pytest.raises(AdapterError, match=f"{TENSORS_NAME}.*NaN or infinity"):
        source.pair(source.modules()[-1])
    write_tensors(path, {name: tensor for name, tensor in tensors.items() if name != last})
    with pytest.raises(AdapterError, match="alone"):
        FolderSource(tmp_path)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("spec", SPECS)
def test_written_as_the_whole_adapter(
    make_adapter: Make, tmp_path: Path, spec: dict[str, object], backwards: bool
) -> None:
    adapter = make_adapter(5, **spec)
    with FolderSink(tmp_path / "stream") as sink:
        put_all(sink, adapter, backwards=backwards)
        sink.end()
    write_adapter(tmp_path / "whole", adapter)
    assert bytes_of(tmp_path / "stream") == bytes_of(tmp_path / "whole")


def test_a_clip_at_the_end_reaches_every_module(make_adapter: Make, tmp_path: Path) -> None:
    adapter = make_adapter(5, alpha=4)
    with FolderSink(tmp_path) as sink:
        put_all(sink, adapter)
        sink.end(0.3)
    for module, pair in read_adapter(tmp_path).pairs.items():
        asked = adapter.pairs[module].times(0.3).folded()
        assert (pair.A.tobytes(), pair.B.tobytes()) == (asked.A.tobytes(), asked.B.tobytes())


def test_a_merge_that_fails_leaves_what_was_there(make_adapter: Make, tmp_path: Path) -> None:
    write_adapter(tmp_path, make_adapter(1))
    before = bytes_of(tmp_path)
    with pytest.raises(ZeroDivisionError), FolderSink(tmp_path, "elsewhere") as sink:
        put_all(sink, make_adapter(2))
        raise ZeroDivisionError
    assert bytes_of(tmp_path) == before


def test_a_full_disk_at_the_end_leaves_what_was_there(make_adapter: Make, tmp_path: Path) -> None:
    write_adapter(tmp_path, make_adapter(1))
    before = bytes_of(tmp_path)
    (tmp_path / "adapter_config.json.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"), FolderSink(tmp_path, "elsewhere") as sink:
        put_all(sink, make_adapter(2))
        sink.end()
    assert bytes_of(tmp_path) == before


def test_a_folder_has_one_writer_at_a_time(make_adapter: Make, tmp_path: Path) -> None:
    one, two = make_adapter(1), make_adapter(2)
    (tmp_path / f"{TENSORS_NAME}.part").write_bytes(b"left by a merge that was killed")
    with FolderSink(tmp_path) as sink:
        put_all(sink, one)
        with pytest.raises(AdapterError, match="another merge is being written here"), FolderSink(tmp_path) as late:
            put_all(late, two)
        sink.end()
    assert read_adapter(tmp_path).digest == one.digest
    with FolderSink(tmp_path) as sink:
        put_all(sink, two)
        sink.end()
    assert read_adapter(tmp_path).digest == two.digest and len(bytes_of(tmp_path)) == 2


def test_nothing_is_left_out_and_nothing_is_put_elsewhere(make_adapter: Make, tmp_path: Path) -> None:
    adapter = make_adapter(1)
    module, pair = next(iter(adapter.pairs.items()))
    with FolderSink(tmp_path) as sink:
        sink.begin(adapter.spec, {module: (pair.out_features, pair.in_features, pair.rank)})
        with pytest.raises(AdapterError, match="no place"):
            sink.put(module, FactorPair(pair.A[:2], pair.B[:, :2]))
        with pytest.raises(AdapterError, match="never written"):
            sink.end()
    assert bytes_of(tmp_path) == {}
