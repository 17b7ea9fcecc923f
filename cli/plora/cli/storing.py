"""`plora store`: a copy of a peer's home, made while it runs or not, and a home made of such a copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plora.cli.options import Home, Json, Quiet
from plora.cli.output import Output
from plora.cli.running import home_of, root_of, running_peer
from plora.cli.usage import App
from plora.proto.errors import ConfigError, PeerNotRunningError
from plora.proto.home import Home as HomePaths

if TYPE_CHECKING:
    from plora.node.store.backup import Made

app = App(help="Back up a peer's home while it runs, and restore it.", no_args_is_help=True)

WAIT_S = 600.0


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="Where to; it must not exist, or be empty.", metavar="DIR")],
    keys: Annotated[
        bool, typer.Option("--with-keys", help="Identity, owner's keys and the swarm's secret, too; kept 0600.")
    ] = False,
    home: Home = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Copy what the peer holds and knows, as of one moment; it may be running.

    The copy is a folder with an index of hashes, whole or not there at all. The key by which a consensus' member votes
    is never in it.
    """
    import time

    from plora.node.store.backup import back_up
    from plora.proto.fields import format_timestamp

    peer = home_of(home)
    with _copied_rows(peer) as rows:
        made = back_up(peer, rows, folder, made=format_timestamp(int(time.time())), keys=keys, more=_named(peer, keys))
    document = {"folder": str(folder), **made.index.model_dump(), "gone": made.gone, "spoilt": made.spoilt}
    output = Output(json_, quiet)
    output.document(document, _backup_lines(folder, made))
    if keys:
        output.hint(f"{folder} holds the peer's keys: who reads it can be this peer and sign as its owner.")


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="What `plora store backup` made.", metavar="DIR")],
    home: Home = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a home of a backup, in a folder that doesn't exist yet or is empty.

    Every file is checked against its hash; if one isn't what was backed up, the home is empty again.
    """
    import time

    from plora.node.store.backup import missing_keys
    from plora.node.store.backup import restore as restore_into

    root = root_of(home)
    index = restore_into(folder, root, now_s=int(time.time()))
    output = Output(json_, quiet)
    size_bytes = sum(kept.size_bytes for kept in index.files)
    missing = missing_keys(index)
    document = {"home": str(root), "peer": index.peer, "made": index.made, "bytes": size_bytes, "missing": missing}
    output.document(document, [f"restored peer {index.peer[:12]} as of {index.made} to {root}"])
    if missing:
        output.hint(f"Keys weren't backed up: put {' and '.join(missing)} there (mode 0600), then `plora up`.")
    output.hint("Start it only if the peer that was backed up is gone for good: two of one identity keep cutting in.")


@contextmanager
def _copied_rows(home: HomePaths) -> Iterator[Path]:
    """A copy of the rows as of now: the peer's own if it runs, else one that is made under its lock, which is kept."""
    with ExitStack() as stack:
        rows = _rows_of_running(home) or _rows_at_rest(home, stack)
        stack.callback(rows.unlink, missing_ok=True)
        yield rows


def _rows_at_rest(home: HomePaths, stack: ExitStack) -> Path:
    from plora.node.store.real_disk import RealDisk
    from plora.node.store.store import COPY, TMP

    disk = stack.enter_context(closing(RealDisk(home.root)))
    path = f"{TMP}/{COPY}at-rest"
    disk.unlink(path)  # what a killed one left
    disk.copy_rows(path)
    return home.root / path


def _rows_of_running(home: HomePaths) -> Path | None:
    from plora.v1 import admin_pb2 as pb

    try:
        with running_peer(home.root) as client:
            return Path(client.call("CopyRows", pb.CopyRowsRequest(), timeout_s=WAIT_S).path)
    except PeerNotRunningError:
        return None


def _named(home: HomePaths, keys: bool) -> tuple[str, ...]:
    """Files in the home that its settings name: the pinned root, and with keys that of the model server."""
    from plora.node.daemon.config import load_config

    try:
        peer = load_config(home.config).peer
    except ConfigError:
        return ()  # the file is copied as it is; a start says what is wrong with it
    named = (peer.root, peer.serving.vllm.key_file if keys else "")
    return tuple(name for name in named if name and not Path(name).is_absolute() and ".." not in Path(name).parts)


def _backup_lines(folder: Path, made: Made) -> Iterator[str]:
    from plora.proto.amounts import size_text

    files = made.index.files
    blobs = sum(kept.path.startswith("blobs/") for kept in files)
    size = size_text(sum(kept.size_bytes for kept in files))
    yield f"backed up {blobs} artifacts, {size} in all, {'with' if made.index.keys else 'without'} keys, to {folder}"
    for digest in made.spoilt:
        yield f"left out {digest[:12]}: its bytes are no longer what was signed; it is fetched again after a restore"
    for digest in made.gone:
        yield f"left out {digest[:12]}: it left the store meanwhile"
