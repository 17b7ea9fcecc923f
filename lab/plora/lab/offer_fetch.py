"""Offer signed adapters in one process and fetch them in another, by gRPC over mutual TLS; what `step 17` shows.

    python -m plora.lab.offer_fetch out/legal out/medical --owner keys/owner.owner --out results/grpc_demo.json

Rules:

- Both sides are the commands that a person types, `plora offer` and `plora fetch --all --offer`, on a free port.
- What was fetched is hashed here, by nobody who took part.
- Both end before this does; their homes lie in a folder that goes with them.

Not handled here: peers of different hosts (docs/connectivity.md).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plora.lab.artifacts import write_json
from plora.lab.console import emit, run_command
from plora.merge.peft_folder import TENSORS_NAME
from plora.proto.errors import WorkerError

FETCH_S = 120
OFFER_HOME = ".plora/offer"
"""Where `plora fetch --offer` looks, from the folder in which it runs."""
PLORA = str(Path(sys.executable).with_name("plora"))


def offer_and_fetch(folders: Sequence[Path], owner: Path, out: Path) -> dict[str, Any]:
    """Write what came of it and return it; raises WorkerError where one of the two fails."""
    with tempfile.TemporaryDirectory(prefix="plora-") as place:
        received = Path(place) / "received"
        with _offering(folders, owner, Path(place) / OFFER_HOME):
            rows = _fetched(owner.resolve(), received, Path(place))
        told = {"fetched": [_row(row, received) for row in sorted(rows, key=lambda one: str(one["domain"]))]}
    write_json(out, told)
    return told


@contextmanager
def _offering(folders: Sequence[Path], owner: Path, home: Path) -> Iterator[None]:
    """`plora offer` as long as the block lasts."""
    words = [sys.executable, "-m", "plora.lab.experiment.child", PLORA, "offer", *map(str, folders)]
    words += ["--port", str(_free_port()), "--owner", str(owner), "--home", str(home)]
    child = subprocess.Popen(words, stdout=sys.stderr)
    try:
        yield
    finally:
        child.terminate()
        child.wait()


def _fetched(owner: Path, received: Path, place: Path) -> list[dict[str, Any]]:
    """What `plora fetch` says that it fetched, run where it finds who offers."""
    words = [PLORA, "fetch", "--all", "--offer", "--owner", str(owner), "--out", str(received), "--json"]
    words += ["--wait", str(FETCH_S)]
    done = subprocess.run(words, check=False, cwd=place, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise WorkerError(f"ended with exit code {done.returncode}", where="plora fetch", mend="see what it said above")
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def _row(row: dict[str, Any], received: Path) -> dict[str, Any]:
    """What was fetched of one plasmid; its content id and owner are left out, since they are of this key alone."""
    tensors = received / row["plasmid_id"] / TENSORS_NAME
    return {
        "domain": row["domain"],
        "plasmid_id": row["plasmid_id"],
        "version": row["version"],
        "bytes": tensors.stat().st_size,
        "sha256": hashlib.sha256(tensors.read_bytes()).hexdigest(),
    }


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def main(argv: Sequence[str] | None = None) -> int:
    """Offer and fetch as the arguments say; JSON lines on stdout, the last one `{"event": "done", …}`."""
    parser = argparse.ArgumentParser(prog="python -m plora.lab.offer_fetch", description="Offer here, fetch there.")
    parser.add_argument("folders", nargs="+", type=Path, help="signed adapter folders")
    parser.add_argument("--owner", type=Path, default=Path("keys/owner.owner"), help="the record of who signed them")
    parser.add_argument("--out", type=Path, default=Path("results/grpc_demo.json"))
    args = parser.parse_args(argv)

    def work() -> None:
        told = offer_and_fetch(args.folders, args.owner, args.out)
        emit({"event": "done", "path": str(args.out), "fetched": len(told["fetched"])})

    return run_command(work)


if __name__ == "__main__":
    sys.exit(main())
