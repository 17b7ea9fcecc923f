"""Ways in for the tests of attacks: a folder, a plora.yml, a payload off the wire. Each gives (outcome, reason, where).

An adapter of `adapter(world, owner)` is in order; whatever a test changes is all that is wrong with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.gate.conftest import NOW_MS, Owner, World, factors, safetensors_bytes

from plora.gate import BaseFacts, Case, Policy, Trust, Verdict, alignment_gate, decide
from plora.merge.peft_folder import adapter_config_bytes
from plora.proto.canonical import canonical_bytes
from plora.proto.dsse import StatementKind, pae
from plora.proto.errors import FormatError
from plora.proto.statement import Statement
from plora.proto.yaml_view import SignedManifest, from_yaml, write_plora_yml

Fate = tuple[str, str, str]


@dataclass(frozen=True)
class Adapter:
    """A signed adapter in a folder."""

    owner: Owner
    trust: Trust
    folder: Path
    signed: SignedManifest

    @property
    def artifact(self) -> Path:
        return self.folder / "adapter_model.safetensors"

    @property
    def config(self) -> Path:
        return self.folder / "adapter_config.json"

    @property
    def yml(self) -> Path:
        return self.folder / "plora.yml"

    def judged(self, policy: Policy | None = None) -> Verdict:
        """The gate's verdict on the folder."""
        return alignment_gate(self.folder, self.signed, policy or Policy(), self.trust, now_ms=NOW_MS)

    def with_config(self, **changes: Any) -> Verdict:
        """The verdict with other values in adapter_config.json."""
        plain = json.loads(adapter_config_bytes(self.signed.manifest.lora, "mini"))
        self.config.write_text(json.dumps(plain | changes))
        return self.judged()


def adapter(world: World, owner: Owner, tensors: Any = None, **changes: Any) -> Adapter:
    """An adapter in order, in a folder of its own, with `changes` to its manifest."""
    made = factors() if tensors is None else tensors
    raw = made if isinstance(made, bytes) else safetensors_bytes(made)
    case = world.case(owner, raw, **changes)
    signed = SignedManifest.of(case.statement)
    folder = world.folder / f"adapter-{case.statement.id.hex()[:8]}"
    folder.mkdir(exist_ok=True)
    (folder / "adapter_model.safetensors").write_bytes(raw)
    (folder / "adapter_config.json").write_bytes(adapter_config_bytes(case.manifest.lora, "mini"))
    write_plora_yml(folder / "plora.yml", signed)
    return Adapter(owner, world.trust(owner), folder, signed)


def fate(verdict: Verdict) -> Fate:
    """What a verdict says."""
    return str(verdict.outcome), verdict.reason, json.dumps(dict(verdict.evidence))


def as_file(text: str | bytes) -> Fate:
    """What becomes of the text of a plora.yml: accepted where it is read, otherwise refused with the reader's words."""
    try:
        from_yaml(text)
    except FormatError as error:
        return "reject", error.what, error.where
    return "accept", "", ""


def off_the_wire(world: World, owner: Owner, change: Callable[[bytes], bytes]) -> Fate:
    """What the gate says to a manifest whose payload was changed before its owner signed it."""
    case = world.case(owner)
    payload = change(case.statement.payload)
    try:
        signature = owner.key.sign(pae(StatementKind.MANIFEST, payload))
        statement = Statement(case.statement.kind, payload, owner.key.public.key_id, "Ed25519", signature)
    except FormatError as error:
        return "reject", error.what, ""
    return fate(decide(replace(case, statement=statement), Policy(), world.trust(owner)))


def with_field(path: str, value: object) -> Callable[[bytes], bytes]:
    """A change to one field (`lora.r`) of a payload; None takes it out. The payload stays canonical."""

    def change(payload: bytes) -> bytes:
        fields = json.loads(payload)
        *parents, name = path.split(".")
        block = fields
        for parent in parents:
            block = block[parent]
        block.pop(name, None)
        if value is not None:
            block[name] = value
        return canonical_bytes(fields)

    return change


def replaced(old: str, new: str) -> Callable[[bytes], bytes]:
    """A change of bytes; `old` must be there."""

    def change(payload: bytes) -> bytes:
        assert old.encode() in payload
        return payload.replace(old.encode(), new.encode(), 1)

    return change


def with_base(case: Case, base: BaseFacts) -> Case:
    """The case where that base model is at hand."""
    return replace(case, base=base)
