"""The generated protobuf code is fresh, and a breaking change of the wire contract is found."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROTOS = sorted((ROOT / "proto/plora/v1").glob("*.proto"))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("generated")
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}"]
    command += [f"--{kind}={out}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    subprocess.run([*command, *map(str, PROTOS)], check=True)
    return out


@pytest.mark.parametrize("proto", PROTOS, ids=lambda p: p.name)
def test_generated_code_is_fresh(proto: Path, fresh: Path) -> None:
    for suffix in ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py"):
        name = proto.stem + suffix
        assert (fresh / "plora/v1" / name).read_text() == (proto.parent / name).read_text(), "run `make proto`"


def breaking(folder: Path) -> int:
    """Exit code of the comparison with the baseline: 0 compatible, 100 breaking."""
    buf = Path(sys.executable).with_name("buf")
    command = [str(buf), "breaking", "--against", str(ROOT / "proto/baseline.binpb")]
    return subprocess.run(command, check=False, cwd=folder, capture_output=True).returncode


def test_a_field_number_that_moves_is_breaking(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    changed = tmp_path / "proto/plora/v1/peer.proto"
    assert breaking(tmp_path / "proto") == 0
    changed.write_text(changed.read_text().replace("string kind = 1;", "string kind = 9;"))
    assert breaking(tmp_path / "proto") == 100
