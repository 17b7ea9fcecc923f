"""Where things lie in a peer's home: the layout is a promise, since backups, scripts and older homes rely on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from plora.proto.home import Home, default_home

LAYOUT = {
    "config": "peer.yaml",
    "schema": "peer.schema.json",
    "trust": "trust.yaml",
    "swarm": "swarm.json",
    "identity_key": "identity/key.pem",
    "peer_id": "identity/peer_id",
    "vote_key": "identity/vote.pem",
    "owner_folder": "owner",
    "joined": "joined.json",
    "restored": "restored",
    "owners": "owners",
    "calibration": "calibration",
    "probe_secret": "identity/probes.secret",
    "admin_socket": "run/admin.sock",
    "web_token": "run/web.token",
    "events": "events",
    "adapters": "adapters",
    "merged": "merged",
    "kept": "kept",
}


def test_the_layout() -> None:
    properties = {name for name, value in vars(Home).items() if isinstance(value, property)}
    assert properties == set(LAYOUT)
    home = Home(Path("/somewhere"))
    assert {name: getattr(home, name) for name in LAYOUT} == {name: Path("/somewhere", LAYOUT[name]) for name in LAYOUT}


@pytest.mark.parametrize(
    ("variables", "home"),
    [
        ({"PLORA_HOME": "/here", "XDG_DATA_HOME": "/data"}, "/here"),
        ({"XDG_DATA_HOME": "/data"}, "/data/plora"),
        ({"PLORA_HOME": "", "XDG_DATA_HOME": "", "HOME": "/home/ada"}, "/home/ada/.local/share/plora"),
    ],
)
def test_the_home_that_is_used_when_none_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], home: str
) -> None:
    for name in ("PLORA_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert default_home() == Path(home)
