"""The demo's course: peers first, then training, publishing, a crash in the middle, and what came of it.

Everything is real: processes, mutual TLS on loopback, trained adapters, SIGKILL. The exit code is 0 only if every
claim of the summary is true.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from plora.gate import TrustedOwner
from plora.lab.demo.board import Board
from plora.lab.demo.makers import sign, spoil, train
from plora.lab.demo.outcome import Crash, summarise
from plora.lab.demo.peers import Address, DemoPeer, owner_statement, settings, trusted_owner
from plora.lab.demo.plan import BAD, CRASHED, GOOD, LINKS, MALLORY, PEERS, PIECES, TAMPERED, Piece, Plan, plan_for
from plora.proto.errors import ConfigError, PloraError
from plora.proto.owner_files import create_owner
from plora.proto.swarm import new_swarm
from plora.v1 import admin_pb2

POLL_S = 0.25
WIDTH = 110
START_S = 30.0
MARKER = ".plora-demo"


@dataclass(slots=True)
class Stage:
    """Everything of one run of the demo."""

    folder: Path
    plan: Plan
    board: Board
    peers: dict[str, DemoPeer]
    mallory_key: Path
    crash: Crash = field(default_factory=Crash)
    began_s: float = field(default_factory=time.monotonic)

    def look(self) -> None:
        """Ask every peer what it knows, and draw it."""
        self.board.known = {name: peer.plasmids() for name, peer in self.peers.items() if peer.running}
        self.board.down = frozenset(name for name, peer in self.peers.items() if not peer.running)
        self.board.refresh()

    async def until(self, true: Callable[[], bool], limit_s: float) -> bool:
        """Look again and again until something is true, or the time is over."""
        end = time.monotonic() + limit_s
        while not true():
            if time.monotonic() > end:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def watch(self) -> None:
        """Look at all peers, for ever."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(POLL_S)

    def state(self, piece: Piece, peer: str) -> str:
        """The state of a piece at a peer; empty if the peer doesn't know of it."""
        found = self.board.known.get(peer, {}).get(piece.plasmid_id)
        return found.state if found else ""

    def clock(self) -> str:
        """Seconds since the start, for the lines that tell what happened."""
        return f"{time.monotonic() - self.began_s:6.1f} s"

    def say(self, text: str) -> None:
        """A line with its time."""
        self.board.say(f"{self.clock()}  {text}")


def run_demo(base: str, folder: Path) -> int:
    """Run the demo in `folder`, which is made anew; returns the exit code."""
    plan = plan_for(base)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    console.print(f"Plora demo on base {base}: five peers, three adapters, two bad ones, one crash.")
    console.print(f"It takes {plan.estimate}; everything it writes is under {folder}/.")
    stage = _set_up(folder, plan, Board(console))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends the demo ends its peers
    try:
        with stage.board:
            _run(stage)
        good = summarise(console, stage.folder, stage.plan, stage.peers, stage.crash, stage.board.known)
        if console.is_terminal and not os.environ.get("CI"):
            console.print("\nThe swarm stays up until Ctrl-C.")
            _wait_for_interrupt()
        return 0 if good else 1
    finally:
        for peer in stage.peers.values():
            peer.stop()


def _set_up(folder: Path, plan: Plan, board: Board) -> Stage:
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).exists():
            raise ConfigError("is not a demo's folder", where=str(folder), mend="name a new one by --dir")
        shutil.rmtree(folder)
    for name in ("homes", "adapters", "logs"):
        (folder / name).mkdir(parents=True)
    (folder / MARKER).touch()
    swarm = new_swarm("demo", os.urandom(64))
    swarm.save(folder / "swarm.json")
    peers = {name: DemoPeer(name, folder / "homes" / name, folder / "logs" / f"{name}.log") for name in PEERS}
    addresses = {name: peer.make(folder / "swarm.json") for name, peer in peers.items()}
    mallory_key = folder / "mallory" / "mallory.pem"
    mallory_key.parent.mkdir()
    create_owner(mallory_key, name=MALLORY, swarm=swarm.id, issued_s=int(time.time()))
    trusted = [trusted_owner(peers[name].owner_key) for name in PEERS]
    for name, peer in peers.items():
        peer.configure(_settings(name, addresses, plan), _own_first(name, trusted))
        peer.start()
    return Stage(folder, plan, board, peers, mallory_key)


def _settings(name: str, addresses: dict[str, Address], plan: Plan) -> str:
    near = [other for pair in LINKS if name in pair for other in pair if other != name]
    neighbours = [addresses[other] for other in near]
    return settings(
        name,
        addresses[name].listen,
        neighbours,
        base=plan.base,
        upload_rate=plan.upload_rate,
        merge=name != TAMPERED,  # merging would find the spoilt bytes, and an honest peer stops serving them
    )


def _own_first(name: str, trusted: list[TrustedOwner]) -> list[TrustedOwner]:
    return sorted(trusted, key=lambda owner: (owner.nickname != name, owner.nickname))


def _run(stage: Stage) -> None:
    """Play; the first failure of several that run side by side is the one to tell."""
    try:
        asyncio.run(_play(stage))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


async def _play(stage: Stage) -> None:
    watch = asyncio.create_task(stage.watch())
    try:
        await _tell(stage)
        await asyncio.to_thread(stage.look)
    finally:
        watch.cancel()


async def _tell(stage: Stage) -> None:
    everybody = list(stage.peers.values())
    if not await stage.until(lambda: all(peer.answers() for peer in everybody), START_S):
        silent = ", ".join(peer.name for peer in everybody if not peer.answers())
        raise PloraError(f"did not start: {silent}", where="demo", mend=f"see {stage.folder}/logs")
    stage.say(f"five peers are up: {', '.join(stage.peers)}")
    limit = asyncio.Semaphore(stage.plan.trainers)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_crash_and_return(stage))
        for piece in PIECES:
            tasks.create_task(_make_and_publish(stage, piece, limit))
    await stage.until(lambda: _arrived(stage), stage.plan.arrive_s)
    await stage.until(lambda: _merged(stage), stage.plan.arrive_s)


async def _make_and_publish(stage: Stage, piece: Piece, limit: asyncio.Semaphore) -> None:
    folder = stage.folder / "adapters" / f"{piece.owner}-{piece.plasmid_id}"
    async with limit:
        report = await train(piece, stage.plan, folder, stage.board)
    stage.say(f"{piece.owner} trained {piece.domain} (perplexity {_change(report)}), publishes at {piece.peer}")
    key = stage.mallory_key if piece.owner == MALLORY else stage.peers[piece.peer].owner_key
    await asyncio.to_thread(sign, piece, stage.plan, folder, key, report)
    peer = stage.peers[piece.peer]
    request = admin_pb2.PublishRequest(folder=str(folder.resolve()), statements=[owner_statement(key)])
    reply = await asyncio.to_thread(peer.ask, "Publish", request)
    if piece.owner == TAMPERED:
        await _spoil(stage, piece, reply.content_id)


async def _spoil(stage: Stage, piece: Piece, content_id: str) -> None:
    """Change the bytes as soon as the publisher's own gate has passed them: from now on it serves them."""
    await stage.until(lambda: stage.state(piece, piece.peer) == "own", START_S)
    peer = stage.peers[piece.peer]
    shown = await asyncio.to_thread(peer.ask, "Show", admin_pb2.ShowRequest(name=content_id))
    spoil(peer.home, shown.plasmid.sha256, stage.plan.chunk_bytes)
    stage.say(f"somebody changes the bytes of {piece.name} on {piece.peer}'s disk")


async def _crash_and_return(stage: Stage) -> None:
    """Kill a peer while bytes are on their way to it, and start it again."""
    victim = stage.peers[CRASHED]
    caught: list[admin_pb2.Plasmid] = []

    def in_the_middle() -> bool:
        wanted = [stage.board.known.get(CRASHED, {}).get(piece.plasmid_id) for piece in GOOD]
        caught[:] = [one for one in wanted if one and one.state == "fetching" and 20 <= one.percent <= 80]
        return bool(caught)

    if not await stage.until(in_the_middle, stage.plan.arrive_s * 4):
        return
    victim.kill()
    stage.crash = Crash(caught[0].name.partition("@")[0], caught[0].sha256, caught[0].percent)
    stage.say(f"{CRASHED} is killed (SIGKILL) with {caught[0].percent:.0f} % of {stage.crash.plasmid}")
    await asyncio.sleep(2 * POLL_S)
    victim.start()
    if await stage.until(victim.answers, START_S):
        stage.say(f"{CRASHED} is back, and goes on where it was")


def _arrived(stage: Stage) -> bool:
    """Every peer has decided: good ones are here, bad ones are refused."""
    good = all(stage.state(piece, peer) in ("accepted", "own") for piece in GOOD for peer in PEERS)
    return good and all(stage.state(piece, peer) == "refused" for piece in BAD for peer in PEERS if peer != piece.peer)


def _merged(stage: Stage) -> bool:
    """Every peer serves a merge of all good adapters; the one with spoilt bytes of its own can't."""
    for peer in (one for name, one in stage.peers.items() if name != TAMPERED):
        merges = peer.ask("Merges", admin_pb2.MergesRequest()).merges
        if not any(len(merge.inputs) == len(GOOD) for merge in merges):
            return False
    return True


def _change(report: dict[str, object]) -> str:
    return f"{float(str(report['val_ppl_before'])):.1f} → {float(str(report['val_ppl_after'])):.1f}"


def _wait_for_interrupt() -> None:
    try:
        while sys.stdin is not None:
            time.sleep(3600)
    except KeyboardInterrupt:
        return
