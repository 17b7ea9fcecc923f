"""Shares adapters at a peer whose home it has: `python publisher.py`, one service of docker-compose.yml.

Rules:

- First it draws `DRAWN` (3) adapters for the base `mini`. They are noise that nobody trained, there to be seen
  spreading.
- Then it looks into `/adapters` every `EVERY_S` (20) seconds. Each PEFT folder there is copied into the home, signed
  and published, once; as of the domain that training noted, or `DOMAIN` (shown).
- What a peer doesn't take is said and not tried again; what can't be read yet is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from plora.merge.draft import metrics_file
from plora.merge.lora_config import adapter_config_bytes
from plora.merge.safetensors_io import tensors_to_bytes

ADAPTERS = Path("/adapters")
HOME = Path(os.environ["PLORA_HOME"])
DRAWN = int(os.environ.get("DRAWN", "3"))
EVERY_S = float(os.environ.get("EVERY_S", "20"))
DOMAIN = os.environ.get("DOMAIN", "shown")
BASE, WIDTH, RANK = "mini", 160, 4
MODULE = "base_model.model.model.layers.{}.self_attn.q_proj"
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def draw(folder: Path, seed: int) -> None:
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


def publish(folder: Path) -> None:
    """Hand the folder to the peer; what the command says goes to this program's own output."""
    told = [] if metrics_file(folder).exists() else ["--domain", DOMAIN]
    subprocess.run(["plora", "publish", str(folder), *told], check=False, stdin=subprocess.DEVNULL)


def changed(folder: Path) -> dict[str, float]:
    """When each file of a folder was changed last; empty while it is no whole PEFT folder."""
    found = {path.name: path.stat().st_mtime for path in folder.iterdir()}
    return found if {WEIGHTS, CONFIG} <= found.keys() else {}


def share(folder: Path, outbox: Path) -> None:
    """Copy and publish a folder, unless that was done before; say each time why it can't be read."""
    copy = outbox / folder.name
    if copy.exists():
        return
    try:
        shutil.copytree(folder, copy)
    except OSError as error:
        sys.stderr.write(f"{folder} can't be copied: {error}; let others read it\n")
        shutil.rmtree(copy, ignore_errors=True)
        return
    publish(copy)


def main() -> None:
    """Publish until the end."""
    outbox = HOME / "outbox"
    for number in range(1, DRAWN + 1):
        folder = outbox / f"drawn-{number}"
        if not folder.exists():
            draw(folder, number)
            publish(folder)
    pause, before = threading.Event(), dict[Path, dict[str, float]]()
    while not pause.wait(EVERY_S):
        now = {folder: changed(folder) for folder in sorted(ADAPTERS.glob("*/"))}
        for folder in (one for one, files in now.items() if files and files == before.get(one)):
            share(folder, outbox)  # nobody has written to it between two looks
        before = now


if __name__ == "__main__":
    main()
