"""Attacks that aim at the merged adapter, on real peers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.attacks.conftest import Watched
from tests.cli.conftest import runner
from tests.swarm.conftest import MakePeer, Peer

from plora.merge import read_adapter

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
