"""A run that differs from process to process: peers draw by the hash of a string, which Python salts. A script."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from plora.node.core.config import CoreConfig
from plora.sim.determinism import show
from plora.sim.peer import SimPeer


class Hashed(SimPeer):
    """Its seed depends on the process."""

    def __init__(self, config: CoreConfig, *parts: Any) -> None:
        super().__init__(replace(config, seed=hash("seed")), *parts)


if __name__ == "__main__":
    show(Hashed)
