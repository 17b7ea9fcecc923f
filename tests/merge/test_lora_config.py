"""The configuration: canonical bytes, PEFT as oracle, and everything that is not plain LoRA."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from peft import LoraConfig, PeftConfig
from peft.utils.other import get_pattern_key

from plora.merge.lora_config import LoraSpec, adapter_config_bytes, names_module, parse_adapter_config
from plora.proto.errors import AdapterError
from plora.proto.manifest import Lora

BLOCK: dict[str, Any] = {"r": 4, "alpha": 8.0, "dropout": 0.1, "target_modules": ["v_proj", "q_proj"]}
CONFIG: dict[str, Any] = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}


def parse(**changes: object) -> LoraSpec:
    return parse_adapter_config(json.dumps({**CONFIG, **changes}).encode())


def test_canonical_bytes_are_fixed() -> None:
    expected = (
        b'{"alpha_pattern":{},"base_model_name_or_path":"mini","bias":"none","fan_in_fan_out":false,'
        b'"inference_mode":true,"init_lora_weights":true,"lora_alpha":8,"lora_dropout":0.1,"modules_to_save":null,'
        b'"peft_type":"LORA","r":4,"rank_pattern":{},"target_modules":["q_proj","v_proj"],"task_type":"CAUSAL_LM",'
        b'"use_dora":false,"use_rslora":false}'
    )
    assert adapter_config_bytes(BLOCK, "mini") == expected
    assert adapter_config_bytes(SimpleNamespace(**BLOCK), "mini") == expected
    assert adapter_config_bytes(LoraSpec.from_block(BLOCK), "mini") == expected
    assert adapter_config_bytes(Lora.model_validate(BLOCK), "mini") == expected


def test_order_in_the_block_does_not_matter() -> None:
    one = {**BLOCK, "rank_pattern": {"a.q_proj": 2, "b.q_proj": 3}}
    two = {**BLOCK, "rank_pattern": {"b.q_proj": 3, "a.q_proj": 2}, "target_modules": ["q_proj", "v_proj"]}
    assert adapter_config_bytes(one, "x") == adapter_config_bytes(two, "x")


def test_peft_reads_what_is_written(tmp_path: Path) -> None:
    block = {**BLOCK, "use_rslora": True, "rank_pattern": {"0.q_proj": 2}, "alpha_pattern": {"0.q_proj": 3.5}}
    (tmp_path / "adapter_config.json").write_bytes(adapter_config_bytes(block, "base/name"))
    config = PeftConfig.from_pretrained(str(tmp_path))
    assert isinstance(config, LoraConfig)
    assert (config.r, config.lora_alpha, config.lora_dropout, config.use_rslora) == (4, 8, 0.1, True)
    assert sorted(config.target_modules or ()) == ["q_proj", "v_proj"] and config.base_model_name_or_path == "base/name"
    assert config.rank_pattern == {"0.q_proj": 2} and config.alpha_pattern == {"0.q_proj": 3.5}


def test_written_and_read_back_is_the_same_spec() -> None:
    spec = LoraSpec.from_block({**BLOCK, "use_rslora": True, "alpha_pattern": {"0.q_proj": 3.5}}, "base")
    assert parse_adapter_config(adapter_config_bytes(spec, "base")) == spec


def test_what_peft_saves_by_default_is_read(tmp_path: Path) -> None:
    LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj"], task_type="CAUSAL_LM").save_pretrained(str(tmp_path))
    spec = parse_adapter_config((tmp_path / "adapter_config.json").read_bytes())
    assert (spec.r, spec.alpha, spec.target_modules, spec.dropout) == (3, 5, ("q_proj",), 0.0)


def test_scales() -> None:
    spec = LoraSpec.from_block({**BLOCK, "rank_pattern": {"1.q_proj": 2}, "alpha_pattern": {"layers.2.q_proj": 1.0}})
    assert [spec.scale_of(f"layers.{index}.q_proj") for index in range(3)] == [2.0, 4.0, 0.25]
    rslora = LoraSpec.from_block({**BLOCK, "use_rslora": True, "rank_pattern": {"1.q_proj": 9}})
    assert rslora.scale_of("layers.0.q_proj") == 4.0
    assert rslora.scale_of("layers.1.q_proj") == pytest.approx(8 / 3)


@pytest.mark.parametrize("key", ["q_proj", "1.q_proj", "layers.1.q_proj", "layers.11.q_proj", "proj", "layers.1", "x"])
@pytest.mark.parametrize("module", ["layers.1.q_proj", "layers.11.q_proj", "q_proj", "layers.1.xq_proj"])
def test_names_mean_what_peft_takes_them_for(key: str, module: str) -> None:
    assert names_module(key, module) == (key == module or get_pattern_key([key], module) == key)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("use_dora", True),
        ("modules_to_save", ["lm_head"]),
        ("bias", "all"),
        ("bias", "lora_only"),
        ("lora_bias", True),
        ("fan_in_fan_out", True),
        ("fan_in_fan_out", 0),
        ("init_lora_weights", "pissa"),
        ("init_lora_weights", "olora"),
        ("init_lora_weights", 1),
        ("kasa_config", {}),
        ("exclude_modules", "(a+)+b"),
        ("layers_pattern", "(a+)+b"),
        ("layers_to_transform", [1]),
        ("layer_replication", [[0, 1]]),
        ("trainable_token_indices", [1]),
        ("target_parameters", ["x"]),
        ("alora_invocation_tokens", [1]),
        ("peft_type", "ADALORA"),
        ("task_type", "SEQ_CLS"),
        ("eva_config", {"a": 1}),
        ("loftq_config", {"bits": 4}),
        ("runtime_config", {"ephemeral_gpu_offload": True}),
        ("use_qalora", True),
        ("auto_mapping", {"parent_library": "transformers_modules.evil", "base_model_class": "X"}),
        ("auto_mapping", {"parent_library": "os"}),
        ("auto_mapping", {"parent_library": "transformers.models", "code": "x"}),
        ("auto_mapping", "os"),
        ("never_heard_of", None),
        ("revision", ["x"]),
    ],
)
def test_attack_016_what_is_no_plain_lora(key: str, value: object) -> None:
    with pytest.raises(AdapterError, match=key) as caught:
        parse(**{key: value})
    assert "\n" not in str(caught.value)


def test_harmless_extras_are_read() -> None:
    mapping = {"base_model_class": "Gemma3ForCausalLM", "parent_library": "transformers.models.gemma3.modeling_gemma3"}
    spec = parse(auto_mapping=mapping, revision=None, peft_version="0.21.0", inference_mode=True)
    assert spec == parse()


@pytest.mark.parametrize("pattern", ["(a+)+b", "q_proj|v", ".*", "q.", "[q]", "^q", "", "q proj", "q" * 257])
def test_attack_015_patterns_are_refused_wherever_peft_takes_them(pattern: str) -> None:
    for changes in (
        {"target_modules": [pattern]},
        {"rank_pattern": {pattern: 2}},
        {"alpha_pattern": {pattern: 2}},
    ):
        with pytest.raises(AdapterError, match="plain module name"):
            parse(**changes)


def test_attack_015_target_modules_in_text_form() -> None:
    for text in ("all-linear", "q_proj", "(a+)+b"):
        with pytest.raises(AdapterError, match="target_modules"):
            parse(target_modules=text)
        with pytest.raises(AdapterError, match="target_modules"):
            LoraSpec.from_block({**BLOCK, "target_modules": text})


@pytest.mark.parametrize("value", [0, -1, 1025, 10**400, True, 2.0, "4", None])
def test_attack_013_rank(value: object) -> None:
    with pytest.raises(AdapterError, match="rank"):
        parse(r=value)
    with pytest.raises(AdapterError, match="rank"):
        parse(rank_pattern={"q_proj": value})


@pytest.mark.parametrize("value", [0, -1, 1e30, 10**400, True, "8", None])
def test_attack_014_alpha(value: object) -> None:
    with pytest.raises(AdapterError, match="alpha"):
        parse(lora_alpha=value)
    with pytest.raises(AdapterError, match="alpha"):
        parse(alpha_pattern={"q_proj": value})


@pytest.mark.parametrize("value", [-0.1, 1.1, True, "0", math.inf])
def test_dropout(value: Any) -> None:
    with pytest.raises(AdapterError, match="lora_dropout"):
        LoraSpec(r=1, alpha=1, target_modules=("q",), dropout=value)


def test_overlapping_patterns_are_refused() -> None:
    with pytest.raises(AdapterError, match=r"layers\.0\.q_proj and q_proj can name one module"):
        parse(rank_pattern={"q_proj": 2, "layers.0.q_proj": 3})
    assert parse(rank_pattern={"a.q_proj": 2, "b.q_proj": 3}).rank_of("x.b.q_proj") == 3


def test_too_many_patterns() -> None:
    assert len(parse(alpha_pattern={f"m{index}": 1 for index in range(256)}).alpha_pattern) == 256
    with pytest.raises(AdapterError, match="257 names"):
        parse(alpha_pattern={f"m{index}": 1 for index in range(257)})


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b" " * 300_000, b'{"r":1,"r":1}', b'{"r":NaN}', b"null"]
)
def test_what_is_no_configuration(raw: bytes) -> None:
    with pytest.raises(AdapterError, match=r"configuration"):
        parse_adapter_config(raw)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_modules": []}, "empty"),
        ({"target_modules": None}, "target_modules"),
        ({"target_modules": [1]}, "plain module name"),
        ({"rank_pattern": [1]}, "rank_pattern is not a map"),
        ({"alpha_pattern": "x"}, "alpha_pattern is not a map"),
        ({"use_rslora": "yes"}, "use_rslora"),
        ({"base_model_name_or_path": 1}, "base_model_name_or_path"),
    ],
)
def test_wrong_kinds(changes: dict[str, object], message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        parse(**changes)


def test_a_dot_that_peft_takes_for_any_character_is_refused() -> None:
    module, key = "layers.10xq_proj", "10.q_proj"
    assert get_pattern_key([key], module) == key and not names_module(key, module)
    names = [f"base_model.model.{module}.lora_{side}.weight" for side in "AB"]
    plain = {**CONFIG, "target_modules": ["10xq_proj"]}
    for pattern in ("rank_pattern", "alpha_pattern"):
        with pytest.raises(AdapterError, match=r"pattern 10\.q_proj means layers\.10xq_proj, too, to PEFT; write"):
            parse_adapter_config(json.dumps({**plain, pattern: {key: 2}}).encode(), names)
    assert parse_adapter_config(json.dumps({**plain, "rank_pattern": {"10xq_proj": 2}}).encode(), names).r == 4


def test_modules_come_from_the_file_where_the_configuration_picks_them() -> None:
    names = [f"base_model.model.{layer}.q_proj.lora_{side}.weight" for layer in range(2) for side in "AB"]
    for pick in ({"target_modules": ".*q_proj"}, {"layers_to_transform": [0, 1]}, {"exclude_modules": "(a+)+b"}):
        spec = parse_adapter_config(json.dumps({**CONFIG, **pick}).encode(), names)
        assert spec.target_modules == ("0.q_proj", "1.q_proj")
        with pytest.raises(AdapterError):
            parse_adapter_config(json.dumps({**CONFIG, **pick}).encode())
