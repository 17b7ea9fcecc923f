"""What the keys of PEFT's `adapter_config.json` say of an adapter: which values leave it plain LoRA, what others mean.

Rules:

- Every key that is known stands in one table: `KEYS`, with the values that change nothing, what any other value means,
  and how to mend it; `METHODS` does the same for `peft_type`.
- Plain is what the network carries. A folder of one's own may say a little more (`LOCAL`): what the tensor file shows
  anyhow, or what leaves B @ A the whole update.
- Each refusal is one line.

Not handled: the keys that `LoraSpec` holds itself, and their bounds.

>>> check_key("use_dora", False)
>>> check_key("use_dora", True)
Traceback (most recent call last):
plora.proto.errors.AdapterError: use_dora = True: DoRA also rescales the base's columns, which no sum of updates can \
keep; train it without DoRA
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from plora.proto.errors import AdapterError

PLAIN_AGAIN = "train it as plain LoRA"
CONVERT = "make LoRA of it by peft's `convert_to_lora`, which approximates it"
CONVERT_INIT = "save it with peft's `path_initial_model_for_weight_conversion`, which makes plain LoRA of it"
NO_PATTERNS = "list the modules by name"

_TRANSFORMERS_MODULE = re.compile(r"transformers(?:\.[A-Za-z0-9_]+)*")


@dataclass(frozen=True, slots=True)
class Key:
    """The values that change nothing, and what to say of any other."""

    plain: tuple[object, ...]
    means: str
    mend: str = PLAIN_AGAIN


_PICKS = "which modules it means is left to PEFT and the base"
_BASE_CHANGED = "such a beginning (PiSSA, OLoRA, CorDA, LoRA-GA, LoftQ) rewrites the base, so that it fits no other"

KEYS: Mapping[str, Key] = {
    "task_type": Key((None, "CAUSAL_LM"), "only adapters of causal language models are merged"),
    "bias": Key(("none",), "the base's biases are trained, too, beside B @ A", "train it with bias = 'none'"),
    "inference_mode": Key((True, False), "neither true nor false"),
    "fan_in_fan_out": Key((False,), "it is of Conv1D layers (GPT-2), which peers don't exchange", "merge it by file"),
    "init_lora_weights": Key((True, False, "gaussian", "orthogonal"), _BASE_CHANGED, CONVERT_INIT),
    "modules_to_save": Key((None, []), "whole modules are trained beside B @ A", "train it without modules_to_save"),
    "exclude_modules": Key((None, []), _PICKS, NO_PATTERNS),
    "layers_to_transform": Key((None, []), _PICKS, NO_PATTERNS),
    "layers_pattern": Key((None, []), _PICKS, NO_PATTERNS),
    "layer_replication": Key((None, []), "it runs the base's layers more than once, as another model"),
    "trainable_token_indices": Key((None, []), "rows of the embedding are trained beside B @ A"),
    "target_parameters": Key((None, []), "it is put on bare parameters, such as stacked experts"),
    "alora_invocation_tokens": Key((None, []), "it (aLoRA) is worn only behind certain tokens"),
    "megatron_config": Key((None,), "it is of Megatron's parallel layers"),
    "megatron_core": Key(("megatron.core", None), "it is of Megatron's parallel layers"),
    "loftq_config": Key(({}, None), _BASE_CHANGED),
    "eva_config": Key((None,), "its ranks were dealt out by EVA, which peers don't exchange", "merge it by file"),
    "corda_config": Key((None,), _BASE_CHANGED, CONVERT_INIT),
    "lora_ga_config": Key((None,), _BASE_CHANGED, CONVERT_INIT),
    "velora_config": Key((None,), "it (VeLoRA) computes its update otherwise"),
    "monteclora_config": Key((None,), "it (MonteCLoRA) draws its update at random"),
    "arrow_config": Key((None,), "it (Arrow) is a router over several adapters"),
    "kasa_config": Key((None,), "KaSA cuts the base's weights and puts a diagonal between B and A"),
    "use_bdlora": Key((None, False), "its factors (BD-LoRA) are block-diagonal"),
    "use_dora": Key(
        (False,), "DoRA also rescales the base's columns, which no sum of updates can keep", "train it without DoRA"
    ),
    "use_qalora": Key((False,), "its A (QA-LoRA) takes pooled inputs"),
    "lora_bias": Key((False,), "B has a bias, so that the update isn't B @ A", "train it with lora_bias = false"),
    "ensure_weight_tying": Key((False,), "it ties embedding and head, which peers don't exchange", "merge it by file"),
    "runtime_config": Key(({"ephemeral_gpu_offload": False}, None), "it asks for a runtime of its own"),
}
# Without effect on a plain LoRA: any text, number or nothing.
INERT = frozenset({"revision", "peft_version", "qalora_group_size"})
OURS = frozenset(
    {"base_model_name_or_path", "r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora", "rank_pattern"}
    | {"alpha_pattern", "auto_mapping"}
)

# The tensors say which modules these mean.
PICKING = frozenset({"exclude_modules", "layers_to_transform", "layers_pattern"})
# B @ A is the whole update: Conv1D transposes the base alone, EVA and MiCA choose where training begins, and of a tied
# head the file holds the factors.
LOCAL: Mapping[str, tuple[object, ...]] = {
    "fan_in_fan_out": (True,),
    "ensure_weight_tying": (True,),
    "init_lora_weights": ("eva", "mica"),
}

_VIRTUAL_TOKENS = "it trains virtual tokens, no update of weights"
_ROTATION = "it multiplies the base's weights by a rotation and adds nothing to them"
_OTHER_SHAPE = "its update isn't B @ A of two stored factors"

METHODS: Mapping[str, tuple[str, str]] = {
    "ADALORA": ("it puts singular values between B and A", PLAIN_AGAIN),
    "LOHA": ("its update is a product by elements of two low-rank matrices, of rank r² in general", CONVERT),
    "LOKR": ("its update is a Kronecker product", CONVERT),
    "VERA": ("its factors are random and shared; only scales are stored", CONVERT),
    "RANDLORA": ("its factors are random and shared; only scales are stored", CONVERT),
    "IA3": ("it rescales activations and adds nothing to the weights", PLAIN_AGAIN),
    "OFT": (_ROTATION, PLAIN_AGAIN),
    "BOFT": (_ROTATION, PLAIN_AGAIN),
    "HRA": (_ROTATION, PLAIN_AGAIN),
    "XLORA": ("it mixes several adapters anew for each token", "merge the adapters that it mixes"),
    "PROMPT_TUNING": (_VIRTUAL_TOKENS, PLAIN_AGAIN),
    "MULTITASK_PROMPT_TUNING": (_VIRTUAL_TOKENS, PLAIN_AGAIN),
    "P_TUNING": (_VIRTUAL_TOKENS, PLAIN_AGAIN),
    "PREFIX_TUNING": (_VIRTUAL_TOKENS, PLAIN_AGAIN),
    "ADAPTION_PROMPT": (_VIRTUAL_TOKENS, PLAIN_AGAIN),
    "LN_TUNING": ("it trains layer norms", PLAIN_AGAIN),
    "TRAINABLE_TOKENS": ("it trains rows of the embedding", PLAIN_AGAIN),
    "FOURIERFT": (_OTHER_SHAPE, CONVERT),
    "MISS": (_OTHER_SHAPE, CONVERT),
    "VBLORA": (_OTHER_SHAPE, CONVERT),
}


def check_method(peft_type: object) -> None:
    """AdapterError where `peft_type` is another method than LoRA."""
    if peft_type == "LORA":
        return
    means, mend = METHODS.get(str(peft_type), (_OTHER_SHAPE, PLAIN_AGAIN))
    raise AdapterError(f"peft_type {ascii(peft_type)[:60]} is no LoRA: {means}", mend=mend)


def check_key(key: str, value: object, *, local: bool = False) -> None:
    """AdapterError where this value of a key means more than a plain LoRA; `local`: of a folder of one's own."""
    if key in OURS:
        if key == "auto_mapping" and not _harmless_mapping(value):
            raise AdapterError("auto_mapping names code outside transformers: refused")
    elif key in KEYS:
        if not (_among(value, KEYS[key].plain) or (local and _fine_here(key, value))):
            raise AdapterError(f"{key} = {ascii(value)[:60]}: {KEYS[key].means}", mend=KEYS[key].mend)
    elif key not in INERT:
        raise AdapterError(f"{ascii(key)[:60]} is not a known key of adapter_config.json: refused")
    elif value is not None and not isinstance(value, str | int):
        raise AdapterError(f"{key} is neither text nor a number")


def _among(value: object, values: tuple[object, ...]) -> bool:
    # JSON's true and 1 are equal in Python, so the type is compared too.
    return any(type(value) is type(one) and value == one for one in values)


def _fine_here(key: str, value: object) -> bool:
    return key in PICKING or _among(value, LOCAL.get(key, ())) or (key == "eva_config" and isinstance(value, dict))


def _harmless_mapping(value: object) -> bool:
    if value is None:
        return True
    library = value.get("parent_library") if isinstance(value, dict) else None
    return (
        isinstance(value, dict)
        and value.keys() <= {"base_model_class", "parent_library"}
        and isinstance(library, str)
        and _TRANSFORMERS_MODULE.fullmatch(library) is not None
    )
