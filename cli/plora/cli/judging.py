"""`plora gate`: the gate on a folder, with the policy and trust of a home or of files named on the command line."""

from __future__ import annotations

from pathlib import Path

from plora.gate import Policy, Trust, TrustedOwner, Verdict, alignment_gate, load_trust
from plora.proto.errors import ConfigError
from plora.proto.home import Home, default_home
from plora.proto.owner_chain import OwnerFile, read_owner_file
from plora.proto.strict_yaml import parse_yaml
from plora.proto.yaml_view import PLORA_YML


def judge_folder(folder: Path, *, home: Path | None, policy: Path | None, owner: Path | None) -> Verdict:
    """The verdict on a signed folder; `owner` stands in for trust.yaml, `policy` for the home's peer.yaml."""
    file = read_owner_file(owner) if owner is not None else None
    trust = _trust(home, file)
    known = file.statements if file is not None else ()
    return alignment_gate(folder, folder / PLORA_YML, _policy(home, policy), trust, known=known)


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
