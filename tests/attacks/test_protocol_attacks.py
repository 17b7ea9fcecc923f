"""Attacks on the protocol, against a real `plora-node`: each ends with the offender cut off and named, and the peer
answers everybody else as before."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hyperframe.frame import DataFrame
from tests.attacks.misbehaving import (
    OFFER,
    Flood,
    Member,
    Raw,
    Talker,
    continuations,
    offers,
    pings,
    resets,
    settings,
    talk,
)

from plora.gate import load_trust, save_trust
from plora.node.core.messages import (
    Carried,
    Chunk,
    ChunkList,
    Have,
    Heartbeat,
    IHave,
    IWant,
    Push,
    Range,
    Reconcile,
    Want,
)
from plora.node.transport.door import BROKEN_OFF
from plora.node.transport.grpc_setup import grpc
from plora.node.transport.identity import Leaf, certificate, mark_key, mark_name
from plora.node.transport.services import HEALTH_METHOD
from plora.node.transport.tls import MESSAGE_BYTES_MAX, anchor, channel_options
from plora.proto.chunks import chunk_hashes
from plora.proto.swarm import Swarm, load_swarm
from plora.sim.material import Owner, Plasmid, make_owner, make_plasmid, tiny_adapter
from plora.v1 import peer_pb2 as pb

if TYPE_CHECKING:
    from tests.attacks.conftest import Watched
    from tests.swarm.conftest import MakePeer, Peer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(90)]

RSS_GROWTH_MAX = 64 << 20
DAY_S = 86_400


@dataclass
class Scene:
    """A victim that runs, and members that misbehave against it."""

    victim: Peer
    folder: Path
    raws: list[Raw] = field(default_factory=list)

    @property
    def swarm(self) -> Swarm:
        return load_swarm(self.victim.home.swarm)

    def member(self) -> Member:
        return Member(self.swarm, self.folder)

    async def raw(self, member: Member) -> Raw:
        """A raw connection to the victim, closed with the scene."""
        self.raws.append(await asyncio.to_thread(member.raw, self.victim))
        return self.raws[-1]

    async def named(self, member: Member, reason: str) -> None:
        """The event log says who did it and why, and its calls are refused."""
        blamed = partial(re.search, reason)
        await self.logged("penalty", lambda record: record["subject"] == member.id and bool(blamed(record["reason"])))
        assert await answer(member, self.victim) == (
            "PERMISSION_DENIED",
            "this peer broke a rule and is cut off for now",
        )

    async def repelled(self, reason: str) -> None:
        """The event log says from where it came, for there is no identity to name."""
        await self.logged("repelled", lambda record: record["host"] == "127.0.0.1" and reason == record["reason"])

    async def serves(self) -> None:
        """The victim answers an honest member, and answers soon."""
        began = time.perf_counter()
        assert await answer(self.member(), self.victim) == ("OK", "")
        assert time.perf_counter() - began < 5

    async def logged(self, kind: str, fits: Callable[[dict[str, Any]], bool]) -> None:
        """Wait for a record."""
        await asyncio.to_thread(self.victim.until, lambda: any(map(fits, self.victim.records(kind))))

    def rss_bytes(self) -> int:
        """The victim's memory."""
        assert self.victim.process is not None
        pages = Path(f"/proc/{self.victim.process.pid}/statm").read_text().split()[1]
        return int(pages) * 4096


@pytest.fixture
async def scene(make_peer: MakePeer, tmp_path: Path) -> AsyncIterator[Scene]:
    victim = make_peer("victim")
    victim.settings["gossip"] |= {"redial_ms_max": 30_000, "link_timeout_ms": 15_000, "stall_ms": 500}
    victim.settings["limits"] |= {"untrusted_owners": 8}
    await asyncio.to_thread(victim.start)
    made = Scene(victim, tmp_path)
    yield made
    for raw in made.raws:
        raw.close()
    await made.serves()


async def answer(member: Member, victim: Peer, method: str = OFFER, request: bytes = b"") -> tuple[str, str]:
    """Status and details of a call."""
    channel = member.channel(victim)
    try:
        await channel.unary_unary(method)(request, timeout=10)
    except grpc.aio.AioRpcError as error:
        return error.code().name, error.details() or ""
    finally:
        await channel.close()
    return "OK", ""


def wanted(scene: Scene) -> tuple[Owner, Plasmid]:
    """A plasmid of several chunks that the victim will want, for it believes the owner."""
    victim = scene.victim
    now_s = int(time.time())
    owner = make_owner("ada", scene.swarm.id, issued_s=now_s)
    save_trust(victim.home.trust, load_trust(victim.home.trust).with_owner(owner.trusted))
    victim.reload()
    return owner, make_plasmid(owner, "legal", tiny_adapter(1, width=4000), issued_s=now_s, life_s=DAY_S)


async def offering(scene: Scene, member: Member, owner: Owner, plasmid: Plasmid) -> tuple[Talker, Want]:
    """A link on which the victim was told of a plasmid, and has asked for its chunk list."""
    link = await talk(member, scene.victim)
    await link.say(Push((Carried(owner.record, 0), Carried(plasmid.statement, 0))))
    await asyncio.to_thread(scene.victim.until, scene.victim.plasmids)
    await link.say(IHave((plasmid.content_id,)))
    return link, await link.until(Want, lambda want: want.want_list)


def listed(plasmid: Plasmid) -> ChunkList:
    artifacts = plasmid.manifest.artifacts
    return ChunkList(artifacts.sha256, tuple(chunk_hashes(plasmid.data, artifacts.chunk_bytes)))


def chunk(plasmid: Plasmid, index: int) -> Chunk:
    size = plasmid.manifest.artifacts.chunk_bytes
    return Chunk(plasmid.manifest.artifacts.sha256, index, plasmid.data[index * size : (index + 1) * size])


def out_of_order(plasmid: Plasmid, asked: tuple[int, ...]) -> list[Chunk]:
    return [replace(chunk(plasmid, asked[0]), index=asked[1])]


def twice(plasmid: Plasmid, asked: tuple[int, ...]) -> list[Chunk]:
    return [chunk(plasmid, index) for index in asked] + [chunk(plasmid, asked[0])]


def beyond_the_size(plasmid: Plasmid, asked: tuple[int, ...]) -> list[Chunk]:
    one = chunk(plasmid, asked[0])
    return [replace(one, data=one.data + b"more")]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [(out_of_order, "bad_chunk"), (twice, "unrequested_chunk"), (beyond_the_size, "bad_chunk")],
)
async def test_attack_056_chunks(scene: Scene, attack: Watched, bad: Any, reason: str) -> None:
    member = scene.member()
    owner, plasmid = wanted(scene)
    link, _ = await offering(scene, member, owner, plasmid)
    await link.say(listed(plasmid))
    asked = (await link.until(Want, lambda want: bool(want.chunks))).chunks
    await link.say(*bad(plasmid, asked))
    await scene.named(member, reason)
    await link.until_ended()
    await link.leave()
    attack.saw("X", reason)


async def test_attack_056_a_chunk_larger_than_any(scene: Scene, attack: Watched) -> None:
    member = scene.member()
    link = await talk(member, scene.victim)
    await link.say(Chunk("ab" * 32, 0, bytes((1 << 20) + 1)))
    await scene.named(member, "a chunk of 1048577 bytes")
    await link.leave()
    attack.saw("X", "frame_bound")


async def test_attack_057_a_link_without_a_greeting(scene: Scene, attack: Watched) -> None:
    member = scene.member()
    link = await talk(member, scene.victim, greet=False)
    await scene.named(member, "no Hello within 5 s")
    await link.leave()
    attack.saw("X", "no_hello")


async def test_attack_057_a_hello_that_trickles(scene: Scene, attack: Watched) -> None:
    member = scene.member()
    raw = await scene.raw(member)
    await asyncio.to_thread(_trickle, raw)
    await scene.named(member, "no Hello within 5 s")
    attack.saw("X", "no_hello")


def _trickle(raw: Raw) -> None:
    """Both streams of a link, and a byte of the Hello now and then, as long as somebody listens."""
    raw.tls.sendall(raw.begin(1, "/plora.v1.Peer/Session") + raw.begin(3, "/plora.v1.Peer/Bulk"))
    for byte in b"\0\0\0\0\x20" + bytes(32):
        frame = DataFrame(1)
        frame.data = bytes([byte])
        try:
            raw.tls.sendall(frame.serialize())
        except OSError:
            return
        if raw.ends(within_s=0.5):
            return


async def test_attack_057_a_handshake_that_never_comes(scene: Scene, attack: Watched) -> None:
    with socket.create_connection(("127.0.0.1", scene.victim.port)) as silent:
        silent.settimeout(15)
        assert await asyncio.to_thread(silent.recv, 1) == b""
    await scene.repelled("no_call")
    attack.saw("X", "no_call")


async def test_attack_057_a_fetch_that_nobody_reads(scene: Scene, attack: Watched, tmp_path: Path) -> None:
    member = scene.member()
    plasmid = await asyncio.to_thread(_published, scene.victim, tmp_path / "large")
    raw = await scene.raw(member)
    request = pb.FetchRequest(digest=bytes.fromhex(plasmid.manifest.artifacts.sha256))
    raw.call("/plora.v1.Peer/Fetch", request.SerializeToString())
    await scene.named(member, "doesn't read")
    attack.saw("X", "does_not_read")


def _published(victim: Peer, folder: Path) -> Plasmid:
    plasmid = victim.signed_folder(folder, seed=1, width=20_000)
    victim.publish(folder)
    victim.until(lambda: [one for one in victim.plasmids().values() if one.outcome == "ACCEPT"])
    return plasmid


@pytest.mark.parametrize("frame", [bytes(65 << 10), b"\xff" * 100], ids=["too_large", "no_protobuf"])
async def test_attack_058_frames_that_break_their_bounds(scene: Scene, attack: Watched, frame: bytes) -> None:
    member = scene.member()
    link = await talk(member, scene.victim)
    await link.say(frame)
    await scene.named(member, "a frame")
    await link.leave()
    attack.saw("X", "frame_bound")


def saw_any(attack: Watched, reasons: str) -> None:
    """Which of these it was is luck; the table names them all."""
    for reason in reasons.split("|"):
        attack.saw("X", reason)


def _length_of(size: int) -> bytes:
    return b"\0" + struct.pack(">I", size)


BOMB = gzip.compress(bytes(64 << 20))
EITHER = "control_flood|oversized_call"
"""One call that can't be taken, or a flood where all of it came before the first look."""


@pytest.mark.parametrize(
    ("headers", "message", "reason"),
    [
        ((), _length_of(MESSAGE_BYTES_MAX + 1), BROKEN_OFF),
        ((), _length_of(0xFFFFFFFF), BROKEN_OFF),
        ((("grpc-encoding", "gzip"),), b"\1" + struct.pack(">I", len(BOMB)) + BOMB, "oversized_call"),
    ],
    ids=["just_over", "four_gigabytes", "gzip_bomb"],
)
async def test_attack_058_messages_over_the_limit(
    scene: Scene, attack: Watched, headers: Any, message: bytes, reason: str
) -> None:
    member = scene.member()
    before = scene.rss_bytes()
    raw = await scene.raw(member)
    raw.tls.sendall(raw.begin(1, "/plora.v1.Peer/Session", *headers) + raw.begin(3, "/plora.v1.Peer/Bulk"))
    raw.tls.sendall(b"".join(_data(1, message)))
    assert await asyncio.to_thread(raw.ends)
    await scene.named(member, reason)
    assert scene.rss_bytes() - before < RSS_GROWTH_MAX
    attack.saw("X", reason)


@pytest.mark.parametrize(
    ("headers", "message", "reason"),
    [
        ((), _length_of(MESSAGE_BYTES_MAX + 1) + bytes(MESSAGE_BYTES_MAX + 1), EITHER),
        ((("grpc-encoding", "gzip"),), b"\1" + struct.pack(">I", len(BOMB)) + BOMB, "oversized_call"),
    ],
    ids=["just_over", "gzip_bomb"],
)
async def test_attack_058_one_call_over_the_limit(
    scene: Scene, attack: Watched, headers: Any, message: bytes, reason: str
) -> None:
    member = scene.member()
    raw = await scene.raw(member)
    with suppress(OSError):
        await asyncio.to_thread(raw.tls.sendall, raw.begin(1, OFFER, *headers) + b"".join(_data(1, message)))
    await scene.named(member, reason)
    assert await asyncio.to_thread(raw.ends)
    saw_any(attack, reason)


def _data(stream: int, message: bytes) -> Iterator[bytes]:
    for at in range(0, len(message), 16_384):
        frame = DataFrame(stream)
        frame.data = message[at : at + 16_384]
        yield frame.serialize()


async def _flooded(scene: Scene, attack: Watched, flood: Flood, reason: str, pause_s: float = 0.0) -> None:
    member = scene.member()
    before = scene.rss_bytes()
    raw = await scene.raw(member)
    flooding = asyncio.ensure_future(asyncio.to_thread(raw.flood, lambda number: flood(raw, number), pause_s))
    await scene.serves()
    await scene.named(member, reason)
    assert await flooding > 0
    assert await asyncio.to_thread(raw.ends)
    await asyncio.to_thread(scene.victim.until, lambda: scene.rss_bytes() - before < RSS_GROWTH_MAX)
    saw_any(attack, reason)


async def test_attack_059_pings(scene: Scene, attack: Watched) -> None:
    await _flooded(scene, attack, pings, "control_flood")


@pytest.mark.parametrize(("flood", "reason"), [(continuations, EITHER), (settings, "control_flood")])
async def test_attack_098_floods(scene: Scene, attack: Watched, flood: Flood, reason: str) -> None:
    await _flooded(scene, attack, flood, reason)


@pytest.mark.parametrize("flood", [resets, offers])
async def test_attack_098_floods_of_calls(scene: Scene, attack: Watched, flood: Flood) -> None:
    # A flood of calls, or of bytes where gRPC couldn't keep up with counting them; or calls that came to nothing.
    await _flooded(scene, attack, flood, "call_flood|control_flood|lost_calls", pause_s=0.03)


async def test_attack_098_calls_that_nobody_can_take(scene: Scene, attack: Watched) -> None:
    member = scene.member()
    raw = await scene.raw(member)
    for stream in range(1, 63, 2):
        raw.tls.sendall(raw.begin(stream) + b"".join(_data(stream, _length_of(0xFFFFFFFF))))
    await scene.named(member, "lost_calls")
    attack.saw("X", "lost_calls")


async def test_attack_060_a_source_that_sends_nothing(scene: Scene, attack: Watched) -> None:
    lazy, honest = scene.member(), scene.member()
    owner, plasmid = wanted(scene)
    silent, _ = await offering(scene, lazy, owner, plasmid)
    giver = await talk(honest, scene.victim)
    await giver.say(IHave((plasmid.content_id,)))
    beats = [asyncio.ensure_future(_beat(link)) for link in (silent, giver)]
    await giver.until(Want, lambda want: want.want_list)
    await giver.say(listed(plasmid))
    for index in range(plasmid.manifest.artifacts.chunk_count):
        await giver.until(Want, _asks_for(index))
        await giver.say(chunk(plasmid, index))
    await scene.logged("penalty", lambda record: (record["subject"], record["reason"]) == (lazy.id, "stalled"))
    assert not [one for one in scene.victim.records("penalty") if one["subject"] == honest.id]
    for beat in beats:
        beat.cancel()
    await silent.leave()
    await giver.leave()
    attack.saw("H", "stalled")


def _asks_for(index: int) -> Callable[[Want], bool]:
    return lambda want: index in want.chunks


async def _beat(link: Talker) -> None:
    """A sign of life for each that comes."""
    while True:
        await link.another(Heartbeat)
        await link.say(Heartbeat(0, bytes(16), 0, 0))


def false_leaf(member: Member, claimed: str) -> Leaf:
    """A leaf of the member's own key that names somebody else, with a bridge that the mark vouches for."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    key, swarm = member.identity._key, member.swarm
    tls_key: Any = x509.load_pem_x509_certificate(member.leaf.chain_pem).public_key()
    leaf = certificate("leaf", tls_key, claimed, key, authority=False)
    bridge = certificate(claimed, key.public_key(), mark_name(swarm), mark_key(swarm), authority=True)
    chain = leaf.public_bytes(Encoding.PEM) + bridge.public_bytes(Encoding.PEM)
    return Leaf(member.leaf.key_pem, chain, member.leaf.made)


async def test_attack_062_a_leaf_that_names_another_member(scene: Scene, attack: Watched) -> None:
    mallory, victim_of_blame = scene.member(), scene.member()
    mallory.leaf = false_leaf(mallory, victim_of_blame.id)
    status, details = await answer(mallory, scene.victim)
    assert (status, details) == ("UNAUTHENTICATED", "the leaf isn't signed by the identity that it names")
    await scene.repelled("impostor")
    assert not scene.victim.records("penalty", "link_up")
    assert await answer(victim_of_blame, scene.victim) == ("OK", "")
    attack.saw("X", "impostor")


async def test_attack_095_tls_1_2(scene: Scene, attack: Watched) -> None:
    context = scene.member().context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", scene.victim.port)) as plain,
        pytest.raises((ssl.SSLError, ConnectionResetError)),
    ):
        await asyncio.to_thread(context.wrap_socket, plain, server_hostname="peer.plora.invalid")
    await scene.repelled("no_call")
    attack.saw("X", "no_call")


async def test_attack_096_a_chunk_list_that_nobody_signed(scene: Scene, attack: Watched) -> None:
    member = scene.member()
    owner, plasmid = wanted(scene)
    link, _ = await offering(scene, member, owner, plasmid)
    true = listed(plasmid)
    await link.say(ChunkList(true.digest, (hashlib.sha256(b"other").digest(), *true.hashes[1:])))
    await scene.named(member, "bad_chunk_list")
    await link.until_ended()
    await link.leave()
    attack.saw("X", "bad_chunk_list")


async def test_attack_097_ranges_that_do_not_ascend(scene: Scene, attack: Watched) -> None:
    member = scene.member()
    link = await talk(member, scene.victim)
    number = int(scene.victim.id < member.id)  # a session that this member may begin
    await link.say(Reconcile(number, (Range(b"", fingerprint=bytes(16)),)))
    await link.say(Reconcile(number, (Range(b"\x05", fingerprint=bytes(16)), Range(b"\x01", fingerprint=bytes(16)))))
    await scene.named(member, "ranges don't ascend")
    assert await link.until_ended() == "ranges don't ascend"
    await link.leave()
    attack.saw("X", "bad_ranges")


async def test_attack_097_reconciliation_without_end(scene: Scene, attack: Watched) -> None:
    member = scene.member()
    link = await talk(member, scene.victim)
    full = tuple(Range(struct.pack(">H", n + 1), fingerprint=bytes(16)) for n in range(1500))
    with pytest.raises((grpc.RpcError, asyncio.InvalidStateError)):
        for number in range(100_000):
            await link.say(Reconcile(number, full))
    await scene.named(member, "reconcil")
    await link.leave()
    attack.saw("X", "reconcile_flood")


@pytest.mark.parametrize("method", [HEALTH_METHOD, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"])
async def test_attack_099_standard_services_without_identity(scene: Scene, attack: Watched, method: str) -> None:
    mallory = scene.member()
    mallory.leaf = false_leaf(mallory, scene.member().id)
    assert (await answer(mallory, scene.victim, method))[0] == "UNAUTHENTICATED"
    await scene.repelled("impostor")
    nobody = grpc.ssl_channel_credentials(anchor(scene.victim.id))
    channel: Any = grpc.aio.secure_channel(f"127.0.0.1:{scene.victim.port}", nobody, options=channel_options())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await channel.unary_unary(method)(b"", timeout=20)
    await channel.close()
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    attack.saw("R", "no_identity")


async def test_attack_100_manifests_by_unknown_keys(scene: Scene, attack: Watched) -> None:
    link = await talk(scene.member(), scene.victim)
    now_s = int(time.time())
    owners = [make_owner(f"stranger-{number}", scene.swarm.id, issued_s=now_s) for number in range(40)]
    for number, owner in enumerate(owners):
        plasmid = make_plasmid(owner, "legal", tiny_adapter(number), issued_s=now_s, life_s=DAY_S)
        await link.say(Push((Carried(owner.record, 0), Carried(plasmid.statement, 0))))
    await scene.logged(
        "bound_hit", lambda record: (record["setting"], record["limit"]) == ("limits.untrusted_owners", 8)
    )
    await link.say(IWant((owners[0].record.id,)))
    await link.until(Have)  # so everything before it was handled
    await asyncio.to_thread(scene.victim.until, lambda: len(scene.victim.plasmids()) >= 8)
    assert len(scene.victim.plasmids()) == 8
    await link.leave()
    attack.saw("H", "untrusted_owners")
