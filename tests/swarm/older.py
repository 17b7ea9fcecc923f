"""An older build of Plora: a wheel made of a pinned commit, kept in the cache, in an environment of its own.

`COMMIT` is the last one whose frames differ from today's: its peers know neither `DialBack` nor clocks in heartbeats,
no consensus, no rotated keys, no root. The wire version (`Hello.versions`) is 1 in both: there has been no other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from plora.base.cache import cache_folder

COMMIT = "078c1c76d8ef54b1c700ca4d829bd564a8d2ceb3"
TREE = Path(__file__).resolve().parents[2]


def wheel() -> Path:
    """The build's wheel, made once. A checkout without that commit skips, and fails in CI."""
    kept = cache_folder(os.environ) / "builds" / COMMIT
    if not (found := list(kept.glob("*.whl"))):
        found = [_made(kept)]
    return found[0]


def _made(kept: Path) -> Path:
    work = kept.with_name(f"{COMMIT}.{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    (work / "code").mkdir(parents=True)
    archive = subprocess.run(["git", "-C", TREE, "archive", COMMIT], capture_output=True, check=False)
    if archive.returncode:
        excuse = pytest.fail if os.environ.get("CI") else pytest.skip
        excuse(f"the older build isn't in this checkout (git fetch --unshallow): {archive.stderr.decode().strip()}")
    subprocess.run(["tar", "-x", "-C", work / "code"], input=archive.stdout, check=True)
    _pip("wheel", "--no-deps", "--no-build-isolation", "-w", work / "wheel", work / "code")
    (work / "wheel").replace(kept)
    shutil.rmtree(work)
    return next(kept.glob("*.whl"))


def install(place: Path) -> Path:
    """An environment with the older build and this one's dependencies; the folder of its programs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    _pip("--python", place / "bin" / "python", "install", "--no-deps", wheel())
    (site,) = (place / "lib").glob("python*/site-packages")
    packages = next(found for found in sys.path if (Path(found) / "grpc").is_dir())
    (site / "packages.pth").write_text(packages)  # not their .pth files, which would bring this build
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('plora.node.audit') is not None)"
    subprocess.run([place / "bin" / "python", "-c", look], check=True)  # a room of this build only
    return place / "bin"


def _pip(*words: str | Path) -> None:
    command = [sys.executable, "-m", "pip", *words, "-q", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
