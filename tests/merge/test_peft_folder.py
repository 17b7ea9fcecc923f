"""Folders: round trips, what is refused, and equal bytes for equal adapters."""

from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from plora.merge.factors import FactorPair
from plora.merge.lora_config import LoraSpec
from plora.merge.peft_folder import Adapter, pairs_of, read_adapter, read_spec, write_adapter
from plora.merge.safetensors_io import TensorFileError, read_tensors, write_tensors
from plora.proto.errors import AdapterError

SPEC = LoraSpec(r=1, alpha=2, target_modules=("q_proj",))
A = "base_model.model.layers.0.q_proj.lora_A.weight"
B = "base_model.model.layers.0.q_proj.lora_B.weight"
ONES = {A: np.ones((1, 3), np.float32), B: np.ones((2, 1), np.float32)}

Make = Callable[..., Adapter]


def test_round_trip_and_equal_bytes(make_adapter: Make, tmp_path: Path) -> None:
    adapter = make_adapter(1, use_rslora=True, rank_pattern={"0.self_attn.q_proj": 2}, alpha_pattern={"up_proj": 3.0})
    for name in ("one", "two"):
        write_adapter(tmp_path / name, adapter)
    back = read_adapter(tmp_path / "one")
    assert back.spec == adapter.spec and back.digest == adapter.digest and list(back.pairs) == list(adapter.pairs)
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_base_name_is_the_callers_choice(make_adapter: Make, tmp_path: Path) -> None:
    write_adapter(tmp_path, make_adapter(1), "/models/mini")
    assert read_spec(tmp_path).base_model_name == "/models/mini"


def test_half_precision_is_widened_exactly(make_adapter: Make, tmp_path: Path) -> None:
    adapter = make_adapter(2)
    for dtype in (np.float16, ml_dtypes.bfloat16):
        write_adapter(tmp_path, adapter)
        path = tmp_path / "adapter_model.safetensors"
        halves = {name: tensor.astype(dtype) for name, tensor in read_tensors(path).items()}
        write_tensors(path, halves)
        back = read_adapter(tmp_path)
        for module, pair in back.pairs.items():
            stored = halves[f"base_model.model.{module}.lora_A.weight"]
            assert pair.A.dtype == np.float32 and np.array_equal(pair.A.astype(dtype), stored)


def test_a_signed_spec_stands_for_the_configuration(make_adapter: Make, tmp_path: Path) -> None:
    adapter = make_adapter(3)
    write_adapter(tmp_path, adapter)
    (tmp_path / "adapter_config.json").write_text("{ not looked at")
    assert read_adapter(tmp_path, adapter.spec).digest == adapter.digest


def test_digest_tells_values_scale_and_modules_apart() -> None:
    pair = FactorPair(ONES[A], ONES[B], 2.0)
    digest = Adapter.of({"layers.0.q_proj": pair}, SPEC).digest
    other = FactorPair(ONES[A] * 2, ONES[B], 2.0)
    assert Adapter.of({"layers.0.q_proj": other}, SPEC).digest != digest
    assert Adapter.of({"layers.1.q_proj": pair}, SPEC).digest != digest
    louder = LoraSpec(r=1, alpha=3, target_modules=("q_proj",))
    assert Adapter.of({"layers.0.q_proj": pair.times(1.5)}, louder).digest != digest
    renamed = LoraSpec(r=1, alpha=2, target_modules=("q_proj", "v_proj"), base_model_name="x")
    assert Adapter.of({"layers.0.q_proj": pair}, renamed).digest == digest


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({A: ONES[A]}, "lora_A alone"),
        ({B: ONES[B]}, "lora_B alone"),
        ({**ONES, "x": ONES[A]}, "tensor x is not"),
        ({**ONES, A.replace("lora_A.weight", "lora_embedding_A"): ONES[A]}, "is not a lora_A"),
        ({A: ONES[A], B: np.ones((2, 2), np.float32)}, "don't multiply"),
        ({A: np.ones((1, 3, 1), np.float32), B: ONES[B]}, "3 axes: convolutions are not merged"),
        ({A: ONES[A] * np.nan, B: ONES[B]}, "NaN or infinity"),
        ({A: ONES[A], B: np.full((2, 1), np.inf, np.float32)}, "NaN or infinity"),
    ],
)
def test_attack_037_tensors_that_are_no_adapter(tensors: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        pairs_of(tensors, SPEC)


def test_spec_and_tensors_must_agree() -> None:
    pair = FactorPair(ONES[A], ONES[B], 2.0)
    with pytest.raises(AdapterError, match="not among target_modules"):
        Adapter.of({"layers.0.k_proj": pair}, SPEC)
    with pytest.raises(AdapterError, match="not among target_modules"):
        Adapter.of({"../q_proj": pair}, SPEC)
    with pytest.raises(AdapterError, match="rank 1, its configuration says 2"):
        Adapter.of({"layers.0.q_proj": pair}, LoraSpec(r=2, alpha=4, target_modules=("q_proj",)))
    with pytest.raises(AdapterError, match=r"scale 2\.0, its configuration says 3\.0"):
        Adapter.of({"layers.0.q_proj": pair}, LoraSpec(r=1, alpha=3, target_modules=("q_proj",)))
    with pytest.raises(AdapterError, match="without any module"):
        Adapter.of({}, SPEC)


def test_errors_name_the_file(make_adapter: Make, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"adapter_config\.json: No such file"):
        read_adapter(tmp_path)
    write_adapter(tmp_path, make_adapter(1))
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(AdapterError, match=r"adapter_config\.json: target_modules"):
        read_adapter(tmp_path)
    write_adapter(tmp_path, make_adapter(1))
    write_tensors(tmp_path / "adapter_model.safetensors", {"x": ONES[A]})
    with pytest.raises(AdapterError, match=r"adapter_model\.safetensors: tensor x"):
        read_adapter(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"PK\x03\x04" * 9)
    with pytest.raises(TensorFileError, match=r"adapter_model\.safetensors"):
        read_adapter(tmp_path)
