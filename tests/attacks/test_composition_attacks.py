"""Attacks by what merges of accepted adapters do. A rule says here which merges act: what is tried is the search."""

from __future__ import annotations

from itertools import permutations

from tests.attacks.conftest import Watched
from tests.node.core.test_merges import ids
from tests.node.core.test_proving import FIVE, FOUR, ONE, THREE, TWO, Fails, Peer, Probed, digests, never, together

from plora.node.core.effects import MergeInput
from plora.proto.records import MergeProbed


def publish(peer: Peer, *newcomers: MergeInput) -> frozenset[str]:
    """They are accepted; who is to blame for the merge that follows, and the merge is made without them."""
    peer.world.accepted += newcomers
    blamed = frozenset(peer.due().culprits)
    if blamed:
        assert peer.due().culprits == ()
    return blamed


def merged(peer: Peer) -> frozenset[str]:
    """The contents of the merge that is served."""
    return frozenset(peer.merges.standing()[0].inputs)


def failed(peer: Peer) -> list[MergeProbed]:
    """What was said of merges that failed."""
    return [one for one in peer.records if isinstance(one, MergeProbed) and one.outcome == "failed"]


def test_attack_078_a_colluding_pair_each_benign(attack: Watched) -> None:
    """Also where the first one was merged and served long before its partner comes."""
    for before, after in (((ONE, TWO, THREE), (FOUR, FIVE)), ((ONE, TWO, FOUR), (THREE, FIVE))):
        peer = Peer(Probed(list(before)), together(FOUR, FIVE))
        assert publish(peer) == frozenset() and peer.served == 1
        assert publish(peer, *after) == digests(FOUR, FIVE)
        assert merged(peer) == frozenset(ids(ONE, TWO, THREE))
        assert [one.culprits != () for one in failed(peer)] == [True]
        attack.saw("Q", "merge_culprit")


def beside(framer: MergeInput, victims: tuple[MergeInput, ...]) -> Fails:
    """What holds the framer and one of these fails."""
    return lambda few: framer.digest in few and bool(few & digests(*victims))


def test_attack_102_a_framer_makes_the_next_honest_merge_fail(attack: Watched) -> None:
    """It acts beside anybody, or only beside newcomers of the victim's domain: three of them, by honest owners."""
    for victims in ((ONE, TWO, FOUR, FIVE), (ONE, TWO, FOUR)):
        peer = Peer(Probed([THREE]), beside(THREE, victims))
        publish(peer)
        assert merged(peer) == frozenset(ids(THREE)), "alone it passes"
        assert publish(peer, ONE, TWO, FOUR, FIVE) == digests(THREE)
        assert merged(peer) == frozenset(ids(ONE, TWO, FOUR, FIVE))
        assert [one.culprits for one in failed(peer)] == [ids(THREE)]
        attack.saw("Q", "merge_culprit")


def test_attack_104_three_that_act_together_come_in_any_order(attack: Watched) -> None:
    for order in permutations((THREE, FOUR, FIVE)):
        peer = Peer(Probed([ONE, TWO]), together(*order))
        blamed = [publish(peer, newcomer) for newcomer in order]
        assert blamed == [frozenset(), frozenset(), digests(*order)]
        assert merged(peer) == frozenset(ids(ONE, TWO))
    attack.saw("Q", "merge_culprit")


def test_attack_104_honest_newcomers_between_them_are_not_blamed(attack: Watched) -> None:
    peer = Peer(Probed([THREE]), together(THREE, FIVE))
    for newcomer in (ONE, TWO, FOUR):
        assert publish(peer, newcomer) == frozenset()
    assert publish(peer, FIVE) == digests(THREE, FIVE)
    assert merged(peer) == frozenset(ids(ONE, TWO, FOUR)) and publish(Peer(Probed([ONE]), never)) == frozenset()
    attack.saw("Q", "merge_culprit")
