"""Recording a core's inputs (`record: true`): what the core was made from, then every event with its time.

    {"v":1,"core":{…}}                      config, policy, trust, snapshot, bases
    {"at":[mono_ns,wall_ms],"event":{…}}    one line for each call of `PeerCore.handle`

    {"v":1,"full":bytes}                    the last line where `bytes_max` was reached: what came later isn't there

`plora.sim.replay` feeds it to the same core again; the event log comes out byte for byte.
A recording holds no keys and no artifact bytes, but everything else that the peer saw.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from plora.gate import BaseFacts, Policy, Trust
from plora.node.core.codec import to_plain
from plora.node.core.config import CoreConfig
from plora.node.core.events import Event
from plora.node.core.now import Now
from plora.node.store.snapshot import Snapshot

RECORDING_VERSION = 1


class Recorder:
    """Writes a recording of at most `bytes_max` (0: any size) into a text file; the caller opens, flushes, closes it.

    `on_full` is called once, when that is reached.
    """

    def __init__(
        self,
        out: TextIO,
        config: CoreConfig,
        policy: Policy,
        trust: Trust,
        snapshot: Snapshot,
        bases: Mapping[str, BaseFacts] | None = None,
        *,
        bytes_max: int = 0,
        on_full: Callable[[], None] = lambda: None,
    ) -> None:
        self._out = out
        self._bytes_left = bytes_max or math.inf
        self._bytes_max = bytes_max
        self._on_full = on_full
        parts = {"config": config, "policy": policy, "trust": trust, "snapshot": snapshot, "bases": bases or {}}
        core = {name: to_plain(part) for name, part in parts.items()}
        self._write({"v": RECORDING_VERSION, "core": core})

    def event(self, event: Event, now: Now) -> None:
        """An event that the core is about to handle."""
        self._write({"at": [now.mono_ns, now.wall_ms], "event": to_plain(event)})

    def _write(self, line: dict[str, Any]) -> None:
        if self._bytes_left <= 0:
            return
        text = json.dumps(line, separators=(",", ":"), sort_keys=True) + "\n"
        self._bytes_left -= len(text)
        if self._bytes_left > 0:
            self._out.write(text)
            return
        self._out.write(json.dumps({"v": RECORDING_VERSION, "full": self._bytes_max}) + "\n")
        self._on_full()
