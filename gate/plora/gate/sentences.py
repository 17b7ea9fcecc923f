"""What a verdict means, in one sentence with its facts: who is awaited, who revoked it, how far clocks are apart.

- `explain` says what `reasons.REASONS` says of a code where it knows nothing better; the facts are the evidence of the
  stage that decided, so a verdict that was kept is explained as well as a fresh one.
- Names are local nicknames. What others wrote (a revocation's reason) is text: whoever prints it escapes it.
- A verdict whose evidence lacks what its sentence needs (another version wrote it) gets the plain sentence.

>>> from plora.gate.verdict import Outcome, StageResult
>>> evidence = {"owners": ["ada"], "required": 2, "partly": [], "awaited": ["bob", "cyd"]}
>>> stage = StageResult("signatures and quorum", Outcome.PENDING, "below_quorum", evidence)
>>> explain(Verdict(Outcome.PENDING, stage.stage, stage.reason, (stage,)))
'1 of 2 owners signed (ada); waiting for one of: bob, cyd'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from plora.gate.reasons import reason_of
from plora.gate.verdict import Verdict
from plora.proto.amounts import span_text
from plora.proto.fields import parse_timestamp

Facts = Mapping[str, Any]

_NUMBERS = ("none", "one", "two", "three", "four")


def sentence(reason: str) -> str:
    """What a reason code means; empty for no reason and for a code that this version doesn't know."""
    try:
        return reason_of(reason).sentence if reason else ""
    except KeyError:
        return ""


def explain(verdict: Verdict) -> str:
    """Why a verdict is what it is; empty where nothing was objected."""
    told = _TOLD.get(verdict.reason)
    if told is None:
        return sentence(verdict.reason)
    try:
        return told(verdict.evidence)
    except (KeyError, TypeError, ValueError):
        return sentence(verdict.reason)


def _below_quorum(facts: Facts) -> str:
    signed, required, awaited = facts["owners"], facts["required"], facts["awaited"]
    said = f"{len(signed)} of {required} owners signed ({', '.join(signed)})"
    missing = required - len(signed)
    if len(awaited) < missing:
        more = f"only {', '.join(awaited)} could" if awaited else "nobody else is trusted for this"
        return f"{said}; {more}: trust another co-signer by `plora trust add`"
    partly = "".join(f"; {name} signed with too few keys" for name in facts["partly"])
    number = _NUMBERS[missing] if missing < len(_NUMBERS) else str(missing)
    return f"{said}; waiting for {number} of: {', '.join(awaited)}{partly}"


def _below_threshold(facts: Facts) -> str:
    keys, threshold, owner = facts["keys"], facts["threshold"], facts["owner"]
    return f"{keys} of {threshold} keys of {owner} signed; waiting for another key of {owner}"


def _out_of_scope(facts: Facts) -> str:
    owner = facts["owner"]
    if facts["role"] not in facts["roles"]:
        return f"{owner} is trusted here to co-sign, not to publish; widen it by `plora trust add {owner} --roles`"
    if facts["domains"] and facts["domain"] not in facts["domains"]:
        only, this, option = facts["domains"], facts["domain"], "--domains"
    else:
        only, this, option = facts["bases"], facts["base_model"], "--bases"
    return f"{owner} is trusted here for {', '.join(only)} only, not for {this}; see `plora trust add {owner} {option}`"


def _distrusted(facts: Facts) -> str:
    return f"{facts['nickname']} was distrusted here; `plora trust add` takes that back"


def _forked_owner(facts: Facts) -> str:
    first, second = facts["records"][:2]
    return (
        f"two records claim to be the next one of {facts['owner']} ({first[:12]}, {second[:12]}), so neither is "
        "believed; ask the owner for their newest .owner file: `plora trust add FILE`"
    )


def _revoked(what: str) -> Callable[[Facts], str]:
    return lambda facts: f"{facts['owner']} revoked {what}: {facts['said']}"


def _not_yet_valid(facts: Facts) -> str:
    ahead = span_text(1000 * parse_timestamp(facts["issued"]) - facts["now_ms"])
    return (
        f"it was issued {ahead} in the future of this machine's clock, which says {_utc(facts['now_ms'])}; "
        "one of the two clocks is wrong: check this one, then ask the publisher"
    )


def _expired(facts: Facts) -> str:
    return f"it expired at {facts['expires']}; this machine's clock says {_utc(facts['now_ms'])}"


def _clock_behind(facts: Facts) -> str:
    behind = span_text(facts["signed_time_ms"] - facts["now_ms"])
    return (
        f"this machine's clock says {_utc(facts['now_ms'])}, {behind} before what a quorum has signed already; "
        "set the clock by `timedatectl set-ntp true`"
    )


def _stale(facts: Facts) -> str:
    signed, required = facts["signed"], facts["required"]
    who = f" ({', '.join(signed)})" if signed else ""
    newer = "; the others speak under a newer root file: ask for it" if facts["outdated"] else ""
    return (
        f"STALE: {len(signed)} of {required} owners of the pinned root said lately how new the swarm is{who}, "
        f"so nothing new is accepted{newer or '; see `plora freshness issue`'}"
    )


def _superseded(facts: Facts) -> str:
    return f"version {facts['newest_version']} is known here, this is version {facts['version']}"


def _awaiting(facts: Facts) -> str:
    if not facts["members"]:
        return "the policy wants a certificate of the consensus, and no members are known here: see consensus.members"
    count, needed = len(facts["accepted_by"]), facts["needed"]
    named = f" ({', '.join(facts['accepted_by'])})" if count else ""
    refused = "".join(f"; {name} refuses it: {why}" for name, why in sorted(facts["rejected_by"].items()))
    other = f"; for another content: {', '.join(facts['accepted_another'])}" if facts["accepted_another"] else ""
    guilty = f"; voted twice, so it no longer counts: {', '.join(facts['guilty'])}" if facts["guilty"] else ""
    silent = f"; not heard: {', '.join(facts['silent'])}" if facts["silent"] else ""
    return f"{count} of {needed} members accepted it{named}{refused}{other}{guilty}{silent}"


def _overdue(facts: Facts) -> str:
    return f"overdue: {_awaiting(facts)}"


def _compromised(facts: Facts) -> str:
    return (
        "two certificates of one slot exist, so more members lie than may; nothing is accepted until all peers agree "
        f"on another consensus.number or other members (this is epoch {facts['epoch']})"
    )


def _bad_certificate(facts: Facts) -> str:
    return f"its certificate is not valid: {facts['says']}"


def _merge_culprit(facts: Facts) -> str:
    beside = facts["beside"]
    if not beside:
        return "a merge with it failed its probes, and passes without it; `plora quarantine release` lets it out"
    return (
        f"a merge with it and {' and '.join(beside)} failed its probes, and passes where one of them is missing; "
        "`plora quarantine release` lets out whom you trust"
    )


def _low_reputation(facts: Facts) -> str:
    owner, score, floor, when = facts["owner"], facts["score"], facts["min_reputation"], facts["fault_ms"]
    if not facts["bad"]:
        return f"{owner} has earned too little here: {score:.2f}, below {floor:.2f} (policy.min_reputation)"
    return (
        f"the reputation of {owner} here is {score:.2f}, below {floor:.2f} (policy.min_reputation): "
        f"{sentence(facts['fault']) or facts['fault'].replace('_', ' ')}, {_utc(when)}; "
        f"`plora trust forgive {owner}` takes that back"
    )


def _no_calibration(facts: Facts) -> str:
    return str(facts["note"]) or sentence("no_calibration")


def _over(what: str) -> Callable[[Facts], str]:
    return lambda facts: f"{what}: {facts['figure']} is {facts['value']:.3g}, the threshold {facts['threshold']:.3g}"


def _unlike(what: str) -> Callable[[Facts], str]:
    return lambda facts: (
        f"{sentence(what)}: of clean ones about {facts['p_value']:.2%} are as far off or farther (held from "
        f"{facts['alpha']:.2%} down)"
    )


def _utc(wall_ms: int) -> str:
    return datetime.fromtimestamp(wall_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_TOLD: Mapping[str, Callable[[Facts], str]] = {
    "below_quorum": _below_quorum,
    "below_threshold": _below_threshold,
    "out_of_scope": _out_of_scope,
    "forked_owner": _forked_owner,
    "distrusted": _distrusted,
    "revoked_key": _revoked("the key that signed it"),
    "revoked_content": _revoked("it"),
    "revoked_owner": _revoked("everything of theirs"),
    "not_yet_valid": _not_yet_valid,
    "clock_behind": _clock_behind,
    "stale": _stale,
    "expired": _expired,
    "superseded": _superseded,
    "awaiting_certificate": _awaiting,
    "certificate_overdue": _overdue,
    "bad_certificate": _bad_certificate,
    "consensus_compromised": _compromised,
    "low_reputation": _low_reputation,
    "merge_culprit": _merge_culprit,
    "no_calibration": _no_calibration,
    "norm_outlier": _over("it changes its modules far more than clean adapters do"),
    "trigger_found": _over("a probe found words that make it say what the base model would not"),
    "clean_regression": _over("it answers plain questions worse than the base model"),
    "domain_mismatch": _over("it doesn't do what its manifest says about its domain"),
    "tensor_outlier": _unlike("tensor_outlier"),
    "behaviour_outlier": _unlike("behaviour_outlier"),
}
