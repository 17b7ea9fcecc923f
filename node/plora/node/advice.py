"""What two tries at dialing mean for a person: which direction fails, and what to set.

Pure: from what `plora peers ping` found to sentences. Source of the rules: docs/connectivity.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plora.node.core.messages import DialedBack, DialTry
from plora.node.gossip.addresses import Scope, scope_of, seen_scope
from plora.node.reach import NO_ANSWER, NOBODY_LISTENS, NOT_TRIED, OUTCOMES, REACHED, meaning_of
from plora.proto.host_port import split

OUT_ONLY = "or say `dialable: false`: a peer that only dials out takes part fully (docs/connectivity.md)"


@dataclass(frozen=True, slots=True)
class Ends:
    """Both ends of a ping: `name` is the other peer's, the rest this one's settings and the other's word."""

    name: str
    listen: str
    dialable: bool
    other_dialable: bool
    linked: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether both directions are as they should be, and what helps where they aren't."""

    good: bool
    mends: tuple[str, ...]


def judge(ends: Ends, there: Sequence[DialTry], back: DialedBack | None) -> Finding:
    """What the tries in both directions mean."""
    faults = [*_there(ends, there), *_back(ends, back)]
    hints = _hints(ends, there, back)
    return Finding(not faults, (*faults, *hints))


def _there(ends: Ends, there: Sequence[DialTry]) -> list[str]:
    if any(one.outcome == REACHED for one in there) or (ends.linked and not ends.other_dialable):
        return []
    if not there:
        return [f"no address of {ends.name} is known here: {OUTCOMES['no_address'].mend}"]
    return [f"you can't dial {ends.name} at {one.address}: {_mend(one)}" for one in there]


def _back(ends: Ends, back: DialedBack | None) -> list[str]:
    if not ends.linked:
        return [f"no link with {ends.name} stands, so it can't be asked to dial back"]
    if back is None:
        return [f"{ends.name} didn't say whether it can dial you; its Plora may be older"]
    if not ends.dialable or any(one.outcome == REACHED for one in back.tries):
        return []
    if all(one.outcome == NOT_TRIED for one in back.tries):
        return [_not_tried(ends, back)]
    return [
        f"{ends.name} can't dial you at {one.address}: {_own_mend(ends, one)}"
        for one in back.tries
        if one.outcome != NOT_TRIED
    ]


def _not_tried(ends: Ends, back: DialedBack) -> str:
    parts = split(ends.listen)
    host, port = parts or ("", 4700)
    if scope_of(host) is Scope.MACHINE and seen_scope(back.seen_host) is not Scope.MACHINE:
        return (
            f"you listen on this machine only ({ends.listen}), so {ends.name} can't dial you: "
            f"set `listen: 0.0.0.0:{port}` in peer.yaml, {OUT_ONLY}"
        )
    named = ", ".join(one.address for one in back.tries) or "nothing"
    return (
        f"{ends.name} sees you at {back.seen_host}, but you name {named}: "
        f"set `advertise: [{back.seen_host}:{port}]` in peer.yaml and forward that TCP port here, {OUT_ONLY}"
    )


def _own_mend(ends: Ends, one: DialTry) -> str:
    port = (split(one.address) or ("", 0))[1]
    if one.outcome == NO_ANSWER:
        return f"open TCP port {port} in this machine's firewall and forward it in the router, {OUT_ONLY}"
    if one.outcome == NOBODY_LISTENS:
        here = (split(ends.listen) or ("", port))[1]
        forward = f"forward TCP port {port} to port {here} of this machine"
        return f"nothing listens there: {forward}, or correct `advertise`, {OUT_ONLY}"
    return _mend(one)


def _hints(ends: Ends, there: Sequence[DialTry], back: DialedBack | None) -> list[str]:
    """What is good to know and no fault."""
    hints = []
    if back is not None and not ends.dialable and any(one.outcome == REACHED for one in back.tries):
        hints.append("you say `dialable: false`, yet you can be dialed: `dialable: true` would help others")
    if back is not None and not ends.dialable and not any(one.outcome == REACHED for one in back.tries):
        hints.append("you only dial out (`dialable: false`), so nobody needs to dial you")
    if ends.linked and not ends.other_dialable and not any(one.outcome == REACHED for one in there):
        hints.append(f"{ends.name} only dials out; that is how it is meant")
    return hints


def _mend(one: DialTry) -> str:
    known = meaning_of(one.outcome)
    return f"{known.what}; {known.mend}" if known.mend else known.what
