"""The specification's walk, `make offer &` then `make fetch`, and the demo: commands that run peers of their own.

- `offer` is a foreground peer in the open swarm `walk`. Its home `.plora/offer` keeps one identity; everything else in
  it is made anew at each start, so that it serves exactly the folders that were named.
- It ends with SIGTERM, Ctrl-C, or its peer; a folder that the gate doesn't accept ends it with exit code 3.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plora.cli.options import OFFER_HOME, OWNER_RECORD, WALK_SWARM, Json, Quiet
from plora.cli.output import Output
from plora.proto.errors import RefusedError, WorkerError

if TYPE_CHECKING:
    from plora.node.admin.client import AdminClient
    from plora.proto.home import Home

OFFER_PORT = 4711
START_S = 15.0
VERDICT_S = 60.0
POLL_S = 0.05
UNDECIDED = ("pending", "fetching", "examining")


def offer(
    folders: Annotated[list[Path], typer.Argument(help="Signed adapter folders.", metavar="FOLDER")],
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1.")] = OFFER_PORT,
    owner: Annotated[Path, typer.Option("--owner", help="Record of the owner who signed them.")] = OWNER_RECORD,
    home: Annotated[Path, typer.Option("--home", help="Home of this command's own peer.")] = OFFER_HOME,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Serve signed folders until Ctrl-C.

    `plora fetch --offer` and any peer of the open swarm `walk` can fetch them.
    """
    from plora.cli.offer_home import SERVING, prepare_offer_home
    from plora.proto.yaml_view import PLORA_YML, read_plora_yml

    output = Output(json_, quiet)
    for folder in folders:
        read_plora_yml(folder / PLORA_YML)
    paths = prepare_offer_home(home, WALK_SWARM, f"127.0.0.1:{port}", owner)
    with _peer_process(paths) as child:
        _publish_all(output, child, paths, folders, owner)
        peer_id = paths.peer_id.read_text("ascii").strip()
        (home / SERVING).write_text(f"{peer_id} 127.0.0.1:{port}\n", encoding="ascii")
        output.hint(f"Serving on 127.0.0.1:{port} as {peer_id}; Ctrl-C ends it.")
        output.hint("Next, from another terminal: plora fetch --all --offer")
        status = child.wait()
        (home / SERVING).unlink(missing_ok=True)
    if status:
        raise typer.Exit(1)


def demo(
    base: Annotated[str, typer.Option("--base", help="mini, or smollm2 for a real model.")] = "mini",
    folder: Annotated[Path, typer.Option("--dir", help="Where the peers' homes and all results go.")] = Path("demo"),
) -> None:
    """Run five peers here: three adapters, two bad ones, a crash, a merge."""
    from plora.lab.demo import run_demo

    raise typer.Exit(run_demo(base, folder))


@contextmanager
def _peer_process(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """The peer as a child that gets our SIGTERM and SIGINT, and never outlives the block."""
    program = Path(sys.executable).with_name("plora-node")
    # A session of its own: Ctrl-C reaches this process alone, which then ends the peer once.
    child = subprocess.Popen([str(program), "--config", str(home.config)], start_new_session=True)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda *_: child.terminate())
    try:
        yield child
    finally:
        child.terminate()
        child.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def _publish_all(output: Output, child: subprocess.Popen[bytes], home: Home, folders: list[Path], owner: Path) -> None:
    from plora.node.admin.client import AdminClient
    from plora.proto.owner_chain import read_owner_file
    from plora.proto.wire import statement_to_pb
    from plora.v1 import admin_pb2 as pb

    _wait_for_socket(child, home)
    records = [statement_to_pb(one) for one in read_owner_file(owner).statements]
    offered = []
    with AdminClient(home) as client:
        for folder in folders:
            request = pb.PublishRequest(folder=str(folder.resolve()), statements=records)
            plasmid = _decided(child, client, client.call("Publish", request).content_id)
            if plasmid.state not in ("own", "accepted"):
                where, mend = str(folder), f"see plora gate {folder} --owner {owner}"
                raise RefusedError(f"{plasmid.state}: {plasmid.reason}", where=where, mend=mend)
            offered.append({"name": plasmid.name, "domain": plasmid.domain, "folder": str(folder)})
    output.document(offered, (f"offering {one['name']} ({one['domain']}) from {one['folder']}" for one in offered))
    sys.stdout.flush()


def _decided(child: subprocess.Popen[bytes], client: AdminClient, content_id: str) -> Any:
    """The plasmid once the gate has judged it, or as it stands after a minute."""
    from plora.v1 import admin_pb2 as pb

    end = time.monotonic() + VERDICT_S
    while True:
        plasmid = client.call("Show", pb.ShowRequest(name=content_id)).plasmid
        if plasmid.state not in UNDECIDED or time.monotonic() > end:
            return plasmid
        _pause(child)


def _wait_for_socket(child: subprocess.Popen[bytes], home: Home) -> None:
    end = time.monotonic() + START_S
    while not home.admin_socket.exists():
        if time.monotonic() > end:
            raise WorkerError(f"the peer did not start within {START_S:.0f} s", where=str(home.root))
        _pause(child)


def _pause(child: subprocess.Popen[bytes]) -> None:
    """Wait a moment; ends the command when the peer ended, which has said why by then."""
    try:
        status = child.wait(timeout=POLL_S)
    except subprocess.TimeoutExpired:
        return
    raise typer.Exit(status)
