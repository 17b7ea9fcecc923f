"""Attacks that aim at the merged adapter, on real peers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.attacks.conftest import Watched
from tests.cli.conftest import runner
from tests.swarm.conftest import MakePeer, Peer, write_plasmid
from tests.swarm.test_rollback import merge_of

from plora.merge import read_adapter
from plora.merge.safetensors_io import read_tensors, tensors_to_bytes
from plora.sim.material import Owner, tiny_adapter

pytestmark = pytest.mark.slow


def update(folder: Path) -> NDArray[np.float64]:
    """All that an adapter adds to the weights of its base, as one vector."""
    pairs = [pair for _, pair in sorted(read_adapter(folder).pairs.items())]
    return np.concatenate([(pair.scale * pair.B.astype(np.float64) @ pair.A).ravel() for pair in pairs])


def served(peer: Peer) -> Path:
    """The folder of the merge that the peer serves."""
    return peer.home.adapters / "merged--mini"


def inputs(peer: Peer) -> list[set[str]]:
    """The contents of each merge that the peer made, the oldest first."""
    return [set(record["inputs"]) for record in peer.records("merge")]


def test_attack_118_a_revocation_after_the_merge(
    attack: Watched, make_peer: MakePeer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Another peer has merged two adapters; the owner revokes one. No merge with it is served again."""
    ada, bob = make_peer("ada"), make_peer("bob")
    bob.dials(ada)
    bob.trusts(ada)
    for peer in (ada, bob):
        peer.start()
    poison, sound = (ada.signed_folder(tmp_path / name, seed=seed) for seed, name in enumerate(("poison", "sound")))
    for name in ("poison", "sound"):
        ada.publish(tmp_path / name)
    both = {poison.content_id.hex(), sound.content_id.hex()}
    bob.until(lambda: inputs(bob)[-1:] == [both] and served(bob).exists())
    alone = update(tmp_path / "sound")
    assert not np.allclose(update(served(bob)), alone, atol=1e-3 * np.abs(alone).max())

    merged = len(inputs(bob))
    revoke = ("revoke", "poison", "--reason", "it was poisoned", "--yes", "--home", ada.home.root)
    assert runner(capfd)(*revoke).code == 0
    bob.until(lambda: inputs(bob)[-1:] == [{sound.content_id.hex()}] and served(bob).exists())
    rebuilt = inputs(bob)[merged:]
    assert rebuilt == [set(), {sound.content_id.hex()}], "taken away at once, and rebuilt once"
    assert np.allclose(update(served(bob)), alone, atol=1e-3 * np.abs(alone).max())
    assert bob.why("poison")["reason"] == "revoked_content"
    attack.saw("H", "no longer served, then one rebuild without it")


def test_attack_101_one_update_under_many_names(
    attack: Watched, make_peer: MakePeer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same bytes, factored anew and longer, padded, in half precision; under ids and domains of their own.

    The first accepted counts, though there is a longer one.
    """
    ada = make_peer("ada")
    ada.start()
    made = ada.made.owner
    owner = Owner(ada.name, made.record.swarm, made.key, made.statement)
    for seed, name in enumerate(("law", "tax"), start=1):
        ada.signed_folder(tmp_path / name, seed=seed)
        ada.publish(tmp_path / name)
    for number, data in enumerate(many_names(tmp_path / "trojan"), start=1):
        rank = 6 if number == 4 else 4
        write_plasmid(tmp_path / f"trojan-{number}", owner, data, domain=f"domain-{number}", rank=rank)
        ada.publish(tmp_path / f"trojan-{number}")
    ada.until(lambda: len(merge_of(ada).contributions) == 6)
    weights = {one.name: one.weight for one in merge_of(ada).contributions}
    trojan = {name: weight for name, weight in weights.items() if "trojan" in name}
    assert sorted(trojan.values()) == [0, 0, 0, 1 / 3] and len(weights) == 6
    (counting,) = [name for name, weight in trojan.items() if weight]
    assert "trojan-1" in counting
    alone = [update(tmp_path / name) for name in ("law", "tax", "trojan-1")]
    assert np.allclose(update(served(ada)), sum(alone) / 3, atol=1e-3 * np.abs(alone[2]).max())
    said = runner(capfd)("why", "merged", "--home", ada.home.root).out
    assert said.count(f"it is the same update as {counting}, which counts once") == 3
    attack.saw("H", "all of them together weigh 1/3")


def many_names(folder: Path) -> list[bytes]:
    """One update as four files."""
    folder.mkdir()
    file = folder / "adapter_model.safetensors"
    file.write_bytes(tiny_adapter(7))
    given = dict(read_tensors(file))
    change = np.float32(np.tri(4) + np.eye(4))

    def each(a: Callable[[NDArray[np.float32]], object], b: Callable[[NDArray[np.float32]], object]) -> bytes:
        return tensors_to_bytes({name: np.asarray(a(it) if "lora_A" in name else b(it)) for name, it in given.items()})

    gauged = each(lambda a: np.linalg.solve(change, a).astype(np.float32), lambda b: np.float32(1.2) * b @ change)
    halved = each(lambda a: a.astype(np.float16), lambda b: b.astype(np.float16))
    padded = each(lambda a: np.pad(a, ((0, 2), (0, 0))), lambda b: np.pad(b, ((0, 0), (0, 2))))
    return [file.read_bytes(), gauged, halved, padded]
