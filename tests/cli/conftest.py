"""The command as people call it, and a small world of keys and signed adapters for it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plora.cli.main import main
from plora.merge import Adapter, FactorPair, LoraSpec, write_adapter


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


def write_tiny_adapter(folder: Path, seed: int = 0, rank: int = 2) -> Path:
    """A plain LoRA folder for the base `mini`, of one module."""
    draw = np.random.default_rng(seed)
    a = draw.normal(scale=0.1, size=(rank, 16)).astype(np.float32)
    b = draw.normal(scale=0.1, size=(12, rank)).astype(np.float32)
    spec = LoraSpec(r=rank, alpha=2 * rank, target_modules=("q_proj",), base_model_name="mini")
    pair = FactorPair(a, b, 2.0)
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_adapter(folder, Adapter.of({"model.layers.0.self_attn.q_proj": pair}, spec))
    return folder


def runner(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `plora` with arguments; whatever it does not turn into an exit code is raised."""

    def run(*arguments: object) -> Ran:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        code = ended.value.code
        return Ran(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


@pytest.fixture
def plora(capfd: pytest.CaptureFixture[str]) -> Run:
    return runner(capfd)


@pytest.fixture(scope="session")
def _prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`keys/` of the owners ada and eve, `out/legal` signed by ada, `out/medical` unsigned."""
    root = tmp_path_factory.mktemp("world")
    for owner in ("ada", "eve"):
        _succeed("keygen", "--name", owner, "--out", root / "keys", "-q")
    for seed, domain in enumerate(("legal", "medical")):
        write_tiny_adapter(root / "out" / domain, seed)
    _succeed("sign", root / "out/legal", "--key", root / "keys/ada.pem", "--domain", "legal", "-q")
    return root


def _succeed(*arguments: object) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code in (None, 0)


@pytest.fixture
def world(_prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The prepared files in a folder of the test's own, which is also the working directory; no peer's home is set.

    Its path is short, since a Unix socket's path may have only a hundred bytes.
    """
    with tempfile.TemporaryDirectory(prefix="plora-") as folder:
        root = Path(folder) / "w"
        shutil.copytree(_prepared, root)
        monkeypatch.chdir(root)
        monkeypatch.setenv("PLORA_HOME", str(root / "home"))
        yield root
        monkeypatch.undo()
