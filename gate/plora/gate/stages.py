"""The stages that look at the manifest, its signatures and its time: all that is known before a byte arrives.

Each check is a pure function (case, policy, trust) -> Ruling. They may assume that every earlier stage of
`plora.gate.pipeline.STAGES` had no objection that ends the run. The stages that look at bytes are in
`plora.gate.byte_stages`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from plora.gate.case import Case
from plora.gate.policy import Policy
from plora.gate.reasons import LOOSENED
from plora.gate.root import freshness_state
from plora.gate.ruling import Ruling, objection, passed, refusal
from plora.gate.signers import Keyring, Struck, keyring, signers, struck
from plora.gate.trust import COSIGN, PUBLISH, Trust, TrustedOwner
from plora.proto.dsse import StatementKind
from plora.proto.errors import FormatError
from plora.proto.fields import parse_timestamp
from plora.proto.manifest import Lora, Manifest
from plora.proto.statement import open_statement, verify_statement

SUPERSEDED_EVIDENCE_MAX = 8
AWAITED_MAX = 8


def envelope(case: Case, policy: Policy, trust: Trust) -> Ruling:
    """The statement is a manifest, and its artifact is no larger than the policy allows."""
    if case.statement.kind != StatementKind.MANIFEST:
        return objection("not_a_manifest", kind=str(case.statement.kind))
    size_bytes = case.manifest.artifacts.size_bytes
    if size_bytes > policy.artifact_bytes_max:
        return objection("too_large", size_bytes=size_bytes, artifact_bytes_max=policy.artifact_bytes_max)
    return passed(payload_bytes=len(case.statement.payload), artifact_bytes=size_bytes)


def strict_manifest(case: Case, policy: Policy, trust: Trust) -> Ruling:
    """The payload is a manifest to the letter, the one that is judged, and the folder says nothing else."""
    try:
        opened = open_statement(case.statement)
    except FormatError as error:
        return objection("bad_manifest", error=str(error))
    if not isinstance(opened, Manifest) or opened != case.manifest:
        return objection("manifest_differs")
    twins = _overlap(opened.lora.rank_pattern) or _overlap(opened.lora.alpha_pattern)
    if twins:
        return objection("ambiguous_pattern", patterns=twins)
    if case.folder_fault is not None:
        reason, detail = case.folder_fault
        return objection(reason, detail=detail)
    return passed(content_id=case.statement.id.hex())


def swarm_and_base(case: Case, policy: Policy, trust: Trust) -> Ruling:
    """The manifest is for this swarm, and for the policy's base model with the bytes that are known under its name."""
    manifest = case.manifest
    if case.swarm is not None and manifest.swarm != case.swarm:
        return objection("wrong_swarm", swarm=manifest.swarm, expected=case.swarm)
    if policy.base_model is not None and manifest.base_model != policy.base_model:
        return objection("wrong_base", base_model=manifest.base_model, expected=policy.base_model)
    known = policy.base_digests.get(manifest.base_model, _digest_at_hand(case))
    if known and known != manifest.base_digest:
        return objection("base_digest_mismatch", base_digest=manifest.base_digest, expected=known)
    return passed(base_model=manifest.base_model, digest_checked=bool(known))


def policy_bounds(case: Case, policy: Policy, trust: Trust) -> Ruling:
    """Ranks, target modules and scale are within the policy's lists and bounds, patterns included."""
    lora = case.manifest.lora
    ranks = sorted({lora.r, *lora.rank_pattern.values()})
    if ranks[-1] > policy.rank_max:
        return objection("rank_too_large", ranks=ranks, rank_max=policy.rank_max)
    if policy.allowed_ranks is not None and any(rank not in policy.allowed_ranks for rank in ranks):
        return objection("rank_not_allowed", ranks=ranks, allowed_ranks=list(policy.allowed_ranks))
    if policy.allowed_targets is not None:
        foreign = [name for name in lora.target_modules if name not in policy.allowed_targets]
        if foreign:
            return objection("target_not_allowed", targets=foreign, allowed_targets=list(policy.allowed_targets))
    scale = largest_scale(lora)
    if scale > policy.scale_max:
        return objection("scale_too_large", scale=scale, scale_max=policy.scale_max)
    return passed(ranks=ranks, targets=list(lora.target_modules), scale=scale)


def signatures(case: Case, policy: Policy, trust: Trust) -> Ruling:
    """The owner is trusted here, validly signed, is not revoked, and enough owners vouch for the content."""
    if not policy.signatures_enabled:
        return passed(insecure=True, required=0)
    manifest = case.manifest
    if trust.distrusts(manifest.owner, manifest.key_id):
        name = trust.nickname(manifest.owner)
        return objection("distrusted", owner=manifest.owner, key_id=manifest.key_id, nickname=name)
    owner = trust.owner(manifest.owner)
    if owner is None:
        return _wait_or_refuse("unknown_owner", policy, owner=manifest.owner)
    if not owner.covers(manifest.domain, manifest.base_model, PUBLISH):
        return _wait_or_refuse("out_of_scope", policy, **_scope(manifest, owner))
    ring, void = keyring(owner, case, trust.root), struck(case, trust)
    fault = _own_signature(case, policy, ring, void)
    return fault if fault is not None else _enough(case, policy, trust, ring, void)


def replay(case: Case, policy: Policy, trust: Trust) -> Ruling:
    """The manifest is valid now, no newer version is known, its owner signed nothing else under this version.

    And this peer's clock and, where a root is pinned, its knowledge are new enough to accept anything.
    """
    manifest = case.manifest
    if not case.granted and case.now_ms + policy.clock_skew_ms_max < case.signed_time_ms:
        return objection("clock_behind", now_ms=case.now_ms, signed_time_ms=case.signed_time_ms)
    issued_ms, expires_ms = parse_timestamp(manifest.issued) * 1000, parse_timestamp(manifest.expires) * 1000
    if issued_ms > case.now_ms + policy.clock_skew_ms_max:
        return objection("not_yet_valid", issued=manifest.issued, now_ms=case.now_ms)
    if expires_ms <= case.now_ms:
        return objection("expired", expires=manifest.expires, now_ms=case.now_ms)
    if case.newest_version > manifest.version:
        return objection("superseded", version=manifest.version, newest_version=case.newest_version)
    rivals = sorted(content.hex() for content in case.same_version if content != case.statement.id)
    if rivals:
        return objection("two_contents", version=manifest.version, others=rivals[:SUPERSEDED_EVIDENCE_MAX])
    return _current(case, policy, trust)


def _current(case: Case, policy: Policy, trust: Trust) -> Ruling:
    """Whether the pinned root's owners lately said how new the swarm is; what was accepted before needs no new word."""
    version = case.manifest.version
    if trust.root is None:
        return passed(version=version)
    found = freshness_state(case.freshness, trust.root, policy, case.now_ms)
    seen = {"signed": list(found.signed), "required": found.required, "outdated": found.outdated}
    if found.fresh or case.granted:
        return passed(version=version, fresh=found.fresh, **seen)
    return objection("stale", **seen)


def largest_scale(lora: Lora) -> float:
    """The largest factor by which any module's B @ A may be multiplied: every alpha over every rank it may meet."""
    return max(
        scale_of(rank, alpha, use_rslora=lora.use_rslora)
        for rank in (lora.r, *lora.rank_pattern.values())
        for alpha in (lora.alpha, *lora.alpha_pattern.values())
    )


def scale_of(rank: int, alpha: float, *, use_rslora: bool) -> float:
    """The factor before B @ A: alpha / r, or alpha / sqrt(r) with rsLoRA (Kalajdzievski 2023)."""
    return alpha / (math.sqrt(rank) if use_rslora else rank)


def names_module(key: str, module: str) -> bool:
    """Whether a plain pattern means this module: its full dotted name or its last components."""
    return module == key or module.endswith(f".{key}")


def _overlap(pattern: Mapping[str, object]) -> list[str]:
    """The first two names of a pattern that can name one module; empty where none can."""
    for name in sorted(pattern):
        parts = name.split(".")
        tails = (".".join(parts[start:]) for start in range(1, len(parts)))
        shorter = next((tail for tail in tails if tail in pattern), None)
        if shorter is not None:
            return [name, shorter]
    return []


def _digest_at_hand(case: Case) -> str:
    return case.base.digest if case.base is not None and case.base.name == case.manifest.base_model else ""


def _wait_or_refuse(reason: str, policy: Policy, **evidence: object) -> Ruling:
    refuse = reason in LOOSENED and policy.unknown_owner == "reject"
    return refusal(reason, **evidence) if refuse else objection(reason, **evidence)


def _own_signature(case: Case, policy: Policy, ring: Keyring, void: Struck) -> Ruling | None:
    manifest, owner = case.manifest, ring.owner
    if owner.owner in void.owners:
        return objection("revoked_owner", owner=owner.nickname, said=void.owners[owner.owner])
    said = void.key(owner.owner, manifest.key_id)
    if said is not None:
        return objection("revoked_key", key_id=manifest.key_id, owner=owner.nickname, said=said)
    if ring.forked:
        return objection("forked_owner", owner=owner.nickname, records=list(ring.forked))
    key = ring.keys.get(manifest.key_id)
    if key is None:
        return objection("bad_signature", cause="not a key of the owner", key_id=manifest.key_id, owner=owner.nickname)
    content = case.statement.id.hex()
    if content in void.contents:
        return objection("revoked_content", owner=owner.nickname, said=void.contents[content])
    if key.algorithm not in policy.algorithms:
        return objection("algorithm_not_allowed", algorithm=key.algorithm, algorithms=list(policy.algorithms))
    if not verify_statement(case.statement, key):
        return objection("bad_signature", cause="the signature is not valid", key_id=key.key_id, owner=owner.nickname)
    if manifest.lineage not in ring.authority.lineages:
        return objection("unknown_lineage", lineage=manifest.lineage, owner=owner.nickname)
    return None


def _scope(manifest: Manifest, owner: TrustedOwner) -> dict[str, object]:
    """What the manifest is about, beside what its owner is trusted for."""
    about = {"domain": manifest.domain, "base_model": manifest.base_model, "role": PUBLISH}
    trusted = {"domains": list(owner.domains), "bases": list(owner.bases), "roles": list(owner.roles)}
    return {"owner": owner.nickname, **about, **trusted}


def _enough(case: Case, policy: Policy, trust: Trust, ring: Keyring, void: Struck) -> Ruling:
    """Whether enough keys of the owner signed, and enough owners."""
    found = signers(case, policy, trust, void)
    seen = {"attestations": len(case.attestations), "verified": found.verified, "invalid": found.invalid}
    if found.own_keys < ring.threshold:
        name = ring.owner.nickname
        return objection("below_threshold", owner=name, keys=found.own_keys, threshold=ring.threshold, **seen)
    signed = [ring.owner.nickname, *found.co_signers]
    evidence = {"owners": signed, "required": policy.quorum_required, **seen}
    if len(signed) >= policy.quorum_required:
        return passed(**evidence)
    awaited = [owner.nickname for owner in _co_signers_for(case.manifest, trust) if owner.nickname not in signed]
    return objection("below_quorum", **evidence, partly=list(found.partly), awaited=sorted(awaited)[:AWAITED_MAX])


def _co_signers_for(manifest: Manifest, trust: Trust) -> Iterator[TrustedOwner]:
    """The owners whose co-signature would count."""
    for owner in trust.believed:
        if owner.owner != manifest.owner and owner.covers(manifest.domain, manifest.base_model, COSIGN):
            yield owner
