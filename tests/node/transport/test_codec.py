"""The codec: every message comes back as it was, every bound is refused beyond and let in at its edge."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plora.node.core import messages as m
from plora.node.transport.chunk_frames import read_chunk, write_chunk
from plora.node.transport.codec import (
    RANGES_MAX,
    decode_bulk,
    decode_session,
    encode,
)
from plora.proto.errors import ProtocolError
from plora.proto.statement import Statement
from plora.proto.wire import statement_from_pb, statement_to_pb
from plora.v1 import peer_pb2 as pb

ID = st.binary(min_size=32, max_size=32)
HEX = ID.map(bytes.hex)
BOOT = st.binary(min_size=16, max_size=16).map(bytes.hex)
COUNT = st.integers(0, 2**32 - 1)
TEXT = st.text(max_size=20)
STATEMENT = st.builds(
    Statement,
    kind=st.from_regex(r"[a-z/+.]{1,40}", fullmatch=True),
    payload=st.binary(min_size=1, max_size=60),
    key_id=HEX,
    algorithm=st.sampled_from(["Ed25519", "RSA-PSS-SHA256"]),
    signature=st.binary(min_size=1, max_size=64),
)
CAUSE = st.builds(m.Cause, HEX, BOOT, st.integers(0, 2**64 - 1))
CARRIED = st.lists(st.builds(m.Carried, STATEMENT, COUNT, st.none() | CAUSE), max_size=4).map(tuple)
IDS = st.lists(ID, max_size=5).map(tuple)
KEY = st.binary(max_size=36)
RANGE = st.one_of(
    st.builds(m.Range, KEY),
    st.builds(m.Range, KEY, fingerprint=st.binary(min_size=16, max_size=16)),
    st.builds(m.Range, KEY, ids=IDS),
    st.builds(m.Range, KEY, reply=IDS),
)
ADDRESSES = st.lists(TEXT, max_size=4).map(tuple)
SESSION = st.one_of(
    st.builds(
        m.Hello,
        st.lists(COUNT, max_size=8).map(tuple),
        st.lists(TEXT, max_size=4).map(tuple),
        HEX,
        BOOT,
        COUNT,
        ADDRESSES,
        st.booleans(),
        TEXT,
    ),
    st.builds(m.Welcome, COUNT),
    st.builds(m.Goodbye, TEXT, COUNT),
    st.builds(m.Heartbeat, st.integers(0, 2**64 - 1), st.binary(min_size=16, max_size=16), COUNT, COUNT),
    st.builds(m.Push, CARRIED),
    st.builds(m.Have, CARRIED),
    st.builds(m.IHave, IDS),
    st.builds(m.IWant, IDS),
    st.builds(m.Ack, IDS),
    st.builds(m.DialBack, COUNT),
    st.builds(m.DialedBack, COUNT, TEXT, st.lists(st.builds(m.DialTry, TEXT, TEXT, COUNT), max_size=4).map(tuple)),
    st.builds(m.Reconcile, COUNT, st.lists(RANGE, max_size=6).map(tuple)),
    st.builds(m.Peers, st.lists(st.builds(m.PeerAddress, HEX, ADDRESSES), max_size=4).map(tuple)),
)
BULK = st.one_of(
    st.builds(m.Want, HEX, st.lists(COUNT, max_size=8).map(tuple), st.booleans()),
    st.builds(m.ChunkList, HEX, IDS),
    st.builds(m.Chunk, HEX, COUNT, st.binary(min_size=1, max_size=100)),
    st.builds(m.Refuse, HEX, TEXT, COUNT),
    st.builds(m.Cancel, HEX),
)


@settings(max_examples=200, deadline=None)
@given(SESSION)
def test_a_session_message_comes_back_as_it_was(message: m.SessionMessage) -> None:
    assert decode_session(encode(message)) == message


@settings(max_examples=100, deadline=None)
@given(BULK)
def test_a_bulk_message_comes_back_as_it_was(message: m.BulkMessage) -> None:
    assert decode_bulk(encode(message)) == message


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_protocol_error(data: bytes) -> None:
    for decode in (decode_session, decode_bulk):
        try:
            decode(data)
        except ProtocolError:
            continue


def ids(count: int) -> list[bytes]:
    return [index.to_bytes(32, "big") for index in range(count)]


def carried(count: int) -> list[pb.Carried]:
    return [
        pb.Carried(statement=pb.Statement(kind="k", payload=b"p", key_id="a" * 64, algorithm="E", signature=b"s"))
    ] * count


def peer(count: int = 1, **fields: Any) -> list[pb.PeerEntry]:
    return [pb.PeerEntry(**{"peer": bytes(32), **fields})] * count


HELLO: dict[str, Any] = {"swarm": bytes(32), "boot": bytes(16)}
EDGES: list[tuple[pb.Frame, pb.Frame]] = [
    (pb.Frame(i_have=pb.IHave(ids=ids(256))), pb.Frame(i_have=pb.IHave(ids=ids(257)))),
    (pb.Frame(i_want=pb.IWant(ids=ids(64))), pb.Frame(i_want=pb.IWant(ids=ids(65)))),
    (pb.Frame(ack=pb.Ack(ids=ids(256))), pb.Frame(ack=pb.Ack(ids=ids(257)))),
    (pb.Frame(push=pb.Push(statements=carried(64))), pb.Frame(push=pb.Push(statements=carried(65)))),
    (pb.Frame(have=pb.Have(statements=carried(64))), pb.Frame(have=pb.Have(statements=carried(65)))),
    (pb.Frame(peers=pb.Peers(peers=peer(16))), pb.Frame(peers=pb.Peers(peers=peer(17)))),
    (
        pb.Frame(peers=pb.Peers(peers=peer(addresses=["a:1"] * 4))),
        pb.Frame(peers=pb.Peers(peers=peer(addresses=["a:1"] * 5))),
    ),
    (
        pb.Frame(peers=pb.Peers(peers=peer(addresses=["a" * 256]))),
        pb.Frame(peers=pb.Peers(peers=peer(addresses=["a" * 257]))),
    ),
    (pb.Frame(hello=pb.Hello(**HELLO, versions=[1] * 8)), pb.Frame(hello=pb.Hello(**HELLO, versions=[1] * 9))),
    (pb.Frame(hello=pb.Hello(**HELLO, features=["f"] * 16)), pb.Frame(hello=pb.Hello(**HELLO, features=["f"] * 17))),
    (pb.Frame(hello=pb.Hello(**HELLO)), pb.Frame(hello=pb.Hello(swarm=bytes(31), boot=bytes(16)))),
    (pb.Frame(hello=pb.Hello(**HELLO)), pb.Frame(hello=pb.Hello(swarm=bytes(32), boot=bytes(17)))),
    (pb.Frame(goodbye=pb.Goodbye(reason="r" * 200)), pb.Frame(goodbye=pb.Goodbye(reason="r" * 201))),
    (pb.Frame(heartbeat=pb.Heartbeat(root=bytes(16))), pb.Frame(heartbeat=pb.Heartbeat(root=bytes(15)))),
    (
        pb.Frame(reconcile=pb.Reconcile(ranges=[pb.Range(upper_bound=bytes(36))])),
        pb.Frame(reconcile=pb.Reconcile(ranges=[pb.Range(upper_bound=bytes(37))])),
    ),
    (
        pb.Frame(reconcile=pb.Reconcile(ranges=[pb.Range(skip=True)] * RANGES_MAX)),
        pb.Frame(reconcile=pb.Reconcile(ranges=[pb.Range(skip=True)] * (RANGES_MAX + 1))),
    ),
    (
        pb.Frame(reconcile=pb.Reconcile(ranges=[pb.Range(fingerprint=bytes(16))])),
        pb.Frame(reconcile=pb.Reconcile(ranges=[pb.Range(fingerprint=bytes(17))])),
    ),
    (pb.Frame(i_want=pb.IWant(ids=[bytes(32)])), pb.Frame(i_want=pb.IWant(ids=[bytes(33)]))),
]


@pytest.mark.parametrize("edge", EDGES, ids=lambda pair: pair[0].WhichOneof("body"))
def test_session_bounds_hold_at_their_edge(edge: tuple[pb.Frame, pb.Frame]) -> None:
    inside, beyond = edge
    assert decode_session(inside.SerializeToString()) is not None
    with pytest.raises(ProtocolError):
        decode_session(beyond.SerializeToString())


BULK_EDGES: list[tuple[pb.BulkFrame, pb.BulkFrame]] = [
    (
        pb.BulkFrame(want=pb.Want(digest=bytes(32), indexes=range(m.WANT_MAX))),
        pb.BulkFrame(want=pb.Want(digest=bytes(32), indexes=range(m.WANT_MAX + 1))),
    ),
    (
        pb.BulkFrame(chunk=pb.Chunk(digest=bytes(32), data=bytes(1 << 20))),
        pb.BulkFrame(chunk=pb.Chunk(digest=bytes(32), data=bytes((1 << 20) + 1))),
    ),
    (
        pb.BulkFrame(chunk=pb.Chunk(digest=bytes(32), data=b"x")),
        pb.BulkFrame(chunk=pb.Chunk(digest=bytes(32), data=b"")),
    ),
    (
        pb.BulkFrame(chunk_list=pb.ChunkList(digest=bytes(32), hashes=bytes(32 * m.CHUNK_LIST_MAX))),
        pb.BulkFrame(chunk_list=pb.ChunkList(digest=bytes(32), hashes=bytes(32 * m.CHUNK_LIST_MAX + 32))),
    ),
    (
        pb.BulkFrame(chunk_list=pb.ChunkList(digest=bytes(32), hashes=bytes(64))),
        pb.BulkFrame(chunk_list=pb.ChunkList(digest=bytes(32), hashes=bytes(63))),
    ),
    (
        pb.BulkFrame(refuse=pb.Refuse(digest=bytes(32), reason="r" * 64)),
        pb.BulkFrame(refuse=pb.Refuse(digest=bytes(32), reason="r" * 65)),
    ),
    (pb.BulkFrame(cancel=pb.Cancel(digest=bytes(32))), pb.BulkFrame(cancel=pb.Cancel(digest=bytes(20)))),
]


@pytest.mark.parametrize("edge", BULK_EDGES, ids=lambda pair: pair[0].WhichOneof("body"))
def test_bulk_bounds_hold_at_their_edge(edge: tuple[pb.BulkFrame, pb.BulkFrame]) -> None:
    inside, beyond = edge
    assert decode_bulk(inside.SerializeToString()) is not None
    with pytest.raises(ProtocolError):
        decode_bulk(beyond.SerializeToString())


def test_a_session_frame_is_at_most_64_kib() -> None:
    statement = Statement("k", bytes(16 * 1024), "ab" * 32, "Ed25519", b"s")
    fits = m.Push(tuple([m.Carried(statement)] * 3))
    assert decode_session(encode(fits)) == fits
    with pytest.raises(ProtocolError, match="limit is 65536"):
        encode(m.Push(tuple([m.Carried(statement)] * 4)))
    with pytest.raises(ProtocolError, match="limit is 65536"):
        decode_session(bytes(64 * 1024 + 1))


def test_a_reconciliation_is_at_most_60_kib() -> None:
    long = m.Reconcile(1, tuple(m.Range(bytes(36), ids=tuple(ids(610))) for _ in range(3)))
    assert 60 * 1024 < len(encode(long)) < 64 * 1024
    with pytest.raises(ProtocolError, match="a reconciliation of"):
        decode_session(encode(long))


def test_unknown_frames_are_nothing() -> None:
    unknown_field = b"\xfa\x01\x01x"  # field 31, one byte
    assert decode_session(unknown_field) is None
    assert decode_bulk(b"") is None


def test_a_malformed_statement_is_a_protocol_error() -> None:
    good = Statement("k", b"p", "ab" * 32, "Ed25519", b"s")
    assert statement_from_pb(statement_to_pb(good)) == good
    for field, value in (("payload", b""), ("payload", bytes(16 * 1024 + 1)), ("key_id", "AB" * 32), ("kind", "")):
        wire = statement_to_pb(good)
        setattr(wire, field, value)
        with pytest.raises(ProtocolError, match="malformed statement"):
            statement_from_pb(wire)


@settings(max_examples=100, deadline=None)
@given(ID, COUNT, st.binary(min_size=1, max_size=300))
def test_the_fast_chunk_frame_is_protobufs_own(digest: bytes, index: int, data: bytes) -> None:
    frame = pb.BulkFrame(chunk=pb.Chunk(digest=digest, index=index, data=data)).SerializeToString()
    assert write_chunk(digest, index, data) == frame
    assert read_chunk(frame) == (digest, index, data)


@settings(max_examples=300, deadline=None)
@given(ID, COUNT, st.binary(min_size=1, max_size=40), st.integers(0, 90), st.integers(0, 255))
def test_a_damaged_chunk_frame_reads_as_protobuf_reads_it(
    digest: bytes, index: int, data: bytes, at: int, byte: int
) -> None:
    frame = bytearray(write_chunk(digest, index, data))
    frame[at % len(frame)] = byte
    found = read_chunk(bytes(frame))
    if found is not None:
        chunk = pb.BulkFrame.FromString(bytes(frame)).chunk
        assert found == (chunk.digest, chunk.index, chunk.data)
    assert read_chunk(bytes(frame[:-1])) is None
