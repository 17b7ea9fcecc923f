"""The screens on trust and consensus, before what really went wrong: a stale root, a fork, a liar, an edited audit."""

from __future__ import annotations

import json
import re
import shutil
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from tests.council import Ballots, member, vote_key
from tests.swarm.conftest import Peer, edit_an_entry, write_folder
from tests.web.browsing import NEEDS_CHROMIUM, go, look, plora, tab_of
from tests.web.conftest import MakePeer, Page

from plora.gate import load_trust, save_trust
from plora.gate.consensus import Member, membership
from plora.node.gossip.rows import statement_row
from plora.node.store.real_disk import RealDisk
from plora.node.store.store import Store
from plora.proto.keys import PublicKey, load_private_key
from plora.proto.wire import statement_to_pb
from plora.sim.material import make_owner, make_plasmid, tiny_adapter
from plora.v1 import admin_pb2 as pb

WIDTHS = (1280, 390)

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow, NEEDS_CHROMIUM]


def pictured(browser: Browser, peer: Peer, axe: str, place: str, name: str) -> None:
    """Look at a screen, wide and narrow, dark and light."""
    for width in WIDTHS:
        with tab_of(browser, Page(peer), viewport={"width": width, "height": 800}) as tab:
            go(tab, place)
            look(tab, axe, f"{name}-{width}")


def council_of(peers: list[Peer]) -> list[dict[str, Any]]:
    """The members' lines, at every peer; each dials and trusts each other."""
    lines = [json.loads(plora("consensus", "key", "--json", "--home", peer.home.root)) for peer in peers]
    entries = [{field: line[field] for field in ("name", "key", "peer")} for line in lines]
    for peer in peers:
        others = [other for other in peers if other is not peer]
        peer.dials(*others)
        peer.trusts(*others)
        peer.settings["consensus"] = {"members": entries}
        peer.settings["policy"] = {"consensus": True, "certificate_wait_ms": 1500}
    return entries


def used(peer: Peer) -> set[str]:
    return {*peer.plasmids("accepted"), *peer.plasmids("own")}


@pytest.mark.nightly
def test_a_council_with_a_liar(browser: Browser, make_peer: MakePeer, axe: str, tmp_path: Path) -> None:
    members = [make_peer(name) for name in ("ada", "ben", "cyd", "dan")]
    ada, ben, cyd, dan = members
    entries = council_of(members)
    for peer in (ada, ben, cyd):
        peer.start()
    first = ada.signed_folder(tmp_path / "first", seed=1)
    ada.publish(tmp_path / "first")
    for peer in (ada, ben, cyd):
        peer.until(lambda peer=peer: first.content_id.hex() in used(peer))  # type: ignore[misc]

    lies = [ben.signed_folder(tmp_path / place / "twice", seed=seed) for place, seed in (("b", 2), ("c", 3))]
    cyd.stop()
    ben.publish(tmp_path / "b" / "twice")
    known = membership(
        ada.made.owner.record.swarm,
        [Member(one["name"], PublicKey.from_text(one["key"]), one["peer"]) for one in entries],
    )
    ballots = Ballots(known.slot(lies[0].manifest))
    key = load_private_key(dan.home.vote_key)
    votes = [ballots.signed(key, one.content_id.hex(), swarm=known.swarm) for one in lies]
    with closing(RealDisk(cyd.home.root)) as disk:
        held = (*(one.statement for one in lies), *votes)
        Store(disk).commit([statement_row(statement, 0) for statement in held])
    cyd.start()
    ada.until(lambda: any("dan voted for two contents" in warning for warning in ada.status.warnings))
    cyd.kill()
    second = ada.signed_folder(tmp_path / "second", seed=4)
    ada.publish(tmp_path / "second")
    ada.until(lambda: "2 of 3 members accepted it (ada, ben)" in ada.why(second.content_id.hex())["sentence"])
    ada.until(lambda: ada.why(second.content_id.hex())["reason"] == "certificate_overdue")

    with tab_of(browser, Page(ada)) as tab:
        go(tab, "consensus")
        expect(tab.locator("main")).to_contain_text("3 of 4 members make a certificate, 1 may lie")
        members_shown = tab.get_by_role("region", name="members", exact=True)
        for name, state in (("ada", "this peer"), ("ben", "linked"), ("cyd", "not linked"), ("dan", "voted twice")):
            expect(members_shown.get_by_role("row", name=re.compile(f"^{name} "))).to_contain_text(state)
        expect(tab.get_by_role("region", name="members caught lying")).to_contain_text(lies[0].content_id.hex()[:12])
        paper = tab.locator("section.card", has_text="ada/second@1")
        expect(paper).to_contain_text("2 of 3 accepted it. It is overdue.")
        expect(paper.locator("li", has_text="ben")).to_contain_text("accepts")
        expect(paper.locator("li", has_text="cyd")).to_contain_text("not heard")
        expect(paper.locator("li", has_text="dan")).to_contain_text("counts no more")
        certificates = tab.get_by_role("region", name="certificates")
        expect(certificates).to_contain_text("ada/first@1")
        expect(certificates).to_contain_text("ada, ben, cyd")
    pictured(browser, ada, axe, "consensus", "council")


def test_two_certificates_of_one_version(browser: Browser, make_peer: MakePeer, axe: str) -> None:
    """More members lie than may: everything stops, and the screen says what ends it."""
    vic = make_peer("vic")
    swarm = vic.made.owner.record.swarm
    owner, voters = make_owner("ida", swarm), [member(number) for number in range(4)]
    twins = [make_plasmid(owner, "legal", tiny_adapter(seed), issued_s=int(time.time())) for seed in (1, 2)]
    ballots = Ballots(membership(swarm, voters).slot(twins[0].manifest))
    votes = [
        ballots.signed(vote_key(number), twin.content_id.hex(), swarm=swarm)
        for twin, numbers in zip(twins, ((0, 1, 2), (1, 2, 3)), strict=True)
        for number in numbers
    ]
    with closing(RealDisk(vic.home.root)) as disk:
        held = (owner.record, *(twin.statement for twin in twins), *votes)
        Store(disk).commit([statement_row(statement, 0) for statement in held])
    save_trust(vic.home.trust, load_trust(vic.home.trust).with_owner(owner.trusted))
    entries = [{"name": one.name, "key": one.key.to_text(), "peer": one.peer} for one in voters]
    vic.settings |= {"consensus": {"members": entries}, "policy": {"consensus": True}}
    vic.start()
    vic.until(lambda: any("consensus compromised" in warning for warning in vic.status.warnings))
    with tab_of(browser, Page(vic)) as tab:
        go(tab, "consensus")
        expect(tab.locator(".notice")).to_contain_text("Nothing is accepted until all peers agree on other members")
        lying = tab.get_by_role("region", name="members caught lying").locator("tbody tr")
        expect(lying).to_have_count(2)
        expect(lying.first).to_contain_text("ida/legal@1")
    said = plora("consensus", "--home", vic.home.root)
    assert said.startswith("COMPROMISED: two certificates of one slot") and "caught lying: m1 accepted" in said
    pictured(browser, vic, axe, "consensus", "compromised")


def stale_root(peers: list[Peer], folder: Path) -> dict[str, Path]:
    """A root of these peers' owners, pinned at each, of whom nobody has spoken; their owner files by name."""
    files = {peer.name: peer.home.owner_folder / f"{peer.name}.owner" for peer in peers}
    for peer in peers:
        plora("keygen", "--name", f"{peer.name}-fresh", "--only-key", "--out", folder)
        plora(
            "owner", "rotate", "--add-freshness", folder / f"{peer.name}-fresh.pub", "--home", peer.home.root, "--yes"
        )
    plora("root", "new", *files.values(), "--threshold", 2, "--out", folder / "root.yaml")
    for peer in peers:
        peer.settings["root"] = str(folder / "root.yaml")
    return files


def fork(owner: Path, key: Path, folder: Path) -> list[Path]:
    """Two files of an owner, each with another next record."""
    files = []
    for number in (1, 2):
        plora("keygen", "--name", f"next{number}", "--only-key", "--out", folder)
        copy = folder / f"fork{number}.owner"
        shutil.copy(owner, copy)
        plora("owner", "rotate", "--add", folder / f"next{number}.pub", "--owner", copy, "--key", key, "--yes")
        files.append(copy)
    return files


@pytest.mark.nightly
def test_stale_forked_two_contents_and_an_edited_audit(
    browser: Browser, make_peer: MakePeer, axe: str, tmp_path: Path
) -> None:
    gus, hal = make_peer("gus"), make_peer("hal")
    files = stale_root([gus, hal], tmp_path)
    ida = make_owner("ida", gus.made.owner.record.swarm)
    save_trust(hal.home.trust, load_trust(hal.home.trust).with_owner(ida.trusted))
    for seed, peer in enumerate((gus, hal)):
        write_folder(tmp_path / peer.name / "legal", ida, seed=seed)
        peer.start()
        request = pb.PublishRequest(
            folder=str(tmp_path / peer.name / "legal"), statements=[statement_to_pb(ida.record)]
        )
        peer.call("Publish", request)
    for copy in fork(files["gus"], gus.home.owner_folder / "gus.pem", tmp_path):
        plora("owner", "publish", copy, "--home", gus.home.root)
    hal.dials(gus)
    hal.reload()
    hal.until(lambda: [one.reason for one in hal.plasmids().values()] == ["two_contents"] * 2)
    hal.until(lambda: hal.status.root == gus.status.root)
    hal.trusts(gus)  # a newcomer: who believed one of the two records goes on with it
    hal.reload()
    with tab_of(browser, Page(hal)) as tab:
        expect(tab.locator("main")).to_contain_text("STALE: 0 of 2 owners of the pinned root said lately")
        go(tab, "trust")
        expect(tab.locator("main")).to_contain_text("0 of 2 owners needed said lately how new the swarm is")
        expect(tab.locator("main")).to_contain_text("plora freshness issue")
        expect(tab.locator("main")).to_contain_text("Two records claim to be the next one of gus")
        rivals = tab.get_by_role("region", name="versions with two contents")
        expect(rivals).to_contain_text("ida/legal@1")
        expect(rivals.locator("a")).to_have_count(2)
        expect(tab.locator("main")).to_contain_text("holds")
        plora(
            *("freshness", "issue", "--yes", "--key", tmp_path / "hal-fresh.pem", "--owner", files["hal"]),
            *("--home", hal.home.root),
        )
        word = tab.get_by_role("region", name="owners of the root").locator("tbody tr", has_text="hal")
        expect(word).to_contain_text("counts")
    pictured(browser, hal, axe, "trust", "stale")

    hal.stop()
    edit_an_entry(hal, 2)
    hal.start()
    hal.until(lambda: any("the audit doesn't hold" in warning for warning in hal.status.warnings))
    with tab_of(browser, Page(hal)) as tab:
        go(tab, "trust")
        wrong = tab.get_by_role("region", name="what is wrong with the audit")
        expect(wrong).to_contain_text("entry 2 was edited, or entry 3: they don't fit together")
        expect(tab.locator("main")).to_contain_text("plora audit acknowledge 2 --note WHY")
        pictured(browser, hal, axe, "trust", "edited")
        while faults := hal.call("VerifyAudit", pb.VerifyAuditRequest(last=True)).faults:
            still = [one.entry for one in faults if not one.acknowledged_wall_ms]
            if not still:
                break
            plora("audit", "acknowledge", still[0], "--note", "a <b>test</b> of mine", "--home", hal.home.root)
        expect(wrong).to_contain_text("“a <b>test</b> of mine”")
    assert not any("the audit doesn't hold" in warning for warning in hal.status.warnings)
    assert "acknowledged" in plora("audit", "verify", "--home", hal.home.root)
    pictured(browser, hal, axe, "trust", "acknowledged")
