"""Trust: one key, one owner; scope; versions; and the file that keeps it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gate.conftest import Owner, World, forged, key_of
from tests.gate.roots import council

from plora.gate import (
    Distrusted,
    Policy,
    Trust,
    TrustedOwner,
    check_quorum,
    edit_trust,
    load_trust,
    quorum_trouble,
    save_trust,
)
from plora.proto.errors import ConfigError, StatementError


def test_owner_comes_from_the_first_record(ada: Owner) -> None:
    owner = TrustedOwner.of_record(ada.record)
    assert (owner.nickname, owner.owner, owner.record) == ("ada", ada.id, ada.id)
    assert owner.lineages == (ada.id,)
    assert [key.key_id for key in owner.keys] == [ada.key.public.key_id]


def test_forged_owner_record_is_refused(ada: Owner) -> None:
    with pytest.raises(StatementError, match="signed by one of its own keys"):
        TrustedOwner.of_record(forged(ada.record))


def test_only_an_owner_record_makes_an_owner(world: World, ada: Owner) -> None:
    with pytest.raises(StatementError, match="not a first owner record"):
        TrustedOwner.of_record(world.attestation(ada, ada.record)[0])


def test_a_later_record_makes_no_owner(world: World, ada: Owner) -> None:
    later = world.owner_record("ada", (ada.key,), owner=ada.id, previous=ada.id, version=2)
    with pytest.raises(StatementError, match="not a first owner record"):
        TrustedOwner.of_record(later)


def test_nickname_owner_and_key_stand_once(world: World, ada: Owner, bob: Owner) -> None:
    with pytest.raises(ConfigError, match="nickname 'ada' stands twice"):
        world.trust(ada, bob, nickname="ada")
    with pytest.raises(ConfigError, match=r"owner .* stands twice"):
        Trust((TrustedOwner.of_record(ada.record), TrustedOwner.of_record(ada.record, nickname="ada2")))


def test_attack_041_one_key_under_two_owners_is_refused(world: World, ada: Owner) -> None:
    twin = Owner("twin", (ada.key,), world.owner_record("twin", (ada.key,)))
    assert twin.id != ada.id
    with pytest.raises(ConfigError, match=r"key .* stands twice"):
        world.trust(ada, twin)


@pytest.mark.parametrize("nickname", ["Ada", "a--b", "../x", "", "merged", "a\nb"])
def test_nicknames_are_ids(ada: Owner, nickname: str) -> None:
    with pytest.raises(ConfigError):
        replace(TrustedOwner.of_record(ada.record), nickname=nickname)


def test_roles_and_thresholds_are_checked(ada: Owner) -> None:
    owner = TrustedOwner.of_record(ada.record)
    for broken in ({"roles": ()}, {"roles": ("root",)}, {"threshold": 2}, {"threshold": 0}, {"keys": ()}):
        with pytest.raises(ConfigError):
            replace(owner, **broken)


@pytest.mark.parametrize(
    ("scope", "asked", "covered"),
    [
        ({}, ("legal", "mini", "publish"), True),
        ({"domains": ("legal",)}, ("legal", "mini", "publish"), True),
        ({"domains": ("medical",)}, ("legal", "mini", "publish"), False),
        ({"bases": ("mini",)}, ("legal", "mini", "cosign"), True),
        ({"bases": ("smollm2",)}, ("legal", "mini", "cosign"), False),
        ({"roles": ("cosign",)}, ("legal", "mini", "publish"), False),
        ({"roles": ("cosign",)}, ("legal", "mini", "cosign"), True),
    ],
)
def test_scope(ada: Owner, scope: dict[str, tuple[str, ...]], asked: tuple[str, str, str], covered: bool) -> None:
    assert TrustedOwner.of_record(ada.record, **scope).covers(*asked) is covered  # type: ignore[arg-type]


def test_changes_make_new_versions(world: World, ada: Owner, bob: Owner) -> None:
    trust = world.trust(ada)
    more = trust.with_owner(TrustedOwner.of_record(bob.record))
    assert (more.version, len(more.owners), len(trust.owners)) == (2, 2, 1)
    struck = more.with_distrusted(bob.id)
    assert struck.version == 3 and struck.owner(bob.id) is None and struck.owner(ada.id) is not None
    again = struck.with_owner(TrustedOwner.of_record(bob.record))
    assert again.owner(bob.id) is not None and again.distrusted == ()


def test_digest_follows_what_decides(world: World, ada: Owner, bob: Owner) -> None:
    trust = world.trust(ada, bob)
    swapped = Trust(trust.owners[::-1], version=9)
    signed_off = Trust(tuple(replace(owner, who="root", when="today") for owner in trust.owners))
    assert trust.digest() == swapped.digest() == signed_off.digest()
    narrowed = Trust((replace(trust.owners[0], domains=("legal",)), trust.owners[1]))
    others = {trust.digest(), world.trust(ada).digest(), narrowed.digest(), trust.with_distrusted(ada.id).digest()}
    assert len(others) == 4


def test_lookup(world: World, ada: Owner, bob: Owner) -> None:
    trust = world.trust(ada)
    assert trust.named("ada") == trust.owner(ada.id)
    assert trust.named("bob") is None and trust.owner(bob.id) is None
    assert (trust.nickname(ada.id), trust.nickname(bob.id)) == ("ada", bob.id[:12])


def test_attack_046_a_quorum_above_the_owners_is_said_unless_nobody_is_trusted(
    world: World, ada: Owner, bob: Owner
) -> None:
    two = Policy(quorum_required=2)
    both = world.trust(ada, bob)
    assert [quorum_trouble(two, trust) for trust in (Trust(), both)] == ["", ""]
    assert quorum_trouble(Policy(), world.trust(ada)) == ""
    assert quorum_trouble(Policy(), both) == ""
    assert "2 owners must sign (policy.quorum_required), but only 1 is" in quorum_trouble(two, world.trust(ada))
    assert "only 1 is" in quorum_trouble(two, both.with_distrusted(bob.id))


def test_attack_046_a_quorum_above_the_owners_is_refused_at_the_start(world: World, ada: Owner, bob: Owner) -> None:
    """Where somebody was only struck out, it is said instead: a peer must come up again after that."""
    three, both = Policy(quorum_required=3), world.trust(ada, bob)
    with pytest.raises(ConfigError, match=r"3 owners must sign, but .* names only 2"):
        check_quorum(three, both)
    check_quorum(three, Trust())
    check_quorum(Policy(quorum_required=2), both.with_distrusted(bob.id))
    check_quorum(Policy(quorum_required=3, signatures_enabled=False, insecure=True), both)


def test_what_was_struck_out_is_not_believed_and_who_leaves_is_a_stranger(world: World, ada: Owner, bob: Owner) -> None:
    both = world.trust(ada, bob)
    struck = both.with_distrusted(bob.id, name="bob", who="me", when="now")
    assert [owner.nickname for owner in struck.believed] == ["ada"]
    assert struck.with_distrusted(bob.id).distrusted == (Distrusted(bob.id),)
    left = struck.without(bob.id)
    assert (left.nickname(bob.id), left.distrusts(bob.id), left.version) == (bob.id[:12], True, struck.version + 1)


def test_who_is_removed_or_renewed_leaves_the_others_as_they_were(world: World) -> None:
    owners = [world.owner(name) for name in ("ada", "bob", "cyd")]
    trust = world.trust(*owners).with_distrusted(owners[0].id).with_distrusted(owners[1].id)
    for gone in owners:
        left = [owner.nickname for owner in trust.without(gone.id).owners]
        assert left == [one.name for one in owners if one is not gone]
        renewed = trust.with_owner(TrustedOwner.of_record(gone.record, domains=("legal",)))
        assert sorted(owner.nickname for owner in renewed.owners) == ["ada", "bob", "cyd"]
        assert [owner.nickname for owner in renewed.owners if owner.domains] == [gone.name]
        assert not renewed.distrusts(gone.id)
        others = {one.id for one in owners[:2] if one is not gone}
        assert {struck.entry for struck in renewed.distrusted} == others


def test_those_who_are_heard_are_the_believed_and_the_root_each_once(world: World, ada: Owner, bob: Owner) -> None:
    house = council(world)
    north, south, west = house.owners
    trust = replace(world.trust(ada, bob, north), root=house.root).with_distrusted(bob.id).with_distrusted(west.id)
    assert sorted(trust.heard) == sorted([ada.id, north.id, south.id, west.id])  # a root is not struck out by hand
    for owner in (ada, bob, north, south, west, world.owner("eve")):
        assert trust.hears(owner.id) is (owner.id in trust.heard)
    alone = replace(trust, root=None)
    assert sorted(alone.heard) == sorted([ada.id, north.id])
    assert [alone.knows(owner.id) for owner in (ada, bob, west, south)] == [True, True, True, False]


def test_missing_file_trusts_nobody(tmp_path: Path) -> None:
    assert load_trust(tmp_path / "trust.yaml") == Trust()


def test_file_keeps_everything(world: World, ada: Owner, tmp_path: Path) -> None:
    pair = world.owner("pair", keys=3, threshold=2)
    owners = (
        TrustedOwner.of_record(ada.record, domains=("legal",), bases=("mini",), who="ada@host", when="2026-01-01"),
        TrustedOwner.of_record(pair.record, roles=("cosign",)),
    )
    trust = Trust(owners, version=7, distrusted=(Distrusted("ab" * 32, "eve", "me", "now"),))
    path = save_trust(tmp_path / "trust.yaml", trust)
    assert load_trust(path) == trust
    assert path.stat().st_mode & 0o777 == 0o600
    assert "ada@host" in path.read_text()
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


def test_changes_that_come_at_once_are_all_kept(world: World, ada: Owner, tmp_path: Path) -> None:
    path = save_trust(tmp_path / "trust.yaml", world.trust(ada))
    entries = [f"{number:064x}" for number in range(8)]
    with ThreadPoolExecutor(len(entries)) as pool:
        list(pool.map(lambda entry: edit_trust(path, lambda trust: trust.with_distrusted(entry)), entries))
    kept = load_trust(path)
    assert [struck.entry for struck in kept.distrusted] == entries
    assert kept.version == 1 + len(entries) and kept.owner(ada.id) is not None


def test_a_change_that_fails_changes_nothing_and_locks_nobody_out(world: World, ada: Owner, tmp_path: Path) -> None:
    path = save_trust(tmp_path / "trust.yaml", world.trust(ada))
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="stands twice"):
        edit_trust(path, lambda trust: replace(trust, owners=trust.owners * 2))
    assert path.read_bytes() == before
    (tmp_path / ".trust.yaml.new").write_text("left by a crash")
    assert edit_trust(path, lambda trust: trust.without(ada.id)).owners == ()
    assert load_trust(path).version == 2 and list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "trust.yaml").mkdir()
    for broken in (load_trust, lambda path: save_trust(path, Trust())):
        with pytest.raises(ConfigError, match=r"can't be (read|written)") as caught:
            broken(tmp_path / "trust.yaml")
        assert caught.value.where == str(tmp_path / "trust.yaml")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(["legal", "medical", "no", "012", "1e3", "true", "null"]), unique=True, max_size=4))
def test_file_keeps_words_that_yaml_would_misread(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    folder = tmp_path_factory.mktemp("trust")
    owner = TrustedOwner.of_record(World(folder).owner("ada").record, domains=tuple(names))
    trust = Trust((owner,))
    assert load_trust(save_trust(folder / "trust.yaml", trust)) == trust


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("version: 1", "version: -1", "version"),
        ("nickname:", "nickname: ada\n    nick:", "unknown field"),
        ('nickname: "ada"', 'nickname: "A"', "owners.0.nickname"),
        ("threshold: 1", "threshold: 2", "threshold 2 of 1 keys"),
        ("version: 1", "version: 1\nversion: 2", "given twice"),
        ('algorithm: "Ed25519"', 'algorithm: "RSA-PSS-SHA256"', "Ed25519 key"),
        ("owners:", "owners: &a", "anchor"),
    ],
)
def test_broken_files_are_refused_by_name(
    world: World, ada: Owner, tmp_path: Path, before: str, after: str, complaint: str
) -> None:
    path = save_trust(tmp_path / "trust.yaml", world.trust(ada))
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(ConfigError, match=complaint):
        load_trust(path)


def test_unwritable_folder_is_one_clear_error(world: World, ada: Owner, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be written"):
        save_trust(tmp_path / "missing" / "trust.yaml", world.trust(ada))


def test_unreadable_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        load_trust(tmp_path)


def test_keys_are_names_apart() -> None:
    assert key_of("a").public.key_id != key_of("b").public.key_id
