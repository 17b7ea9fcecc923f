"""One record of the event log as one line for people: when, which kind, and what happened in words.

- `SAYINGS` has the words of each kind, with the record's fields in them. A kind that this version doesn't know, or a
  record that lacks a field, is shown as its fields.
- Ids of 64 digits become names where the caller knows them, else their first digits; sizes and times are written as
  everywhere else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from plora.proto import records
from plora.proto.amounts import bound_text, size_text

HEADER = ("v", "peer", "boot", "seq", "mono_ns", "wall_ms", "round", "kind", "cause")
SAYINGS: Mapping[str, str] = {
    "boot": "{name} started, plora {software}",
    "stop": "stopped: {reason}",
    "link_up": "connected with {neighbour}, dialed by {dialer}",
    "link_down": "lost {neighbour}: {reason}",
    "neighbours": "neighbours: {peers}",
    "round": "round {round} with {picked}: {statements} statements, root {root}",
    "wire": "in {interval_ms} sent {sent_bytes}, received {received_bytes}",
    "reconcile": "reconciled with {neighbour}: {items} statements differed, {legs} messages, {bytes}",
    "published": "published {plasmid_id}@{version} ({domain})",
    "statement_seen": "{statement_kind} {id} came by {via}{sender}, {hops} hops from its origin",
    "duplicate": "{id} came again by {via}{sender}",
    "fetch_started": "fetching {digest}, {size_bytes}, {resumed_bytes} were here",
    "fetch_done": "fetched {digest} from {sources}: {wire_bytes} received, {wasted_bytes} of no use",
    "fetch_failed": "gave up fetching {digest}: {reason}",
    "inspected": "looked at the {detector} of {digest} in {cpu_ms} of a processor{because}",
    "examined": "examined {digest} in {cpu_ms} of a processor{because}",
    "stage": "{stage} of {id}: {outcome}{because}",
    "verdict": "{outcome}: {id} at {stage}{because}",
    "knowledge": "domain {domain} {change}",
    "merge": "{own}",
    "merge_measured": "measured generation {generation} of {base} in {domains}: perplexity {perplexity_after}; "
    "of the base alone {perplexity_base}",
    "merge_probed": "probes of generation {generation} of {base}: {outcome}{because}{culprits_named}",
    "rollback": "{base} went back from generation {before} to {after}: {reason}",
    "reputation": "reputation of {subject_kind} {subject} is Beta({alpha}, {beta}){because}",
    "penalty": "penalty of {weight} for {subject}: {reason}",
    "repelled": "{count} connections from {host} were ended{because}",
    "vote": "{member} votes {choice} on {content}",
    "certificate": "a quorum accepted {content}: {members}",
    "alarm": "consensus {alarm}: {subject}: {what}",
    "evidence": "{offence} by {accused}: {first} and {second}",
    "revoked": "revoked {target_kind} {target}: {reason}",
    "rotated": "{owner} changed keys: {threshold} of {keys} must sign from record {record} on",
    "trust": "trust changed{own}",
    "freshness": "this peer is {state}: of the {required} owners needed, {signed} said lately how new the swarm is",
    "invited": "made a ticket for {name}",
    "joined": "{name} joined as {member}; the words are {words}",
    "wished": "{id} is {own} at its person's word",
    "serving": "{server} {change} {name}",
    "suppressed": "{count} more records of {suppressed_kind} by {subject} were left out",
    "expired": "{id} has expired",
    "superseded": "{id} gave way to {by}",
    "evicted": "deleted {digest}, {size_bytes}: {reason}",
    "bound_hit": "reached the limit {setting} of {own}",
    "audited": "the audit ends at entry {entry}, {head}",
    "acknowledged": "its person answers for entry {entry} of the audit ({what}): {note}",
    "health": "event loop late by {loop_lag_p99_ms}, {rss_bytes} of memory, {fds} open files",
    "repair": "put right: {subject}: {what}",
    "error": "{place}{what}{cure}",
}

Names = Callable[[str], str]

_DIGITS_SHOWN = 12
_ID_DIGITS = 64
_TEXT_SHOWN = 200
_FIELD_SHOWN = 24


def is_quiet(line: str) -> bool:
    """Whether a record, as the log has it, tells nothing while all goes well."""
    return records.is_quiet(json.loads(line))


def nameless(identity: str) -> str:
    """No id has a name."""
    return ""


def event_line(line: str, names: Names = nameless, sentence: Names = nameless) -> str:
    """The line of a record as the log has it. `names` maps ids to names, `sentence` reason codes to words.

    >>> event_line('{"kind":"knowledge","seq":3,"wall_ms":0,"domain":"legal","change":"gained"}').split(maxsplit=2)[2]
    'domain legal gained'
    """
    record = json.loads(line)
    when = datetime.fromtimestamp(record["wall_ms"] / 1000).strftime("%H:%M:%S.%f")[:-3]
    return f"{when} {record['kind']:<14} {saying(record, names, sentence)}".rstrip()


def saying(record: Mapping[str, Any], names: Names = nameless, sentence: Names = nameless) -> str:
    """What a record says, in words, without when and of which kind."""
    try:
        return SAYINGS[record["kind"]].format_map(_spoken(record, names, sentence))
    except KeyError:
        return " ".join(f"{name}={_field(value)}" for name, value in record.items() if name not in HEADER)


def _spoken(record: Mapping[str, Any], names: Names, sentence: Names) -> dict[str, str]:
    spoken = {name: _value(name, value, names) for name, value in record.items()}
    reason = str(record.get("reason") or "")
    spoken["own"] = _OWN_WORDS.get(record["kind"], _no_words)(record, spoken)
    spoken["because"] = f": {sentence(reason) or reason}" if reason else ""
    spoken["culprits_named"] = f"; to blame: {spoken['culprits']}" if record.get("culprits") else ""
    spoken["dialer"] = "this peer" if record.get("outbound") else "them"
    spoken["sender"] = f" from {spoken['from']}" if record.get("from") else ""
    spoken["place"] = f"{record['where']}: " if record.get("where") else ""
    spoken["cure"] = f"; {record['mend']}" if record.get("mend") else ""
    return spoken


def _no_words(record: Mapping[str, Any], spoken: Mapping[str, str]) -> str:
    return ""


def _merged(record: Mapping[str, Any], spoken: Mapping[str, str]) -> str:
    if not record["inputs"]:
        return f"nothing of {spoken['base']} is left to merge, so no merge of it is served"
    into = f"generation {spoken['after']} of {spoken['base']}"
    return f"merged {spoken['inputs']} into {into}, {spoken['discarded_energy']} of energy discarded"


def _trust_changes(record: Mapping[str, Any], spoken: Mapping[str, str]) -> str:
    verbs = {"added": "believes", "removed": "no longer believes", "distrusted": "distrusts"}
    said = [f"{verb} {spoken[name]}" for name, verb in verbs.items() if record.get(name)]
    return f": {'; '.join(said)}" if said else ""


_OWN_WORDS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, str]], str]] = {
    "bound_hit": lambda record, spoken: bound_text(record["setting"], record["limit"]),
    "merge": _merged,
    "trust": _trust_changes,
    "wished": lambda record, spoken: "asked for" if record["wish"] == "asked" else spoken["wish"],
}
"""What stands for `{own}` in the saying of a kind."""


def _value(name: str, value: object, names: Names) -> str:
    if isinstance(value, list):
        return ", ".join(_value(name, one, names) for one in value) or "nobody"
    if isinstance(value, dict):
        summed = name.endswith("bytes") and all(isinstance(one, int) for one in value.values())
        return size_text(sum(value.values())) if summed else json.dumps(value)
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool)):
        return _number(name, value)
    text = str(value)
    return (names(text) or text[:_DIGITS_SHOWN]) if _is_id(text) else text[:_TEXT_SHOWN]


def _number(name: str, value: float) -> str:
    """With the unit that the end of its name says."""
    if name.endswith("_ms"):
        return f"{value:.0f} ms"
    if name.endswith("bytes"):
        return size_text(int(value))
    if name.endswith("energy"):
        return f"{value:.1%}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_id(text: str) -> bool:
    return len(text) == _ID_DIGITS and all(digit in "0123456789abcdef" for digit in text)


def _field(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _FIELD_SHOWN else f"{text[:_DIGITS_SHOWN]}…"
