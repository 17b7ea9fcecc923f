"""`plora fetch --offer`: fetch from a running `plora offer` without any peer of one's own.

- One-way calls of the peer protocol over mutual TLS, pinned to the offering peer's id, under an identity that lives as
  long as the command.
- Nothing that the other side says is believed: the manifest must be signed by the expected owner and have the content
  id that was asked for, the chunk list its root, every chunk its hash, the whole its digest. Only then a folder
  appears, whole, with an `adapter_config.json` made from the signed manifest.
- Whoever is not there yet, or has not judged its folders yet, is asked again until the time is up.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from plora.cli.offer_home import SERVING
from plora.cli.output import Output
from plora.merge.lora_config import adapter_config_bytes
from plora.merge.peft_folder import CONFIG_NAME
from plora.node.transport.grpc_setup import grpc
from plora.node.transport.identity import Identity
from plora.node.transport.tls import channel_credentials, channel_options
from plora.proto.chunks import chunk_root
from plora.proto.errors import ProtocolError, RefusedError, TransportError, UsageError
from plora.proto.manifest import ARTIFACT_FILENAME, Artifacts
from plora.proto.owner_chain import OwnerFile, read_owner_file
from plora.proto.statement import Statement, open_statement, verify_statement
from plora.proto.swarm import open_swarm
from plora.proto.wire import statement_from_pb
from plora.proto.yaml_view import PLORA_YML, SignedManifest, write_plora_yml
from plora.v1 import peer_pb2 as pb

SERVICE = "/plora.v1.Peer"
CALL_S = 10.0
BYTES_S = 600.0
POLL_S = 0.2
MEND = "start it by `make offer` or `plora offer FOLDER`, in another terminal"


@dataclass(frozen=True, slots=True)
class Source:
    """Who offers, where, and whose signature is expected. `peer` None: whoever serves from `home` on this machine."""

    address: str
    owner: Path
    home: Path
    peer: str | None
    swarm: str
    wait_s: float

    def place(self) -> tuple[str, str]:
        """Peer id and address of who offers; TransportError while nobody does."""
        if self.peer is not None:
            return self.peer, self.address
        path = self.home / SERVING
        try:
            peer, address = path.read_text("ascii").split()
        except (OSError, ValueError) as error:
            mend = f"{MEND}; or name who offers by --peer"
            raise TransportError("nobody offers here", where=str(self.home), mend=mend) from error
        return peer, address


def fetch_offered(output: Output, name: str, out: Path, everything: bool, source: Source) -> None:
    """Fetch one offered plasmid (by id or domain), or all of the owner's, into folders under `out`."""
    if bool(name) == everything:
        raise UsageError("name one plasmid, or say --all", where="plora fetch --offer")
    owner = _Owner(read_owner_file(source.owner), source.owner)
    fetched = []
    identity = Identity(Ed25519PrivateKey.generate(), open_swarm(source.swarm))
    end = time.monotonic() + source.wait_s
    peer_id, address = _until(end, source.place)
    with _Calls(identity, peer_id, address) as calls:
        for offered in _until(end, lambda: _chosen(calls.offer(), name, owner)):
            signed = owner.checked(calls.manifest(offered.content_id))
            target = out / signed.manifest.plasmid_id
            output.hint(f"fetching {signed.manifest.plasmid_id} ({offered.size_bytes:,} bytes) from {address}")
            _write(target, signed, calls.chunks(signed.manifest.artifacts))
            fetched.append(_row(signed, target))
    lines = (f"{one['folder']}: valid, {one['domain']}, version {one['version']}" for one in fetched)
    output.document(fetched, lines)


def _row(signed: SignedManifest, folder: Path) -> dict[str, object]:
    manifest = signed.manifest
    row: dict[str, object] = {"plasmid_id": manifest.plasmid_id, "version": manifest.version, "domain": manifest.domain}
    return row | {"owner": manifest.owner, "content_id": signed.statement().id.hex(), "folder": str(folder)}


def _until(end: float, attempt: Callable[[], Any]) -> Any:
    """The result of `attempt`, made again while it raises TransportError and there is time."""
    pause = threading.Event()
    while True:
        try:
            return attempt()
        except TransportError:
            if time.monotonic() > end:
                raise
        pause.wait(POLL_S)


def _chosen(offered: list[pb.Offered], name: str, owner: _Owner) -> list[pb.Offered]:
    """The newest version of each plasmid that is meant; TransportError while there is none."""
    named = [one for one in offered if name in ("", one.plasmid_id, one.domain)]
    newest: dict[str, pb.Offered] = {}
    for one in sorted((one for one in named if one.owner.hex() == owner.id), key=lambda one: one.version):
        newest[one.plasmid_id] = one
    if newest:
        return list(newest.values())
    if named:
        what = f"{named[0].plasmid_id} is offered by owner {named[0].owner.hex()[:12]}, not by {owner.id[:12]}"
        raise RefusedError(what, where=str(owner.path), mend="sign it with that owner's key, or name theirs by --owner")
    listed = ", ".join(one.plasmid_id for one in offered) or "nothing"
    raise TransportError(f"'{name}' is not offered; {listed} is" if name else "nothing is offered", mend=MEND)


@dataclass(frozen=True, slots=True)
class _Owner:
    file: OwnerFile
    path: Path

    @property
    def id(self) -> str:
        return self.file.id

    def checked(self, statement: Statement) -> SignedManifest:
        """The manifest in a statement, if this owner signed it."""
        if not any(verify_statement(statement, key) for key in self.file.keys):
            what = f"the manifest is signed by key {statement.key_id[:12]}, which is not the owner's"
            raise RefusedError(what, where=str(self.path), mend="keys differ: sign it again, or name its --owner")
        signed = SignedManifest.of(statement)
        if signed.manifest.owner != self.id:
            raise RefusedError("the manifest names another owner", where=str(self.path))
        return signed


class _Calls:
    """The one-way calls to one peer. What the connection lacks is TransportError, what the peer does ProtocolError."""

    def __init__(self, identity: Identity, peer_id: str, address: str) -> None:
        self._address = address
        credentials = channel_credentials(identity, peer_id)
        # Connections are made anew at once: whoever waits for an offer to start shall not wait for a back-off.
        options = [*channel_options(), ("grpc.initial_reconnect_backoff_ms", 100)]
        self._channel = grpc.secure_channel(f"dns:///{address}", credentials, options=options)

    def __enter__(self) -> _Calls:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def offer(self) -> list[pb.Offered]:
        """Everything that is served there."""
        return list(self._unary("Offer", pb.OfferRequest(), pb.OfferReply).plasmids)

    def manifest(self, content_id: bytes) -> Statement:
        """The statement of that content id, as it came."""
        reply = self._unary("GetStatements", pb.GetStatementsRequest(ids=[content_id]), pb.GetStatementsReply)
        statements = [statement_from_pb(one) for one in reply.statements]
        found = next((one for one in statements if one.id == content_id), None)
        if found is None:
            raise ProtocolError("the manifest that was offered did not come", where=self._address)
        open_statement(found)
        return found

    def chunks(self, artifact: Artifacts) -> Iterator[bytes]:
        """The artifact's chunks in order, each as the signed manifest wants it."""
        call = self._channel.unary_stream(
            f"{SERVICE}/Fetch", pb.FetchRequest.SerializeToString, pb.FetchReply.FromString
        )
        replies = self._replies(call(pb.FetchRequest(digest=bytes.fromhex(artifact.sha256)), timeout=BYTES_S))
        hashes = _checked_list(next(replies, None), artifact)
        for index, digest in enumerate(hashes):
            chunk = self._next_chunk(replies)
            if chunk.index != index or hashlib.sha256(chunk.data).digest() != digest:
                raise RefusedError(f"chunk {index} is not what the manifest says", where=self._address)
            yield chunk.data

    def _next_chunk(self, replies: Iterator[pb.FetchReply]) -> pb.Chunk:
        reply = next(replies, None)
        if reply is None:
            raise TransportError("the bytes ended too early", where=self._address, mend="fetch again")
        return reply.chunk

    def _replies(self, call: Any) -> Iterator[pb.FetchReply]:
        try:
            yield from call
        except grpc.RpcError as error:
            raise self._told(error) from None

    def _unary(self, method: str, request: Any, reply: Any) -> Any:
        call = self._channel.unary_unary(f"{SERVICE}/{method}", type(request).SerializeToString, reply.FromString)
        try:
            return call(request, timeout=CALL_S)
        except grpc.RpcError as error:
            raise self._told(error) from None

    def _told(self, error: Any) -> TransportError:
        details = error.details() or ""
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            return TransportError(details or error.code().name.lower(), where=self._address)
        if "CERTIFICATE_VERIFY_FAILED" in details or "handshake" in details.lower():
            what = "whoever answers is not the peer that was expected"
            return TransportError(what, where=self._address, mend="name its id by --peer, as `plora offer` prints it")
        return TransportError("nobody offers there", where=self._address, mend=MEND)


def _checked_list(reply: pb.FetchReply | None, artifact: Artifacts) -> list[bytes]:
    raw = reply.chunk_list.hashes if reply is not None else b""
    hashes = [raw[start : start + 32] for start in range(0, len(raw), 32)]
    if len(hashes) != artifact.chunk_count or chunk_root(hashes).hex() != artifact.chunk_root:
        raise RefusedError("the list of chunks is not what the manifest says")
    return hashes


def _write(folder: Path, signed: SignedManifest, chunks: Iterator[bytes]) -> None:
    """Write the three files beside `folder`, then put them in its place; a failure leaves what was there."""
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    draft.mkdir(parents=True)
    try:
        manifest = signed.manifest
        whole = hashlib.sha256()
        with (draft / ARTIFACT_FILENAME).open("xb") as stream:
            for data in chunks:
                whole.update(data)
                stream.write(data)
        if whole.hexdigest() != manifest.artifacts.sha256:
            raise RefusedError("the bytes are not what the manifest says", where=str(folder))
        (draft / CONFIG_NAME).write_bytes(adapter_config_bytes(manifest.lora.model_dump(), manifest.base_model))
        write_plora_yml(draft / PLORA_YML, signed)
        _replace(folder, draft)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _replace(folder: Path, draft: Path) -> None:
    foreign = sorted({path.name for path in folder.glob("*")} - {ARTIFACT_FILENAME, CONFIG_NAME, PLORA_YML})
    if foreign:
        raise UsageError(
            f"holds {foreign[0]}, which is not an adapter's", where=str(folder), mend="choose another --out"
        )
    old = draft.with_name(f"{draft.name}.old")
    if folder.exists():
        folder.replace(old)
    draft.replace(folder)
    shutil.rmtree(old, ignore_errors=True)
