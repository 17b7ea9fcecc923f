"""Where a result comes from: what stands under "provenance" of an artifact, and how it gets there.

Rules:

- A stamp has no time and no machine in it: the same work on the same inputs has the same stamp.
- A JSON object holds it under `provenance`, a JSONL file in its first line; beside whatever can't hold it (a list,
  a tensor file, rows that another tool goes on with) lies `NAME.provenance.json`.

Not handled here: which inputs a step has (`plora.lab.experiment.steps`).

>>> sorted(stamp("ab12", seed=41, command="plora sim", inputs={}))
['command', 'config_hash', 'inputs', 'seed', 'versions']
"""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from plora.proto.yaml_view import PLORA_YML

KEY = "provenance"
PACKAGES = (
    *("plora", "numpy", "scipy", "scikit-learn", "networkx", "numba", "torch", "transformers", "peft", "sacrebleu"),
    *("courts-db", "reporters-db", "simple-icd-10-cm"),
)


def stamp(
    config_hash: str, seed: int | Sequence[int], command: str | Sequence[str], inputs: Mapping[str, str]
) -> dict[str, Any]:
    """The provenance of a result.

    Args:
        config_hash: SHA-256 of the settings, the code and the versions that it depends on, in hexadecimal.
        seed: its seed, or its seeds; none where nothing is drawn.
        command: what was called, as a line or as words.
        inputs: SHA-256 of each file that was read, by its path from the root of the experiment.
    """
    return {
        "config_hash": config_hash,
        "seed": seed if isinstance(seed, int) else list(seed),
        "versions": versions(),
        "command": command if isinstance(command, str) else shlex.join(command),
        "inputs": dict(sorted(inputs.items())),
    }


def versions() -> dict[str, str]:
    """Of Python and of what computes here, as far as it is installed."""
    return {"python": platform.python_version(), **_installed()}


@cache
def _installed() -> Mapping[str, str]:
    """Read once a process: each step asks, and to read what packages say of themselves took most of a short one."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return MappingProxyType(found)


def put_on(path: Path, stamp: Mapping[str, Any], *, beside: bool = False) -> Path:
    """Write a stamp into an artifact, or beside it where it can't hold one or must not; the file that has it then."""
    if path.suffix == ".json" and not beside:
        document = json.loads(path.read_text("utf-8"))
        if isinstance(document, dict):
            path.write_text(json.dumps({**document, KEY: stamp}, indent=1, sort_keys=True) + "\n", "utf-8")
            return path
    if path.suffix == ".jsonl" and not beside:
        path.write_text(json.dumps({KEY: stamp}, sort_keys=True) + "\n" + path.read_text("utf-8"), "utf-8")
        return path
    other = file_beside(path)
    other.write_text(json.dumps({KEY: stamp}, indent=1, sort_keys=True) + "\n", "utf-8")
    return other


def file_beside(path: Path) -> Path:
    """Where the stamp of an artifact lies that holds none.

    >>> file_beside(Path("results/policy.json")).as_posix()
    'results/policy.json.provenance.json'
    >>> file_beside(Path("out/legal/plora.yml")).as_posix()
    'out/legal.plora.yml.provenance.json'
    """
    if path.name == PLORA_YML:  # the folder holds the adapter alone
        return path.parent.with_name(f"{path.parent.name}.{path.name}.provenance.json")
    return path.with_name(f"{path.name}.provenance.json")
