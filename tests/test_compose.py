"""What containers are given: docker-compose.yml by its specification, the image's health check, `make docker-…`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.compose import Swarm

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(r"\$\{\w+:-([^}]*)\}")
PEERS = ["ada", "bob", "cyd", "dee", "eve"]


def document(path: Path) -> dict[str, Any]:
    """The file with variables at their defaults and YAML's merges done."""
    found: dict[str, Any] = yaml.safe_load(VARIABLE.sub(r"\1", path.read_text()))
    return found


def test_it_is_a_compose_file() -> None:
    specification = pytest.importorskip("compose_spec", reason="compose-spec has no wheel for this machine")
    specification.PyCompose.from_json(json.dumps(document(COMPOSE))).validate()
    services = document(COMPOSE)["services"]
    services["eve"]["raed_only"] = True
    with pytest.raises(ValueError, match="raed_only"):
        specification.PyCompose.from_json(json.dumps({"services": services}))


def test_ports_are_published_on_loopback_alone() -> None:
    ports = [port for service in document(COMPOSE)["services"].values() for port in service.get("ports", ())]
    assert len(ports) == len(PEERS) + 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_peers_are_those_whose_homes_are_made_and_have_no_privileges() -> None:
    services = document(COMPOSE)["services"]
    assert services["init"]["command"] == ["init-swarm", *PEERS]
    for number, name in enumerate(PEERS, 9481):
        peer = services[name]
        assert peer["volumes"] == [f"{name}:/data"]
        assert peer["ports"] == [f"127.0.0.1:{number}:{number}"]
        assert (peer["read_only"], peer["cap_drop"]) == (True, ["ALL"])


def test_what_is_mounted_is_there() -> None:
    mounted = [one for service in document(COMPOSE)["services"].values() for one in service.get("volumes", ())]
    folders = {one.split(":")[0] for one in mounted if one.startswith("./")} - {"./out"}
    assert [folder for folder in sorted(folders) if not (ROOT / folder).is_dir()] == []


def test_services_that_are_laid_over_it_are_its_own() -> None:
    over = document(ROOT / "tests" / "away.yml")
    services = over["services"].values()
    assert set(over["services"]) <= set(document(COMPOSE)["services"])
    assert {network for service in services for network in service["networks"]} <= set(over["networks"])


def test_grafana_has_no_account_and_sees_no_peer() -> None:
    services = document(COMPOSE)["services"]
    grafana = services["grafana"]
    environment = grafana["environment"]
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    beside = {name for name in services if set(services[name].get("networks", ["default"])) & set(grafana["networks"])}
    assert beside == {"grafana", "prometheus"}


def test_the_health_check_imports_nothing_from_the_home(tmp_path: Path) -> None:
    (found,) = re.findall(r'^ +CMD (\["python".*\])$', (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    module = json.loads(found).index("plora.node.daemon.healthy")
    (tmp_path / "yaml.py").write_text("open('imported', 'w').close()\n")
    command = [sys.executable, *json.loads(found)[1 : module + 1], str(tmp_path / "none.yaml")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize("target", ["docker-run", "docker-test", "docker-dry-run", "docker-prefetch"])
def test_the_hubs_token_is_handed_to_what_asks_the_hub_and_never_by_its_value(target: str) -> None:
    command = ["make", "--dry-run", target, "HF_TOKEN=hf_secret", "CONTAINER=docker"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "docker run" in said and "hf_secret" not in said
    assert ("HF_TOKEN" in said) == (target == "docker-prefetch")


class Stopped(Swarm):
    """A swarm of which nothing runs, as podman says it."""

    def inspect(self, peer: str, field: str) -> str:
        return "0"


def test_nothing_is_killed_for_a_container_that_does_not_run() -> None:
    with pytest.raises(SystemExit, match="ada runs"):
        Stopped("plora:peer", ["ada"], []).kill("ada")
