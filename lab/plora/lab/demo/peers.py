"""One peer of the demo: a real `plora-node` process on a home of its own, and its admin service.

The lab starts peers as processes and asks them through the admin contract; it imports nothing of the peer's code.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import grpc

from plora.gate import Trust, TrustedOwner, save_trust
from plora.proto.errors import PeerNotRunningError, PloraError
from plora.proto.home import Home
from plora.proto.owner_files import OwnerFiles, read_owner_record
from plora.proto.wire import statement_to_pb
from plora.v1 import admin_pb2, admin_pb2_grpc, peer_pb2

ANSWER_S = 10.0
STOP_S = 15.0
PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Address:
    """Where a peer listens, and who it is."""

    peer_id: str
    listen: str


class DemoPeer:
    """A peer that is made, started, asked, killed and started again."""

    def __init__(self, name: str, home: Path, log: Path) -> None:
        self.name = name
        self.home = home
        self._paths = Home(home)
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._log_file: IO[bytes] | None = None
        self._channel: grpc.Channel | None = None

    @property
    def owner_key(self) -> Path:
        """The private key of the owner who works at this peer."""
        return self._paths.owner_folder / f"{self.name}.pem"

    def make(self, swarm: Path) -> Address:
        """`plora init` with a free port."""
        listen = f"127.0.0.1:{free_port()}"
        options = ["--home", str(self.home), "--name", self.name, "--swarm", str(swarm), "--listen", listen]
        command = [str(PROGRAMS / "plora"), "init", *options, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PloraError(f"plora init failed: {done.stderr.strip()}", where=self.name)
        return Address(json.loads(done.stdout)["peer"], listen)

    def configure(self, text: str, trusted: list[TrustedOwner]) -> None:
        """The demo's settings and trust in place of those of a fresh peer."""
        self._paths.config.write_text(text, encoding="utf-8")
        save_trust(self._paths.trust, Trust(tuple(trusted), version=2))

    def start(self) -> None:
        """Start the process; it answers a moment later."""
        self._log_file = self.log.open("ab")
        command = [str(PROGRAMS / "plora-node"), "--config", str(self._paths.config)]
        # A session of its own: Ctrl-C reaches the demo alone, which then stops its peers in order.
        self._process = subprocess.Popen(command, stdout=self._log_file, stderr=self._log_file, start_new_session=True)

    def kill(self) -> None:
        """SIGKILL, as a power switch would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM; the peer says goodbye and keeps everything."""
        self._end(signal.SIGTERM)

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def ask(self, method: str, request: Any) -> Any:
        """One RPC of the admin service. PeerNotRunningError while nothing answers, PloraError for a refusal."""
        if self._channel is None:
            self._channel = grpc.insecure_channel(f"unix:{self._paths.admin_socket.resolve()}")
        stub: Any = admin_pb2_grpc.AdminStub(self._channel)  # type: ignore[no-untyped-call]
        try:
            return getattr(stub, method)(request, timeout=ANSWER_S)
        except grpc.RpcError as error:
            status: Any = error
            if status.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise PeerNotRunningError("does not answer", where=self.name, mend=f"see {self.log}") from None
            raise PloraError(status.details(), where=self.name) from None

    def answers(self) -> bool:
        """Whether the admin service is up."""
        try:
            self.ask("Status", admin_pb2.StatusRequest())
        except PloraError:
            return False
        return True

    def plasmids(self) -> dict[str, admin_pb2.Plasmid]:
        """Everything that the peer knows of, by plasmid id; empty while it doesn't answer."""
        try:
            reply = self.ask("List", admin_pb2.ListRequest())
        except PloraError:
            return {}
        return {one.name.partition("@")[0].rpartition("/")[2]: one for one in reply.plasmids}

    def records(self, kind: str) -> Iterator[dict[str, Any]]:
        """The records of one kind in the peer's event log, over all its boots, oldest first."""
        for path in sorted(self._paths.events.glob("*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines():
                if f'"{kind}"' in line and (record := _record(line)).get("kind") == kind:
                    yield record

    def _end(self, how: signal.Signals) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._log_file is not None:
            self._log_file.close()


def settings(name: str, listen: str, neighbours: list[Address], *, base: str, upload_rate: int, merge: bool) -> str:
    """The peer.yaml of a demo peer."""
    dialed = "".join(f"  - {{peer: {one.peer_id}, address: '{one.listen}'}}\n" for one in neighbours)
    return f"""\
name: {name}
listen: {listen}
neighbours:
{dialed}discovery: {{exchange: false}}
gossip: {{round_ms: 500, fanout: 1, eager_fanout: 2, redial_ms_max: 2000}}
policy: {{unknown_owner: reject, base_model: {base}}}
merge: {{enabled: {str(merge).lower()}}}
limits: {{upload_rate: {upload_rate}, lan_exempt: false, disk_free_min: 64MiB}}
log: json
"""


def trusted_owner(key: Path) -> TrustedOwner:
    """Trust in the owner whose private key this is, by the record beside it."""
    return TrustedOwner.of_record(read_owner_record(OwnerFiles.of_key(key).record)[0], who="the demo")


def owner_statement(key: Path) -> peer_pb2.Statement:
    """The record of the owner whose private key this is, as the wire carries it."""
    return statement_to_pb(read_owner_record(OwnerFiles.of_key(key).record)[0])


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _record(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:  # the last line of a killed peer may be torn
        return {}
    return record if isinstance(record, dict) else {}
