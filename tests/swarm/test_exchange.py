"""Peer exchange between real peers: those who know only one member find one another, and do without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

EXCHANGE = {"exchange": True, "exchange_ms": 300}


def test_two_that_know_only_a_third_find_one_another(make_peer: Callable[..., Any], tmp_path: Path) -> None:
    ada, ben, cyd = peers = [make_peer(name) for name in ("ada", "ben", "cyd")]
    ben.dials(ada)
    cyd.dials(ada)
    ben.trusts(cyd)
    for peer in peers:
        peer.settings["discovery"] = EXCHANGE
        peer.start()
    found = ben.until(lambda: ben.neighbour(cyd))
    assert found.state == "up" and not found.configured

    ada.kill()
    cyd.signed_folder(tmp_path / "legal", seed=1)
    cyd.publish(tmp_path / "legal")
    ben.until(lambda: ben.plasmids("accepted"))

    ben.kill()  # what it found outlasts it
    ben.start()
    ben.until(lambda: ben.neighbour(cyd) is not None and ben.neighbour(cyd).state == "up")
