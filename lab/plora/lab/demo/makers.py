"""Adapters of the demo: trained in processes of their own, signed here, and one of them spoilt."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

from plora.base import base_info
from plora.lab.console import ended, read_record
from plora.lab.demo.board import Board
from plora.lab.demo.plan import Piece, Plan
from plora.merge.draft import Facts, sign_folder
from plora.proto.errors import WorkerError
from plora.proto.manifest import Metrics
from plora.proto.owner_files import load_owner

DAY_S = 86_400


async def train(piece: Piece, plan: Plan, folder: Path, board: Board) -> dict[str, Any]:
    """Train a piece's adapter into `folder`; returns the trainer's report."""
    seed = sum(piece.name.encode())
    steps = plan.steps if piece.good else plan.short_steps
    command = [sys.executable, "-m", "plora.lab.train", "--json-progress", "--threads", str(2 // plan.trainers)]
    command += ["--base", plan.base, "--domain", piece.domain, "--out", str(folder), "--rank", str(plan.rank)]
    command += ["--steps", str(steps), "--seed", str(seed), "--validation", "32"]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=environment)
    try:
        return await _follow(process, piece, steps, board)
    finally:
        board.training.pop(piece.name, None)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _follow(process: asyncio.subprocess.Process, piece: Piece, steps: int, board: Board) -> dict[str, Any]:
    report: dict[str, Any] = {}
    if process.stdout is None:
        raise WorkerError("the trainer has no output", where=piece.name)
    async for line in process.stdout:
        record = read_record(line, piece.name)
        if record["event"] == "step":
            board.training[piece.name] = f"step {record['step']} of {steps}, loss {record['loss']:.2f}"
            board.refresh()
        if record["event"] == "done":
            report = record
    code = await process.wait()
    if code or not report:
        raise ended(code, f"training {piece.name}")
    return report


def sign(piece: Piece, plan: Plan, folder: Path, key: Path, report: dict[str, Any]) -> None:
    """Sign a trained folder by the owner's key."""
    now = int(time.time())
    measured = {name: float(report[name]) for name in Metrics.model_fields}
    info = base_info(plan.base)
    facts = Facts(
        plasmid_id=piece.plasmid_id,
        domain=piece.domain,
        version=1,
        base_model=info.name,
        base_digest=info.digest.removeprefix("sha256:"),
        licence="Apache-2.0",
        issued_s=now,
        expires_s=now + 30 * DAY_S,
        chunk_bytes=plan.chunk_bytes,
        metrics=measured,
    )
    sign_folder(folder, load_owner(key), facts)


def spoil(home: Path, digest: str, chunk_bytes: int) -> None:
    """Flip one bit in every chunk of a published artifact, on the publisher's own disk."""
    blob = home / "blobs" / digest[:2] / digest
    blob.chmod(0o600)
    with blob.open("r+b") as stream:
        for offset in range(0, blob.stat().st_size, chunk_bytes):
            stream.seek(offset)
            byte = stream.read(1)
            stream.seek(offset)
            stream.write(bytes([byte[0] ^ 1]))
