"""`make bench-gate`: what the gate costs.

- verdict: an adapter of 64 MiB in a folder, all stages but probes (`alignment_gate`), as a ratio to reading the file
  and hashing what its manifest signs: the whole and every chunk. A second ratio is to reading it and one SHA-256.
- statistics: norm, bound and imbalance of a pair of factors, against the norm and largest element of B @ A in numpy.
- signatures and manifests: how long one verification takes; how many manifests of a trusted owner are judged in a
  second before any byte is there.

Times are processor time of this process with one thread, and medians; both sides of a ratio take turns.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is there; workers run so, too
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from bench.fixture import BASE, BASE_DIGEST, make_adapter
from bench.report import Row, finish

from plora.gate import Case, Policy, Trust, TrustedOwner, alignment_gate, decide
from plora.gate.tensors import Factor, Floats, module_facts
from plora.merge.draft import CHUNK_BYTES_DEFAULT, Facts, sign_folder
from plora.proto.keys import ALGORITHMS
from plora.proto.owner_files import Owner, create_owner
from plora.proto.statement import Statement, verify_statement
from plora.sim.clock import WALL_START_MS
from plora.sim.material import make_owner, make_plasmid, tiny_adapter

COMMAND = "make bench-gate"
MIB = 1 << 20
SIZE_BYTES = 64 * MIB
READ_BYTES = 1 << 20
TURNS = 9
WIDTH, RANK = 2048, 16
SIGNATURES = 200
MANIFESTS = 500
SWARM = "ab" * 32
NOW_S = WALL_START_MS // 1000


def verdict_rows(root: Path) -> list[Row]:
    """The gate on a big folder against reading and hashing its file."""
    owner = create_owner(root / "ada.pem", name="ada", swarm=SWARM, issued_s=NOW_S)
    path = make_adapter(root / "big", size_bytes=SIZE_BYTES, seed=1)
    signed = sign_folder(path.parent, owner, _facts("big"))
    trust = Trust((TrustedOwner.of_record(owner.statement),))

    def judge() -> None:
        verdict = alignment_gate(path.parent, signed, Policy(), trust, now_ms=WALL_START_MS)
        if not verdict.accepted:
            raise RuntimeError(f"the gate said {verdict.reason}")

    judged, both, once = _medians(judge, partial(_hashed, path, CHUNK_BYTES_DEFAULT), partial(_hashed, path, 0))
    what = f"verdict on {SIZE_BYTES // MIB} MiB"
    return [
        _row(f"{what}, as a ratio", judged / both, "x", "<= 2", "reading it, SHA-256 of the whole and of each chunk"),
        _row(f"{what}, as a ratio to one hash", judged / once, "x", "", "reading it, SHA-256 of the whole"),
        _row(what, judged * 1000, "ms"),
    ]


def statistics_rows() -> list[Row]:
    """A pair's facts from its factors, against those of the product."""
    rng = np.random.default_rng(1)
    a = rng.standard_normal((RANK, WIDTH), dtype=np.float32)
    b = rng.standard_normal((WIDTH, RANK), dtype=np.float32)
    small, dense = _medians(partial(_from_factors, a, b), partial(_from_product, a, b), repeat=20)
    what = f"statistics from factors, {WIDTH} x {WIDTH}, rank {RANK}"
    return [
        _row(f"{what}, times faster", dense / small, "x", ">= 20", "norm and maximum of B @ A in numpy, float32"),
        _row(what, small * 1e6, "µs"),
    ]


def signature_rows(root: Path) -> list[Row]:
    """One verification of a manifest under each algorithm."""
    rows = []
    for algorithm in ALGORITHMS:
        owner = create_owner(root / f"{algorithm}.pem", name="owner", swarm=SWARM, issued_s=NOW_S, algorithm=algorithm)
        took = _medians(partial(_verified, owner.statement, owner), repeat=SIGNATURES)[0]
        rows.append(_row(f"one {algorithm} signature verified", took * 1e6, "µs"))
    return rows


def manifest_rows() -> list[Row]:
    """Manifests of a trusted owner, judged as far as that goes without bytes."""
    owner, data = make_owner("ada", SWARM), tiny_adapter(1)
    trust = Trust((owner.trusted,))
    plasmids = [make_plasmid(owner, f"p{number}", data) for number in range(MANIFESTS)]
    cases = [Case(one.statement, one.manifest, WALL_START_MS, swarm=SWARM) for one in plasmids]

    def judge() -> None:
        unread = (replace(case, statement=replace(case.statement)) for case in cases)  # a statement is opened once
        if any(decide(case, Policy(), trust).reason != "bytes_missing" for case in unread):
            raise RuntimeError("a manifest was refused")

    return [_row("manifests judged before their bytes", MANIFESTS / _medians(judge)[0], "a second")]


def _facts(plasmid_id: str) -> Facts:
    return Facts(plasmid_id, "legal", 1, BASE, BASE_DIGEST, "MIT", NOW_S - 60, NOW_S + 86_400)


def _hashed(path: Path, chunk_bytes: int) -> None:
    """Read a file and hash the whole; every chunk as well, where chunks have a size."""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(READ_BYTES):
            whole.update(part)
            for start in range(0, len(part), chunk_bytes or len(part)) if chunk_bytes else ():
                hashlib.sha256(part[start : start + chunk_bytes]).digest()
    whole.hexdigest()


def _from_factors(a: Floats, b: Floats) -> None:
    module_facts(Factor.of("a", "F32", a), Factor.of("b", "F32", b.T))


def _from_product(a: Floats, b: Floats) -> None:
    product = b @ a
    float(np.linalg.norm(product))
    float(np.abs(product).max())


def _verified(statement: Statement, owner: Owner) -> None:
    if not verify_statement(statement, owner.key.public):
        raise RuntimeError("a good signature was refused")


def _medians(*sides: Callable[[], None], repeat: int = 1) -> list[float]:
    """Seconds of processor time that each side takes once: the median of `TURNS` turns after one that warms up."""
    times: list[list[float]] = [[] for _ in sides]
    for turn in range(TURNS + 1):
        for side, taken in zip(sides, times, strict=True):
            started = time.process_time()
            for _ in range(repeat):
                side()
            taken += [(time.process_time() - started) / repeat] if turn else []
    return [statistics.median(taken) for taken in times]


def _row(metric: str, value: float, unit: str, goal: str = "", peer: str = "") -> Row:
    return Row.of(metric, value, unit, goal=goal, peer=peer, command=COMMAND)


def main() -> int:
    """Measure, keep and show."""
    with tempfile.TemporaryDirectory(prefix="plora-bench-gate-") as folder:
        root = Path(folder)
        rows = [*verdict_rows(root), *statistics_rows(), *signature_rows(root), *manifest_rows()]
    return finish("gate", rows)


if __name__ == "__main__":
    sys.exit(main())
