"""What people read when a limit holds something back: the setting, its value, and what to do. Pure.

>>> limit_sentence("limits.artifact_max", 1 << 20, 2 << 20)
'it is 2 MiB, and limits.artifact_max is 1 MiB; raise it in peer.yaml, then `plora reload`'
"""

from __future__ import annotations

from collections.abc import Mapping

from plora.node.core.config import Limits, Subscription
from plora.proto.amounts import size_text

_RAISE = "raise it in peer.yaml, then `plora reload`"
_ALL_THE_SAME = "`plora fetch` gets it all the same"
_SENTENCES: Mapping[str, str] = {
    "limits.artifact_max": "it is {size}, and limits.artifact_max is {limit}; " + _RAISE,
    "limits.store_max": (
        "there is no room for its {size}: limits.store_max is {limit}, and what is here stays; make room by "
        "`plora rm`, or " + _RAISE
    ),
    "limits.disk_free_min": (
        "there is no room for its {size}: limits.disk_free_min keeps {limit} of the disk free; free some space, or "
        "lower it in peer.yaml, then `plora reload`"
    ),
    "policy.artifact_bytes_max": "it is {size}, and policy.artifact_bytes_max is {limit}; " + _RAISE,
    "subscribe.size_max": "it is {size}, and subscribe.size_max is {limit}; " + _ALL_THE_SAME,
    "subscribe.mode": "it waits for you: `plora fetch` gets its {size} (subscribe.mode is ask)",
    "subscribe.bases": "subscribe.bases names {limit}; " + _ALL_THE_SAME,
    "subscribe.domains": "subscribe.domains names {limit}; " + _ALL_THE_SAME,
    "subscribe.owners": "subscribe.owners names {limit}; " + _ALL_THE_SAME,
    "removed": "you removed it from here; `plora fetch` gets its {size} again",
}
SETTINGS = tuple(_SENTENCES)
"""What has a sentence of its own; "removed" is a person's word."""


def limit_sentence(setting: str, limit: int | str, size_bytes: int) -> str:
    """The sentence of a limit that keeps out an artifact of that size; empty for what is no such limit."""
    text = limit if isinstance(limit, str) else size_text(limit)
    return _SENTENCES.get(setting, "").format(limit=text, size=size_text(size_bytes))


def limit_value(setting: str, subscription: Subscription, limits: Limits) -> int | str:
    """What a setting of these two blocks says: bytes, or text for people; empty for what is none of them."""
    block, _, name = setting.partition(".")
    if setting == "subscribe.mode":
        return "ask"
    if block not in ("subscribe", "limits"):
        return ""
    value = getattr(subscription if block == "subscribe" else limits, name)
    return ", ".join(value) if isinstance(value, tuple) else int(value)
