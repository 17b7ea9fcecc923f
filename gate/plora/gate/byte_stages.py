"""The stages that look at the artifact's bytes, by way of their features, and the one that looks at what its owner did
here before.

Each check is a pure function (case, policy, trust) -> Ruling. `chunks_and_hash` ends the run where the bytes are
missing, so the later ones may count on features of exactly the bytes that the manifest names.

Norms are judged as scale * ||B @ A|| with the signed scale: norms of A or B alone are the author's choice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

from plora.gate.case import Case
from plora.gate.features import Features, ModuleFacts
from plora.gate.policy import Policy
from plora.gate.ruling import Ruling, objection, passed, switched_off
from plora.gate.stages import names_module, scale_of
from plora.gate.trust import Trust
from plora.proto.manifest import Lora

FP16_MAX = 65_504.0
PEAK_SHARE_MAX = 0.5
ABS_MAX = 1_000.0
DENORMAL_SHARE_MAX = 0.01
IMBALANCE_MAX = 1e4
"""Factors of one product may be written in many ways; beyond this, what rounding leaves of them is no longer theirs.

An honest pair has at most about the square root of its rank, a hundred times that after a change of gauge.
"""
NAMES_SHOWN_MAX = 8

_Number = TypeVar("_Number", int, float)


def chunks_and_hash(case: Case, policy: Policy, trust: Trust) -> Ruling:
    """The bytes are here, and they are those that were signed: size, SHA-256, and the chunk root where it is known."""
    features, signed = case.features, case.manifest.artifacts
    if features is None:
        return objection("bytes_missing", sha256=signed.sha256, size_bytes=signed.size_bytes)
    if features.size_bytes != signed.size_bytes:
        return objection("size_mismatch", size_bytes=features.size_bytes, signed=signed.size_bytes)
    if features.sha256 != signed.sha256:
        return objection("hash_mismatch", sha256=features.sha256, signed=signed.sha256)
    root_known = features.chunk_bytes == signed.chunk_bytes
    if root_known and features.chunk_root != signed.chunk_root:
        return objection("chunk_root_mismatch", chunk_root=features.chunk_root, signed=signed.chunk_root)
    return passed(sha256=features.sha256, chunk_root_checked=root_known)


def header(case: Case, policy: Policy, trust: Trust) -> Ruling:
    """A strict safetensors file whose tensors are pairs of factors for the signed modules and ranks."""
    features, lora = _features(case), case.manifest.lora
    if features.header_error:
        return objection(features.header_error, detail=features.header_detail)
    if features.unexpected:
        return objection("unexpected_tensor", tensors=list(features.unexpected[:NAMES_SHOWN_MAX]))
    if features.unpaired:
        return objection("unpaired_factor", tensors=list(features.unpaired[:NAMES_SHOWN_MAX]))
    foreign = [module for module in sorted(features.modules) if _target(module) not in lora.target_modules]
    absent = [name for name in lora.target_modules if name not in {_target(module) for module in features.modules}]
    if foreign or absent:
        return objection("target_mismatch", foreign=foreign[:NAMES_SHOWN_MAX], absent=absent)
    return _ranks_and_dims(case, features)


def tensor_values(case: Case, policy: Policy, trust: Trust) -> Ruling:
    """Every number is finite; no flood of zeros or subnormals, no single element that outweighs its tensor."""
    features = _features(case)
    values = features.values
    if values.nan or values.inf:
        return objection("non_finite", nan=values.nan, inf=values.inf, tensor=values.first_non_finite)
    if not any(module.delta_norm > 0 for module in features.modules.values()):
        return objection("all_zero", elements=values.elements, zeros=values.zeros)
    if values.peak_share > PEAK_SHARE_MAX or values.max_abs > ABS_MAX:
        peak = {"max_abs": values.max_abs, "peak_share": values.peak_share, "tensor": values.peak_tensor}
        return objection("huge_element", **peak)
    if values.denormals > DENORMAL_SHARE_MAX * values.elements:
        return objection("denormals", denormals=values.denormals, elements=values.elements)
    return passed(elements=values.elements, max_abs=values.max_abs)


def weights(case: Case, policy: Policy, trust: Trust) -> Ruling:
    """The change of each module is below the policy's norms, can't overflow half precision, and isn't what cancels out.

    Frobenius norm of scale * B @ A per module, and its root mean square where the policy bounds that. An overflow in a
    file stored as fp16 follows from the bytes; on an fp16 base it is this peer's; elsewhere it is only possible.
    """
    features, lora = _features(case), case.manifest.lora
    scales = {name: module_scale(lora, name) for name in sorted(features.modules)}
    norms = {name: scales[name] * features.modules[name].delta_norm for name in scales}
    loudest = max(norms, key=lambda name: (norms[name], name))
    evidence: dict[str, object] = {"module": loudest, "delta_norm": norms[loudest], "delta_norms": norms}
    if norms[loudest] > policy.delta_norm_max:
        return objection("norm_too_large", **evidence, delta_norm_max=policy.delta_norm_max)
    rms = {name: norms[name] / math.sqrt(_area(features.modules[name])) for name in scales}
    largest = max(rms, key=lambda name: (rms[name], name))
    if policy.delta_rms_max is not None and rms[largest] > policy.delta_rms_max:
        found = {"module": largest, "delta_rms": rms[largest], "delta_rms_max": policy.delta_rms_max}
        return objection("norm_too_large", **{**evidence, **found})
    fault = _fp16_overflow(case, features.modules, scales) or _imbalance(features.modules)
    return fault if fault is not None else passed(**evidence)


def reputation(case: Case, policy: Policy, trust: Trust) -> Ruling:
    """The owner's score, of what this peer saw of them itself, is not below the policy's floor."""
    if not policy.reputation:
        return switched_off(policy, "min_reputation")
    seen = case.reputation
    facts = {"owner": trust.nickname(case.manifest.owner), "score": round(seen.score, 4)}
    evidence = {
        **facts,
        "good": round(seen.good, 4),
        "bad": round(seen.bad, 4),
        "min_reputation": policy.reputation_floor,
    }
    if seen.score < policy.reputation_floor:
        return objection("low_reputation", **evidence, fault=seen.fault, fault_ms=seen.fault_ms)
    return passed(**evidence)


def module_scale(lora: Lora, module: str) -> float:
    """The signed factor before B @ A of a module, with the patterns that name it (PEFT: the key ends the path)."""
    rank = _patterned(lora.rank_pattern, module, lora.r)
    alpha = _patterned(lora.alpha_pattern, module, lora.alpha)
    return scale_of(rank, alpha, use_rslora=lora.use_rslora)


def _ranks_and_dims(case: Case, features: Features) -> Ruling:
    lora = case.manifest.lora
    dims = case.base.dims if case.base is not None else {}
    for name in sorted(features.modules):
        facts = features.modules[name]
        signed = _patterned(lora.rank_pattern, name, lora.r)
        if facts.rank != signed:
            return objection("rank_mismatch", module=name, rank=facts.rank, signed=signed)
        if dims and dims.get(name) != (facts.in_dim, facts.out_dim):
            expected = list(dims[name]) if name in dims else None
            return objection("dims_mismatch", module=name, dims=[facts.in_dim, facts.out_dim], expected=expected)
    return passed(modules=len(features.modules), tensors=len(features.tensors), dims_checked=bool(dims))


def _fp16_overflow(case: Case, modules: Mapping[str, ModuleFacts], scales: Mapping[str, float]) -> Ruling | None:
    bounds = {name: scales[name] * modules[name].product_bound for name in scales}
    over = [name for name in sorted(bounds) if bounds[name] > FP16_MAX]
    if not over:
        return None
    stored = [name for name in over if "F16" in modules[name].dtypes]
    if stored or (case.base is not None and case.base.dtype == "F16"):
        module = (stored or over)[0]
        return objection("fp16_overflow", module=module, product_bound=bounds[module])
    return objection("fp16_overflow_possible", module=over[0], product_bound=bounds[over[0]])


def _imbalance(modules: Mapping[str, ModuleFacts]) -> Ruling | None:
    worst = max(sorted(modules), key=lambda name: modules[name].imbalance)
    found = modules[worst].imbalance
    if found <= IMBALANCE_MAX:
        return None
    return objection("imbalanced_factors", module=worst, imbalance=found, imbalance_max=IMBALANCE_MAX)


def _patterned(pattern: Mapping[str, _Number], module: str, otherwise: _Number) -> _Number:
    return next((value for key, value in pattern.items() if names_module(key, module)), otherwise)


def _target(module: str) -> str:
    return module.rpartition(".")[2]


def _area(module: ModuleFacts) -> int:
    return module.in_dim * module.out_dim


def _features(case: Case) -> Features:
    if case.features is None:
        raise ValueError("a byte stage ran without features")
    return case.features
