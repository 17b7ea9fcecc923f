"""What a scenario does to peers and network, in words.

>>> told = Scenario.parse({"agents": 5, "happenings": [{"round": 3.5, "do": "kill", "peers": [1, 2]}]})
>>> list(planned(told))
[(3.5, 'killed: peers 1, 2')]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from plora.sim.faults import chosen
from plora.sim.scenario import Scenario

WORDS: Mapping[str, str] = {
    "start": "started: {who}",
    "stop": "stopped in good order: {who}",
    "kill": "killed: {who}",
    "power_cut": "power lost: {who}",
    "cut": "cut off from all others: {who}",
    "heal": "all cuts mended",
    "links": "the network changes",
    "jump_clock": "clocks jump by {by:g} s: {who}",
    "disk_full": "{by:g} bytes of disk left: {who}",
    "disk_error": "disks fail: {who}",
    "disk_free": "disks are well again: {who}",
    "slow_gate": "examinations take {by:g} times as long: {who}",
}
PEERS_NAMED = 8


def planned(scenario: Scenario) -> Iterator[tuple[float, str]]:
    """Round and words of each happening, in order; who was drawn is named."""
    for told, peers in chosen(scenario):
        who = "all peers" if len(peers) == scenario.agents else _named(peers)
        yield told.round, WORDS[told.do].format(who=who, by=told.by)


def _named(peers: Sequence[int]) -> str:
    more = f" and {len(peers) - PEERS_NAMED} more" if len(peers) > PEERS_NAMED else ""
    return f"peer{'s' * (len(peers) != 1)} {', '.join(map(str, peers[:PEERS_NAMED]))}{more}"
