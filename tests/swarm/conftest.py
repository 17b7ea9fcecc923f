"""A swarm of real `plora-node` processes on loopback: homes, lines that can be cut, signed folders, deadlines.

Nothing here sleeps: a wait is a wait for the process, which ends early when it dies, between two looks at the peer.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.ports import free_port

from plora.gate import TrustedOwner, load_trust, save_trust
from plora.merge import adapter_config_bytes
from plora.node.admin.client import AdminClient
from plora.node.audit.chain import AUDIT, entry_key
from plora.node.home import MadeHome, init_home
from plora.proto.errors import PloraError
from plora.proto.home import Home
from plora.proto.swarm import Swarm, new_swarm
from plora.proto.yaml_view import SignedManifest, write_plora_yml
from plora.sim.material import Owner, Plasmid, make_plasmid, tiny_adapter
from plora.v1 import admin_pb2 as pb

WAIT_S = 30.0
LOOK_S = 0.05
DAY_S = 86_400
NODE = Path(sys.executable).with_name("plora-node")

Found = TypeVar("Found")
Json = dict[str, Any]


def settings(name: str, port: int) -> Json:
    """peer.yaml of a quick peer."""
    return {
        "name": name,
        "listen": f"127.0.0.1:{port}",
        "neighbours": [],
        "discovery": {"exchange": False},
        "gossip": {
            "round_ms": 200,
            "eager_fanout": 2,
            "heartbeat_ms": 300,
            "link_timeout_ms": 2500,
            "redial_ms_max": 1000,
        },
        "limits": {"disk_free_min": 0},
        "merge": {"delay_ms": 100},
        "log": "json",
    }


@dataclass
class Peer:
    """One peer: its home, and its process while it runs. `settings` become peer.yaml at `start` and `reload`.

    `within`: what the process is started by, such as `ip netns exec HOST`; `node`: its program, of whatever build.
    """

    made: MadeHome
    port: int
    settings: Json
    environment: dict[str, str] = field(default_factory=dict)
    within: tuple[str, ...] = ()
    node: Path = NODE
    process: subprocess.Popen[bytes] | None = None
    _admin: AdminClient | None = None

    @property
    def home(self) -> Home:
        return self.made.home

    @property
    def name(self) -> str:
        return str(self.settings["name"])

    @property
    def id(self) -> str:
        return self.made.peer_id

    @property
    def stderr(self) -> Path:
        """Beside the home, which may be full."""
        return self.home.root.with_name(f"{self.home.root.name}.stderr")

    def dials(self, *others: Peer, port: int = 0) -> None:
        """Make others this peer's neighbours, at their own port or another that leads there."""
        for other in others:
            entry = {"peer": other.id, "address": f"127.0.0.1:{port or other.port}"}
            self.settings["neighbours"].append(entry)

    def trusts(self, *others: Peer) -> None:
        trust = load_trust(self.home.trust)
        for other in others:
            trust = trust.with_owner(TrustedOwner.of_record(other.made.owner.statement))
        save_trust(self.home.trust, trust)

    # The process

    def spawn(self) -> None:
        """Start the process, and don't wait for it."""
        self.home.config.write_text(json.dumps(self.settings))
        environment = {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error", "OMP_NUM_THREADS": "1"}
        environment |= self.environment
        with self.stderr.open("ab") as errors:
            command: list[str | Path] = [*self.within, self.node, "--config", self.home.config]
            self.process = subprocess.Popen(command, stderr=errors, env=environment)

    def ready(self, within_s: float = WAIT_S) -> None:
        """Wait until a started process answers."""
        self.until(self._answers, within_s)

    def start(self, within_s: float = WAIT_S) -> None:
        self.spawn()
        self.ready(within_s)

    def reload(self) -> None:
        """Have the running peer read its settings and its trust again, by SIGHUP."""
        self.home.config.write_text(json.dumps(self.settings))
        self._running.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """SIGTERM; the peer leaves in good order."""
        process = self._running
        process.terminate()
        assert process.wait(WAIT_S) == 0, self.complaints()
        self._left()

    def kill(self) -> None:
        """SIGKILL."""
        process = self._running
        process.kill()
        assert process.wait(WAIT_S) == -signal.SIGKILL, self.complaints()
        self._left()

    def kill_after(self, seconds: float) -> None:
        """SIGKILL after a while, during which the process must not end by itself."""
        with pytest.raises(subprocess.TimeoutExpired):
            self._running.wait(seconds)
        self.kill()

    def discard(self) -> None:
        """End whatever runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self._left()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None
        return self.process

    def _left(self) -> None:
        self.process = None
        if self._admin is not None:
            self._admin.__exit__(None, None, None)
            self._admin = None

    def _answers(self) -> bool:
        """A channel that failed waits before it tries again, so each look has its own until one works."""
        if not self.home.admin_socket.exists():
            return False
        admin = AdminClient(self.home)
        try:
            admin.call("Status", pb.StatusRequest(), timeout_s=WAIT_S)
        except PloraError:
            admin.__exit__(None, None, None)
            return False
        self._admin = admin
        return True

    def complaints(self) -> str:
        """The end of what it wrote to standard error."""
        return f"{self.name}: {self.stderr.read_text()[-1500:]}"

    def until(self, look: Callable[[], Found], within_s: float = WAIT_S) -> Found:
        """What `look` gives as soon as that is something; fails at the deadline, or when the process ends."""
        deadline = time.monotonic() + within_s
        while not (found := look()):
            assert time.monotonic() < deadline, f"waited in vain; {self.complaints()}"
            try:
                code = self._running.wait(LOOK_S)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(f"it ended with {code}; {self.complaints()}")
        return found

    def worker(self, module: str) -> int:
        """The process id of its worker that runs `module`, 0 while there is none."""
        pid = self._running.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with suppress(OSError):  # it ended meanwhile
                if module.encode() in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
        return 0

    # What it says

    def call(self, method: str, request: Any) -> Any:
        assert self._admin is not None, f"{self.name} is not running"
        return self._admin.call(method, request, timeout_s=WAIT_S)

    def stream(self, method: str, request: Any) -> Iterator[Any]:
        assert self._admin is not None, f"{self.name} is not running"
        return self._admin.stream(method, request)

    @property
    def status(self) -> Any:
        return self.call("Status", pb.StatusRequest())

    def plasmids(self, state: str = "") -> dict[str, Any]:
        """By content id."""
        return {one.content_id: one for one in self.call("List", pb.ListRequest(state=state)).plasmids}

    def why(self, name: str) -> Json:
        answer: Json = json.loads(self.call("Why", pb.WhyRequest(name=name)).document)
        return answer

    def neighbour(self, other: Peer) -> Any:
        """How it stands with another peer; None if that is no neighbour."""
        found = self.call("Peers", pb.ListPeersRequest()).peers
        return next((one for one in found if one.peer == other.id), None)

    def publish(self, folder: Path) -> None:
        self.call("Publish", pb.PublishRequest(folder=str(folder)))

    def logs(self) -> list[Path]:
        """The event logs of all boots, the oldest first."""
        return sorted(self.home.events.glob("*.jsonl"))

    def records(self, *kinds: str) -> list[Json]:
        """The records of all boots."""
        lines = (line for log in self.logs() for line in log.read_text().splitlines())
        return [record for record in map(json.loads, lines) if record["kind"] in kinds]

    # What it signs

    def signed_folder(
        self,
        folder: Path,
        *,
        seed: int,
        width: int = 32,
        layers: int = 1,
        version: int = 1,
        ahead_s: int = 0,
        life_s: int = DAY_S,
    ) -> Plasmid:
        """A PEFT folder of this peer's owner, of 32 * `width` bytes a layer and a header; `seed` determines the bytes.

        `ahead_s`: by how much the clock that dates it is ahead.
        """
        mine = self.made.owner
        owner = Owner(self.name, mine.record.swarm, mine.key, mine.statement)
        dated: Any = {"version": version, "ahead_s": ahead_s, "life_s": life_s}
        return write_folder(folder, owner, seed=seed, width=width, layers=layers, **dated)


def write_folder(
    folder: Path,
    owner: Owner,
    *,
    seed: int,
    width: int = 32,
    layers: int = 1,
    version: int = 1,
    ahead_s: int = 0,
    life_s: int = DAY_S,
) -> Plasmid:
    """A signed PEFT folder of an owner; see `Peer.signed_folder`."""
    data = tiny_adapter(seed, width=width, layers=layers)
    return write_plasmid(folder, owner, data, version=version, ahead_s=ahead_s, life_s=life_s)


def write_plasmid(
    folder: Path,
    owner: Owner,
    data: bytes,
    *,
    domain: str = "",
    rank: int = 4,
    version: int = 1,
    ahead_s: int = 0,
    life_s: int = DAY_S,
) -> Plasmid:
    """A signed PEFT folder of these bytes."""
    dated: Any = {"version": version, "issued_s": int(time.time()) + ahead_s, "life_s": life_s}
    plasmid = make_plasmid(owner, folder.name, data, domain=domain, rank=rank, **dated)
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(data)
    (folder / "adapter_config.json").write_bytes(adapter_config_bytes(plasmid.manifest.lora, "mini"))
    write_plora_yml(folder / "plora.yml", SignedManifest.of(plasmid.statement))
    return plasmid


def edit_an_entry(peer: Peer, seq: int) -> None:
    """Have an entry of a stopped peer's audit say another time."""
    with closing(sqlite3.connect(peer.home.root / "state.db")) as database, database:
        place = (AUDIT, entry_key(seq))
        (value,) = database.execute("SELECT value FROM rows WHERE tab = ? AND key = ?", place).fetchone()
        other = value.replace(b'"at_ms":1', b'"at_ms":2')
        assert other != value
        database.execute("UPDATE rows SET value = ? WHERE tab = ? AND key = ?", (other, *place))


# Lines


@dataclass
class Line:
    """A TCP line to a port. Cut: what is open is reset and nobody gets in. Silent: it stays open and nothing passes."""

    target: int
    port: int = 0
    cut: bool = False
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    ends: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = field(default_factory=dict)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        ends = self.ends[task] = [writer]
        try:
            await self._carry(reader, writer, ends)
        except (OSError, asyncio.CancelledError):
            return  # one of the ends, or the test, has had enough
        finally:
            del self.ends[task]
            for end in ends:
                end.transport.abort()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ends: list[asyncio.StreamWriter]
    ) -> None:
        if self.cut:
            return
        await self.flowing.wait()
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        ends.append(far_writer)
        pumps = [asyncio.create_task(self._pump(*pair)) for pair in ((reader, far_writer), (far_reader, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await self.flowing.wait()
            writer.write(data)
            await writer.drain()

    async def reset(self) -> None:
        """End what is open."""
        tasks = list(self.ends)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Lines:
    """All lines of a test, on a thread of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lines", daemon=True)
        self._thread.start()
        self._lines: list[Line] = []
        self._servers: list[asyncio.Server] = []

    def lay(self, dialer: Peer, acceptor: Peer) -> Line:
        """Make two peers neighbours over a line."""
        line = self._do(self._open(acceptor.port))
        dialer.dials(acceptor, port=line.port)
        return line

    def cut(self, *lines: Line) -> None:
        for line in lines:
            line.cut = True
            self._do(line.reset())

    def silence(self, *lines: Line) -> None:
        for line in lines:
            self._loop.call_soon_threadsafe(line.flowing.clear)

    def heal(self, *lines: Line) -> None:
        """Whatever was done to the lines is over; what was open meanwhile is not."""
        for line in lines:
            line.cut = False
            self._do(line.reset())
            self._loop.call_soon_threadsafe(line.flowing.set)

    def close(self) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Found]) -> Found:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    async def _open(self, target: int) -> Line:
        line = Line(target)
        line.flowing.set()
        server = await asyncio.start_server(line.answer, "127.0.0.1", 0)
        line.port = server.sockets[0].getsockname()[1]
        self._lines.append(line)
        self._servers.append(server)
        return line

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for line in self._lines:
            await line.reset()


# Fixtures

MakePeer = Callable[..., Peer]


@pytest.fixture
def swarm() -> Swarm:
    return new_swarm("test", bytes(range(64)))


@pytest.fixture
def other_swarm() -> Swarm:
    return new_swarm("other", bytes(range(64, 128)))


@pytest.fixture
def make_peer(tmp_path_factory: pytest.TempPathFactory, swarm: Swarm) -> Iterator[MakePeer]:
    """`make_peer(name, swarm=…, root=…)`: a peer that doesn't run yet. Short paths, since sockets want them."""
    made: list[Peer] = []

    def make(name: str, *, member_of: Swarm = swarm, root: Path | None = None) -> Peer:
        port = free_port()
        home = root or tmp_path_factory.mktemp("h") / name
        new = init_home(home, name=name, swarm=member_of, listen=f"127.0.0.1:{port}", now_s=int(time.time()))
        made.append(Peer(new, port, settings(name, port)))
        return made[-1]

    yield make
    for peer in made:
        peer.discard()


@pytest.fixture
def lines() -> Iterator[Lines]:
    laid = Lines()
    yield laid
    laid.close()


@pytest.fixture
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Path]]:
    """`small_disk(size_kib)`: a mounted file system of that size; again with another size: the same, resized."""
    place = tmp_path_factory.mktemp("d")
    mount = shutil.which("mount")
    mounted = False

    def mounted_with(size_kib: int) -> Path:
        nonlocal mounted
        options = f"{'remount,' if mounted else ''}size={size_kib}k"
        if mount is None:
            pytest.skip("a small file system needs `mount`")
        command: list[str | Path] = [mount, "-t", "tmpfs", "-o", options, "none", place]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a small file system can't be mounted here: {done.stderr.strip()}")
        mounted = True
        return place

    yield mounted_with
    if mounted:
        subprocess.run(["umount", "-l", place], check=True)


def one_root(peers: Sequence[Peer]) -> bool:
    """Whether all of these hold the same statements."""
    return len({peer.status.root for peer in peers}) == 1


@pytest.fixture
def same_root() -> Callable[[Sequence[Peer]], bool]:
    return one_root
