"""A real peer that meets something for each layer of the gate: command, event log, page and metrics name the same."""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import pytest
from playwright.sync_api import Browser, expect
from tests.council import member
from tests.ports import free_port
from tests.swarm.conftest import Peer
from tests.web.browsing import NEEDS_CHROMIUM, go, look, plora, tab_of
from tests.web.conftest import MakePeer, Page

from plora.gate import load_trust, save_trust, sentence
from plora.gate.reputation import Reputation
from plora.merge.safetensors_io import tensors_to_bytes
from plora.node.core.reputations import OWNER, Known, reputation_row
from plora.node.gossip.rows import statement_row
from plora.node.store.disk import Put
from plora.node.store.real_disk import RealDisk
from plora.node.store.store import Store
from plora.proto.dsse import StatementKind
from plora.proto.errors import RefusedError
from plora.proto.statement import sign_statement
from plora.sim.material import Owner, Plasmid, make_owner, make_plasmid, tiny_adapter

pytestmark = [pytest.mark.timeout(180), pytest.mark.slow, NEEDS_CHROMIUM]

BASE = "elsewhere"
"""A base that no machine has, so that nothing is compared with it."""
OFF = ("weight statistics", "probes")
SMALL_BYTES, RANK_MAX, NORM_MAX = 6000, 8, 50.0
POLICY = {
    "artifact_bytes_max": SMALL_BYTES,
    "base_model": BASE,
    "rank_max": RANK_MAX,
    "delta_norm_max": NORM_MAX,
    "reputation": True,
    "consensus": True,
}
HOUR_S = 3600


@dataclass(frozen=True)
class Met:
    """One plasmid, and the layer that must hold it for that reason."""

    plasmid: Plasmid
    stage: str
    reason: str

    @property
    def name(self) -> str:
        return self.plasmid.manifest.plasmid_id


def with_pattern(owner: Owner, plasmid: Plasmid) -> Plasmid:
    """The same with a pattern of which two names can mean one module."""
    lora = plasmid.manifest.lora.model_copy(update={"rank_pattern": {"q_proj": 4, "self_attn.q_proj": 4}})
    manifest = plasmid.manifest.model_copy(update={"lora": lora})
    return replace(plasmid, manifest=manifest, statement=sign_statement(StatementKind.MANIFEST, manifest, owner.key))


def foreign_tensor() -> bytes:
    import numpy as np

    return tensors_to_bytes({"model.embed.weight": np.zeros((2, 2), np.float32)})


def one_for_each_layer(ada: Owner, bea: Owner, low: Owner, eve: Owner) -> Iterator[Met]:
    """All but eve are trusted. What is wrong with bytes or manifest by itself is bea's, since it counts against her."""
    now_s = int(time.time())

    def made(owner: Owner, name: str, data: bytes, **facts: object) -> Plasmid:
        return make_plasmid(owner, name, data, **{"base": BASE, "issued_s": now_s - 60, **facts})  # type: ignore[arg-type]

    yield Met(made(ada, "large", tiny_adapter(1, width=300)), "envelope and size", "too_large")
    yield Met(with_pattern(bea, made(bea, "twins", tiny_adapter(2))), "strict manifest", "ambiguous_pattern")
    yield Met(made(ada, "other-base", tiny_adapter(3), base="mini"), "swarm and base", "wrong_base")
    yield Met(made(ada, "high-rank", tiny_adapter(4, rank=9), rank=9), "policy", "rank_too_large")
    yield Met(made(eve, "strange", tiny_adapter(5)), "signatures and quorum", "unknown_owner")
    yield Met(made(ada, "tomorrow", tiny_adapter(6), issued_s=now_s + HOUR_S), "replay", "not_yet_valid")
    yield Met(made(ada, "nowhere", tiny_adapter(7), sha256="ab" * 32), "chunks and hash", "bytes_missing")
    yield Met(made(bea, "foreign", foreign_tensor()), "header", "unexpected_tensor")
    yield Met(made(ada, "zeros", tiny_adapter(8, scale=0.0)), "tensor values", "all_zero")
    yield Met(made(ada, "loud", tiny_adapter(9, scale=5.0)), "weights", "norm_too_large")
    yield Met(made(low, "caught", tiny_adapter(10)), "reputation", "low_reputation")
    yield Met(made(ada, "fine", tiny_adapter(11)), "consensus", "awaiting_certificate")


@pytest.fixture(scope="module")
def met(make_peer: MakePeer) -> tuple[Peer, list[Met]]:
    """The peer, and what lay in its home when it started."""
    peer = make_peer("vic")
    swarm = peer.made.owner.record.swarm
    owners = [make_owner(name, swarm) for name in ("ada", "bea", "low", "eve")]
    trust = load_trust(peer.home.trust)
    for owner in owners[:-1]:
        trust = trust.with_owner(owner.trusted)
    save_trust(peer.home.trust, trust)
    all_met = list(one_for_each_layer(*owners))
    now_ms = int(time.time() * 1000)
    earned = Reputation(good=0.0, bad=9.0, at_ms=now_ms, fault="two_contents", fault_ms=now_ms)
    rows: list[Put] = [statement_row(owner.record, 1) for owner in owners]
    rows += [statement_row(one.plasmid.statement, 1) for one in all_met]
    with closing(RealDisk(peer.home.root)) as disk:
        store = Store(disk)
        store.commit([*rows, reputation_row(Known(owners[2].id, OWNER, earned))])
        for one in all_met:
            store.import_blob(io.BytesIO(one.plasmid.data))
    voter = member(0)
    entry = {"name": voter.name, "key": voter.key.to_text(), "peer": voter.peer}
    peer.settings |= {"policy": POLICY, "consensus": {"members": [entry]}, "metrics": f"127.0.0.1:{free_port()}"}
    peer.start()
    peer.until(lambda: {one.name: one.reason for one in all_met} == reasons(peer))
    return peer, all_met


def reasons(peer: Peer) -> dict[str, str]:
    """The reason that decided, by plasmid id."""
    found = (layers(peer, one.content_id) for one in peer.plasmids().values())
    return {name: reason for name, _, reason in found}


def layers(peer: Peer, content_id: str) -> tuple[str, str, str]:
    """Plasmid id, and layer and reason of the verdict as `plora why --json` has them."""
    why = peer.why(content_id)
    reason = next(one["reason"] for one in why["layers"] if one["stage"] == why["stage"])
    return why["name"].partition("/")[2].partition("@")[0], why["stage"], reason


def metrics_of(peer: Peer) -> list[str]:
    connection = http.client.HTTPConnection(peer.settings["metrics"], timeout=10)
    connection.request("GET", "/metrics")
    return connection.getresponse().read().decode().splitlines()


def test_every_layer_that_is_on_held_something(met: tuple[Peer, list[Met]]) -> None:
    peer, all_met = met
    why = peer.why(all_met[0].plasmid.content_id.hex())
    assert [one["stage"] for one in why["layers"] if one["stage"] not in OFF] == [one.stage for one in all_met]


def test_command_log_and_metrics_name_layer_and_reason(met: tuple[Peer, list[Met]]) -> None:
    peer, all_met = met
    told = plora("events", "--kind", "verdict", "--home", peer.home.root).splitlines()
    counted = metrics_of(peer)
    for one in all_met:
        words, content = sentence(one.reason), one.plasmid.content_id.hex()
        said = plora("why", content, "--home", peer.home.root, code=RefusedError.exit_code)
        (line,) = [line for line in said.splitlines() if line[2:23].strip() == one.stage]
        assert words in line and " pass " not in line, line
        assert layers(peer, content) == (one.name, one.stage, one.reason)
        assert any(f"/{one.name}@1 at {one.stage}: {words}" in line for line in told), one
        assert f'plora_objections{{reason="{one.reason}",stage="{one.stage}"}} 1.0' in counted


def test_the_page_names_layer_and_reason(browser: Browser, met: tuple[Peer, list[Met]], axe: str) -> None:
    peer, all_met = met
    with tab_of(browser, Page(peer), viewport={"width": 390, "height": 800}) as tab:
        go(tab, "plasmids")
        look(tab, axe, "held-390")
        for one in all_met:
            go(tab, "plasmids")
            tab.get_by_label("held by the layer").select_option(one.stage)
            expect(tab.locator("tbody tr")).to_have_count(1)
            row = tab.locator("tbody tr")
            expect(row).to_contain_text(f"/{one.name}@1")
            expect(row.locator(".sub b")).to_have_text(one.stage)
            row.get_by_role("link").click()
            layer = tab.locator(".gate > li", has=tab.get_by_text(one.stage, exact=True))
            expect(layer.locator(".said")).to_contain_text(sentence(one.reason))
        go(tab, "now")
        expect(tab.locator(".log")).to_contain_text("at the layer “")
