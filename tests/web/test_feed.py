"""The stream of events: what a reader gets, and what it can cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from plora.node.web import feed as feeds
from plora.node.web.feed import BEHIND_MAX, KEPT, STREAMS_MAX, Feed

BOOT = "ab"


def line(seq: int, kind: str = "verdict", **fields: object) -> str:
    return json.dumps({"seq": seq, "kind": kind, **fields}) + "\n"


class Log:
    """Whoever follows gets what is written."""

    def __init__(self) -> None:
        self.write: Callable[[str], None] = lambda line: None

    def follow(self, follower: Callable[[str], None]) -> None:
        self.write = follower


def feed_of(*past: str) -> tuple[Feed, Log]:
    log = Log()
    return Feed(BOOT, past, log.follow), log


async def take(stream: AsyncIterator[str], count: int) -> list[str]:
    return [await anext(stream) for _ in range(count)]


def seqs(events: list[str]) -> list[int]:
    return [json.loads(one.partition("data: ")[2])["seq"] for one in events]


async def test_a_reader_gets_what_was_then_what_comes() -> None:
    feed, log = feed_of(line(0), line(1, "round"), line(2))
    stream = feed.stream()
    hello, *records = await take(stream, 3)
    assert json.loads(hello.partition("data: ")[2]) == {"boot": BOOT}
    assert seqs(records) == [0, 2]
    log.write(line(3, "wire"))
    log.write(line(4))
    assert seqs(await take(stream, 1)) == [4]


async def test_a_reader_that_comes_back_gets_what_it_missed() -> None:
    feed, _ = feed_of(line(0), line(1), line(2))
    assert seqs((await take(feed.stream(f"{BOOT}-1"), 2))[1:]) == [2]
    assert seqs((await take(feed.stream("other-2"), 4))[1:]) == [0, 1, 2]
    assert seqs((await take(feed.stream("nonsense"), 4))[1:]) == [0, 1, 2]


async def test_a_record_that_stands_in_the_file_and_is_told_again_comes_once() -> None:
    feed, log = feed_of(line(0), line(1))
    log.write(line(1))
    log.write(line(2))
    assert seqs((await take(feed.stream(), 4))[1:]) == [0, 1, 2]


async def test_only_so_many_records_are_kept() -> None:
    feed, log = feed_of()
    for seq in range(KEPT + 10):
        log.write(line(seq))
    events = await take(feed.stream(), KEPT + 1)
    assert seqs(events[1:]) == list(range(10, KEPT + 10))


async def test_a_reader_that_does_not_keep_up_is_let_go_of() -> None:
    feed, log = feed_of()
    slow = feed.stream()
    await take(slow, 1)
    for seq in range(BEHIND_MAX + 1):
        log.write(line(seq))
    assert len([one async for one in slow]) == BEHIND_MAX
    assert not feed.full


async def test_only_so_many_read_at_a_time_and_a_reader_that_leaves_makes_room() -> None:
    feed, _ = feed_of()
    streams = [feed.stream() for _ in range(STREAMS_MAX)]
    for stream in streams:
        await anext(stream)
    assert feed.full
    await streams[0].aclose()  # type: ignore[attr-defined]
    assert not feed.full
    feed.close()
    assert [one for stream in streams async for one in stream] == []


async def test_no_record_can_break_out_of_its_event() -> None:
    feed, _ = feed_of(line(0, reason="a\n\nevent: hello\ndata: {}\r\n\u2028"))
    _, event = await take(feed.stream(), 2)
    assert event.count("\n") == 4
    assert event.endswith("\n\n")
    assert "\r" not in event


async def test_the_peer_is_heard_while_nothing_happens() -> None:
    feed, _ = feed_of()
    stream = feed.stream()
    await anext(stream)
    async with asyncio.timeout(10 * feeds.BEAT_S):
        assert (await anext(stream)).startswith("event: beat")
