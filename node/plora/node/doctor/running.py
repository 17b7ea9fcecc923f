"""What a running peer knows to be wrong with itself: clock, neighbours, bases, reach, what it published.

A view of the core and the transport; nothing is asked of others and nothing is changed.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from plora.node.admin.neighbours import name_of, trouble_with
from plora.node.admin.troubles import staleness
from plora.node.core.now import DAY_MS, Now
from plora.node.doctor.finding import Finding, detector_findings, file_limit, unreachable
from plora.node.gossip.addresses import Scope, scope_of, seen_scope
from plora.proto.amounts import span_text
from plora.proto.fields import parse_timestamp
from plora.proto.host_port import split

if TYPE_CHECKING:
    from plora.node.daemon.node import Node

CLOCK_MS_MAX = 30_000
SETTLED_AFTER_MS = 5_000
EXPIRY_TOLD_MS = 7 * DAY_MS
MISMATCH = "base_digest_mismatch"


def examine_node(node: Node, now: Now, uptime_ms: int) -> list[Finding]:
    """Everything that is wrong with a running peer."""
    return [
        *_clock(node),
        *_freshness(node, now),
        *_certificates(node, now),
        *(_neighbours(node) if uptime_ms >= SETTLED_AFTER_MS else ()),
        *_reach(node),
        *_bases(node),
        *detector_findings(node.instruments.troubles),
        *file_limit(),
    ]


def _clock(node: Node) -> list[Finding]:
    links = node.core.gossip.links.ready()
    return clock_findings({name_of(node, one.peer): one.ahead_ms for one in links if one.ahead_ms is not None})


def _freshness(node: Node, now: Now) -> Iterator[Finding]:
    for what in staleness(node, now):
        yield Finding("freshness", what, "see `plora peers`, and ask the root's owners for `plora freshness issue`")


def clock_findings(ahead_ms: Mapping[str, int]) -> list[Finding]:
    """What the neighbours' clocks, so far ahead of this one each, say: whom most of them contradict is wrong.

    >>> [str(one) for one in clock_findings({"ada": 90_000, "ben": 88_000})]
    ['clock: the clock is 1 min 28 s behind those of 2 neighbours; set it by `timedatectl set-ntp true`']
    """
    off_ms = statistics.median_low(ahead_ms.values()) if ahead_ms else 0
    if abs(off_ms) > CLOCK_MS_MAX:
        way = "behind" if off_ms > 0 else "ahead of"
        whose = f"those of {len(ahead_ms)} neighbours" if len(ahead_ms) > 1 else f"that of {next(iter(ahead_ms))}"
        what = f"the clock is {span_text(abs(off_ms))} {way} {whose}"
        return [Finding("clock", what, "set it by `timedatectl set-ntp true`")]
    return [
        Finding("clock", f"the clock of {name} is {span_text(abs(ms))} {way} this one", "ask its owner to set it")
        for name, ms in sorted(ahead_ms.items())
        if abs(ms) > CLOCK_MS_MAX
        for way in ["ahead of" if ms > 0 else "behind"]
    ]


def _certificates(node: Node, now: Now) -> Iterator[Finding]:
    for plasmid in node.core.desk.book.live.values():
        left_ms = parse_timestamp(plasmid.manifest.expires) * 1000 - now.wall_ms
        if plasmid.own and left_ms < EXPIRY_TOLD_MS:
            name = f"{plasmid.manifest.plasmid_id}@{plasmid.manifest.version}"
            what = f"your {name} expires in {span_text(left_ms)}" if left_ms > 0 else f"your {name} has expired"
            yield Finding("certificates", what, "sign and publish a new version")


def _neighbours(node: Node) -> Iterator[Finding]:
    for one in node.config.neighbours:
        link = node.core.gossip.links.get(one.peer)
        if one.peer in node.config.deny:
            what = f"{one.peer[:12]} is a neighbour and denied at once"
            yield Finding("neighbours", what, "take it off `neighbours` or off `deny` in peer.yaml")
        elif link is None or not link.ready:
            code = trouble_with(node, one.peer)
            if code or one.address:
                yield unreachable(one.peer[:12], one.address or "", code or "no_answer")
            else:
                yield Finding("neighbours", f"{one.peer[:12]} hasn't dialed yet", "give its `address`, or wait for it")


def _reach(node: Node) -> Iterator[Finding]:
    """A peer that says that it can be dialed, and can't from another machine."""
    parts = split(node.config.listen)
    host, port = parts or ("", 0)
    far = [link for link in node.core.gossip.links.ready() if seen_scope(link.host) is not Scope.MACHINE]
    named = [split(one) for one in node.config.advertise] or [parts]
    near = all(one is not None and scope_of(one[0]) is Scope.MACHINE for one in named)
    if node.config.dialable and far and near:
        what = f"others are told to dial it at {host}, which is this machine only"
        mend = f"set `listen: 0.0.0.0:{port}`, or `dialable: false`: it takes part fully all the same"
        yield Finding("reach", what, mend)


def _bases(node: Node) -> Iterator[Finding]:
    refused: dict[str, list[str]] = {}
    for plasmid in node.core.desk.book.live.values():
        if plasmid.verdict is not None and plasmid.verdict.reason == MISMATCH:
            refused.setdefault(plasmid.manifest.base_model, []).append(plasmid.manifest.base_digest)
    for base, digests in sorted(refused.items()):
        here = node.core.desk.policy.base_digests.get(base) or _digest_here(node, base)
        theirs = ", ".join(sorted({digest[:12] for digest in digests}))
        many = f"{len(digests)} adapters are" if len(digests) > 1 else "1 adapter is"
        what = f"{many} for another build of {base} ({theirs}; here {here[:12]})"
        yield Finding("bases", what, f"get the same {base}, or ask for adapters of yours; see `plora why NAME`")
    policy_base = node.config.policy.base_model
    for base in dict.fromkeys((*node.config.subscribe.bases, *((policy_base,) if policy_base else ()))):
        if base not in node.core.desk.docket.bases:
            what = f"{base} is named in peer.yaml and isn't on this machine, so its adapters are checked less"
            yield Finding("bases", what, "get that base (docs/data.md)")


def _digest_here(node: Node, base: str) -> str:
    facts = node.core.desk.docket.bases.get(base)
    return facts.digest if facts else "none"
