"""`plora dump-policy`: the policy that is in force, and where each of its values comes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from plora.cli.options import Home, Json, Quiet
from plora.cli.output import Output
from plora.proto.errors import ConfigError

if TYPE_CHECKING:
    from plora.gate import Policy
    from plora.proto.strict_yaml import Yaml

DEFAULT = "default"


def dump_policy(home: Home = None, json_: Json = False, quiet: Quiet = False) -> None:
    """Show every rule of the gate with its value and source."""
    from plora.proto.home import Home as Places
    from plora.proto.home import default_home

    path = Places(home or default_home()).config
    policy, lines = read_policy(path)
    shown = policy.model_dump(mode="json")
    rows = [
        {"setting": f"policy.{name}", "value": value, "source": _source(path, lines.get(name))}
        for name, value in shown.items()
    ]
    output = Output(json_, quiet)
    output.table(("setting", "value", "source"), [{**row, "value": _short(row["value"])} for row in rows], rows)
    output.hint(f"Digest {policy.policy_digest()}: what verdicts of this peer are recorded under once it runs with it.")


def read_policy(path: Path) -> tuple[Policy, Mapping[str, int]]:
    """The policy of a peer.yaml, and the line of each value in it; all defaults where there is no file."""
    from plora.gate import Policy
    from plora.proto.strict_yaml import parse_yaml

    try:
        document = parse_yaml(path.read_bytes())
    except FileNotFoundError:
        return Policy(), {}
    except OSError as error:
        raise ConfigError(f"can't be read ({error.strerror})", where=str(path)) from error
    block = document.tree.get("policy") if isinstance(document.tree, dict) else None
    given = block if isinstance(block, dict) else {}
    return Policy.parse(given, where=f"{path}: policy"), _lines(document, given)


def _lines(document: Yaml, given: Mapping[str, object]) -> dict[str, int]:
    return {name: document.lines[f"policy.{name}"] for name in given}


def _source(path: Path, line: int | None) -> str:
    return DEFAULT if line is None else f"{path.name} line {line}"


def _short(value: object) -> str:
    if value is None:
        return "any"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
