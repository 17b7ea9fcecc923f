"""Whose keys an owner's are: which records follow, which revocations count, and what a thief can't do with a key."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.proto.owners import ISSUED, Signed, after, first, forged, key_id, strike, word

from plora.proto.fields import format_timestamp, parse_timestamp
from plora.proto.rotation import (
    ROTATIONS_MAX,
    WORDS_PER_KEY,
    Attestations,
    Authority,
    Dossier,
    Revocations,
    first_authority,
    missing,
    signed_by,
    walk,
)

ELSE = "0e" * 32
"""The id of an owner who isn't meant."""


def hexed(signed: Signed) -> str:
    return signed[0].id.hex()


def ids(names: str) -> set[str]:
    return {key_id(name) for name in names}


def walked(
    start: Signed,
    *records: Signed,
    said: Attestations = (),
    struck: Revocations = (),
    believed: frozenset[str] = frozenset(),
) -> Authority:
    """Who speaks by all of this; that the order in which it is known makes no difference is checked by the way."""
    at = first_authority(*start)
    forth = walk(at, Dossier(records, said, struck, believed))
    assert walk(at, Dossier(records[::-1], said[::-1], struck[::-1], believed)) == forth
    return forth


def flood(record: Signed, owner: str, by: str, count: int) -> Attestations:
    """That many different attestations by one key, the smallest id first."""
    begin_s = parse_timestamp(ISSUED)
    made = (word(record[0], owner, by, format_timestamp(begin_s + number)) for number in range(count))
    return tuple(sorted(made, key=lambda pair: pair[0].id))


# Two of abc must sign, then two of bcd; the record is signed by b itself.


@pytest.mark.parametrize(
    ("others", "lacks"),
    [
        ("", (1, 1)),
        ("c", (0, 0)),
        ("a", (0, 1)),
        ("d", (1, 0)),
        ("ad", (0, 0)),
        ("bb", (1, 1)),
        ("aa", (0, 1)),
        ("x", (1, 1)),
        ("xyc", (0, 0)),
    ],
)
def test_a_record_follows_when_enough_distinct_keys_of_old_and_new_signed(others: str, lacks: tuple[int, int]) -> None:
    start = first("abc", 2)
    record = after(start, "bcd", 2, by="b")
    said = tuple(word(record[0], hexed(start), by) for by in others)
    assert missing(first_authority(*start), *record, Dossier(attestations=said)) == lacks
    assert walked(start, record, said=said).walked == ((hexed(record),) if lacks == (0, 0) else ())


def test_what_is_not_a_word_for_this_record_in_this_owners_name_counts_for_nothing() -> None:
    start = first("abc", 2)
    record, other = after(start, "bcd", 2, by="b"), after(start, "bc", 2, by="b")
    good = word(record[0], hexed(start), "c")
    for said in (word(other[0], hexed(start), "c"), word(record[0], ELSE, "c"), (forged(good[0]), good[1])):
        assert not walked(start, record, said=(said,)).walked
    unsigned = (forged(record[0]), record[1])
    assert not walked(start, unsigned, said=(good,)).walked
    assert walked(start, unsigned, said=(good, word(record[0], hexed(start), "b"))).walked


def test_only_a_record_of_this_owner_that_names_the_last_one_follows() -> None:
    start = first("a")
    for owner, previous in ((ELSE, hexed(start)), (hexed(start), ELSE)):
        assert not walked(start, after(start, "a", by="a", owner=owner, previous=previous)).walked


def test_a_walk_ends_at_the_newest_record_and_keeps_all_keys_that_ever_were() -> None:
    start = first("ab", 1)
    second = after(start, "bc", 2, by="b", lineage=hexed(start))
    third = after(second, "cd", 1, by="c")
    said = (word(second[0], hexed(start), "c"), word(third[0], hexed(start), "b"))
    at = walked(start, second, third, said=said)
    assert (at.owner, at.record, at.threshold) == (hexed(start), hexed(third), 1)
    assert (set(at.current), set(at.keys)) == (ids("cd"), ids("abcd"))
    assert at.walked == (hexed(second), hexed(third))
    assert at.lineages == (hexed(start), hexed(third))


def test_a_walk_begins_at_any_record_that_is_trusted() -> None:
    start = first("a")
    second = after(start, "b", by="b", lineage=ELSE)
    third = after(second, "bc", by="b", lineage=ELSE)
    at = walked(second, start, third)
    assert (at.owner, at.record, at.lineages, at.walked) == (hexed(start), hexed(third), (ELSE,), (hexed(third),))
    assert set(at.keys) == ids("bc")


def test_a_retired_key_rotates_nothing_more() -> None:
    start = first("ab", 1)
    second = after(start, "b", 1, by="b")
    by_retired = after(second, "a", 1, by="a")
    assert walked(start, second, by_retired).walked == (hexed(second),)


def test_a_walk_is_bounded() -> None:
    records = [first("a")]
    for _ in range(ROTATIONS_MAX + 1):
        records.append(after(records[-1], "a", by="a"))
    assert walked(records[0], *records[1:]).record == hexed(records[ROTATIONS_MAX])


# Forks


def test_two_successors_end_the_walk_before_either() -> None:
    start = first("ab", 1)
    second = after(start, "ab", 1, by="a")
    rivals = (after(second, "a", 1, by="a"), after(second, "b", 1, by="b"))
    further = after(rivals[0], "ac", 1, by="a")
    at = walked(start, second, *rivals, further)
    assert (at.record, at.forked) == (hexed(second), tuple(sorted(map(hexed, rivals))))
    assert set(at.keys) == ids("ab")


def test_a_rival_that_lacks_signatures_makes_no_fork() -> None:
    start = first("ab", 1)
    good, lacking = after(start, "a", 1, by="a"), after(start, "bc", 2, by="b")
    at = walked(start, good, lacking)
    assert (at.record, at.forked) == (hexed(good), ())


@pytest.mark.parametrize("which", [0, 1])
def test_what_was_believed_before_is_followed_whatever_came_since(which: int) -> None:
    start = first("ab", 1)
    rivals = (after(start, "a", 1, by="a"), after(start, "b", 1, by="b"))
    further = tuple(after(rival, "c", 1, by="c") for rival in rivals)
    said = tuple(word(one[0], hexed(start), by) for one, by in zip(further, "ab", strict=True))
    known = hexed(rivals[which])
    at = walked(start, *rivals, *further, said=said, believed=frozenset({known}))
    assert (at.walked, at.forked) == ((known, hexed(further[which])), ())
    vouched = walk(first_authority(*start), Dossier(rivals), frozenset({known}))
    assert vouched.record == known


def test_of_two_believed_records_every_peer_follows_the_same() -> None:
    start = first("ab", 1)
    rivals = sorted((after(start, "a", 1, by="a"), after(start, "b", 1, by="b")), key=hexed)
    assert walked(start, *rivals, believed=frozenset(map(hexed, rivals))).record == hexed(rivals[0])


def test_a_believed_record_needs_no_signatures_but_still_its_place() -> None:
    start = first("ab", 2)
    lacking = after(start, "c", 1, by="c")
    elsewhere = after(start, "d", 1, by="d", previous=ELSE)
    at = walked(start, lacking, elsewhere, believed=frozenset({hexed(lacking), hexed(elsewhere)}))
    assert at.walked == (hexed(lacking),)


# Revocations


@pytest.mark.parametrize(
    ("kind", "target", "by", "others", "counts"),
    [
        ("key", key_id("c"), "a", "b", True),
        ("key", key_id("c"), "a", "", False),
        ("key", key_id("c"), "a", "x", False),
        ("key", key_id("c"), "c", "", True),
        ("key", key_id("c"), "x", "c", False),
        ("key", key_id("x"), "x", "abc", False),
        ("key", key_id("x"), "a", "bc", False),
        ("content", ELSE, "a", "b", True),
        ("content", ELSE, "a", "", False),
        ("content", key_id("a"), "a", "", False),
        ("owner", key_id("a"), "a", "", False),
        ("owner", ELSE, "a", "c", True),
    ],
)
def test_a_revocation_counts_by_threshold_or_by_the_key_that_it_strikes(
    kind: str, target: str, by: str, others: str, counts: bool
) -> None:
    start = first("abc", 2)
    one = strike(hexed(start), kind, target, by)
    said = tuple(word(one[0], hexed(start), each) for each in others)
    at = walked(start, said=said, struck=(one,))
    assert at.revocations == ({one[0].id.hex(): one[1]} if counts else {})
    assert at.void_keys == ({target: "stolen"} if counts and kind == "key" else {})


def test_a_revocation_in_anothers_name_or_under_a_forged_signature_counts_for_nothing() -> None:
    start = first("abc", 1)
    own = strike(hexed(start), "key", key_id("a"), "a")
    for one in (strike(ELSE, "key", key_id("a"), "a"), strike(ELSE, "content", ELSE, "a"), (forged(own[0]), own[1])):
        assert not walked(start, struck=(one,)).revocations


def test_a_revoked_key_may_still_revoke() -> None:
    start = first("abc", 2)
    struck = (strike(hexed(start), "key", key_id("c"), "c"), strike(hexed(start), "key", key_id("a"), "b"))
    at = walked(start, struck=struck, said=(word(struck[1][0], hexed(start), "c"),))
    assert set(at.void_keys) == ids("ac")


def test_a_revoked_key_fills_no_threshold_of_a_rotation() -> None:
    start = first("ab", 1)
    struck = (strike(hexed(start), "key", key_id("b"), "a"),)
    by_thief = after(start, "b", 1, by="b")
    assert walked(start, by_thief).record == hexed(by_thief)
    assert walked(start, by_thief, struck=struck).record == hexed(start)
    new_side = after(start, "bc", 2, by="c")
    said = tuple(word(new_side[0], hexed(start), by) for by in "ab")
    assert walked(start, new_side, said=said).record == hexed(new_side)
    struck_at = walked(start, new_side, said=said, struck=struck)
    assert struck_at.record == hexed(start)
    assert missing(struck_at, *new_side, Dossier(attestations=said)) == (0, 1)


def test_a_revocation_settles_a_fork() -> None:
    start = first("ab", 1)
    honest, thiefs = after(start, "ac", 1, by="a"), after(start, "b", 1, by="b")
    assert walked(start, honest, thiefs).forked
    at = walked(start, honest, thiefs, struck=(strike(hexed(start), "key", key_id("b"), "a"),))
    assert (at.record, at.forked) == (hexed(honest), ())


def test_a_revocation_by_later_keys_only_voids_the_key_and_not_the_rotation_that_retired_it() -> None:
    start = first("a", 1)
    second = after(start, "b", 1, by="b")
    said = (word(second[0], hexed(start), "a"),)
    by_later, by_itself = (strike(hexed(start), "key", key_id("a"), by) for by in "ba")
    at = walked(start, second, said=said, struck=(by_later,))
    assert (at.record, set(at.void_keys)) == (hexed(second), ids("a"))
    assert walked(start, second, said=said, struck=(by_itself,)).record == hexed(start)


def test_a_revocation_that_counted_once_is_not_undone_by_a_later_record() -> None:
    start = first("ab", 1)
    struck = (strike(hexed(start), "content", ELSE, "a"),)
    second = after(start, "bc", 2, by="b")
    at = walked(start, second, said=(word(second[0], hexed(start), "c"),), struck=struck)
    assert (at.record, list(at.revocations.values())) == (hexed(second), [struck[0][1]])


def test_retired_keys_no_longer_revoke_what_is_the_owners() -> None:
    start = first("ab", 2)
    second = after(start, "bc", 2, by="b")
    said = tuple(word(second[0], hexed(start), by) for by in "ac")
    half = strike(hexed(start), "content", ELSE, "a")
    by_retired_and_new = (*said, word(half[0], hexed(start), "c"))
    assert not walked(start, second, said=by_retired_and_new, struck=(half,)).revocations


def test_keys_that_a_root_struck_are_void_and_rotate_nothing() -> None:
    start = first("ab", 1)
    at = replace(first_authority(*start), struck_by_others={key_id("b"): "by the root"})
    own = strike(hexed(start), "key", key_id("a"), "a", reason="by myself")
    struck = walk(at, Dossier(revocations=(own,)))
    assert struck.void_keys == {key_id("b"): "by the root", key_id("a"): "by myself"}
    assert walk(at, Dossier((after(start, "b", 1, by="b"),))).record == hexed(start)


# What is verified is bounded, each key by itself


def test_however_often_one_key_attests_it_crowds_no_other_out() -> None:
    start = first("abc", 3)
    record = after(start, "abc", 3, by="a")
    said = (*flood(record, hexed(start), "c", 40), word(record[0], hexed(start), "b"))
    assert walked(start, record, said=said).record == hexed(record)


@pytest.mark.parametrize("by", "ab")
def test_a_keys_words_are_verified_by_the_smallest_ids_and_only_so_many(by: str) -> None:
    """The record's own signature, here forged, is one of the words of its signer."""
    start = first("ab", 1)
    record = after(start, "ab", 1, by="a")
    spoilt_max = WORDS_PER_KEY - 1 - (by == "a")
    *others, good = flood(record, hexed(start), by, WORDS_PER_KEY + 1)
    spoilt = [(forged(one), body) for one, body in others]
    for count in (spoilt_max, spoilt_max + 1):
        known = Dossier(attestations=(good, *spoilt[:count]))
        found = signed_by(forged(record[0]), first_authority(*start).keys, hexed(start), known)
        assert found == (ids(by) if count == spoilt_max else set())
