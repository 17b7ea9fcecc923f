"""Messages of the core to protobuf and back, with every bound of the protocol.

Rules:

- `encode` takes what the core says and never changes it; `decode` gives the message, or None for a frame of a kind
  that this version doesn't know (counted and ignored by the link).
- What exceeds a bound or is malformed raises `ProtocolError`, which costs the sender the link.
- Peer ids, swarm, boot and digests are raw bytes on the wire and hexadecimal text in the core.
- Not handled here: whether signatures or chunk hashes are right (the core and the store check those).

>>> from plora.node.core.messages import IHave
>>> decode_session(encode(IHave((bytes(32),)))) == IHave((bytes(32),))
True
>>> decode_session(b"") is None
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from plora.node.core import messages as m
from plora.node.transport.chunk_frames import read_chunk, write_chunk
from plora.proto.errors import ProtocolError
from plora.proto.wire import statement_from_pb, statement_to_pb
from plora.v1 import peer_pb2 as pb

ID_BYTES = 32
BOOT_BYTES = 16
ROOT_BYTES = 16
KEY_BYTES_MAX = 36
HASH_BYTES = 32
VERSIONS_MAX = 8
FEATURES_MAX = 16
ADDRESSES_MAX = 4
ADDRESS_CHARACTERS_MAX = 256
REASON_CHARACTERS_MAX = 200
NICKNAME_CHARACTERS_MAX = 64
OUTCOME_CHARACTERS_MAX = 32
RANGES_MAX = 2048
WALL_MS_MAX = 1 << 53

_NO_CAUSE = b""


def encode(message: m.Message) -> bytes:
    """The bytes of a `Frame` or `BulkFrame`, by the message's type; `ProtocolError` when they exceed the frame."""
    if isinstance(message, m.Chunk):
        return write_chunk(bytes.fromhex(message.digest), message.index, message.data)
    data: bytes = _ENCODERS[type(message)](message).SerializeToString()
    if not isinstance(message, m.BulkMessage) and len(data) > m.FRAME_BYTES_MAX:
        raise ProtocolError(f"a {type(message).__name__} frame of {len(data)} bytes, the limit is {m.FRAME_BYTES_MAX}")
    return data


def decode_session(data: bytes) -> m.SessionMessage | None:
    """The message in a session frame; None when its kind is unknown."""
    if len(data) > m.FRAME_BYTES_MAX:
        raise ProtocolError(f"a frame of {len(data)} bytes, the limit is {m.FRAME_BYTES_MAX}")
    message: m.SessionMessage | None = _decode(pb.Frame, _SESSION_DECODERS, data)
    if isinstance(message, m.Reconcile) and len(data) > m.RECONCILE_BYTES_MAX:
        raise ProtocolError(f"a reconciliation of {len(data)} bytes, the limit is {m.RECONCILE_BYTES_MAX}")
    return message


def decode_bulk(data: bytes) -> m.BulkMessage | None:
    """The message in a bulk frame; None when its kind is unknown."""
    chunk = read_chunk(data)
    if chunk is not None:
        return _checked_chunk(*chunk)
    message: m.BulkMessage | None = _decode(pb.BulkFrame, _BULK_DECODERS, data)
    return message


def _decode(frame: Any, decoders: Mapping[str, Callable[[Any], Any]], data: bytes) -> Any:
    try:
        wire = frame.FromString(data)
    except DecodeError as error:
        raise ProtocolError("a frame that is no protobuf") from error
    name = wire.WhichOneof("body")
    return None if name is None else decoders[name](getattr(wire, name))


# Checks.


def _exactly(value: bytes, size: int, what: str) -> bytes:
    if len(value) != size:
        raise ProtocolError(f"{what} of {len(value)} bytes, not {size}")
    return value


def _at_most(items: Sequence[Any], most: int, what: str) -> Sequence[Any]:
    if len(items) > most:
        raise ProtocolError(f"{len(items)} {what}, the limit is {most}")
    return items


def _ids(ids: Sequence[bytes], most: int) -> tuple[bytes, ...]:
    return tuple(_exactly(one, ID_BYTES, "an id") for one in _at_most(ids, most, "ids"))


def _hex(value: bytes, size: int = ID_BYTES, what: str = "an id") -> str:
    return _exactly(value, size, what).hex()


def _texts(texts: Sequence[str], most: int, characters: int, what: str) -> tuple[str, ...]:
    return tuple(_text(text, characters, what) for text in _at_most(texts, most, what))


def _text(text: str, characters: int, what: str) -> str:
    if len(text) > characters:
        raise ProtocolError(f"a {what} of {len(text)} characters, the limit is {characters}")
    return text


# Session frames.


def _hello(message: m.Hello) -> pb.Frame:
    return pb.Frame(
        hello=pb.Hello(
            versions=message.versions,
            features=message.features,
            swarm=bytes.fromhex(message.swarm),
            boot=bytes.fromhex(message.boot),
            epoch_day=message.epoch_day,
            addresses=message.addresses,
            dialable=message.dialable,
            nickname=message.nickname,
        )
    )


def _hello_back(wire: pb.Hello) -> m.Hello:
    return m.Hello(
        versions=tuple(_at_most(wire.versions, VERSIONS_MAX, "versions")),
        features=_texts(wire.features, FEATURES_MAX, 32, "features"),
        swarm=_hex(wire.swarm, what="a swarm"),
        boot=_hex(wire.boot, BOOT_BYTES, "a boot"),
        epoch_day=wire.epoch_day,
        addresses=_addresses(wire.addresses),
        dialable=wire.dialable,
        nickname=_text(wire.nickname, NICKNAME_CHARACTERS_MAX, "nickname"),
    )


def _addresses(addresses: Sequence[str]) -> tuple[str, ...]:
    return _texts(addresses, ADDRESSES_MAX, ADDRESS_CHARACTERS_MAX, "addresses")


def _welcome(message: m.Welcome) -> pb.Frame:
    return pb.Frame(welcome=pb.Welcome(version=message.version))


def _goodbye(message: m.Goodbye) -> pb.Frame:
    reason = message.reason[:REASON_CHARACTERS_MAX]
    return pb.Frame(goodbye=pb.Goodbye(reason=reason, retry_after_ms=message.retry_after_ms))


def _goodbye_back(wire: pb.Goodbye) -> m.Goodbye:
    return m.Goodbye(_text(wire.reason, REASON_CHARACTERS_MAX, "reason"), wire.retry_after_ms)


def _heartbeat(message: m.Heartbeat) -> pb.Frame:
    beat = pb.Heartbeat(count=message.count, root=message.root, lag_ms=message.lag_ms, wall_ms=message.wall_ms)
    return pb.Frame(heartbeat=beat)


def _heartbeat_back(wire: pb.Heartbeat) -> m.Heartbeat:
    if wire.wall_ms > WALL_MS_MAX:
        raise ProtocolError("a heartbeat of no clock")
    return m.Heartbeat(wire.count, _exactly(wire.root, ROOT_BYTES, "a root"), wire.lag_ms, wire.wall_ms)


def _carried(items: Iterable[m.Carried]) -> list[pb.Carried]:
    return [
        pb.Carried(statement=statement_to_pb(item.statement), hops=item.hops, cause=_cause(item.cause))
        for item in items
    ]


def _cause(cause: m.Cause | None) -> pb.Cause | None:
    if cause is None:
        return None
    return pb.Cause(peer=bytes.fromhex(cause.peer), boot=bytes.fromhex(cause.boot), seq=cause.seq)


def _carried_back(items: Sequence[pb.Carried]) -> tuple[m.Carried, ...]:
    return tuple(
        m.Carried(statement_from_pb(item.statement), item.hops, _cause_back(item.cause))
        for item in _at_most(items, m.HAVE_MAX, "statements")
    )


def _cause_back(wire: pb.Cause) -> m.Cause | None:
    if wire.peer == _NO_CAUSE:
        return None
    return m.Cause(_hex(wire.peer), _hex(wire.boot, BOOT_BYTES, "a boot"), wire.seq)


def _range(part: m.Range) -> pb.Range:
    if part.fingerprint is not None:
        return pb.Range(upper_bound=part.upper, fingerprint=part.fingerprint)
    if part.ids is not None:
        return pb.Range(upper_bound=part.upper, ids=pb.IdList(ids=part.ids))
    if part.reply is not None:
        return pb.Range(upper_bound=part.upper, reply=pb.IdList(ids=part.reply))
    return pb.Range(upper_bound=part.upper, skip=True)


def _range_back(wire: pb.Range) -> m.Range:
    upper = wire.upper_bound
    if len(upper) > KEY_BYTES_MAX:
        raise ProtocolError(f"a range's bound of {len(upper)} bytes, the limit is {KEY_BYTES_MAX}")
    match wire.WhichOneof("body"):
        case "fingerprint":
            return m.Range(upper, fingerprint=_exactly(wire.fingerprint, ROOT_BYTES, "a fingerprint"))
        case "ids":
            return m.Range(upper, ids=_ids(wire.ids.ids, RANGES_MAX))
        case "reply":
            return m.Range(upper, reply=_ids(wire.reply.ids, RANGES_MAX))
        case _:
            return m.Range(upper)


def _reconcile(message: m.Reconcile) -> pb.Frame:
    ranges = [_range(part) for part in message.ranges]
    return pb.Frame(reconcile=pb.Reconcile(ranges=ranges, session=message.session, done=not ranges))


def _reconcile_back(wire: pb.Reconcile) -> m.Reconcile:
    return m.Reconcile(wire.session, tuple(_range_back(part) for part in _at_most(wire.ranges, RANGES_MAX, "ranges")))


def _peers(message: m.Peers) -> pb.Frame:
    entries = [pb.PeerEntry(peer=bytes.fromhex(one.peer), addresses=one.addresses) for one in message.entries]
    return pb.Frame(peers=pb.Peers(peers=entries))


def _peers_back(wire: pb.Peers) -> m.Peers:
    entries = _at_most(wire.peers, m.PEERS_MAX, "peers")
    return m.Peers(tuple(m.PeerAddress(_hex(one.peer), _addresses(one.addresses)) for one in entries))


def _dialed_back(message: m.DialedBack) -> pb.Frame:
    tries = [pb.DialTry(address=one.address, outcome=one.outcome, took_ms=one.took_ms) for one in message.tries]
    return pb.Frame(dialed_back=pb.DialedBack(number=message.number, seen_host=message.seen_host, tries=tries))


def _dialed_back_back(wire: pb.DialedBack) -> m.DialedBack:
    tries = tuple(
        m.DialTry(
            _text(one.address, ADDRESS_CHARACTERS_MAX, "address"),
            _text(one.outcome, OUTCOME_CHARACTERS_MAX, "outcome"),
            one.took_ms,
        )
        for one in _at_most(wire.tries, m.TRIES_MAX, "tries")
    )
    return m.DialedBack(wire.number, _text(wire.seen_host, ADDRESS_CHARACTERS_MAX, "host"), tries)


# Bulk frames.


def _want(message: m.Want) -> pb.BulkFrame:
    digest = bytes.fromhex(message.digest)
    return pb.BulkFrame(want=pb.Want(digest=digest, indexes=message.chunks, want_list=message.want_list))


def _want_back(wire: pb.Want) -> m.Want:
    chunks = tuple(_at_most(wire.indexes, m.WANT_MAX, "chunks"))
    return m.Want(_hex(wire.digest), chunks, wire.want_list)


def _chunk_list(message: m.ChunkList) -> pb.BulkFrame:
    digest = bytes.fromhex(message.digest)
    return pb.BulkFrame(chunk_list=pb.ChunkList(digest=digest, hashes=b"".join(message.hashes)))


def chunk_list_from_pb(wire: pb.ChunkList) -> m.ChunkList:
    """A list of chunk hashes; `ProtocolError` when it is ragged or too long."""
    hashes = wire.hashes
    if len(hashes) % HASH_BYTES or len(hashes) > m.CHUNK_LIST_MAX * HASH_BYTES:
        raise ProtocolError(f"a chunk list of {len(hashes)} bytes")
    starts = range(0, len(hashes), HASH_BYTES)
    return m.ChunkList(_hex(wire.digest), tuple(hashes[start : start + HASH_BYTES] for start in starts))


def _checked_chunk(digest: bytes, index: int, data: bytes) -> m.Chunk:
    if not 0 < len(data) <= m.CHUNK_BYTES_MAX:
        raise ProtocolError(f"a chunk of {len(data)} bytes")
    return m.Chunk(_hex(digest), index, data)


def _refuse(message: m.Refuse) -> pb.BulkFrame:
    digest = bytes.fromhex(message.digest)
    return pb.BulkFrame(
        refuse=pb.Refuse(digest=digest, reason=message.reason, retry_after_ms=message.retry_after_ms),
    )


def _refuse_back(wire: pb.Refuse) -> m.Refuse:
    return m.Refuse(_hex(wire.digest), _text(wire.reason, 64, "reason"), wire.retry_after_ms)


_ENCODERS: Mapping[type, Callable[[Any], Any]] = {
    m.Hello: _hello,
    m.Welcome: _welcome,
    m.Goodbye: _goodbye,
    m.Heartbeat: _heartbeat,
    m.Push: lambda message: pb.Frame(push=pb.Push(statements=_carried(message.items))),
    m.IHave: lambda message: pb.Frame(i_have=pb.IHave(ids=message.ids)),
    m.IWant: lambda message: pb.Frame(i_want=pb.IWant(ids=message.ids)),
    m.Reconcile: _reconcile,
    m.Have: lambda message: pb.Frame(have=pb.Have(statements=_carried(message.items))),
    m.Peers: _peers,
    m.Ack: lambda message: pb.Frame(ack=pb.Ack(ids=message.ids)),
    m.DialBack: lambda message: pb.Frame(dial_back=pb.DialBack(number=message.number)),
    m.DialedBack: _dialed_back,
    m.Want: _want,
    m.ChunkList: _chunk_list,
    m.Refuse: _refuse,
    m.Cancel: lambda message: pb.BulkFrame(cancel=pb.Cancel(digest=bytes.fromhex(message.digest))),
}

_SESSION_DECODERS: Mapping[str, Callable[[Any], m.SessionMessage]] = {
    "hello": _hello_back,
    "welcome": lambda wire: m.Welcome(wire.version),
    "goodbye": _goodbye_back,
    "heartbeat": _heartbeat_back,
    "push": lambda wire: m.Push(_carried_back(wire.statements)),
    "i_have": lambda wire: m.IHave(_ids(wire.ids, m.IHAVE_MAX)),
    "i_want": lambda wire: m.IWant(_ids(wire.ids, m.IWANT_MAX)),
    "reconcile": _reconcile_back,
    "have": lambda wire: m.Have(_carried_back(wire.statements)),
    "peers": _peers_back,
    "ack": lambda wire: m.Ack(_ids(wire.ids, m.ACK_MAX)),
    "dial_back": lambda wire: m.DialBack(wire.number),
    "dialed_back": _dialed_back_back,
}

_BULK_DECODERS: Mapping[str, Callable[[Any], m.BulkMessage]] = {
    "want": _want_back,
    "chunk_list": chunk_list_from_pb,
    "chunk": lambda wire: _checked_chunk(wire.digest, wire.index, wire.data),
    "refuse": _refuse_back,
    "cancel": lambda wire: m.Cancel(_hex(wire.digest)),
}
