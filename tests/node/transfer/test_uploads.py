"""The serving half alone: turns, bounds and the rate."""

import pytest

from plora.node.core.config import Bounds, CoreConfig, Limits
from plora.node.core.effects import LIST_INDEX, Emit, Send, ServeChunk, ServeList, SetTimer
from plora.node.core.events import ChunkServed, Received, SettingsChanged, TimerDue
from plora.node.core.messages import Cancel, Refuse, Want
from plora.node.core.notices import LinkLost, LinkReady, Outputs
from plora.node.core.now import Now
from plora.node.store.snapshot import Snapshot
from plora.node.transfer.core import Transfer
from plora.node.transfer.rate import BURST_MS
from plora.node.transfer.upload import AHEAD_BYTES
from plora.proto.records import BoundHit, Penalty

MIB = 1 << 20
MS = 1_000_000
DIGEST, OTHER = "ab" * 32, "cd" * 32
NOW = Now(10**12, 1)


def serving(peers: tuple[str, ...] = ("bob",), bounds: Bounds | None = None, upload_rate: int = 0) -> Transfer:
    config = CoreConfig("ada", "s", "b", limits=Limits(upload_rate=upload_rate), bounds=bounds or Bounds())
    transfer = Transfer(config, Snapshot())
    transfer.serve(DIGEST, 10 * MIB - 1, MIB)
    for peer in peers:
        transfer.handle(LinkReady(peer), NOW)
    return transfer


def ask(transfer: Transfer, peer: str, *chunks: int, now: Now = NOW) -> Outputs:
    return transfer.handle(Received(peer, Want(DIGEST, chunks)), now)


def served(transfer: Transfer, peer: str, index: int, now: Now = NOW, wire_bytes: int = MIB) -> Outputs:
    return transfer.handle(ChunkServed(peer, DIGEST, index, wire_bytes), now)


def turns(outputs: Outputs) -> list[tuple[str, int]]:
    return [(output.peer, output.index) for output in outputs if isinstance(output, ServeChunk)]


def test_the_last_chunk_is_short() -> None:
    assert ask(serving(), "bob", 9) == [ServeChunk("bob", DIGEST, 9, 9 * MIB, MIB - 1)]


def test_a_list_is_served_by_its_own_effect() -> None:
    transfer = serving()
    assert transfer.handle(Received("bob", Want(DIGEST, want_list=True)), NOW) == [ServeList("bob", DIGEST)]
    assert transfer.handle(ChunkServed("bob", DIGEST, LIST_INDEX, 320), NOW) == []
    assert transfer.sent_bytes == 320


def test_only_so_much_is_ahead_of_a_slow_reader() -> None:
    transfer = serving()
    assert turns(ask(transfer, "bob", *range(10))) == [("bob", index) for index in range(AHEAD_BYTES // MIB)]
    assert turns(served(transfer, "bob", 0)) == [("bob", 4)]


def test_peers_take_turns() -> None:
    transfer = serving(("bob", "cyd"), upload_rate=MIB)
    ask(transfer, "bob", 0, 1, 2)
    ask(transfer, "cyd", 0, 1, 2)
    order = []
    for second in range(1, 6):
        order += turns(transfer.handle(TimerDue("transfer:upload"), Now(NOW.mono_ns + second * 1000 * MS, 1)))
    assert order == [("cyd", 0), ("bob", 1), ("cyd", 1), ("bob", 2), ("cyd", 2)]


def test_asking_twice_for_what_waits_counts_once() -> None:
    transfer = serving()
    ask(transfer, "bob", *range(10))
    ask(transfer, "bob", *range(5, 10))
    order = []
    for index in range(10):
        order += turns(served(transfer, "bob", index))
    assert order == [("bob", index) for index in range(4, 10)]


def test_the_rate_is_kept_over_a_long_time() -> None:
    transfer = serving(upload_rate=MIB // 2, bounds=Bounds(outstanding_bytes_per_peer=16 * MIB))
    now, sent = NOW, 0
    outputs = ask(transfer, "bob", *range(9))
    while True:
        for peer, index in turns(outputs):
            sent += MIB
            served(transfer, peer, index, now)
        due = [output.due_ns for output in outputs if isinstance(output, SetTimer)]
        if not due:
            break
        now = Now(due[-1], 1)
        outputs = transfer.handle(TimerDue("transfer:upload"), now)
    elapsed_ms = (now.mono_ns - NOW.mono_ns) / MS
    assert sent == 9 * MIB
    assert elapsed_ms == pytest.approx(8 * 2000 - BURST_MS)


def test_another_rate_counts_from_now_on() -> None:
    transfer = serving(upload_rate=1000)
    slow = [*ask(transfer, "bob", 0, 1, 2), *served(transfer, "bob", 0)]
    assert turns(slow) == [("bob", 0)], "the line is busy for a thousand seconds"
    assert turns(transfer.handle(SettingsChanged(limits=Limits(upload_rate=0)), NOW)) == [("bob", 1), ("bob", 2)]
    assert turns(transfer.handle(SettingsChanged(limits=Limits(upload_rate=1000)), NOW)) == []
    assert turns([*ask(transfer, "bob", 3, 4, 5), *served(transfer, "bob", 1)]) == [("bob", 3)]


def test_no_rate_means_no_timer() -> None:
    assert not [output for output in ask(serving(), "bob", *range(10)) if isinstance(output, SetTimer)]


@pytest.mark.parametrize("index", [10, -1, -2, 2**31])
def test_a_chunk_that_does_not_exist_is_a_penalty(index: int) -> None:
    assert ask(serving(), "bob", index) == [Emit(Penalty("bob", "bad_want"))]


def test_what_is_not_served_is_refused() -> None:
    transfer = serving()
    assert transfer.handle(Received("bob", Want(OTHER, (0,))), NOW) == [Send("bob", Refuse(OTHER, "not_here"))]


def test_who_waits_is_told_when_serving_ends() -> None:
    transfer = serving(("bob", "cyd"))
    ask(transfer, "bob", *range(10))
    assert transfer.unserve(DIGEST) == [Send("bob", Refuse(DIGEST, "not_here"))]
    assert served(transfer, "bob", 0) == []


def test_a_queue_has_its_bound() -> None:
    transfer = serving(bounds=Bounds(outstanding_bytes_per_peer=2 * MIB))
    outputs = ask(transfer, "bob", 0, 1, 2)
    assert outputs[0] == Emit(BoundHit("outstanding_bytes_per_peer", 2 * MIB, 3 * MIB))
    assert outputs[1] == Send("bob", Refuse(DIGEST, "busy", 1000))
    assert turns(outputs) == [("bob", 0), ("bob", 1)]


def test_cancelled_and_cut_requests_are_forgotten() -> None:
    transfer = serving(("bob", "cyd"))
    ask(transfer, "bob", *range(10))
    ask(transfer, "cyd", *range(10))
    transfer.handle(Received("bob", Cancel(DIGEST)), NOW)
    transfer.handle(LinkLost("cyd"), NOW)
    assert served(transfer, "bob", 0) == served(transfer, "cyd", 0) == []
    assert ask(transfer, "cyd", 0) == []


def test_an_unreadable_chunk_is_refused_for_a_while() -> None:
    transfer = serving()
    ask(transfer, "bob", 0)
    assert served(transfer, "bob", 0, wire_bytes=0) == [Send("bob", Refuse(DIGEST, "unreadable", 10_000))]
