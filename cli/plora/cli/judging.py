"""`plora gate`: the gate on a folder, with the policy and trust of a home or of files named on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from plora.gate import Outcome, Policy, Trust, TrustedOwner, Verdict, alignment_gate, load_trust
from plora.gate.alignment import manifest_of
from plora.gate.findings import Findings
from plora.node.core.detectors import PROBES, WEIGHTS
from plora.node.driver.instruments import wanted_detectors
from plora.proto.errors import ConfigError
from plora.proto.home import Home, default_home
from plora.proto.owner_chain import OwnerFile, read_owner_file
from plora.proto.strict_yaml import parse_yaml
from plora.proto.yaml_view import PLORA_YML, read_plora_yml


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, and what detectors found for it, by detector; nothing where none looked."""

    verdict: Verdict
    findings: Mapping[str, Findings]


def judge_folder(
    folder: Path,
    *,
    home: Path | None,
    policy: Path | None,
    owner: Path | None,
    look: Sequence[str] = (),
) -> Judged:
    """The verdict on a signed folder; `owner` stands in for trust.yaml, `policy` for the home's peer.yaml.

    The detectors that the policy wants, and those in `look`, look into what isn't refused without them.
    """
    file = read_owner_file(owner) if owner is not None else None
    rules = _looking(_policy(home, policy), look)
    signed, trust = read_plora_yml(folder / PLORA_YML), _trust(home, file)
    known = file.statements if file is not None else ()
    first = alignment_gate(folder, signed, rules, trust, known=known)
    wanted = wanted_detectors(rules)
    if not wanted or first.outcome is Outcome.REJECT or first.wants_bytes:
        return Judged(first, {})
    from plora.cli.inspecting import inspect_folder

    found = inspect_folder(folder, manifest_of(signed.statement()), wanted, home)
    weights, probes = found.get(WEIGHTS), found.get(PROBES)
    again = alignment_gate(folder, signed, rules, trust, known=known, weight_findings=weights, probe_findings=probes)
    return Judged(again, found)


def _looking(policy: Policy, look: Sequence[str]) -> Policy:
    """The policy with further detectors switched on."""
    on = {"tensor_outliers": WEIGHTS in look or policy.tensor_outliers, "probes": PROBES in look or policy.probes}
    return policy.model_copy(update=on)


def _policy(home: Path | None, policy: Path | None) -> Policy:
    path = policy or Home(home or default_home()).config
    if policy is None and not path.exists():
        return Policy()
    try:
        document = parse_yaml(path.read_bytes()).tree
    except OSError as error:
        raise ConfigError(f"can't be read ({error.strerror})", where=str(path)) from error
    block = document.get("policy", {}) if isinstance(document, dict) else {}
    return Policy.parse(block, where=f"{path}: policy")


def _trust(home: Path | None, owner: OwnerFile | None) -> Trust | None:
    if owner is not None:
        return Trust((TrustedOwner.of_record(owner.statements[0], rotations=owner.authority.walked),))
    return load_trust(Home(home).trust) if home else None
