"""What a scenario does to peers and network, in words.

>>> killed = {"round": 3.5, "do": "kill", "by": 0.0, "peers": [1, 2], "share": None, "count": None}
>>> list(planned({"happenings": [killed]}))
[(3.5, 'peers 1, 2 are killed')]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

WORDS: Mapping[str, str] = {
    "start": "{who} start",
    "stop": "{who} stop in good order",
    "kill": "{who} are killed",
    "power_cut": "{who} lose power",
    "cut": "{who} are cut off from all others",
    "heal": "all cuts are mended",
    "links": "the network of {who} changes",
    "jump_clock": "clocks of {who} jump by {by:g} s",
    "disk_full": "disks of {who} have {by:g} bytes left",
    "disk_error": "disks of {who} fail",
    "disk_free": "disks of {who} are well again",
    "slow_gate": "examinations of {who} are {by:g} times as slow",
}
PEERS_NAMED = 8


def planned(scenario: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
    """Round and words of each happening of a report's scenario, in its order."""
    for one in scenario["happenings"]:
        yield one["round"], WORDS.get(one["do"], one["do"]).format(who=_who(one), by=one["by"])


def _who(choice: Mapping[str, Any]) -> str:
    peers = choice["peers"]
    if peers:
        more = f" and {len(peers) - PEERS_NAMED} more" if len(peers) > PEERS_NAMED else ""
        return f"peers {', '.join(map(str, peers[:PEERS_NAMED]))}{more}"
    if choice["share"] is not None:
        return f"{choice['share']:.0%} of all peers"
    return "all peers" if choice["count"] is None else f"{choice['count']} peers"
