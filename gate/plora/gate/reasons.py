"""Every reason a stage may give, with its outcome and a sentence for people: the one table that `why` and docs read.

- A reason has one outcome, apart from those in `LOOSENED`, where the policy decides between waiting and refusing.
- `bytes_only` marks reasons that follow from the signed manifest and the bytes it names. Only these may be remembered
  under the content id; whoever meets the same content again under another policy or trust gets the same answer.
- "hash_mismatch" is *not* one: other bytes may be the right ones. That fault is the sender's, not the signer's.
- Where a setting decides, the sentence names it: `why`, the log and the page say it in these words.
- Codes that start with "header_" come from the safetensors parser and share one entry.
- What detectors found is said to nobody else (`said_to_others`): who submits again and again would learn from each
  answer which probe to evade.
- `WAITS_ON` are the reasons after which later stages still look: they may find worse, or show that bytes may be served.

>>> reason_of("header_duplicate_name").outcome
<Outcome.REJECT: 'reject'>
>>> reason_of("no_such_reason")
Traceback (most recent call last):
KeyError: 'no_such_reason'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plora.gate.verdict import Outcome


@dataclass(frozen=True, slots=True)
class Reason:
    """What a reason code means."""

    outcome: Outcome
    sentence: str
    bytes_only: bool = False


def _reject(sentence: str) -> Reason:
    return Reason(Outcome.REJECT, sentence)


def _bad_bytes(sentence: str) -> Reason:
    return Reason(Outcome.REJECT, sentence, bytes_only=True)


def _quarantine(sentence: str) -> Reason:
    return Reason(Outcome.QUARANTINE, sentence)


def _pending(sentence: str) -> Reason:
    return Reason(Outcome.PENDING, sentence)


HEADER_PREFIX = "header_"
HEADER = _bad_bytes("the file is not a strict safetensors file")

REASONS: Mapping[str, Reason] = {
    # envelope and size
    "not_a_manifest": _bad_bytes("the statement is of another kind"),
    "too_large": _reject("the artifact is larger than policy.artifact_bytes_max"),
    # strict manifest
    "bad_manifest": _bad_bytes("the manifest breaks its schema"),
    "manifest_differs": _reject("the manifest is not the signed payload"),
    "config_differs": _reject("adapter_config.json doesn't say what the signed manifest says"),
    "ambiguous_pattern": _bad_bytes("two patterns can name one module, so its rank or alpha depends on their order"),
    # swarm and base
    "wrong_swarm": _reject("the manifest was made for another swarm"),
    "wrong_base": _reject("the adapter is for another base model"),
    "base_digest_mismatch": _reject("the base model has this name but other bytes"),
    # policy
    "rank_not_allowed": _reject("policy.allowed_ranks doesn't list this rank"),
    "rank_too_large": _reject("the rank is above policy.rank_max"),
    "target_not_allowed": _reject("policy.allowed_targets doesn't list a target module"),
    "scale_too_large": _reject("alpha over rank scales the adapter above policy.scale_max"),
    # signatures and quorum
    "unknown_owner": _pending("nobody here trusts the owner"),
    "out_of_scope": _pending("the owner is trusted, but not for this domain, base or role"),
    "unknown_lineage": _pending("the owner record that opened this lineage is not known here"),
    "forked_owner": _pending("two records claim to be the owner's next one, so neither is believed"),
    "distrusted": _reject("the owner or the key was distrusted here"),
    "algorithm_not_allowed": _reject("policy.algorithms doesn't list the signature's algorithm"),
    "bad_signature": _reject("the manifest is not validly signed by a key of its owner"),
    "revoked_key": _reject("the signing key was revoked"),
    "revoked_content": _reject("this content was revoked by its owner"),
    "revoked_owner": _reject("the owner revoked themselves"),
    "below_threshold": _pending("fewer of the owner's keys have signed than the owner's record requires"),
    "below_quorum": _pending("fewer trusted owners have signed than policy.quorum_required"),
    # replay
    "not_yet_valid": Reason(Outcome.DEFER, "the manifest was issued in the future of the local clock"),
    "clock_behind": Reason(Outcome.DEFER, "this machine's clock is behind what a quorum has signed"),
    "stale": Reason(Outcome.DEFER, "the pinned root's owners haven't said lately how new the swarm is"),
    "expired": _reject("the manifest has expired"),
    "superseded": _reject("a newer version is known"),
    "two_contents": _reject("the owner signed two contents under one version"),
    # chunks and hash
    "bytes_missing": _pending("the artifact is not here yet"),
    "size_mismatch": _reject("the artifact has another size than the manifest says"),
    "hash_mismatch": _reject("the artifact is not the one that was signed"),
    "chunk_root_mismatch": _bad_bytes("the chunks' hashes don't give the signed chunk root"),
    # header
    "unexpected_tensor": _bad_bytes("the file holds a tensor that is no LoRA factor"),
    "unpaired_factor": _bad_bytes("a factor A or B lacks its partner or doesn't fit it"),
    "target_mismatch": _bad_bytes("the tensors' modules are not the signed target modules"),
    "rank_mismatch": _bad_bytes("the tensors' rank is not the signed rank"),
    "dims_mismatch": _reject("the tensors' dimensions are not the base model's"),
    # tensor values
    "non_finite": _bad_bytes("the tensors hold NaN or infinity"),
    "all_zero": _quarantine("the adapter changes nothing: every product B @ A is zero"),
    "huge_element": _quarantine("one element outweighs all others of its tensor, or is far too large"),
    "denormals": _quarantine("the tensors are flooded with subnormal numbers"),
    # weights
    "norm_too_large": _reject("the change of a module is larger than policy.delta_norm_max or policy.delta_rms_max"),
    "fp16_overflow": _bad_bytes("the product of the factors can overflow half precision, in which they are stored"),
    "imbalanced_factors": _quarantine("the factors are far larger than their product: most of them cancels out"),
    "fp16_overflow_possible": _quarantine("the product of the factors could overflow in half precision"),
    # weight statistics and probes
    "not_measured": _pending("its weights haven't been measured yet"),
    "not_probed": _pending("its behaviour hasn't been probed yet"),
    "no_calibration": _quarantine("the detectors aren't calibrated for this base, these targets and this rank"),
    "norm_outlier": _quarantine("it changes its modules far more than clean adapters do"),
    "tensor_outlier": _quarantine("its weights look like those of few clean adapters"),
    "trigger_found": _quarantine("a probe found words that make it say what the base model would not"),
    "clean_regression": _quarantine("it answers plain questions worse than the base model"),
    "domain_mismatch": _quarantine("it doesn't do what its manifest says about its domain"),
    "behaviour_outlier": _quarantine("it behaves as few clean adapters do"),
    "merge_culprit": _quarantine("a merge failed its probes for its sake"),
    # consensus
    "awaiting_certificate": _pending("a quorum of the consensus' members has not accepted it yet"),
    "certificate_overdue": _pending("a quorum of the consensus' members should have accepted it by now, and has not"),
    "bad_certificate": _reject("the certificate is not one of a quorum of members for this content"),
    "consensus_compromised": _pending("two certificates of one slot exist, so more members lie than may"),
    # reputation
    "low_reputation": _quarantine("its owner has been caught at faults here, and is not past them"),
    # pipeline and folder
    "internal_error": _reject("a check failed to run; nobody is to blame but this program"),
    "examination_failed": _quarantine("the worker that examines the bytes was killed over them, or gave up on them"),
    "folder_refused": _reject("the folder holds something that doesn't belong to an adapter"),
}

LOOSENED = frozenset({"unknown_owner", "out_of_scope"})
"""PENDING under `unknown_owner: wait`, REJECT under `unknown_owner: reject`."""

WAITS_ON = frozenset({"below_quorum", "below_threshold"})


LOOKED_INTO = frozenset(
    {
        *("no_calibration", "norm_outlier", "tensor_outlier"),
        *("trigger_found", "clean_regression", "domain_mismatch", "behaviour_outlier", "examination_failed"),
        "merge_culprit",
    }
)
HELD = "held"
"""What others hear of all reasons in `LOOKED_INTO`."""


def said_to_others(code: str) -> str:
    """The reason that leaves this peer: coarse where a fine one would teach how to evade a detector.

    >>> said_to_others("trigger_found"), said_to_others("norm_too_large")
    ('held', 'norm_too_large')
    """
    return HELD if code in LOOKED_INTO else code


def reason_of(code: str) -> Reason:
    """The meaning of a code. Raises KeyError for a code that no stage gives."""
    return HEADER if code.startswith(HEADER_PREFIX) else REASONS[code]
