"""Who can dial whom: `plora peers` and `plora peers ping` between real peers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.ports import free_port

from plora.cli.main import main
from plora.v1 import admin_pb2 as pb


def ran(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any]:
    """Exit code and JSON document of a command."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments), "--json"])
    out = capfd.readouterr().out
    return int(ended.value.code or 0), json.loads(out) if out else None


def test_ping_says_which_direction_fails(make_peer: Callable[..., Any], capfd: pytest.CaptureFixture[str]) -> None:
    ada, ben, cyd = make_peer("ada"), make_peer("ben"), make_peer("cyd")
    ben.dials(ada)
    cyd.dials(ada)
    ben.settings["advertise"] = [f"127.0.0.1:{free_port()}"]
    cyd.settings["dialable"] = False
    for peer in (ada, ben, cyd):
        peer.start()
    ada.until(lambda: all(ada.neighbour(one) is not None for one in (ben, cyd)))

    code, reply = ran(capfd, "peers", "ping", "ada", "--home", ben.home.root)
    assert code == 1 and reply["linked"]
    assert [one["outcome"] for one in reply["there"]] == ["reached"]
    assert [one["outcome"] for one in reply["back"]] == ["nobody_listens"]
    assert "ada can't dial you" in reply["mends"][0] and "`advertise`" in reply["mends"][0]

    code, reply = ran(capfd, "peers", "ping", "ben", "--home", ada.home.root)
    assert code == 1
    assert [one["outcome"] for one in reply["there"]] == ["nobody_listens"]
    assert [one["outcome"] for one in reply["back"]] == ["reached"]

    code, reply = ran(capfd, "peers", "ping", cyd.id[:10], "--home", ada.home.root)
    assert code == 0 and reply["nickname"] == "cyd" and reply["there"] == []

    code, found = ran(capfd, "peers", "--home", ada.home.root)
    assert code == 0
    assert {(one["nickname"], one["state"], one["dialable"]) for one in found} == {
        ("ben", "up", True),
        ("cyd", "up", False),
    }
    assert all(abs(one["ahead_ms"]) < 60_000 and one["host"] == "127.0.0.1" for one in found)


def test_peers_says_why_a_neighbour_is_down(
    make_peer: Callable[..., Any], other_swarm: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    ada, ben, eve = make_peer("ada"), make_peer("ben"), make_peer("eve", member_of=other_swarm)
    ada.settings["neighbours"] = [
        {"peer": ben.id, "address": f"127.0.0.1:{eve.port}"},
        {"peer": eve.id, "address": f"127.0.0.1:{eve.port}"},
        {"peer": "ab" * 32, "address": f"127.0.0.1:{free_port()}"},
    ]
    for peer in (eve, ada):
        peer.start()
    ada.until(lambda: ada.neighbour(ben).last_error and ada.neighbour(eve).last_error)
    _, found = ran(capfd, "peers", "--home", ada.home.root)
    assert [one["last_error"] for one in found[:2]] == [
        "another peer answers there",
        "it lets nobody of this swarm in",
    ]


def test_doctor_asks_a_running_peer_and_looks_at_a_stopped_one(
    make_peer: Callable[..., Any], other_swarm: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ada, ben, eve = make_peer("ada"), make_peer("ben"), make_peer("eve", member_of=other_swarm)
    ben.dials(ada, eve)
    ben.trusts(ada)
    ben.settings["policy"] = {"base_digests": {"mini": "11" * 32}}
    for peer in (eve, ada):
        peer.start()
    code, told = ran(capfd, "doctor", "--home", ada.home.root)
    assert (code, told["findings"], told["running"]) == (0, [], True)

    ben.home.config.write_text(json.dumps(ben.settings))
    code, told = ran(capfd, "doctor", "--home", ben.home.root)
    assert code == 1 and not told["running"]
    assert [(one["check"], one["what"]) for one in told["findings"]] == [
        ("neighbours", f"{eve.id[:12]} at 127.0.0.1:{eve.port}: it lets nobody of this swarm in")
    ]

    ada.signed_folder(tmp_path / "legal", seed=1)
    ada.publish(tmp_path / "legal")
    ben.start()
    found: list[Any] = ben.until(lambda: len(doctor_lines(ben)) == 2 and doctor_lines(ben))
    assert found[0].startswith(f"neighbours: {eve.id[:12]} at 127.0.0.1:{eve.port}: it lets nobody of this swarm in")
    assert found[1].startswith("bases: 1 adapter is for another build of mini (")
    assert "here 111111111111" in found[1]


def doctor_lines(peer: Any) -> list[str]:
    """What the running peer finds wrong with itself."""
    findings = peer.call("Doctor", pb.DoctorRequest()).findings
    return [f"{one.check}: {one.what}; {one.mend}" for one in findings]
