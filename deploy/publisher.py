"""Shares adapters at a peer whose home it has: `python publisher.py`, one service of docker-compose.yml.

Rules:

- First it draws `DRAWN` (3) adapters for the base `mini`. They are noise that nobody trained, there to be seen
  spreading.
- Then it looks into `ADAPTERS` (/adapters) every `EVERY_S` (20) seconds. Each PEFT folder there is copied into the
  home, signed and published, once; as of the domain that training noted, or `DOMAIN` (shown).
- A folder is done once the peer has taken or refused it, which a mark in the home says. Whatever else happens, such as
  a peer that doesn't run or an end of this program halfway, it is published at a later look or start; the peer takes
  the same signed folder twice as once.
- What can't be read or published is said, once until something else is to be said of it, and looked at again.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from plora.merge.draft import metrics_file
from plora.merge.lora_config import adapter_config_bytes
from plora.merge.safetensors_io import tensors_to_bytes

ADAPTERS = Path(os.environ.get("ADAPTERS", "/adapters"))
HOME = Path(os.environ["PLORA_HOME"])
DRAWN = int(os.environ.get("DRAWN", "3"))
EVERY_S = float(os.environ.get("EVERY_S", "20"))
DOMAIN = os.environ.get("DOMAIN", "shown")
BASE, WIDTH, RANK = "mini", 160, 4
MODULE = "base_model.model.model.layers.{}.self_attn.q_proj"
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
TAKEN, MISNAMED, REFUSED = 0, 2, 3
"""Exit codes of `plora publish` after which asking again would say the same."""
SAID: dict[Path, str] = {}
"""What was said last of each folder."""


class Outbox:
    """Folders in the peer's home on their way to the peer, and which of them are done."""

    def __init__(self, home: Path) -> None:
        self._folders, self._half, self._done = home / "outbox", home / "outbox-half", home / "outbox-done"
        for place in (self._folders, self._done):
            place.mkdir(exist_ok=True)

    def send(self, name: str, make: Callable[[Path], object]) -> None:
        """Have `make` write the folder, unless it is there whole, and publish it, unless that is done."""
        folder, mark = self._folders / name, self._done / name
        if mark.exists():
            return
        try:
            if not folder.exists():
                shutil.rmtree(self._half, ignore_errors=True)
                make(self._half)
                self._half.rename(folder)
        except OSError as error:
            say(folder, f"{name} can't be written to {folder}: {error}; let others read it, or free some space\n")
        else:
            if publish(folder) in (TAKEN, MISNAMED, REFUSED):
                mark.touch()


def draw(seed: int, folder: Path) -> None:
    """A PEFT folder whose factors are drawn by that seed."""
    source = np.random.default_rng(seed)
    tensors = {}
    for layer in (0, 1):
        for factor, shape in (("A", (RANK, WIDTH)), ("B", (WIDTH, RANK))):
            name = f"{MODULE.format(layer)}.lora_{factor}.weight"
            tensors[name] = source.normal(scale=0.02, size=shape).astype(np.float32)
    lora = {"r": RANK, "alpha": 2.0 * RANK, "dropout": 0.0, "target_modules": ["q_proj"], "use_rslora": False}
    folder.mkdir(parents=True)
    (folder / WEIGHTS).write_bytes(tensors_to_bytes(tensors))
    (folder / CONFIG).write_bytes(adapter_config_bytes(lora | {"rank_pattern": {}, "alpha_pattern": {}}, BASE))


def publish(folder: Path) -> int:
    """The exit code of handing a folder to the peer; what the command says is passed on, if new."""
    told = [] if metrics_file(folder).exists() else ["--domain", DOMAIN]
    command = ["plora", "publish", str(folder), *told]
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, check=False, text=True, **pipes)
    say(folder, done.stdout)
    return done.returncode


def say(folder: Path, text: str) -> None:
    """Say it of a folder, unless that was the last that was said of it."""
    if text != SAID.get(folder, ""):
        sys.stderr.write(text)
    SAID[folder] = text


def changed(folder: Path) -> dict[str, float]:
    """When each file of a folder was changed last; empty while it is no whole PEFT folder, or can't be read."""
    try:
        found = {path.name: path.stat().st_mtime for path in folder.iterdir()}
    except OSError as error:
        say(folder, f"{folder} can't be read: {error}; let others read it\n")
        return {}
    say(folder, "")
    return found if {WEIGHTS, CONFIG} <= found.keys() else {}


def main() -> None:
    """Publish until SIGTERM, which ends no first process of a container by itself."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    outbox, pause = Outbox(HOME), threading.Event()
    before: dict[Path, dict[str, float]] = {}
    while True:
        for number in range(1, DRAWN + 1):
            outbox.send(f"drawn-{number}", partial(draw, number))
        now = {folder: changed(folder) for folder in sorted(ADAPTERS.glob("*/"))}
        for folder in (one for one, files in now.items() if files and files == before.get(one)):
            outbox.send(folder.name, partial(shutil.copytree, folder))  # nobody has written to it between two looks
        before = now
        pause.wait(EVERY_S)


if __name__ == "__main__":
    main()
