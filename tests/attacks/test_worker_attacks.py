"""Attack 117: bytes that take over the worker which looks at them. The code that misbehaves is in `possessed`.

Run as whoever runs the tests, and the cage also as a stranger where root can become one.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.attacks import possessed
from tests.gate.conftest import factors
from tests.node.core.conftest import ADA, LEGAL, Bench

from plora.gate import examine
from plora.node.core.alarms import CLOCK_TIMER
from plora.node.core.desk import RETRY_MS
from plora.node.core.events import Examined, TimerDue
from plora.node.core.notices import BytesHeld
from plora.node.workers.cage import lacks
from plora.node.workers.limits import Limits
from plora.node.workers.pool import ENVIRONMENT, EXAMINER, Worker, Workers
from plora.proto.errors import WorkerError

if TYPE_CHECKING:
    from tests.attacks.conftest import Watched
    from tests.gate.conftest import World
    from tests.swarm.conftest import MakePeer

STRANGER = 65_534
LIMITS = Limits(memory_bytes=1 << 30, cpu_s=3, file_bytes=1 << 20)
BROKE_OUT = "was killed: it tried to start a process, to open a socket, or to take hold of another process"
FATES = {
    "allocate": "MemoryError",
    "ask_by_ring": BROKE_OUT,
    "execute": BROKE_OUT,
    "fork": BROKE_OUT,
    "kill_the_peer": BROKE_OUT,
    "loop": "was killed: it computed for more than 3 s",
    "open_socket": BROKE_OUT,
}
caged = pytest.mark.skipif(bool(lacks()), reason="; ".join(lacks()))
PEER = """
import sys
from plora.node.workers import pool
pool.ENVIRONMENT["PYTHONPATH"] = sys.argv[1]
pool.EXAMINER = "possessed"
pool.EXAMINE_LIMITS = pool.Limits(memory_bytes=1 << 30, cpu_s=1)
from plora.node.daemon import main
sys.argv[:] = sys.argv[2:]
main()
"""


@pytest.fixture
async def possessed_one(tmp_path: Path) -> AsyncIterator[Worker]:
    """A worker that does what the request says."""
    worker = Worker("possessed", 20.0, LIMITS, {**ENVIRONMENT, "PYTHONPATH": str(haunt(tmp_path / "code"))})
    yield worker
    await worker.stop()


def haunt(folder: Path, **deeds: str) -> Path:
    """A folder with the code of `possessed`, and what it does to whom."""
    folder.mkdir()
    shutil.copy(possessed.__file__, folder)
    (folder / "deeds.json").write_text(json.dumps(deeds))
    return folder


def verdict_after(reason: str) -> tuple[str, str]:
    """What a peer makes of bytes over which its worker failed so, twice."""
    bench = Bench()
    bench.add(ADA.record, LEGAL.statement)
    digest = LEGAL.manifest.artifacts.sha256
    bench.tell(BytesHeld(digest, (), 0, 0, 0), Examined(digest, None, reason))
    bench.wall_ms += RETRY_MS
    bench.tell(TimerDue(CLOCK_TIMER), Examined(digest, None, reason))
    return bench.verdict()


@caged
async def test_attack_117_a_worker_that_breaks_out_is_killed(
    possessed_one: Worker, attack: Watched, tmp_path: Path
) -> None:
    """Each deed ends the child alone: its warden lives on and serves the next request."""
    (tmp_path / "good").write_text("still served")
    good = {"do": "look", "at": str(tmp_path / "good")}
    assert await possessed_one.ask(good, read=[good["at"]]) == {"did": "still served"}
    warden = possessed_one._process
    for deed, fate in FATES.items():
        with pytest.raises(WorkerError, match=fate) as failed:
            await possessed_one.ask({"do": deed})
        assert await possessed_one.ask(good, read=[good["at"]]) == {"did": "still served"}
        verdict, reason = verdict_after(str(failed.value))
        assert reason == "examination_failed"
        attack.saw(verdict, reason)
    assert possessed_one._process is warden


async def test_attack_117_a_worker_that_does_nothing_is_killed_with_its_child(tmp_path: Path, attack: Watched) -> None:
    code = haunt(tmp_path / "code")
    idle = Worker("possessed", 60.0, LIMITS, {**ENVIRONMENT, "PYTHONPATH": str(code)})
    with pytest.raises(WorkerError, match="gave no answer within 2 s") as failed:
        await idle.ask({"do": "sleep"}, within_s=2)
    assert not living(code)
    attack.saw(*verdict_after(str(failed.value)))


async def test_attack_117_who_is_slow_to_examine_holds_up_others_once(
    world: World, attack: Watched, tmp_path: Path
) -> None:
    """Three files of one owner that sleep, then a good one of another: that is answered after the first of them."""
    slow = [tmp_path / name for name in ("one", "two", "three")]
    code = haunt(tmp_path / "code", **{path.name: "sleep" for path in slow})
    workers = Workers(Worker("possessed", 4.0, LIMITS, {**ENVIRONMENT, "PYTHONPATH": str(code)}))
    good = world.file(factors())
    asked = [(path, "mallory") for path in slow] + [(good, "ada")]
    *hostile, honest = [asyncio.ensure_future(workers.examine(str(path), owner)) for path, owner in asked]
    assert (await honest)[0] == examine(good)
    failed = [one.exception() for one in hostile if one.done()]
    assert len(failed) == 1
    await workers.stop()
    await asyncio.gather(*hostile, return_exceptions=True)
    attack.saw(*verdict_after(str(failed[0])))


def living(code: Path) -> list[Path]:
    """The processes whose environment names a folder of code."""
    return [one for one in Path("/proc").glob("[0-9]*/environ") if str(code) in _text(one)]


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


@caged
async def test_attack_117_a_worker_sees_and_writes_only_what_it_was_given(
    possessed_one: Worker, attack: Watched, tmp_path: Path
) -> None:
    for name in ("artifact", "secret"):
        (tmp_path / name).write_text(name)
    (tmp_path / "out").mkdir()
    given: dict[str, Any] = {"read": [str(tmp_path / "artifact")], "write": [str(tmp_path / "out")]}
    assert await possessed_one.ask({"do": "look", "at": given["read"][0]}, **given) == {"did": "artifact"}
    outside = [("look", tmp_path / "secret"), ("look", Path("/etc/passwd")), ("look", Path("/proc/self/environ"))]
    outside += [("write", path) for path in (tmp_path / "artifact", tmp_path / "new")]
    for deed, path in outside:
        with pytest.raises(WorkerError, match="PermissionError") as failed:
            await possessed_one.ask({"do": deed, "at": str(path)}, **given)
        attack.saw(*verdict_after(str(failed.value)))
    assert (tmp_path / "artifact").read_text() == "artifact" and not (tmp_path / "new").exists()
    assert await possessed_one.ask({"do": "write", "at": str(tmp_path / "out" / "new")}, **given) == {"did": "written"}


async def test_attack_117_no_worker_answers_for_another(possessed_one: Worker, attack: Watched, tmp_path: Path) -> None:
    """What is written to every descriptor there is reaches nobody but the one who asked."""
    (tmp_path / "other").write_text("other")
    await possessed_one.ask({"do": "answer_for_others"})
    other = {"do": "look", "at": str(tmp_path / "other")}
    assert await possessed_one.ask(other, read=[str(tmp_path / "other")]) == {"did": "other"}
    attack.saw("quarantine", "only its own answer")


@pytest.mark.parametrize(
    "says",
    [
        [],
        {"operands": [{"digest": "a"}]},
        {"rank": "many"},
        {"discarded_energy": float("nan")},
        {"inputs": [{"operand": "a", "digest": "b"}], "operands": [{"digest": "a", "weight": 1}], "modules": [[]]},
        {"inputs": 3},
        {"kept": {}},
    ],
    ids=str,
)
async def test_attack_117_a_merge_is_never_believed_to_have_figures(
    says: object, attack: Watched, tmp_path: Path
) -> None:
    """Who took the worker over that merges may say anything: it's a merge that failed, and the peer lives on."""
    environment = {**ENVIRONMENT, "PYTHONPATH": str(haunt(tmp_path / "code"))}
    workers = Workers(merger=lambda: Worker("possessed", 20.0, LIMITS, environment))
    with pytest.raises(WorkerError, match="answered nonsense"):
        await workers.merge({"inputs": [], "out": str(tmp_path), "says": says})
    attack.saw("quarantine", "merge failed")


@caged
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a stranger")
def test_attack_117_the_cage_holds_for_root_and_stranger(attack: Watched) -> None:
    """Limits that root is exempt from aren't what keeps it in."""
    program = (
        "import os, sys\nfrom plora.node.workers.cage import close_cage\nfrom plora.node.workers.limits import Limits\n"
        f"os.setgid({{user}}); os.setuid({{user}})\nclose_cage(Limits({1 << 30}, 5), [], [])\n"
        "try:\n    open('/etc/passwd')\n    sys.exit(1)\nexcept PermissionError:\n    os.fork()\n"
    )
    for user in (0, STRANGER):
        done = subprocess.run([sys.executable, "-c", program.format(user=user)], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (-31, b"")
        attack.saw("quarantine", "SIGSYS")


@caged
@pytest.mark.slow  # a worker that failed is given a second chance after ten seconds
def test_attack_117_a_peer_whose_examiner_is_taken_over_serves_the_others(
    make_peer: MakePeer, attack: Watched, tmp_path: Path
) -> None:
    ada, bob = make_peer("ada"), make_peer("bob")
    names = ["good", "allocate", "fork", "loop", "open_socket"]
    signed = {name: ada.signed_folder(tmp_path / name.replace("_", "-"), seed=seed) for seed, name in enumerate(names)}
    deeds = {signed[name].manifest.artifacts.sha256: name for name in names[1:]}
    code = haunt(tmp_path / "code", **deeds)
    bob.within = (sys.executable, "-c", PEER, str(code))
    bob.dials(ada)
    bob.trusts(ada)
    ada.start()
    bob.start()
    for name in names:
        ada.publish(tmp_path / name.replace("_", "-"))

    def verdicts() -> dict[str, tuple[str, str]]:
        return {row.name.split("/")[1].split("@")[0]: (row.outcome, row.reason) for row in bob.plasmids().values()}

    wanted = {name.replace("_", "-"): ("QUARANTINE", "examination_failed") for name in names[1:]}
    bob.until(lambda: verdicts() == {"good": ("ACCEPT", ""), **wanted}, within_s=90)  # each is tried twice
    attack.saw("quarantine", "examination_failed")


async def test_attack_117_a_file_too_large_for_the_examiner_fails_alone(
    world: World, attack: Watched, tmp_path: Path
) -> None:
    """No possession: a gibibyte in one tensor, and half of that to examine it in."""
    header = json.dumps({"t": {"dtype": "F32", "shape": [1 << 28], "data_offsets": [0, 1 << 30]}}).encode()
    with (tmp_path / "large").open("wb") as stream:
        stream.write(len(header).to_bytes(8, "little") + header)
        stream.truncate(8 + len(header) + (1 << 30))
    good = world.file(factors())
    workers = Workers(Worker(EXAMINER, 60.0, Limits(memory_bytes=700 << 20, cpu_s=60)))
    with pytest.raises(WorkerError, match="MemoryError") as failed:
        await workers.examine(str(tmp_path / "large"))
    assert (await workers.examine(str(good)))[0] == examine(good)
    await workers.stop()
    attack.saw(*verdict_after(str(failed.value)))
