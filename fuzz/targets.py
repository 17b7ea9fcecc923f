"""What is fuzzed: each target takes any bytes where strangers' bytes come in, and says what became of them in a word.

Rules:

- The only ways out are a verdict or value of ours, and an error of the kind that the reader documents. Whatever else is
  raised, an "internal_error" of the gate too, and every broken promise below, is a find.
- Promises: what is read and written again is the same; a tensor file that is taken is one to the reference reader, too.
- `examples()` are inputs in order, from which mutations start. Nothing here is random; times are fixed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import cast

import safetensors
from fuzz import signed
from fuzz.mutations import changed, exchanged

from plora.gate import Case, Policy, Trust, Verdict, decide
from plora.gate.features import Features
from plora.gate.tensors import examine_descriptor
from plora.node.core import messages as m
from plora.node.core.config import CoreConfig
from plora.node.core.effects import Emit, Persist
from plora.node.core.events import Event, LinkOpened, Misbehaved, Persisted, Received, Start
from plora.node.core.now import Now
from plora.node.core.peer import PeerCore
from plora.node.store.snapshot import Snapshot
from plora.node.transport.codec import decode_bulk, decode_session, encode
from plora.proto.errors import FormatError, ManifestError, ProtocolError
from plora.proto.manifest import Manifest
from plora.proto.payloads import PAYLOAD_MODELS, OwnerRecord
from plora.proto.statement import (
    Statement,
    named_key_id,
    open_statement,
    statement_from_json,
    statement_to_json,
    verify_statement,
)
from plora.proto.yaml_view import SignedManifest, from_yaml, to_yaml
from plora.sim.clock import WALL_START_MS
from plora.sim.material import attest, make_owner, make_plasmid, revoke, tiny_adapter

SWARM = "ab" * 32
ADA = make_owner("ada", SWARM)
DATA = tiny_adapter(1, width=8)
LEGAL = make_plasmid(ADA, "legal", DATA)
ADA_RECORD = cast("OwnerRecord", open_statement(ADA.record))
TRUST = Trust((ADA.trusted,))
KINDS = tuple(sorted(PAYLOAD_MODELS))
ENVELOPE = 255
ME, BEN = "5" * 64, "b" * 64
NOW = Now(0, WALL_START_MS)
HELLO = m.Hello((m.WIRE_VERSION,), (), SWARM, "11" * 16, NOW.epoch_day)


@dataclass(frozen=True)
class Target:
    """What is done with bytes (the outcome in a word), where to begin, and how long an input may be.

    `change`: a change of an input that its reader doesn't refuse at once; None where it finds no place.
    """

    run: Callable[[bytes], str]
    examples: Callable[[], Iterator[bytes]]
    bytes_max: int
    change: Callable[[bytes, random.Random], bytes | None] = lambda _data, _rng: None


def statement(data: bytes) -> str:
    """A statement off the wire or from a file: the first byte says of which kind the payload is."""
    if not data:
        return "empty"
    try:
        said = _statement(data)
        payload = open_statement(said)
        assert payload.to_bytes() == said.payload, "another payload than was signed"
        said.day  # noqa: B018 - it is read of every statement that opens
        verify_statement(said, ADA.key.public)
    except FormatError as error:
        return type(error).__name__
    if isinstance(payload, Manifest):
        return _judged(Case(said, payload, NOW.wall_ms, swarm=SWARM, owner_records=((ADA.record, ADA_RECORD),)))
    return said.kind


def signed_statement(data: bytes) -> str:
    """What a peer makes of a statement that a key signed which it knows: the first byte says of which kind it is."""
    if not data:
        return "empty"
    try:
        return signed.taken(signed.said(KINDS[data[0] % len(KINDS)], data[1:]))
    except FormatError as error:
        return type(error).__name__


def yaml_view(data: bytes) -> str:
    """The text of a plora.yml."""
    try:
        signed = from_yaml(data)
    except ManifestError as error:
        return " ".join(error.what.split()[:3])
    assert from_yaml(to_yaml(signed)) == signed, "read, written and read again, it is another"
    return "read"


def tensor_file(data: bytes) -> str:
    """The bytes of an artifact, as a worker examines them, and what the gate makes of the features."""
    features = _examined(data)
    if not features.header_error:
        reference = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
        assert {name for name, _ in reference} == set(features.tensors), "the reference reader sees others"
    artifacts = LEGAL.manifest.artifacts.model_copy(update={"sha256": features.sha256, "size_bytes": len(data)})
    manifest = LEGAL.manifest.model_copy(update={"artifacts": artifacts})
    case = Case(LEGAL.statement, LEGAL.manifest, NOW.wall_ms, features=features)
    _judged(replace(case, manifest=manifest))
    return features.header_error or "read"


def frame(data: bytes) -> str:
    """A frame of a linked member, on the session or (first bit) the bulk stream, and what the peer does with it."""
    bulk = bool(data[:1] and data[0] & 1)
    try:
        message = decode_bulk(data[1:]) if bulk else decode_session(data[1:])
    except ProtocolError:
        _tell(_linked(), Misbehaved(BEN, "frame"))
        return "ProtocolError"
    if message is None:
        return "unknown"
    again = decode_bulk(encode(message)) if bulk else decode_session(encode(message))
    assert again == message, "read, written and read again, it is another"
    _tell(_linked(), Received(BEN, message))
    return type(message).__name__


def _statement(data: bytes) -> Statement:
    if data[0] == ENVELOPE:
        said = statement_from_json(data[1:].decode("utf-8", "replace"))
        assert statement_from_json(statement_to_json(said)) == said, "read, written and read again, it is another"
        return said
    kind, payload = KINDS[data[0] % len(KINDS)], data[1:]
    unsigned = Statement(kind, payload, "00" * 32, "Ed25519", bytes(64))
    return replace(unsigned, key_id=named_key_id(unsigned))


def _judged(case: Case) -> str:
    verdict: Verdict = decide(case, Policy(), TRUST)
    assert verdict.reason != "internal_error", verdict.stages[-1].evidence
    return f"{verdict.outcome} {verdict.reason}"


def _examined(data: bytes) -> Features:
    descriptor = os.memfd_create("artifact")
    try:
        os.write(descriptor, data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return examine_descriptor(descriptor, chunk_bytes=LEGAL.manifest.artifacts.chunk_bytes)
    finally:
        os.close(descriptor)


def _linked() -> PeerCore:
    """A peer with one member whose greeting is over."""
    core = PeerCore(CoreConfig(peer=ME, swarm=SWARM, boot="00" * 16), Policy(), TRUST, Snapshot())
    _tell(core, Start(), LinkOpened(BEN, False), Received(BEN, HELLO), Received(BEN, m.Welcome(m.WIRE_VERSION)))
    return core


def _tell(core: PeerCore, *events: Event) -> None:
    """Events in turn; what is to be written is written at once."""
    queue: list[Event] = list(events)
    while queue:
        effects = core.handle(queue.pop(0), NOW)
        queue += [Persisted(effect.token) for effect in effects if isinstance(effect, Persist)]
        for effect in effects:
            assert not (isinstance(effect, Emit) and effect.body.kind == "error"), effect


def _statements() -> Iterator[bytes]:
    for said in (ADA.record, LEGAL.statement, attest(ADA, LEGAL.content_id), revoke(ADA, "content", "cd" * 32)):
        yield bytes([KINDS.index(said.kind)]) + said.payload
        yield bytes([ENVELOPE]) + statement_to_json(said).encode()


def _signed_statements() -> Iterator[bytes]:
    yield from (bytes([KINDS.index(said.kind)]) + said.payload for said in signed.examples())


def _yaml_views() -> Iterator[bytes]:
    signed = SignedManifest.of(LEGAL.statement)
    yield to_yaml(signed).encode()
    yield to_yaml(SignedManifest.of(LEGAL.statement, [attest(make_owner("ben", SWARM), LEGAL.content_id)])).encode()


def _tensor_files() -> Iterator[bytes]:
    yield DATA
    yield bytes(8)
    yield (64).to_bytes(8, "little") + b'{"a":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]}}'.ljust(64) + bytes(4)


def _frames() -> Iterator[bytes]:
    parcel = m.Carried(ADA.record, 1)
    session = (
        *(HELLO, m.Welcome(m.WIRE_VERSION), m.Goodbye("restart"), m.Push((parcel, m.Carried(LEGAL.statement, 0)))),
        *(m.IHave((LEGAL.content_id,)), m.IWant((ADA.record.id,)), m.Have((parcel,)), m.Ack((ADA.record.id,))),
        m.Heartbeat(1, bytes(16), 5, NOW.wall_ms),
        m.Reconcile(1, (m.Range(b"\x80", fingerprint=bytes(16)), m.Range(b"", ids=(ADA.record.id,)))),
        m.Reconcile(2, (m.Range(b"\x80"), m.Range(b"", reply=(ADA.record.id,)))),
        m.Peers((m.PeerAddress("cd" * 32, ("10.0.0.1:4700",)),)),
        *(m.DialBack(7), m.DialedBack(7, "10.0.0.2", (m.DialTry("10.0.0.1:4700", "timeout", 9),))),
    )
    digest = LEGAL.manifest.artifacts.sha256
    bulk = (
        *(m.Want(digest, (0, 1)), m.Want(digest, want_list=True), m.ChunkList(digest, (bytes(32),))),
        *(m.Chunk(digest, 0, b"chunk"), m.Refuse(digest, "busy", 9), m.Cancel(digest)),
    )
    yield from (b"\x00" + encode(message) for message in session)
    yield from (b"\x01" + encode(message) for message in bulk)


def _change_statement(data: bytes, rng: random.Random) -> bytes | None:
    text = changed(data[1:], rng)
    return None if text is None else data[:1] + text


def _change_signed(data: bytes, rng: random.Random) -> bytes | None:
    """Mostly by what would fit: what breaks the schema is refused before anything is made of it."""
    if not rng.randrange(4):
        return _change_statement(data, rng)
    try:
        text = exchanged(data[1:], rng, signed.values())
    except (ValueError, RecursionError):
        return None
    return None if text is None else data[:1] + text


def _change_tensor_file(data: bytes, rng: random.Random) -> bytes | None:
    """Another header of the right length."""
    size = int.from_bytes(data[:8], "little")
    text = changed(data[8 : 8 + size], rng)
    if text is None:
        return None
    text = text.ljust(-(-len(text) // 8) * 8)
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


TARGETS = {
    "frame": Target(frame, _frames, 4096),
    "signed_statement": Target(signed_statement, _signed_statements, 8192, _change_signed),
    "statement": Target(statement, _statements, 8192, _change_statement),
    "tensor_file": Target(tensor_file, _tensor_files, 4096, _change_tensor_file),
    "yaml_view": Target(yaml_view, _yaml_views, 4096),
}
